"""Each adapter beside the framework's own backend on Redis, in the same run.

A framework is a function that returns what to time: for each operation, the framework's own call
and ours. It is skipped where its packages are missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple
from uuid import uuid4

import redis
from django.conf import settings
from django.test import override_settings

from conversation_memory import Run, indexes
from conversation_memory.indexes import ConversationIndex

from .kinds import ANSWER, QUESTION
from .measure import least, table

SIZES = (20, 100)
# Of both, where the framework's own backend has one. With less than an hour left, a read of ours
# needs a second round trip for the time of the server.
TTL = 86_400


class Duel(NamedTuple):
    """One operation: the framework's own way and ours, each called without arguments."""

    operation: str
    theirs: Callable[[], object]
    ours: Callable[[], object]
    rounds: int = 150


Framework = Callable[[int, redis.Redis], list[Duel]]
FRAMEWORKS: dict[str, Framework] = {}


def framework(name: str) -> Callable[[Framework], Framework]:
    """Adds a function to the table. It gets the number of runs to begin with, and a client."""

    def add(function: Framework) -> Framework:
        FRAMEWORKS[name] = function
        return function

    return add


def main() -> None:
    from . import graphs  # noqa: F401  # adds to the table

    for layout in ("list", "hash"):
        chosen = {**settings.REDIS["default"], "LAYOUT": layout}
        with override_settings(REDIS={"default": chosen}):
            compare(layout)


def compare(layout: str) -> None:
    index = indexes["default"]
    rows = []
    with redis.Redis.from_url(index.settings.url) as client:
        for name, function in FRAMEWORKS.items():
            for size in SIZES:
                try:
                    duels = function(size, client)
                except ImportError as error:
                    print(f"{name}: skipped ({error})")
                    break
                rows += [row(name, size, duel) for duel in sorted(duels, key=_adds)]
    index.delete(*index)
    header = ("framework", "operation", "runs", *("its own", "ours", "times as fast") * 2)
    title = "the least processor time of the client, and time on the wall, in microseconds"
    table(f"Adapters with layout {layout}, beside the frameworks' own: {title}", header, rows)


def row(name: str, size: int, duel: Duel) -> tuple[str, ...]:
    times = least({"theirs": duel.theirs, "ours": duel.ours}, duel.rounds)
    cells = [name, duel.operation, f"{size:,}"]
    for theirs, ours in zip(times["theirs"], times["ours"], strict=True):
        cells += [f"{theirs:,.0f}", f"{ours:,.0f}", f"{theirs / ours:,.2f}"]
    return (*cells,)


def _adds(duel: Duel) -> bool:
    return "add" in duel.operation  # which makes the conversation longer


def filled(size: int, index: ConversationIndex | None = None) -> str:
    """The id of a new conversation of `size` runs in the index."""
    id, index = uuid4().hex, index or indexes["default"]
    index.driver(id).store([Run(QUESTION, ANSWER) for _ in range(size)])
    return id


@framework("Griptape")
def griptape(size: int, client: redis.Redis) -> list[Duel]:
    from griptape.artifacts import TextArtifact
    from griptape.drivers.memory.conversation.redis_conversation_memory_driver import (
        RedisConversationMemoryDriver as StockDriver,
    )
    from griptape.memory.structure import ConversationMemory
    from griptape.memory.structure import Run as GriptapeRun

    from conversation_memory.integrations.griptape import ConversationMemoryDriver

    index = indexes["default"]
    # In layout `list`, the stock driver would find an empty conversation.
    beside = ConversationIndex(replace(index.settings, layout="hash"))
    id = filled(size, beside)
    stock = StockDriver(host="", port=0, index=index.name, conversation_id=id, client=client)
    driver = ConversationMemoryDriver(driver=index.driver(filled(size)))
    theirs, ours = (ConversationMemory(conversation_memory_driver=each) for each in (stock, driver))

    def add(memory: ConversationMemory) -> None:
        memory.add_run(GriptapeRun(input=TextArtifact(QUESTION), output=TextArtifact(ANSWER)))

    def read(memory_driver: StockDriver | ConversationMemoryDriver) -> list[str]:
        memory = ConversationMemory(conversation_memory_driver=memory_driver)
        return [side.to_text() for run in memory.runs for side in (run.input, run.output)]

    return [
        Duel("add a turn", lambda: add(theirs), lambda: add(ours), 3),
        Duel("read all", lambda: read(stock), lambda: read(driver), 3),
    ]


def turns(size: int) -> list[dict[str, str]]:
    pair = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    return [dict(message) for _ in range(size) for message in pair]


@framework("OpenAI Agents SDK")
def openai_agents(size: int, client: redis.Redis) -> list[Duel]:
    from agents.extensions.memory import RedisSession

    from conversation_memory.integrations.openai_agents import ConversationSession

    run, index, id = asyncio.new_event_loop().run_until_complete, indexes["default"], uuid4().hex
    stock = RedisSession.from_url(id, url=index.settings.url, ttl=TTL)
    session = ConversationSession(index.driver(id, ttl=TTL))
    said = {"type": "output_text", "text": ANSWER, "annotations": []}
    answer = {"type": "message", "role": "assistant", "id": "m", "content": [said]}

    async def add(to: RedisSession | ConversationSession) -> None:
        await to.add_items(turns(1)[:1])
        await to.add_items([answer])

    for each in (stock, session):
        run(each.add_items([*turns(1)[:1], answer] * size))
    return [
        Duel("add a turn", lambda: run(add(stock)), lambda: run(add(session))),
        Duel(
            "read the last 20", lambda: run(stock.get_items(20)), lambda: run(session.get_items(20))
        ),
    ]


@framework("LangChain")
def langchain(size: int, client: redis.Redis) -> list[Duel]:
    from langchain_community.chat_message_histories import RedisChatMessageHistory
    from langchain_core.messages import convert_to_messages

    from conversation_memory.integrations.langchain import ConversationChatMessageHistory

    index, id, turn = indexes["default"], uuid4().hex, convert_to_messages(turns(1))
    stock = RedisChatMessageHistory(id, url=index.settings.url, ttl=TTL)

    def ours() -> ConversationChatMessageHistory:
        return ConversationChatMessageHistory(index.driver(id, ttl=TTL))

    for each in (stock, ours()):
        each.add_messages(convert_to_messages(turns(size)))

    def converse(history: RedisChatMessageHistory | ConversationChatMessageHistory) -> None:
        assert history.messages
        history.add_messages(turn)

    return [
        Duel("read all, add a turn", lambda: converse(stock), lambda: converse(ours())),
        Duel("read all", lambda: stock.messages, lambda: ours().messages),
    ]


@framework("Agent Framework")
def agent_framework(size: int, client: redis.Redis) -> list[Duel]:
    from agent_framework import Message
    from agent_framework_redis import RedisHistoryProvider

    from conversation_memory.integrations.agent_framework import ConversationHistoryProvider

    run, index, id = asyncio.new_event_loop().run_until_complete, indexes["default"], uuid4().hex
    stock = RedisHistoryProvider(redis_url=index.settings.url, application_id=id)
    ours = ConversationHistoryProvider(index)

    def turn(count: int = 1) -> list[Message]:
        said = turns(count)
        return [Message(m["role"], [m["content"]], message_id=uuid4().hex) for m in said]

    for each in (stock, ours):
        run(each.save_messages(id, turn(size)))
    return [
        Duel(
            "add a turn",
            lambda: run(stock.save_messages(id, turn())),
            lambda: run(ours.save_messages(id, turn())),
        ),
        Duel("read all", lambda: run(stock.get_messages(id)), lambda: run(ours.get_messages(id))),
    ]


@framework("LlamaIndex")
def llama_index(size: int, client: redis.Redis) -> list[Duel]:
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.storage.chat_store.base import BaseChatStore
    from llama_index.storage.chat_store.redis import RedisChatStore

    from conversation_memory.integrations.llama_index import ConversationChatStore

    address = indexes["default"].settings.url
    stock = RedisChatStore(redis_url=address, redis_client=client, ttl=TTL)
    store = ConversationChatStore(indexes["default"], ttl=TTL)
    turn = [ChatMessage(QUESTION, role="user"), ChatMessage(ANSWER, role="assistant")]
    key = filled(size)
    stock.set_messages(f"benchmark-{key}", turn * size)

    def add(chat_store: BaseChatStore, key: str) -> None:
        for message in turn:
            chat_store.add_message(key, message)

    return [
        Duel("add a turn", lambda: add(stock, f"benchmark-{key}"), lambda: add(store, key)),
        Duel(
            "read all",
            lambda: stock.get_messages(f"benchmark-{key}"),
            lambda: store.get_messages(key),
        ),
    ]


@framework("pydantic-ai")
def pydantic_ai(size: int, client: redis.Redis) -> list[Duel]:
    """It has no backend on Redis: beside the JSON of a conversation in a key, as users keep it."""
    from pydantic_ai.conversation import Conversation, ConversationTypeAdapter
    from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart

    from conversation_memory.integrations.pydantic_ai import RedisConversationStore

    # A Runner of asyncio makes a repr() of the whole conversation.
    run, index, key = asyncio.new_event_loop().run_until_complete, indexes["default"], uuid4().hex
    store = RedisConversationStore(index, ttl=TTL)
    other = redis.asyncio.Redis.from_url(index.settings.url)

    def turn() -> list[ModelRequest | ModelResponse]:
        return [ModelRequest.user_text_prompt(QUESTION), ModelResponse([TextPart(ANSWER)])]

    whole = Conversation(conversation_id=key, messages=[m for _ in range(size) for m in turn()])
    run(store.save(whole))
    client.set(f"benchmark-{key}", ConversationTypeAdapter.dump_json(whole), ex=TTL)

    async def theirs(*, adds: bool) -> Conversation:
        text = await other.get(f"benchmark-{key}")
        conversation = ConversationTypeAdapter.validate_json(text)
        if adds:
            conversation.messages += turn()
            text = ConversationTypeAdapter.dump_json(conversation)
            await other.set(f"benchmark-{key}", text, ex=TTL)
        return conversation

    async def ours(*, adds: bool) -> Conversation | None:
        conversation = await store.load(key, limit=20)
        if adds and conversation:
            conversation.messages += turn()
            await store.save(conversation)
        return conversation

    return [
        Duel(
            operation,
            lambda adds=adds: run(theirs(adds=adds)),
            lambda adds=adds: run(ours(adds=adds)),
        )
        for operation, adds in (("load, add a turn", True), ("read the last 20", False))
    ]
