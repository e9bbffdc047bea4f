"""Messages of LangChain as chat messages, and back, without LangChain."""

from django.test import SimpleTestCase

from conversation_memory.messages.formats import find_format
from conversation_memory.messages.parts import REASONING

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def message(type, content="", **data):
    return {"type": type, "data": {"type": type, "content": content, **data}}


def called(id, name="find", args=None, **more):
    return {"type": "tool_call", "id": id, "name": name, "args": args or {"thing": "lamp"}, **more}


PICTURE = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
LANGCHAIN = [
    message("system", "Be brief.", id="s"),
    message("human", [{"type": "text", "text": "Where?"}, PICTURE], id="1", name="ann"),
    message(
        "ai",
        [{"type": "reasoning", "reasoning": "Hm.", "extras": {"signature": "s"}}],
        id="2",
        tool_calls=[called("t1")],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"model_name": "m", "logprobs": None},
    ),
    message("tool", "In the tower.", tool_call_id="t1", status="success", artifact={"map": [1, 2]}),
    message("ai", "In the tower.", invalid_tool_calls=[{"id": "x", "args": "{", "error": "e"}]),
]


def chat(*messages):
    return find_format("langchain").to_chat(messages)


def content(*blocks, type="human"):
    [found] = chat(message(type, [*blocks]))
    return found["content"]


class LangchainFormatTests(SimpleTestCase):
    def test_each_type_of_message_has_its_role(self):
        for type, role in (
            ("human", "user"),
            ("HumanMessageChunk", "user"),
            ("ai", "assistant"),
            ("AIMessageChunk", "assistant"),
            ("system", "system"),
            ("SystemMessageChunk", "system"),
            ("tool", "tool"),
            ("ToolMessageChunk", "tool"),
            ("function", "tool"),
        ):
            [found] = chat(message(type, "x"))
            assert (found["role"], found["content"]) == (role, "x"), type
        assert chat(message("remove", id="1"), message("unknown"), {}) == []

    def test_the_role_of_a_chat_message_is_kept_if_models_know_it(self):
        for role, expected in (
            ("assistant", "assistant"),
            ("AI", "assistant"),
            ("system", "system"),
            ("developer", "developer"),
            ("pirate", "user"),
        ):
            for type in ("chat", "ChatMessageChunk"):
                [found] = chat(message(type, "x", role=role))
                assert (found["role"], found["content"]) == (expected, "x"), role

    def test_blocks_of_every_version_are_parts(self):
        picture = {"type": "image_url", "image_url": {"url": PIXEL}}
        base64 = {"source_type": "base64", "data": "iVBORw0KGgo=", "mime_type": "image/png"}
        source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
        for block in (
            PICTURE,
            picture,
            {"type": "image_url", "image_url": PIXEL},
            {"type": "image", **base64},
            {"type": "image", "source": source},
            {"type": "image", "url": PIXEL},
            {"type": "media", "mime_type": "image/png", "data": "iVBORw0KGgo="},
        ):
            assert content(block) == [picture], block
        sound = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
        assert content(sound) == [sound]
        assert content({"type": "audio", "base64": "AA==", "mime_type": "audio/wav"}) == [sound]
        data = "data:application/pdf;base64,JVBERi0="
        file = {"type": "file", "file": {"filename": "a.pdf", "file_data": data}}
        pdf = {"type": "file", "mime_type": "application/pdf"}
        for block in (
            file,
            {**pdf, "base64": "JVBERi0=", "extras": {"filename": "a.pdf"}},
            {**pdf, "source_type": "base64", "data": "JVBERi0=", "filename": "a.pdf"},
        ):
            assert content(block) == [file], block
        assert content({"type": "file", "file_id": "f"}) == [
            {"type": "file", "file": {"file_id": "f"}}
        ]
        assert content({"type": "text-plain", "text": "x", "mime_type": "text/plain"}) == "x"
        assert content("a", {"type": "text", "text": "b"}) == [
            {"type": "text", "text": "a"},
            {"type": "text", "text": "b"},
        ]
        for lost in ({"type": "video", "url": "x"}, {"type": "non_standard", "value": {}}, {}, 3):
            assert content(lost) == "", lost

    def test_calls_are_found_wherever_they_stand(self):
        arguments = '{"thing": "lamp"}'
        block = {"type": "tool_use", "id": "t", "name": "find", "input": {"thing": "lamp"}}
        for answer in (
            message("ai", tool_calls=[called("t")]),
            message("ai", [block]),
            message("ai", [block], tool_calls=[called("t")]),
            message("ai", [called("t")]),
        ):
            [found] = chat(answer)
            [call] = found["tool_calls"]
            assert call["id"] == "t"
            assert call["function"] == {"name": "find", "arguments": arguments}
        more = {"function_call": {"name": "find", "arguments": arguments}}
        asked, told = chat(
            message("ai", additional_kwargs=more), message("function", "There.", name="find")
        )
        assert asked["tool_calls"][0]["id"] == told["tool_call_id"] == "find"

    def test_an_invalid_call_is_one_if_it_has_a_result(self):
        failed = message("ai", "Oh.", invalid_tool_calls=[called("t", args="{")])
        assert "tool_calls" not in chat(failed)[0]
        asked, _ = chat(failed, message("tool", "Not JSON.", tool_call_id="t"))
        assert asked["tool_calls"][0]["function"]["arguments"] == "{"

    def test_reasoning_and_refusals_are_found_wherever_they_stand(self):
        for answer in (
            message("ai", [{"type": "reasoning", "reasoning": "Hm."}]),
            message("ai", [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]),
            message("ai", [{"type": "reasoning", "summary": [{"text": "Hm."}]}]),
            message("ai", additional_kwargs={"reasoning_content": "Hm."}),
        ):
            assert chat(answer)[0][REASONING] == "Hm.", answer
        for answer in (
            message("ai", [{"type": "refusal", "refusal": "No."}]),
            message("ai", additional_kwargs={"refusal": "No."}),
        ):
            assert chat(answer)[0]["content"] == "No.", answer

    def test_what_others_wrote_has_all_members_that_langchain_writes(self):
        made = find_format("langchain").from_chat(
            [
                {"role": "developer", "content": "Be brief."},
                {"role": "assistant", "content": "Hi", REASONING: "Hm."},
                {"role": "assistant", "content": ""},
                {"role": "tool", "tool_call_id": "t", "content": "x"},
            ],
            "1",
        )
        members = {"response_metadata": {}, "name": None, "id": None}
        developer = {"__openai_role__": "developer"}
        thought = {REASONING: "Hm."}
        calls = {"tool_calls": [], "invalid_tool_calls": [], "usage_metadata": None}
        outcome = {"tool_call_id": "t", "artifact": None, "status": "success"}
        assert made == [
            message("system", "Be brief.", additional_kwargs=developer, **members),
            message("ai", "Hi", additional_kwargs=thought, **members, **calls),
            message("tool", "x", additional_kwargs={}, **members, **outcome),
        ]

    def test_parts_come_back_as_they_were(self):
        format = find_format("langchain")
        data = "data:application/pdf;base64,JVBERi0="
        parts = [
            {"type": "text", "text": "Where?"},
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": data}},
            {"type": "file", "file": {"file_id": "f"}},
            {"type": "file", "file": {"file_data": "https://example.com/a.pdf"}},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
        ]
        asked = [{"role": "user", "content": parts}]
        assert format.to_chat(format.from_chat(asked, "1")) == asked
