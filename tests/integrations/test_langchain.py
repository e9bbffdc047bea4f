"""Chains of LangChain whose history is a conversation."""

import asyncio
import json
from importlib.util import find_spec
from unittest import SkipTest

import pytest
from django.test import SimpleTestCase
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_memory import Run
from conversation_memory.exceptions import ConversationCorrupt, ConversationNotFound
from conversation_memory.message_list import MessageList

from ..strategies import texts, values
from ..utils import RedisTestCase, alternating, both, close_connections, each_layout

if not find_spec("langchain_core"):
    raise SkipTest("langchain-core is not installed")

from langchain_core._api import LangChainDeprecationWarning
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    convert_to_openai_messages,
    messages_from_dict,
    messages_to_dict,
)
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory

from conversation_memory.integrations.langchain import ConversationChatMessageHistory, _messages

from ..utils import Awaited

USAGE = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
CALL = {"name": "find", "args": {"thing": "lamp"}, "id": "t1", "type": "tool_call"}
INVALID = {"name": "x", "args": "{", "id": "t2", "error": "e", "type": "invalid_tool_call"}
PICTURE = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
TURN = [
    SystemMessage("Be brief."),
    HumanMessage([{"type": "text", "text": "Where?"}, PICTURE], id="1", name="ann"),
    AIMessage("", id="2", tool_calls=[CALL], invalid_tool_calls=[INVALID], usage_metadata=USAGE),
    ToolMessage("In the tower.", tool_call_id="t1", artifact={"map": [1]}, status="error"),
    AIMessage([{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "There."}]),
    ChatMessage("Aye.", role="pirate"),
    FunctionMessage("x", name="find"),
    RemoveMessage(id="1"),
    AIMessage(content_blocks=[{"type": "non_standard", "value": {"a": 1}}], custom="kept"),
]


class Reader:
    """A history whose messages are read by a method, so that it has twins like the others."""

    def __init__(self, driver):
        self.history = ConversationChatMessageHistory(driver)

    def get_messages(self):
        return self.history.messages

    def __getattr__(self, name):
        return getattr(self.history, name)


def history_of(driver):
    if isinstance(driver, Awaited):
        return Awaited(Reader(driver.subject), driver.run)
    return Reader(driver)


def answers(*said):
    return GenericFakeChatModel(messages=iter([AIMessage(text) for text in said]))


contents = texts | st.lists(
    texts | st.sampled_from([PICTURE]) | st.dictionaries(texts, values, max_size=2), max_size=2
)
more = st.fixed_dictionaries(
    {"additional_kwargs": st.dictionaries(texts.map("x-".__add__), values, max_size=2)}
)
any_messages = st.lists(
    st.builds(lambda content, more: HumanMessage(content, **more), contents, more)
    | st.builds(lambda content, more: AIMessage(content, **more), contents, more)
    | st.builds(lambda args: AIMessage("", tool_calls=[{**CALL, "args": args}]), st.just({}))
    | st.builds(lambda content: ToolMessage(content, tool_call_id="t1"), texts)
    | st.builds(lambda content, role: ChatMessage(content, role=role), contents, texts)
    | st.sampled_from(TURN),
    max_size=5,
).filter(lambda messages: "NaN" not in json.dumps([one.model_dump() for one in messages]))


@each_layout
class LangChainTests:
    @both
    def test_messages_of_every_kind_come_back_equal(self, index):
        history_of(index.driver("c")).add_messages(TURN)
        assert history_of(index.driver("c")).get_messages() == TURN
        one_by_one = history_of(index.driver("one by one"))
        for message in TURN:
            one_by_one.add_messages([message])
        assert one_by_one.get_messages() == TURN
        one_by_one.clear()
        assert one_by_one.get_messages() == []

    @both
    def test_a_conversation_reads_as_langchain_itself_converts_it(self, index):
        turn = [HumanMessage("Where?"), *TURN[2:4], AIMessage("There.")]
        history_of(index.driver("c")).add_messages(turn)
        said = index.driver("c").messages()
        for one in said:
            for call in one.get("tool_calls", []):
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        expected = convert_to_openai_messages(turn)
        for one in expected:
            one.pop("name", None)
            one["content"] = one["content"] or None
            for call in one.get("tool_calls", []):
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        assert said == expected

    @both
    def test_what_other_programs_wrote_arrives_as_messages(self, index):
        items = [
            {"role": "user", "content": "Where?"},
            {"type": "function_call", "call_id": "t1", "name": "find", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "t1", "output": "In the tower."},
            {"role": "assistant", "content": "There."},
        ]
        MessageList(self.index.driver("c"), "openai-responses").add(items)
        asked, called, told, said = history_of(index.driver("c")).get_messages()
        assert (asked, said) == (HumanMessage("Where?"), AIMessage("There."))
        assert called.tool_calls == [{**CALL, "args": {}}]
        assert told == ToolMessage("In the tower.", tool_call_id="t1")
        history_of(index.driver("c")).add_messages([HumanMessage("And?"), AIMessage("So.")])
        assert index.driver("c").messages(format="openai-responses")[:4] == items

    @both
    def test_chunks_are_stored_as_whole_messages(self, index):
        chunk = AIMessageChunk("The") + AIMessageChunk("re.")
        history_of(index.driver("c")).add_messages([HumanMessage("Where?"), chunk])
        assert history_of(index.driver("c")).get_messages()[1] == AIMessage("There.")

    @both
    def test_what_is_no_json_is_refused_and_nothing_is_stored(self, index):
        for artifact in ({1, 2}, b"x", object()):
            found = ToolMessage("x", tool_call_id="t", artifact=artifact)
            with self.assertRaisesRegex(ValueError, r"messages\[1\] has a value of the type"):
                history_of(index.driver("c")).add_messages([HumanMessage("x"), found])
        assert not index.driver("c").exists()
        found = ToolMessage("x", tool_call_id="t", artifact=[Document("a page")])
        history_of(index.driver("c")).add_messages([found])
        [found] = history_of(index.driver("c")).get_messages()
        assert found.artifact[0]["page_content"] == "a page"

    @both
    def test_histories_of_other_owners_see_nothing(self, index):
        history_of(index.driver("c", owner="ann")).add_messages(TURN)
        bob = history_of(index.driver("c", owner="bob"))
        assert bob.get_messages() == []
        bob.clear()
        with self.assertRaises(ConversationNotFound):
            bob.add_messages(TURN)
        assert history_of(index.driver("c", owner="ann")).get_messages() == TURN

    @both
    def test_what_langchain_cannot_load_is_told_with_the_conversation(self, index):
        for data in ({"content": {"secret": 3}}, {}, "text"):
            stored = [{"type": "human", "data": data}]
            meta = {"messages": stored, "messages_format": "langchain"}
            index.driver("c").store([Run("", "", meta)], {})
            with self.assertRaisesRegex(
                ConversationCorrupt, "'c'.*not a message of LangC"
            ) as found:
                history_of(index.driver("c")).get_messages()
            assert "secret" not in str(found.exception)

    def test_methods_of_the_base_class_work(self):
        history = ConversationChatMessageHistory(self.index.driver("c", ttl=60))
        history.add_user_message("Where?")
        history.add_ai_message("There.")
        assert history.messages == [HumanMessage("Where?"), AIMessage("There.")]
        assert str(history) == "Human: Where?\nAI: There."
        assert self.index.driver("c").record().expires is not None

    def test_a_chain_remembers(self):
        prompt = ChatPromptTemplate([("system", "Be brief."), MessagesPlaceholder("history")])
        prompt += ChatPromptTemplate([("human", "{question}")])
        keys = {"input_messages_key": "question", "history_messages_key": "history"}
        self.check(prompt | answers("1", "2", "3", "4"), lambda text: {"question": text}, keys)

    def test_a_model_alone_remembers(self):
        self.check(answers("1", "2", "3", "4"), HumanMessage, {})

    def check(self, runnable, asking, keys):
        asked = []

        def history_of(session_id):
            asked.append(ConversationChatMessageHistory(self.index.driver(session_id)))
            return asked[-1]

        with pytest.warns(LangChainDeprecationWarning):
            chain = RunnableWithMessageHistory(runnable, history_of, **keys)
        config = {"configurable": {"session_id": "c"}}
        chain.invoke(asking("a"), config)
        "".join(chunk.text for chunk in chain.stream(asking("b"), config))

        async def run():
            try:
                await chain.ainvoke(asking("c"), config)
                [chunk async for chunk in chain.astream(asking("d"), config)]
            finally:
                await close_connections()

        asyncio.run(run())
        found = ConversationChatMessageHistory(self.index.driver("c")).messages
        assert [one.text for one in found] == [*"a1b2c3d4"]
        assert {one.type for one in found} == {"human", "ai"}
        assert len(self.index.driver("c").load()[0]) == 4

    def test_a_message_that_comes_while_the_model_answers_loses_no_other(self):
        class Interrupted(GenericFakeChatModel):
            def _generate(model, *args, **options):
                other = ConversationChatMessageHistory(self.index.driver("c"))
                other.add_messages([HumanMessage("x"), AIMessage("y")])
                return super()._generate(*args, **options)

        model = Interrupted(messages=iter([AIMessage("1"), AIMessage("2")]))
        history = ConversationChatMessageHistory(self.index.driver("c"))
        with pytest.warns(LangChainDeprecationWarning):
            chain = RunnableWithMessageHistory(model, lambda: history)
        for text in "ab":
            chain.invoke(HumanMessage(text), {"configurable": {}})
        assert [one.text for one in history.messages] == [*"xya1xyb2"]

    def test_any_messages_come_back(self):
        with alternating(self.index) as indexes:

            @settings(max_examples=8)
            @given(any_messages)
            def check(messages):
                driver = next(indexes).driver()
                history_of(driver).add_messages(messages)
                found = history_of(driver).get_messages()
                assert [*map(dumped, found)] == [*map(dumped, messages)]
                driver.delete()

            check()


def dumped(message):
    return json.dumps(message.model_dump())


class IndexTests(RedisTestCase):
    def test_the_id_of_the_conversation_may_be_anything(self):
        history = ConversationChatMessageHistory(self.index.driver("{a}: b/ü"))
        history.add_messages(TURN[:2])
        assert [*self.index] == ["{a}: b/ü"]
        assert history.messages == TURN[:2]


class SpokenTests(SimpleTestCase):
    """Messages that are made without validation."""

    def test_they_are_those_that_validation_makes(self):
        plain = [HumanMessage("a"), AIMessage("b", id="1"), HumanMessage("", id="2")]
        others = [
            {"type": "human", "data": {"content": "c"}},
            {"type": "ai", "data": {"content": "d", "type": "ai", "id": None, "name": "e"}},
            {"type": "human", "data": {**messages_to_dict(plain)[0]["data"], "example": True}},
        ]
        for one in [*messages_to_dict([*plain, *TURN]), *others]:
            [made], [known] = _messages([one]), messages_from_dict([one])
            assert made == known and type(made) is type(known)
            assert [*made.__dict__.items()] == [*known.__dict__.items()]
            assert made.model_fields_set == known.model_fields_set

    def test_what_validation_refuses_is_refused(self):
        [stored] = messages_to_dict([HumanMessage("a")])
        for name, value in (("content", 1), ("id", [1]), ("name", 1), ("additional_kwargs", 1)):
            with self.assertRaises(ValueError):
                _messages([{**stored, "data": {**stored["data"], name: value}}])

    def test_they_share_nothing(self):
        first, second = _messages(messages_to_dict([AIMessage("a"), AIMessage("a")]))
        first.tool_calls.append(CALL)
        first.response_metadata["b"] = 1
        assert second == _messages(messages_to_dict([AIMessage("a")]))[0]
