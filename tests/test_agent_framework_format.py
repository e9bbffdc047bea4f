"""Messages of Microsoft's Agent Framework as chat messages, and back, without the framework."""

from django.test import SimpleTestCase

from conversation_memory.messages.formats import find_format
from conversation_memory.messages.parts import REASONING

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def content(type, **members):
    return {"type": type, **members, "additional_properties": {}}


def message(role, *contents, **members):
    found = [content("text", text=one) if isinstance(one, str) else one for one in contents]
    members = {"additional_properties": {}, **members}
    return {"type": "message", "role": role, "contents": found, **members}


def called(id, **members):
    members = {"arguments": '{"thing": "lamp"}', "hosted": False, **members}
    return content("function_call", call_id=id, name="find", **members)


def told(id, text="In the tower.", **members):
    return content("function_result", call_id=id, result=text, **members)


PICTURE = content("data", uri=PIXEL, media_type="image/png")
AGENT_FRAMEWORK = [
    message("system", "Be brief."),
    message("user", "Where?", PICTURE, author_name="ann", message_id="1"),
    message(
        "assistant",
        content("text_reasoning", id="r", text="Hm.", protected_data="gAAAA=="),
        called("t1"),
        content("usage", usage_details={"total_token_count": 3}),
    ),
    message("tool", told("t1", items=[content("text", text="In the tower.")])),
    message("assistant", "In the tower.", additional_properties={"score": 1.5}),
]


def chat(*messages):
    return find_format("agent-framework").to_chat(messages)


class AgentFrameworkFormatTests(SimpleTestCase):
    def test_contents_of_a_user_are_parts(self):
        data = "data:application/pdf;base64,JVBERi0="
        sound = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
        for found, expected in (
            (PICTURE, {"type": "image_url", "image_url": {"url": PIXEL}}),
            (
                content("uri", uri="https://example.com/a.png", media_type="image/*"),
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            ),
            (content("hosted_file", file_id="f"), {"type": "file", "file": {"file_id": "f"}}),
            (content("data", uri="data:audio/wav;base64,AA==", media_type="audio/wav"), sound),
            (
                content("data", uri=data, media_type="application/pdf"),
                {"type": "file", "file": {"file_data": data}},
            ),
        ):
            assert chat(message("user", found)) == [{"role": "user", "content": [expected]}], found
        assert chat(message("user"))[0]["content"] == ""
        assert chat(message("user", "a", content("usage")))[0]["content"] == "a"

    def test_calls_of_hosted_tools_are_not_calls(self):
        [found] = chat(message("assistant", called("a"), called("b", hosted=True)))
        assert [one["id"] for one in found["tool_calls"]] == ["a"]
        [found] = chat(message("assistant", content("mcp_server_tool_call", call_id="c")))
        assert "tool_calls" not in found

    def test_an_approval_is_a_call_once_it_has_a_result_and_never_a_question(self):
        asked = message(
            "assistant", content("function_approval_request", id="a", function_call=called("a"))
        )
        approved = message("user", content("function_approval_response", id="a", approved=True))
        assert "tool_calls" not in chat(asked, approved)[0]
        found = chat(asked, approved, message("tool", told("a")))
        assert [one["role"] for one in found] == ["assistant", "tool"]
        assert found[0]["tool_calls"][0]["id"] == "a"

    def test_arguments_may_be_an_object(self):
        [found] = chat(message("assistant", called("a", arguments={"thing": "lamp"})))
        assert found["tool_calls"][0]["function"]["arguments"] == '{"thing": "lamp"}'
        [found] = chat(message("assistant", content("text_reasoning", text="Hm."), "There."))
        assert (found["content"], found[REASONING]) == ("There.", "Hm.")

    def test_parts_come_back_as_they_were(self):
        format = find_format("agent-framework")
        data = "data:application/pdf;base64,JVBERi0="
        parts = [
            {"type": "text", "text": "Where?"},
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": data}},
            {"type": "file", "file": {"file_id": "f"}},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
        ]
        asked = [{"role": "user", "content": parts}]
        assert format.to_chat(format.from_chat(asked, "1")) == asked
        for lost in ("data:nothing", "nothing", None, 3):
            part = {"type": "image_url", "image_url": {"url": lost}}
            [made] = format.from_chat([{"role": "user", "content": [part]}], "1")
            assert made["contents"] == [], lost
