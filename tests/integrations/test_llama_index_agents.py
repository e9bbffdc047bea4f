"""Memories and agents of LlamaIndex, without a model, over the chat stores."""

from unittest import skipUnless

import pytest

from conversation_memory.exceptions import RedisReadOnly, RedisUnavailable

from ..servers import ServerTestCase
from ..utils import close_connections, each_layout, in_loop

try:
    from llama_index.core.agent.workflow import FunctionAgent
    from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
    from llama_index.core.llms import MockLLM
    from llama_index.core.memory import ChatMemoryBuffer, ChatSummaryMemoryBuffer, Memory

    from conversation_memory.integrations.llama_index import (
        AsyncConversationChatStore,
        ConversationChatStore,
    )

    from .llama_index_chats import ScriptedModel, said

    HAS_LLAMA_INDEX = True
except ImportError:  # pragma: no cover
    HAS_LLAMA_INDEX = False

needs_llama_index = skipUnless(HAS_LLAMA_INDEX, "LlamaIndex is not installed")


def texts(messages):
    return [(message.role.value, message.content) for message in messages]


def find(thing: str) -> str:
    """Find a thing."""
    return f"The {thing} is in the tower."


@needs_llama_index
@each_layout
class LlamaIndexAgentTests:
    def agent(self):
        call = ToolCallBlock(tool_call_id="c1", tool_name="find", tool_kwargs={"thing": "lamp"})
        answers = [ChatMessage(role="assistant", blocks=[call]), said("assistant", "In the tower.")]
        return FunctionAgent(
            tools=[find], llm=ScriptedModel(answers=answers), system_prompt="", streaming=False
        )

    def memories(self):
        yield Memory.from_defaults(
            session_id="m", chat_store=AsyncConversationChatStore(self.index, owner="ann")
        )
        store = ConversationChatStore(self.index, owner="ann")
        yield ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key="b", token_limit=4000)

    # LlamaIndex asks pydantic for what it deprecates.
    @pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
    @in_loop
    async def test_an_agent_calls_a_tool_and_remembers_it(self):
        for memory in self.memories():
            agent = self.agent()
            assert str(await agent.run("Where is the lamp?", memory=memory)) == "In the tower."
            agent.llm.answers.append(said("assistant", "Yes."))
            await agent.run("Sure?", memory=memory)
            roles = [message.role.value for message in agent.llm.prompts[-1]]
            assert roles == ["user", "assistant", "tool", "assistant", "user"]
        for id in ("m", "b"):
            driver = self.index.driver(id, owner="ann")
            runs, _ = await driver.aload()
            pairs = [(run.input.text, run.output.text) for run in runs]
            assert pairs == [("Where is the lamp?", "In the tower."), ("Sure?", "Yes.")]
            [call] = (await driver.amessages())[1]["tool_calls"]
            assert (call["id"], call["function"]["name"]) == ("c1", "find")

    @in_loop
    async def test_a_memory_archives_what_does_not_fit(self):
        store = AsyncConversationChatStore(self.index)
        memory = Memory.from_defaults(
            session_id="c", chat_store=store, token_limit=40, token_flush_size=10
        )
        for number in range(6):
            await memory.aput_messages(
                [said("user", f"Question {number}?"), said("assistant", f"Answer {number}. " * 3)]
            )
        kept = await memory.aget()
        assert 0 < len(kept) < 12
        assert texts(kept) == texts(await memory.aget_all())[-len(kept) :]
        assert len(await memory.aget_all()) == 12
        assert len((await self.index.driver("c").aload())[0]) == 6
        await memory.areset()
        assert await memory.aget_all() == []

    def test_a_memory_is_used_from_sync_code(self):
        store = AsyncConversationChatStore(self.index)
        memory = Memory.from_defaults(
            session_id="c", chat_history=[said("user", "Hi")], chat_store=store
        )
        memory.put(said("assistant", "Hello"))
        assert texts(memory.get()) == [("user", "Hi"), ("assistant", "Hello")]

    def test_buffers_keep_their_messages_in_a_conversation(self):
        store = ConversationChatStore(self.index)
        buffer = ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key="c")
        buffer.put_messages([said("user", "Hi"), said("assistant", "Hello")])
        assert texts(buffer.get_all()) == [("user", "Hi"), ("assistant", "Hello")]
        buffer.set([said("user", "Bye")])
        assert texts(buffer.get()) == [("user", "Bye")]
        buffer.reset()
        assert not self.index.driver("c").exists()
        summary = ChatSummaryMemoryBuffer.from_defaults(
            chat_store=store, chat_store_key="s", llm=MockLLM(max_tokens=5), token_limit=20
        )
        for number in range(4):
            summary.put(said("user", f"Question {number}, of many words?"))
            summary.put(said("assistant", f"Answer {number}."))
        assert summary.get()[0].role.value == "system"


@needs_llama_index
@each_layout
class LlamaIndexFailureTests:
    case = ServerTestCase
    entry = {"OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}}

    @in_loop
    async def test_errors_of_redis_are_those_of_the_app(self):
        store = ConversationChatStore(self.index)
        memory = AsyncConversationChatStore(self.index)
        question, answer = said("user", "Hi"), said("assistant", "Hello")
        store.add_message("c", question)
        with self.config(maxmemory="1"):
            with self.assertRaises(RedisReadOnly):
                store.add_message("c", answer)
            with self.assertRaises(RedisReadOnly):
                await memory.archive_oldest_messages("c", 1)
        await close_connections()
        with self.stopped():
            with self.assertRaises(RedisUnavailable):
                store.get_messages("c")
            with self.assertRaises(RedisUnavailable):
                await memory.get_messages("c")
        store.add_message("c", answer)
        assert store.get_messages("c") == [question, answer]
