"""Items as the Responses API and the OpenAI Agents SDK write them."""

PIXEL = "data:image/png;base64,iVBORw0KGgo="
ITEMS = [
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "Where is the lamp?"},
            {"type": "input_image", "detail": "auto", "image_url": PIXEL},
            {"type": "input_file", "file_id": "file-1", "filename": "map.pdf"},
        ],
    },
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "gAAAA==",
    },
    {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "lamp", "sources": []},
    },
    {
        "type": "file_search_call",
        "id": "fs_1",
        "status": "completed",
        "queries": ["lamp"],
        "results": None,
    },
    {
        "type": "code_interpreter_call",
        "id": "ci_1",
        "status": "completed",
        "code": "1+1",
        "container_id": "c",
        "outputs": [{"type": "logs", "logs": "2"}],
    },
    {
        "type": "image_generation_call",
        "id": "ig_1",
        "status": "completed",
        "result": "iVBORw0KGgo=",
    },
    {
        "type": "computer_call",
        "id": "cu_1",
        "call_id": "call_1",
        "status": "completed",
        "action": {"type": "click", "button": "left", "x": 1, "y": 2},
        "pending_safety_checks": [],
    },
    {
        "type": "computer_call_output",
        "call_id": "call_1",
        "output": {"type": "computer_screenshot", "image_url": PIXEL},
    },
    {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "maps", "tools": []},
    {"type": "mcp_approval_request", "id": "ar", "name": "go", "server_label": "maps"},
    {"type": "mcp_approval_response", "approval_request_id": "ar", "approve": True},
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_2",
        "name": "transfer_to_guide",
        "arguments": "{}",
        "status": "completed",
    },
    {"type": "function_call_output", "call_id": "call_2", "output": '{"assistant": "Guide"}'},
    {
        "type": "function_call_output",
        "call_id": "call_2",
        "output": [{"type": "input_image", "image_url": PIXEL, "detail": "auto"}],
    },
    {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA=="},
    {"type": "item_reference", "id": "msg_0"},
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "phase": "final_answer",
        "content": [
            {
                "type": "output_text",
                "text": "In the tower.",
                "annotations": [
                    {
                        "type": "url_citation",
                        "start_index": 0,
                        "end_index": 2,
                        "url": "u",
                        "title": "t",
                    }
                ],
                "logprobs": [],
            }
        ],
    },
]
