"""LangGraph with our saver and our store, beside langgraph-checkpoint-redis.

That one requires RedisJSON next to RediSearch; without, it is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any
from uuid import uuid4

import redis

from conversation_memory import indexes

from .frameworks import Duel, framework, turns
from .kinds import ANSWER, QUESTION

ROUNDS = 60


@framework("LangGraph, saver")
def saver(size: int, client: redis.Redis) -> list[Duel]:
    """A graph that answers each question with the same text: one turn, and the state after it."""
    from langgraph.checkpoint.redis import RedisSaver

    from conversation_memory.integrations.langgraph import ConversationSaver

    required(client)
    index = indexes["default"]
    stock = RedisSaver(redis_client=client)
    stock.setup()
    config = {"configurable": {"thread_id": uuid4().hex}}
    theirs, ours = graph(stock), graph(ConversationSaver(index))
    for each in (theirs, ours):
        each.invoke({"messages": turns(size)}, config)

    def ask(of: Any) -> None:
        of.invoke({"messages": [{"role": "user", "content": QUESTION}]}, config)

    def read(of: Any) -> list[object]:
        return of.get_state(config).values["messages"][-40:]

    return [
        Duel("add a turn", lambda: ask(theirs), lambda: ask(ours), ROUNDS),
        Duel("read the state", lambda: read(theirs), lambda: read(ours), ROUNDS),
    ]


@framework("LangGraph, store")
def store(size: int, client: redis.Redis) -> list[Duel]:
    """A value of 720 characters among `size` others of its namespace."""
    from langgraph.store.redis import RedisStore

    from conversation_memory.integrations.langgraph import ConversationBaseStore

    required(client)
    stock, ours = RedisStore(client), ConversationBaseStore(indexes["default"])
    stock.setup()
    namespace, value = ("benchmark", uuid4().hex), {"question": QUESTION, "answer": ANSWER}
    for each in (stock, ours):
        for number in range(size):
            each.put(namespace, f"{number}", value)
    names: Iterator[int] = count(size)

    def add(to: Any) -> None:
        to.put(namespace, f"{next(names)}", value)

    return [
        Duel("add an item", lambda: add(stock), lambda: add(ours), ROUNDS),
        Duel("read an item", lambda: stock.get(namespace, "1"), lambda: ours.get(namespace, "1")),
        Duel(
            "list 10 items",
            lambda: stock.search(namespace, limit=10),
            lambda: ours.search(namespace, limit=10),
        ),
    ]


def graph(checkpointer: Any) -> Any:
    from langgraph.graph import START, MessagesState, StateGraph

    def answer(state: MessagesState) -> dict[str, list[tuple[str, str]]]:
        return {"messages": [("assistant", ANSWER)]}

    made = StateGraph(MessagesState)
    made.add_node("answer", answer)
    made.add_edge(START, "answer")
    return made.compile(checkpointer=checkpointer)


def required(client: redis.Redis) -> None:
    """Raises ImportError without RedisJSON."""
    loaded = {module[b"name"] for module in client.module_list()}
    if b"ReJSON" not in loaded:
        raise ImportError("the server has no RedisJSON")
