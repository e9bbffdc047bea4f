"""Each adapter beside the framework's own backend on Redis, in the same run.

A framework is a function that returns what to time: for each operation, the framework's own call
and ours. It is skipped where its packages are missing; the extra `peers` has all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from uuid import uuid4

import redis

from conversation_memory import Run, indexes

from .kinds import ANSWER, QUESTION
from .measure import interleaved, table

SIZES = (20, 100)


class Duel(NamedTuple):
    """One operation: the framework's own way and ours, each called without arguments."""

    operation: str
    theirs: Callable[[], object]
    ours: Callable[[], object]
    rounds: int = 50


Framework = Callable[[int, redis.Redis], list[Duel]]
FRAMEWORKS: dict[str, Framework] = {}


def framework(name: str) -> Callable[[Framework], Framework]:
    """Adds a function to the table. It gets the number of runs to begin with, and a client."""

    def add(function: Framework) -> Framework:
        FRAMEWORKS[name] = function
        return function

    return add


def main() -> None:
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
                rows += [row(name, size, duel) for duel in duels]
    index.delete(*index)
    header = ("framework", "operation", "runs", "its own backend", "ours", "times as fast")
    table("Adapters beside the frameworks' own backends: medians in microseconds", header, rows)


def row(name: str, size: int, duel: Duel) -> tuple[str, ...]:
    times = interleaved({"theirs": duel.theirs, "ours": duel.ours}, duel.rounds)
    theirs, ours = times["theirs"], times["ours"]
    return (
        name,
        duel.operation,
        f"{size:,}",
        f"{theirs:,.0f}",
        f"{ours:,.0f}",
        f"{theirs / ours:,.2f}",
    )


def filled(size: int) -> str:
    """The id of a new conversation of `size` runs in the index."""
    id = uuid4().hex
    indexes["default"].driver(id).store([Run(QUESTION, ANSWER) for _ in range(size)])
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
    stock = StockDriver(
        host="", port=0, index=index.name, conversation_id=filled(size), client=client
    )
    driver = ConversationMemoryDriver(driver=index.driver(filled(size)))
    theirs, ours = (ConversationMemory(conversation_memory_driver=each) for each in (stock, driver))

    def add(memory: ConversationMemory) -> None:
        memory.add_run(GriptapeRun(input=TextArtifact(QUESTION), output=TextArtifact(ANSWER)))

    def last(memory_driver: StockDriver | ConversationMemoryDriver) -> list[str]:
        memory = ConversationMemory(conversation_memory_driver=memory_driver)
        return [run.output.to_text() for run in memory.runs[-20:]]

    return [
        Duel("add a turn", lambda: add(theirs), lambda: add(ours), 3),
        Duel("read the last 20", lambda: last(stock), lambda: last(driver), 3),
    ]
