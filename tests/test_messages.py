"""Conversations as chat messages of several APIs, and back."""

import json
from types import SimpleNamespace
from unittest.mock import patch

from django.test import SimpleTestCase
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_memory import Artifact, Run
from conversation_memory.archive.chat_exports import ChatDump
from conversation_memory.exceptions import (
    ConversationNotFound,
    ConversationTooLarge,
    ReplyLost,
    RunNotFound,
)
from conversation_memory.messages import steps_of, tool_calls
from conversation_memory.messages.formats import FORMATS, estimate_message_tokens, find_format
from conversation_memory.messages.turns import (
    chat_messages,
    messages_of,
    turns_of,
)
from conversation_memory.replies.lifecycle import Replies

from .strategies import numbers, texts, values
from .test_agent_framework_format import AGENT_FRAMEWORK
from .test_langchain_format import LANGCHAIN
from .utils import RedisTestCase, alternating, both, each_layout

PIXEL = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="


def user(content, **more):
    return {"role": "user", "content": content, **more}


def answer(content, **more):
    return {"role": "assistant", "content": content, **more}


def calling(*ids, name="find", arguments='{"thing": "lamp"}'):
    function = {"name": name, "arguments": arguments}
    calls = [{"id": id, "type": "function", "function": function} for id in ids]
    return answer(None, tool_calls=calls)


def result(id, content="In the tower."):
    return {"role": "tool", "tool_call_id": id, "content": content}


CHAT = [
    {"role": "system", "content": "Be brief."},
    user([{"type": "text", "text": "Where?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]),
    calling("t1"),
    result("t1"),
    answer("In the tower."),
]
RESPONSES = [
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "Where?"},
            {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
        ],
    },
    {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Hm."}]},
    {
        "type": "function_call",
        "call_id": "t1",
        "name": "find",
        "arguments": '{"thing": "lamp"}',
        "id": "fc",
    },
    {"type": "function_call_output", "call_id": "t1", "output": "In the tower."},
    {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "In the tower.", "annotations": []}],
    },
]
ANTHROPIC = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Where?"},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
            },
        ],
    },
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "tool_use", "id": "t1", "name": "find", "input": {"thing": "lamp"}},
        ],
    },
    {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "In the tower."}],
    },
    {"role": "assistant", "content": [{"type": "text", "text": "In the tower."}]},
]
UI = [
    {
        "id": "u1",
        "role": "user",
        "parts": [
            {"type": "text", "text": "Where?"},
            {"type": "file", "mediaType": "image/png", "url": PIXEL},
        ],
    },
    {
        "id": "a1",
        "role": "assistant",
        "metadata": {"tokens": 3},
        "parts": [
            {"type": "step-start"},
            {"type": "reasoning", "text": "Hm.", "state": "done"},
            {
                "type": "tool-find",
                "toolCallId": "t1",
                "state": "output-available",
                "input": {"thing": "lamp"},
                "output": "In the tower.",
            },
            {"type": "step-start"},
            {"type": "text", "text": "In the tower.", "state": "done"},
        ],
    },
]
LLAMA_INDEX = [
    {
        "role": "user",
        "additional_kwargs": {},
        "blocks": [
            {"block_type": "text", "text": "Where?"},
            {"block_type": "image", "image": "iVBORw0KGgo=", "image_mimetype": "image/png"},
        ],
    },
    {
        "role": "assistant",
        "additional_kwargs": {},
        "blocks": [
            {"block_type": "thinking", "content": "Hm.", "additional_information": {}},
            {
                "block_type": "tool_call",
                "tool_call_id": "t1",
                "tool_name": "find",
                "tool_kwargs": {"thing": "lamp"},
            },
        ],
    },
    {
        "role": "tool",
        "additional_kwargs": {"tool_call_id": "t1", "name": "find"},
        "blocks": [{"block_type": "text", "text": "In the tower."}],
    },
    {
        "role": "assistant",
        "additional_kwargs": {"tokens": 3},
        "blocks": [{"block_type": "text", "text": "In the tower."}],
    },
]
PYDANTIC_AI = [
    {
        "kind": "request",
        "instructions": None,
        "parts": [
            {"part_kind": "system-prompt", "content": "Be brief."},
            {
                "part_kind": "user-prompt",
                "content": [
                    "Where?",
                    {"kind": "binary", "data": "iVBORw0KGgo=", "media_type": "image/png"},
                ],
            },
        ],
    },
    {
        "kind": "response",
        "parts": [
            {"part_kind": "thinking", "content": "Hm.", "signature": "s"},
            {
                "part_kind": "tool-call",
                "tool_name": "find",
                "args": '{"thing": "lamp"}',
                "tool_call_id": "t1",
            },
        ],
    },
    {
        "kind": "request",
        "parts": [
            {
                "part_kind": "tool-return",
                "tool_name": "find",
                "content": "In the tower.",
                "tool_call_id": "t1",
            }
        ],
    },
    {"kind": "response", "parts": [{"part_kind": "text", "content": "In the tower."}]},
]
TURNS = {"openai": CHAT, "openai-responses": RESPONSES, "anthropic": ANTHROPIC, "ui": UI}
TURNS |= {"langchain": LANGCHAIN, "llama-index": LLAMA_INDEX, "pydantic-ai": PYDANTIC_AI}
TURNS |= {"agent-framework": AGENT_FRAMEWORK}


def refused(call, *args, **options):
    """The words of the ValueError that a call raises."""
    try:
        call(*args, **options)
    except ValueError as error:
        return str(error)
    raise AssertionError("No ValueError was raised")


@each_layout
class MessageTests:
    @both
    def test_a_plain_exchange_is_a_run_without_meta(self, index):
        driver = index.driver("c")
        [id] = driver.append_messages([user("Why?"), answer("Because.")])
        [run] = driver.load()[0]
        assert (run.id, run.input.text, run.output.text, run.meta) == (id, "Why?", "Because.", None)
        assert driver.messages() == [user("Why?"), answer("Because.")]
        assert driver.messages(format="anthropic") == driver.messages()
        assert driver.messages(format="openai-responses") == driver.messages()

    @both
    def test_messages_come_back_unchanged_in_their_format(self, index):
        for name, messages in TURNS.items():
            driver = index.driver(name)
            driver.append_messages(messages, format=name)
            assert driver.messages(format=name) == messages, name
            [run] = driver.load()[0]
            assert run.output.text == "In the tower.", name
            assert [item.type for item in run.input.items] == ["TextArtifact", "ImageArtifact"]
            assert run.input.items[1].value == "iVBORw0KGgo=", name

    @both
    def test_each_format_is_read_in_each_other_one(self, index):
        plain = {
            "openai": CHAT[1:],
            "openai-responses": [
                RESPONSES[0],
                {**RESPONSES[2]},
                RESPONSES[3],
                answer("In the tower."),
            ],
            "anthropic": [
                ANTHROPIC[0],
                {"role": "assistant", "content": ANTHROPIC[1]["content"][1:]},
                ANTHROPIC[2],
                answer("In the tower."),
            ],
        }
        del plain["openai-responses"][1]["id"]
        for source, messages in TURNS.items():
            driver = index.driver(source)
            driver.append_messages(messages, format=source)
            for target, expected in plain.items():
                found = driver.messages(format=target)
                found = [one for one in found if one.get("role") != "system"]
                if source != target:
                    assert found == expected, (source, target)
            kinds = [p["type"] for p in driver.messages(format="ui")[-1]["parts"]]
            assert [k for k in kinds if k in ("tool-find", "text")] == ["tool-find", "text"]
            assert ("reasoning" in kinds) == (source != "openai")

    @both
    def test_a_window_never_separates_a_call_from_its_result(self, index):
        driver = index.driver("c")
        turn = [user("Where?"), calling("t"), result("t"), answer("There.")]
        driver.append_messages([*turn, user("And?"), answer("So.")])
        assert driver.messages(max_runs=1) == [user("And?"), answer("So.")]
        assert driver.messages(max_tokens=2, count=len) == [user("And?"), answer("So.")]
        assert driver.messages(max_tokens=5, count=len) == [user("And?"), answer("So.")]
        assert driver.messages(max_tokens=6, count=len) == [*turn, user("And?"), answer("So.")]
        with self.assertRaises(ConversationTooLarge):
            driver.messages(max_tokens=1, count=len, strict=True)

    @both
    def test_a_system_prompt_stands_in_front_instead_of_the_stored_ones(self, index):
        driver = index.driver("c")
        stored = {"role": "system", "content": "Be kind."}
        driver.append_messages([stored, user("Hi"), answer("Hello")])
        [run] = driver.load()[0]
        assert run.input.text == "Hi"
        assert driver.messages() == [stored, user("Hi"), answer("Hello")]
        assert driver.messages(system="Be brief.")[0]["content"] == "Be brief."
        assert len(driver.messages(system="Be brief.")) == 3
        assert driver.messages(system="x", format="ui")[0]["parts"] == [
            {"type": "text", "text": "x"}
        ]
        assert "has no system messages" in refused(driver.messages, system="x", format="anthropic")

    @both
    def test_a_question_without_an_answer_is_an_open_run_until_the_answer_comes(self, index):
        driver = index.driver("c")
        [id] = driver.append_messages([user("Why?")])
        assert driver.load() == ([], {})
        assert [run.run_id for run in driver.open_runs()] == [id]
        assert driver.messages(run_id=id) == [user("Why?")]
        assert driver.messages() == []
        assert driver.append_messages([answer("Because.")]) == [id]
        assert driver.open_runs() == []
        assert driver.messages() == [user("Why?"), answer("Because.")]
        assert driver.load()[0][0].meta is None
        assert driver.append_messages([answer("Because.")]) == [id]
        assert driver.messages() == [user("Why?"), answer("Because.")]
        with self.assertRaises(RunNotFound):
            driver.messages(run_id=id)

    @both
    def test_tool_calls_are_continued_where_they_are_unanswered(self, index):
        driver = index.driver("c")
        turn = [user("Where?"), calling("t", "u"), result("u"), result("t"), answer("There.")]
        for message in turn:
            assert driver.load()[0] == []  # whole runs only
            [id] = driver.append_messages([message])
        driver.append_messages([message])  # repeated
        assert driver.open_runs() == []
        assert driver.messages() == turn
        [run] = driver.load()[0]
        assert (run.id, run.input.text, run.output.text) == (id, "Where?", "There.")

    @both
    def test_the_rest_of_a_list_is_appended_behind_what_it_continues(self, index):
        driver = index.driver("c")
        [id] = driver.append_messages([user("Where?"), calling("t")])
        rest = [result("t"), answer("There."), user("And?"), answer("So."), user("Then?")]
        ids = driver.append_messages(rest, ids=[id, "b", "c"])
        assert driver.messages(run_id="c") == [user("Where?"), calling("t"), *rest]
        assert [run.id for run in driver.load()[0]] == ids[:2]

    @both
    def test_an_id_of_the_user_makes_repeated_appends_idempotent(self, index):
        driver = index.driver("c")
        for _ in range(2):
            assert driver.append_messages(UI[:1], format="ui") == ["u1"]
        for _ in range(2):
            assert driver.append_messages(UI, format="ui") == ["u1"]
            driver.append_messages(UI[:1], format="ui")
        assert driver.messages(format="ui") == UI
        assert driver.open_runs() == []

    @both
    def test_what_is_wrong_is_refused_and_nothing_is_stored(self, index):
        driver = index.driver("c")
        good = [user("Hi"), answer("Hello")]
        for wrong, words in (
            ({"role": "robot", "content": "x"}, "messages[2] has the role 'robot'. Choose 'assis"),
            ({"content": "x"}, "messages[2] has the role None"),
            ({"role": ["user"], "content": "x"}, "messages[2] has the role ['user']"),
            ("text", "messages[2] must be a dict, not str"),
            (user(None), "messages[2] must have a text or a list of parts"),
            (user([{"text": "x"}]), "messages[2] must have parts with a `type`"),
            (user("x", tool_calls=[]), "`tool_calls` only as `assistant`"),
            (answer("x", tool_calls=[{}]), "must have `tool_calls` with an `id`"),
            ({"role": "tool", "content": "x"}, "`tool_call_id`"),
            (result("nobody"), "messages[2] is the result of the tool call 'nobody'"),
            (user({1, 2}), "messages[2] has a value of the type set"),
        ):
            assert words in refused(driver.append_messages, [*good, wrong]), wrong
        for wrong, words in (
            ("text", "must be a list of dicts, not str"),
            (None, "must be a list of dicts"),
            ([answer("x")], "messages[0] begins without a message of a user"),
            ([result("x")], "messages[0] begins without a message of a user"),
            ([{"role": "system", "content": "x"}], "no message of a user"),
            ([user("x", id="1"), answer("y"), user("z", id="1")], "messages[2] has the id"),
        ):
            assert words in refused(driver.append_messages, wrong), wrong
        assert "Choose 'openai', " in refused(driver.append_messages, good, format="chat")
        assert "Choose 'openai', " in refused(driver.messages, format="chat")
        assert all(
            "`ids` must be a list of texts, one for each run of the messages: 1"
            in refused(driver.append_messages, good, ids=ids)
            for ids in (["a", "b"], "a", [1], [""])
        )
        assert driver.append_messages([]) == []
        assert not driver.exists()

    @both
    def test_wrong_shapes_of_other_formats_are_refused(self, index):
        for format, wrong, words in (
            ("anthropic", {"role": "system", "content": "x"}, "Choose 'assistant' or 'user'"),
            ("anthropic", user([{"type": "tool_result"}]), "`tool_use_id` of a block"),
            ("anthropic", user(None), "list of blocks"),
            ("ui", {"role": "user", "content": "x"}, "`parts`"),
            ("ui", {"role": "user", "parts": [{"type": "tool-x"}]}, "`toolCallId`"),
            ("openai-responses", {"type": "function_call"}, "`call_id`"),
            ("openai-responses", {"type": 3}, "a text as `type`"),
            ("openai-responses", user(None), "`content`"),
        ):
            found = refused(index.driver("c").append_messages, [wrong], format=format)
            assert words in found and "messages[0]" in found, (format, wrong, found)

    @both
    def test_several_places_for_an_answer_need_a_name(self, index):
        driver = index.driver("c")
        driver.append_messages([user("One?")], ids=["1"])
        driver.append_messages([user("Two?")], ids=["2"])
        assert "2 runs lack an answer" in refused(driver.append_messages, [answer("Two.")])
        assert driver.append_messages([answer("Two.")], ids=["2"]) == ["2"]
        assert driver.messages() == [user("Two?"), answer("Two.")]

    @both
    def test_the_same_answer_to_another_question_is_not_a_repetition(self, index):
        driver = index.driver("c")
        for question in ("Is it warm?", "Is it dry?"):
            driver.append_messages([user(question)])
            driver.append_messages([answer("Yes.")])
        assert driver.open_runs() == []
        assert len(driver.load()[0]) == 2

    @both
    def test_a_repetition_that_comes_late_takes_nothing_back(self, index):
        driver = index.driver("c")
        begun = [user("Where?"), calling("t")]
        driver.append_messages(begun, ids=["1"])
        driver.append_messages([result("t")], ids=["1"])
        assert driver.append_messages(begun, ids=["1"]) == ["1"]
        assert driver.messages(run_id="1") == [*begun, result("t")]

    @both
    def test_a_continuation_may_be_repeated_behind_later_runs_by_its_id(self, index):
        driver = index.driver("c")
        driver.append_messages([user("Where?"), calling("t")], ids=["1"])
        driver.append_messages([result("t"), answer("There.")], ids=["1"])
        driver.append_messages([user("And?"), answer("So.")])
        assert driver.append_messages([result("t"), answer("There.")], ids=["1"]) == ["1"]
        assert len(driver.messages()) == 6

    @both
    def test_a_posted_list_leaves_open_what_has_no_answer_yet(self, index):
        driver = index.driver("c")
        posted = [user("One?", id="1"), user("Two?", id="2")]
        driver.append_messages(posted[:1])
        driver.reply("1")  # a worker has it
        assert driver.append_messages(posted) == ["1", "2"]
        assert [run.run_id for run in driver.open_runs()] == ["1", "2"]
        posted[:1] = [user("Zero?", id="0"), answer("0.")]
        driver.append_messages([*posted, answer("2.")])
        assert [run.id for run in driver.load()[0]] == ["0", "2"]
        assert [run.run_id for run in driver.open_runs()] == ["1"]

    @both
    def test_an_answer_of_a_worker_stands_behind_a_question_with_files(self, index):
        driver = index.driver("c")
        file = {"type": "file", "mediaType": "application/pdf", "url": PDF, "filename": "a.pdf"}
        question = {"id": "q", "role": "user", "parts": [{"type": "text", "text": "Sum up"}, file]}
        driver.append_messages([question], format="ui")
        assert driver.open_runs()[0].input.text == "Sum up\n[file: a.pdf]"
        with self.index.driver("c").reply("q") as reply:
            reply.write("Nothing.")
        [asked, said] = driver.messages(format="ui")
        assert (asked, said["parts"][-1]) == (question, {"type": "text", "text": "Nothing."})
        [asked, said] = driver.messages()
        assert asked["content"][1]["file"] == {"filename": "a.pdf", "file_data": PDF}
        [asked, said] = driver.messages(format="anthropic")
        assert asked["content"][1]["title"] == "a.pdf" and said == answer("Nothing.")

    @both
    def test_a_text_beside_the_result_of_a_tool_is_not_a_question(self, index):
        driver = index.driver("c")
        driver.append_messages(ANTHROPIC[:2], format="anthropic")
        block = {"type": "text", "text": "Hurry!"}
        both = {"role": "user", "content": [*ANTHROPIC[2]["content"], block]}
        driver.append_messages([both, ANTHROPIC[3]], format="anthropic")
        assert driver.messages(format="anthropic") == [*ANTHROPIC[:2], both, ANTHROPIC[3]]
        [run] = driver.load()[0]
        assert run.input.items[0].text == "Where?"
        roles = [message["role"] for message in driver.messages()]
        assert roles == ["user", "assistant", "tool", "user", "assistant"]

    @both
    def test_reasoning_alone_is_not_a_question(self, index):
        reasoning = {"type": "reasoning", "id": "r", "summary": []}
        append = index.driver("c").append_messages
        assert "begins without" in refused(append, [reasoning], format="openai-responses")

    @both
    def test_a_run_is_continued_in_its_own_format_only(self, index):
        driver = index.driver("c")
        driver.append_messages(ANTHROPIC[:2], format="anthropic")
        assert "in the format 'anthropic'" in refused(driver.append_messages, [result("t1")])
        driver.append_messages(ANTHROPIC[2:], format="anthropic")
        assert driver.messages(format="anthropic") == ANTHROPIC

    @both
    def test_a_worker_that_writes_the_answer_is_not_overtaken(self, index):
        driver = index.driver("c")
        [id] = driver.append_messages([user("Why?")])
        driver.reply(id)
        with self.assertRaises(ReplyLost):
            driver.append_messages([answer("Because.")])

    @both
    def test_other_owners_neither_read_nor_write(self, index):
        index.driver("c", owner="ann").append_messages([user("Why?"), calling("t")])
        bob = index.driver("c", owner="bob")
        assert bob.messages() == []
        assert "no run that lacks" in refused(bob.append_messages, [result("t")])
        with self.assertRaises(ConversationNotFound):
            bob.append_messages([user("Hi"), answer("Hello")])

    @both
    def test_a_text_that_was_edited_since_is_the_one_that_is_read(self, index):
        driver = index.driver("c")
        [id] = driver.append_messages([user("Where?"), calling("t"), result("t"), answer("There.")])
        run = driver.load()[0][0]
        run.output = "(removed)"
        driver.edit(run)
        assert driver.messages() == [user("Where?"), answer("(removed)")]

    def test_two_writers_at_once_lose_nothing(self):
        driver = self.index.driver("c")
        amend, asked = Replies.amend, [user("Where?"), calling("t", "u")]

        def overtaken(*args):
            with patch.object(Replies, "amend", amend):
                self.index.driver("c").append_messages([result("u")])
            return (yield from amend(*args))

        [id] = driver.append_messages(asked)
        with patch.object(Replies, "amend", overtaken):
            driver.append_messages([result("t")])
        assert driver.messages(run_id=id) == [*asked, result("u"), result("t")]

    def test_a_stored_run_without_an_answer_is_continued_by_two_writers(self):
        driver = self.index.driver("c")
        asked = [user("Where?"), calling("t")]
        driver.append(Run("Where?", "", {"messages": asked}))
        layout, resume = driver._layout, driver._layout.resume

        def overtaken(*args):
            del layout.resume
            self.index.driver("c").append_messages([result("t")])
            return (yield from resume(*args))

        layout.resume = overtaken
        driver.append_messages([result("t")])
        assert driver.messages() == [*asked, result("t")]

    def test_exports_and_the_admin_read_every_format(self):
        for name, messages in TURNS.items():
            self.index.driver(name).append_messages(messages, format=name)
            [run] = self.index.driver(name).load()[0]
            [call] = tool_calls(run)
            assert (call.name, call.result) == ("find", "In the tower."), name
            assert json.loads(call.arguments) == {"thing": "lamp"}
        for line in b"".join(ChatDump(self.index)).splitlines():
            found = [m for m in json.loads(line)["messages"] if m["role"] != "system"]
            assert found == CHAT[1:]

    def test_any_messages_come_back(self):
        with alternating(self.index) as indexes:

            @settings(max_examples=40)
            @given(conversations)
            def check(messages):
                driver = next(indexes).driver()
                ids = driver.append_messages(messages)
                questions = [run.run_id for run in driver.open_runs()]
                found = driver.messages(run_id=questions[0] if questions else None)
                assert same(found, messages)
                assert ids == [run.id for run in driver.load()[0]] + questions
                driver.delete()

            check()


def same(one, other):
    return json.dumps(one) == json.dumps(other)


extras = st.dictionaries(texts.map("x-".__add__), values, max_size=2)
parts = st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, texts)
    | st.builds(lambda kind, more: {**more, "type": kind}, texts, extras)
    | st.just({"type": "image_url", "image_url": {"url": PIXEL}}),
    max_size=3,
)


@st.composite
def turns(draw, last=False):
    said = [{**draw(extras), **user(draw(texts | parts))}]
    if draw(st.booleans()):
        said.insert(0, {"role": draw(st.sampled_from(["system", "developer"])), "content": "x"})
    for number in range(draw(st.integers(0, 2))):
        call = calling(f"{number}", name=draw(texts), arguments=draw(texts))
        said += [{**draw(extras), **call}, {**draw(extras), **result(f"{number}", draw(texts))}]
    if not last or draw(st.booleans()):
        said.append({**draw(extras), **answer(draw(texts | st.none() | parts))})
    return said


conversations = st.builds(
    lambda first, last: [message for turn in [*first, last] for message in turn],
    st.lists(turns(), max_size=2),
    turns(last=True),
)


class ValueTests(SimpleTestCase):
    @given(values, st.sampled_from([*FORMATS]), st.sampled_from([*FORMATS]))
    def test_garbage_in_the_meta_is_never_an_error(self, value, name, target):
        for messages in (value, [value], [{"role": "user", "content": [value]}]):
            self.read(messages, name, target)

    @given(st.data())
    def test_garbage_in_known_members_is_never_an_error(self, data):
        members = st.sampled_from(
            "role type content tool_calls function id parts source image_url file summary "
            "tool_call_id call_id text data url input output name arguments state "
            "base64 mime_type additional_kwargs args reasoning contents uri call_id".split()
        )
        known = st.sampled_from(
            "user assistant tool system message function_call function_call_output reasoning "
            "tool_use tool_result image document text image_url file tool-x dynamic-tool "
            "human ai chat AIMessageChunk tool_call audio media text_reasoning uri "
            "function_result function_approval_request hosted_file".split()
        )
        leaves = known | texts | numbers | st.none()
        inner = st.recursive(
            leaves,
            lambda one: st.lists(one, max_size=2) | st.dictionaries(members, one, max_size=4),
            max_leaves=12,
        )
        messages = data.draw(st.lists(st.dictionaries(members, inner), max_size=3))
        name, target = (data.draw(st.sampled_from([*FORMATS])) for _ in range(2))
        self.read(messages, name, target)

    def read(self, messages, name, target):
        run = Run("a", "b", {"messages": messages, "messages_format": name}, id="1")
        assert isinstance(messages_of(run, FORMATS[target]), list)
        assert isinstance(chat_messages(run), list)
        assert all(step.kind for step in steps_of(run))
        estimate_message_tokens(messages if isinstance(messages, list) else [])
        form = FORMATS[name]
        try:
            found = turns_of(messages, form)
        except ValueError:
            return
        for turn in found:
            made = turn.run()
            assert messages_of(made, form) == turn.messages or not turn.begins or values_nan(turn)
            messages_of(made, FORMATS[target])

    def test_a_picture_of_the_assistant_is_a_text_in_the_prompt(self):
        image = Artifact(b"png", type="ImageArtifact", format="png", width=1, height=1)
        [_, said] = messages_of(Run("Draw", image), find_format("openai"))
        assert isinstance(said["content"], str)

    def test_objects_of_client_libraries_are_taken(self):
        said = SimpleNamespace(model_dump=lambda **options: answer("Hello"))
        [turn] = turns_of([user("Hi"), said], find_format("openai"))
        assert turn.messages == [user("Hi"), answer("Hello")]

    def test_the_estimate_does_not_count_a_picture_by_its_bytes(self):
        picture = "data:image/png;base64," + "A" * 1_000_000
        content = [{"type": "image_url", "image_url": {"url": picture}}]
        assert estimate_message_tokens([user(content)]) < 1100
        assert estimate_message_tokens([user("x" * 400)]) > 100


def values_nan(turn):
    return "NaN" in json.dumps(turn.messages)


class FailureTests(RedisTestCase):
    entry = {"MAX_RUN_BYTES": 2000}

    @both
    def test_messages_that_are_too_large_are_refused(self, index):
        driver = index.driver("c")
        [first] = driver.append_messages([user("Where?"), calling("t")])
        with self.assertRaises(ConversationTooLarge):
            driver.append_messages([result("t", "x" * 3000)])
        assert driver.messages(run_id=first) == [user("Where?"), calling("t")]
        driver.discard(first)
        [id] = driver.append_messages([user("And?")])
        with self.assertRaises(ConversationTooLarge):
            driver.append_messages([answer("x" * 3000)], ids=[id])
        assert [run.state for run in driver.open_runs()] == ["waiting"]
