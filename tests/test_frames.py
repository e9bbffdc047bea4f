"""Error trackers read the variables of the frames of a traceback: ours have no text."""

from contextlib import suppress
from importlib.util import find_spec
from unittest import skipUnless

from conversation_memory.exceptions import ConversationMemoryError, sensitive
from conversation_memory.message_list import MessageList

from .observed import WORD
from .servers import ServerTestCase
from .utils import wait_for


def frames_with(word, error):
    """Where a tracker would find a word: in the frames of this package, those of causes too."""
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            if "/conversation_memory/" in code.co_filename:
                values = map(repr, trace.tb_frame.f_locals.values())
                if any(word in value for value in values):
                    yield code.co_qualname
            trace = trace.tb_next
        is_hidden = error.__suppress_context__
        error = error.__cause__ or (None if is_hidden else error.__context__)


def error_of(call):
    """The error of a call. assertRaises() would clear its frames."""
    try:
        call()
    except ConversationMemoryError as error:
        return error
    raise AssertionError("It raised nothing.")


class FrameTests(ServerTestCase):
    messages = ({"role": "user", "content": WORD}, {"role": "assistant", "content": WORD})

    def assert_no_frame_has_it(self, calls):
        for call in calls:
            assert not [*frames_with(WORD, error_of(call))]

    def rejecting(self):
        """The server takes no writes."""
        return self.config(min_replicas_to_write="1")

    def test_a_list_of_messages(self):
        listed = MessageList(self.index.driver("c"), "openai")
        with self.rejecting():
            self.assert_no_frame_has_it(
                (
                    lambda: listed.add(self.messages),
                    lambda: wait_for(listed.aadd(self.messages)),
                    lambda: listed.replace(self.messages),
                )
            )

    def test_a_reply_and_its_causes(self):
        driver = self.index.driver("c")
        replies = [driver.reply(driver.begin(WORD).run_id) for _ in range(3)]
        self.redis.delete(*self.redis.scan_iter("*:open:*"))
        self.assert_no_frame_has_it(
            (
                lambda: replies[0].write(WORD),
                lambda: wait_for(replies[1].awrite(WORD)),
                lambda: fail_within(replies[2]),
            )
        )

    @skipUnless(find_spec("langchain_core"), "requires langchain-core")
    def test_langchain(self):
        from langchain_core.messages import HumanMessage

        from conversation_memory.integrations.langchain import ConversationChatMessageHistory

        history = ConversationChatMessageHistory(self.index.driver("c"))
        with self.rejecting():
            self.assert_no_frame_has_it(
                (
                    lambda: history.add_messages([HumanMessage(WORD)]),
                    lambda: wait_for(history.aadd_messages([HumanMessage(WORD)])),
                )
            )

    @skipUnless(find_spec("agents"), "requires openai-agents")
    def test_openai_agents(self):
        from conversation_memory.integrations.openai_agents import ConversationSession

        session = ConversationSession(self.index.driver("c"))
        with self.rejecting():
            self.assert_no_frame_has_it((lambda: wait_for(session.add_items([*self.messages])),))

    @skipUnless(find_spec("agent_framework"), "requires agent-framework-core")
    def test_agent_framework(self):
        from agent_framework import Message

        from conversation_memory.integrations.agent_framework import ConversationHistoryProvider

        provider = ConversationHistoryProvider(self.index)
        said = [Message("user", [WORD])]
        with self.rejecting():
            self.assert_no_frame_has_it((lambda: wait_for(provider.save_messages("s", said)),))

    @skipUnless(find_spec("llama_index"), "requires llama-index-core")
    def test_llama_index(self):
        from llama_index.core.llms import ChatMessage

        from conversation_memory.integrations import llama_index

        said = ChatMessage(role="user", content=WORD)
        store = llama_index.ConversationChatStore(self.index)
        other = llama_index.AsyncConversationChatStore(self.index)
        with self.rejecting():
            self.assert_no_frame_has_it(
                (
                    lambda: store.add_message("k", said),
                    lambda: wait_for(other.add_message("k", said)),
                    lambda: wait_for(other.set_messages("k", [said])),
                )
            )

    @skipUnless(find_spec("langgraph"), "requires langgraph")
    def test_langgraph(self):
        from conversation_memory.integrations.langgraph import ConversationBaseStore

        store = ConversationBaseStore(self.index)
        with self.rejecting():
            self.assert_no_frame_has_it(
                (
                    lambda: store.put(("a",), "k", {"text": WORD}),
                    lambda: wait_for(store.aput(("a",), "k", {"text": WORD})),
                )
            )

    @skipUnless(find_spec("pydantic_ai"), "requires pydantic-ai")
    def test_pydantic_ai(self):
        from pydantic_ai import Agent
        from pydantic_ai.models.test import TestModel

        from conversation_memory.integrations.pydantic_ai import RedisConversationStore

        said = wait_for(Agent(TestModel(custom_output_text=WORD)).run(WORD))
        with self.rejecting():
            store = RedisConversationStore(self.index)
            self.assert_no_frame_has_it((lambda: wait_for(store.save(said)),))

    def test_what_the_caller_was_handling_keeps_its_variables(self):
        driver = self.index.driver("c")

        def failing(kept):
            raise KeyError

        try:
            failing(WORD)
        except KeyError as error:
            error_of(lambda: driver.remove("none"))
            assert error.__traceback__.tb_next.tb_frame.f_locals["kept"] == WORD

    def test_errors_that_are_chained_in_a_circle_end(self):
        @sensitive
        def fails():
            one, other = KeyError("one"), KeyError("other")
            one.__context__, other.__context__ = other, one
            raise one

        with suppress(KeyError):
            fails()


def fail_within(reply):
    try:
        reply.write(WORD)
    except ConversationMemoryError:
        reply.finish()
