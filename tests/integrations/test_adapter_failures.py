"""What an agent gets when Redis fails: the exceptions of this app, through each framework."""

import asyncio
from contextlib import contextmanager
from importlib.util import find_spec

import pytest
from redis.backoff import NoBackoff
from redis.retry import Retry

from conversation_memory import indexes
from conversation_memory.exceptions import (
    ConversationMemoryError,
    RedisReadOnly,
    RedisUnavailable,
)

from ..servers import ServerTestCase, free_port
from ..utils import close_connections


def openai_agents(index):
    from conversation_memory.integrations.openai_agents import ConversationSession

    session = ConversationSession(index.driver("c"))
    return session.get_items, lambda: session.add_items([{"role": "user", "content": "Hi"}])


def langchain(index):
    from langchain_core.messages import HumanMessage

    from conversation_memory.integrations.langchain import ConversationChatMessageHistory

    history = ConversationChatMessageHistory(index.driver("c"))
    return history.aget_messages, lambda: history.aadd_messages([HumanMessage("Hi")])


def agent_framework(index):
    from agent_framework import Message

    from conversation_memory.integrations.agent_framework import ConversationHistoryProvider

    provider, message = ConversationHistoryProvider(index), Message("user", ["Hi"])
    return lambda: provider.get_messages("c"), lambda: provider.save_messages("c", [message])


ADAPTERS = {
    "agents": openai_agents,
    "langchain_core": langchain,
    "agent_framework": agent_framework,
}
FOUND = [make for module, make in ADAPTERS.items() if find_spec(module)]


@pytest.mark.skipif(not FOUND, reason="no framework is installed")
class AdapterFailureTests(ServerTestCase):
    entry = {"OPTIONS": {"retry": Retry(NoBackoff(), 0)}}

    async def outcomes(self, make):
        """The types of the errors of a read and of an addition."""
        found = []
        try:
            for call in make(indexes["default"]):
                try:
                    found.append(type(await call()))
                except ConversationMemoryError as error:
                    found.append(type(error))
        finally:
            await close_connections()
        return found

    def check(self, read, written):
        for make in FOUND:
            with self.subTest(make.__name__):
                found = asyncio.run(self.outcomes(make))
                assert found == [read, written]

    def test_a_server_that_is_gone_is_unavailable(self):
        entry = {"URL": f"redis://127.0.0.1:{free_port()}", "INDEX": self.index.name, **self.entry}
        with self.settings(REDIS={"default": entry}):
            self.check(RedisUnavailable, RedisUnavailable)

    def test_a_replica_is_read_only(self):
        with self.replica():
            self.check(list, RedisReadOnly)

    def test_a_full_server_is_read_only(self):
        with self.config(maxmemory=1, maxmemory_policy="noeviction"):
            self.check(list, RedisReadOnly)

    @contextmanager
    def replica(self):
        self.redis.replicaof("127.0.0.1", free_port())
        try:
            yield
        finally:
            self.redis.replicaof("NO", "ONE")
