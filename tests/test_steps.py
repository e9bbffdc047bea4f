"""Reasoning and tool calls of a run: read from every format, and shown everywhere."""

import json

from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory import Run
from conversation_memory.messages import steps_of, tool_calls
from conversation_memory.messages.formats import FORMATS
from conversation_memory.messages.steps import readable
from conversation_memory.rendering.shown_steps import MAX_STEPS, show_steps

from .commands import called
from .strategies import texts, values
from .test_admin_run_facts import tools
from .test_messages import answer, calling, result, user
from .test_owner_export import data, exported, page
from .utils import RedisTestCase

USER = {"role": "user", "content": "Where?"}
FAILED = {
    "openai": [USER, calling("t1"), {**result("t1", "Timed out."), "is_error": True}],
    "openai-responses": [
        USER,
        {"type": "mcp_call", "id": "m", "name": "find", "arguments": "{}", "error": "Timed out."},
    ],
    "anthropic": [
        USER,
        answer([{"type": "tool_use", "id": "t1", "name": "find", "input": {}}]),
        user(
            [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "content": "Timed out.",
                    "is_error": True,
                }
            ]
        ),
    ],
    "ui": [
        {"id": "u", "role": "user", "parts": [{"type": "text", "text": "Where?"}]},
        {
            "id": "a",
            "role": "assistant",
            "parts": [
                {
                    "type": "tool-find",
                    "toolCallId": "t1",
                    "state": "output-error",
                    "input": {},
                    "errorText": "Timed out.",
                }
            ],
        },
    ],
}
_CALL = {"part_kind": "tool-call", "tool_name": "find", "tool_call_id": "t1", "args": "{}"}
_RETRY = {"part_kind": "retry-prompt", "tool_name": "find", "tool_call_id": "t1"}
FAILED["pydantic-ai"] = [
    {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "Where?"}]},
    {"kind": "response", "parts": [_CALL]},
    {"kind": "request", "parts": [{**_RETRY, "content": "Timed out."}]},
]
FAILED["langchain"] = FORMATS["langchain"].from_chat(FAILED["openai"], "r")
SEARCHED = {
    "openai-responses": [
        USER,
        {"type": "web_search_call", "id": "w", "status": "completed", "action": {"query": "lamp"}},
        {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "select 1"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "one"},
    ],
    "anthropic": [
        USER,
        answer(
            [
                {
                    "type": "server_tool_use",
                    "id": "w",
                    "name": "web_search",
                    "input": {"q": "lamp"},
                },
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "w",
                    "content": [{"title": "Lamps"}],
                },
                {"type": "text", "text": "There."},
            ]
        ),
    ],
}


def run_of(messages, format="openai", output="a"):
    return Run("q", output, {"messages": messages, "messages_format": format})


class StepTests(SimpleTestCase):
    def test_steps_come_in_their_order_without_the_answer(self):
        chat = [
            {**calling("t1"), "reasoning_content": "Hm.", "content": "Let me look."},
            result("t1"),
            answer("In the tower."),
        ]
        told = [(step.kind, step.text or step.name) for step in steps_of(run_of([USER, *chat]))]
        assert told == [("reasoning", "Hm."), ("said", "Let me look."), ("call", "find")]

    def test_a_call_has_the_result_with_its_id(self):
        first, second = tool_calls(run_of(tools(2)))
        assert (first.name, first.arguments, first.result) == ("weather", "{}", '{"degrees": 21}')
        assert second.result is None

    def test_calls_with_one_id_have_their_own_results(self):
        chat = [calling(""), result("", "one"), calling(""), result("", "two")]
        assert [call.result for call in tool_calls(run_of([USER, *chat]))] == ["one", "two"]

    def test_a_failure_is_known_in_every_format(self):
        for name, messages in FAILED.items():
            [call] = tool_calls(run_of(messages, name))
            assert (call.is_failed, call.result) == (True, "Timed out."), name

    def test_a_failure_stays_one_in_the_formats_that_tell_it(self):
        for source in ("anthropic", "ui", "langchain"):
            for target in ("anthropic", "ui", "langchain"):
                chat = FORMATS[source].to_chat(FAILED[source])
                made = FORMATS[target].from_chat(chat, "r")
                [call] = tool_calls(run_of(made, target))
                assert call.is_failed, (source, target)
        assert "is_error" not in str(FORMATS["openai"].from_chat(chat, "r"))

    def test_tools_that_the_service_runs_are_calls(self):
        web, sql = tool_calls(run_of(SEARCHED["openai-responses"], "openai-responses"))
        assert (web.name, web.arguments) == ("web_search", '{"action": {"query": "lamp"}}')
        assert (sql.name, sql.arguments, sql.result) == ("sql", "select 1", "one")
        [web] = tool_calls(run_of(SEARCHED["anthropic"], "anthropic"))
        assert (web.name, web.result) == ("web_search", '[{"title": "Lamps"}]')

    def test_readable_texts_have_real_characters(self):
        arguments = json.dumps({"city": "Zürich\nWest", "n": [1, {"deep": None}], "ok": True})
        assert readable(arguments) == "city: Zürich\nWest\nn\n1\nok: true"
        assert readable("no JSON {") == "no JSON {" and readable(None) == ""
        assert readable("[" * 100_000) and readable({}) == ""

    @given(st.sampled_from([*FORMATS]), st.lists(values | texts, max_size=4))
    def test_whatever_is_stored_is_read_and_shown(self, name, messages):
        for step in show_steps(run_of(messages, name)):
            assert "<script" not in f"{step.text}{step.result}{step.name}"

    def test_hostile_text_is_escaped_cut_and_counted(self):
        chat = [calling(*"ab", name="<b>\u202e", arguments="<script>"), result("a", "<i>" * 9)]
        [first, second] = show_steps(run_of([USER, *chat]), limit=12)
        assert (first.text, first.result) == ("&lt;script&gt;", "&lt;i&gt;" * 4 + " …")
        assert first.name == "<b>[U+202E]" and second.result is None  # templates escape the name
        assert [it.kind for it in show_steps(run_of(tools(60)))][MAX_STEPS:] == ["more"]


class ShownTests(RedisTestCase):
    def test_the_page_of_an_export_shows_steps_instead_of_messages(self):
        self.index.driver("c", owner=7).append(
            Run("q", "", {"messages": FAILED["openai"], "k": "value"}),
            Run("q", "a", {"messages": [user("<b>")]}),
        )
        text = page(exported(self.index))
        assert "<summary>Tool <bdi" in text and "Timed out." in text
        assert '<strong class="cm-failed">Failed</strong>' in text and "value" in text
        assert text.count("messages") == 1 and "&lt;b&gt;" in text  # of the run without steps
        assert "tool_calls" in str(data(exported(self.index)))

    def test_the_command_prints_steps_instead_of_messages(self):
        chat = [{**calling("t1"), "reasoning_content": "Hm."}, result("t1", '{"x": "y\\nz"}')]
        self.index.driver("c").append_messages([USER, *chat, answer("There.")])
        out, _ = called("showconversation", "c", using="default")
        assert "Reasoning:\n  Hm.\nTool find:\n  thing: lamp\nResult:\n  x: y\n  z\nOutput" in out
        assert "messages" not in out

    def test_a_failed_call_without_an_answer_is_printed(self):
        self.index.driver("c").append(Run("q", "", {"messages": FAILED["openai"], "k": 1}))
        out, _ = called("showconversation", "c", using="default")
        assert "Failed:\n  Timed out." in out and 'Meta: {"k": 1}' in out

    def test_meta_that_is_a_list_is_printed(self):
        self.index.driver("c").append(Run("q", "a", [1, "messages"]))
        out, _ = called("showconversation", "c", using="default")
        assert 'Meta: [1, "messages"]' in out
