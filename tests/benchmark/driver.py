"""The driver with layout `hash`: load, store, append, tail, listing."""

from __future__ import annotations

import json
from importlib.util import find_spec
from itertools import count

import orjson
import redis

from conversation_memory import Run, indexes

from .measure import interleaved, server_time, table

SIZES = (10, 100, 1000)
PROSE = (
    "The lighthouse keeper wrote down the weather every evening, and every morning he "
    "compared it with what the sea had done in the night. "
)


def run_dict(number: int) -> dict:
    """A run of 1,050 bytes or so, the size of an ordinary question and answer."""
    return Run(f"{number}. {PROSE * 2}", f"{PROSE * 3}", id=f"{number:032x}").to_dict()


def main() -> None:
    index = indexes["default"]
    bare = redis.Redis.from_url(index.settings.url)
    rows, server = [], []
    for size in SIZES:
        rows += rows_of(size, index, bare)
        server += server_rows(size, index, bare)
    table(
        "Driver, layout hash: medians in microseconds",
        ("operation", "runs", "floor", "ours", "ratio", "target"),
        rows,
    )
    table("Server time of one call in microseconds", ("operation", "runs", "floor", "ours"), server)
    opening = interleaved({"open": lambda: [index.driver("x") for _ in range(100)]}, 50)["open"]
    print(f"\nOpening a driver: {opening / 100:.1f} microseconds (target: 20)")
    listing(index, bare)
    if find_spec("griptape"):
        griptape(index, bare)
    index.delete(*index)


def rows_of(size: int, index, bare) -> list[tuple[str, ...]]:
    dicts = [run_dict(number) for number in range(size)]
    text = json.dumps({"runs": dicts, "metadata": {}}).encode()
    runs = [Run.from_dict(data) for data in dicts]
    driver = index.driver("ours")
    driver.store(runs, {})
    bare.hset("benchmark:floor", "floor", text)
    bare.hset("benchmark", "stock", text)
    stock = index.driver("stock")
    loaded = driver.load()[0]
    numbers = count(10**9)
    rounds = 30 if size > 100 else 200

    def append_bare() -> None:
        bare.hget("benchmark:floor", "floor")
        bare.hset("benchmark:floor", "floor", text)

    def restore() -> None:
        driver.store(loaded, {})

    reads = interleaved(
        {
            "HGET + json.loads": lambda: json.loads(bare.hget("benchmark:floor", "floor")),
            "HGET + orjson.loads": lambda: orjson.loads(bare.hget("benchmark:floor", "floor")),
            "load": driver.load,
            "last": lambda: driver.load()[0][-1].output.text,
            "stock": stock.load,
            "all": lambda: [run.output.text for run in driver.load()[0]],
        },
        rounds,
    )
    document = {"runs": dicts, "metadata": {}}
    writes = interleaved(
        {
            "json.dumps + HSET": lambda: bare.hset(
                "benchmark:floor", "floor", json.dumps(document)
            ),
            "store": lambda: driver.store(runs, {}),
            "again": lambda: driver.store(loaded, {}),
        },
        rounds,
    )
    appends = interleaved(
        {
            "HGET + HSET": append_bare,
            "append": lambda: index.driver("ours").append(run_dict(next(numbers))),
        },
        rounds,
        before=restore,
    )
    reader = index.driver("ours")
    appends |= interleaved(
        {
            "HGET + HSET again": append_bare,
            "append after load": lambda: reader.append(run_dict(next(numbers))),
        },
        rounds,
        before=lambda: (restore(), reader.load()),
    )

    def row(name: str, floor: float, ours: float, target: str = "") -> tuple[str, ...]:
        return (name, f"{size:,}", f"{floor:,.0f}", f"{ours:,.0f}", f"{ours / floor:.2f}", target)

    at_100 = size == 100
    return [
        row("load", reads["HGET + json.loads"], reads["load"], "1.5" * at_100),
        row(
            "load, written by Griptape", reads["HGET + json.loads"], reads["stock"], "1.5" * at_100
        ),
        row("load, all texts", reads["HGET + json.loads"], reads["all"]),
        row("load, last text (floor: orjson)", reads["HGET + orjson.loads"], reads["last"]),
        row("store", writes["json.dumps + HSET"], writes["store"], "1.5" * at_100),
        row("store, as loaded", writes["json.dumps + HSET"], writes["again"]),
        row("append", appends["HGET + HSET"], appends["append"], "1.8" * at_100),
        row("append after load", appends["HGET + HSET again"], appends["append after load"]),
    ]


def server_rows(size: int, index, bare) -> list[tuple[str, ...]]:
    driver = index.driver("ours")
    runs = [Run.from_dict(run_dict(number)) for number in range(size)]
    driver.store(runs, {})
    text = bare.hget("benchmark", "ours")
    numbers = count(10**9)
    calls = {
        "load": (lambda: bare.hget("benchmark", "ours"), driver.load),
        "store": (lambda: bare.hset("benchmark:floor", "floor", text), lambda: driver.store(runs)),
        "append": (
            lambda: (
                bare.hget("benchmark:floor", "floor"),
                bare.hset("benchmark:floor", "floor", text),
            ),
            lambda: driver.append(run_dict(next(numbers))),
        ),
    }
    return [
        (name, f"{size:,}", f"{server_time(bare, floor):.0f}", f"{server_time(bare, ours):.0f}")
        for name, (floor, ours) in calls.items()
    ]


def listing(index, bare, conversations: int = 10_000) -> None:
    run = [Run("a", "b")]
    for number in range(conversations):
        index.driver(f"list-{number}").store(run, {})

    def floor() -> list:
        ids = bare.zrange("{benchmark}:recent", 0, 49, desc=True)
        pipeline = bare.pipeline(transaction=False)
        for id in ids:
            pipeline.hmget(b"{benchmark}:record:" + id, "owner", "title", "created", "updated")
        return pipeline.execute()

    times = interleaved({"floor": floor, "recent": lambda: index.recent(50)}, 100)
    ratio = times["recent"] / times["floor"]
    table(
        f"Newest 50 of {conversations:,} conversations: medians in microseconds",
        ("operation", "floor", "ours", "ratio"),
        [("recent(50)", f"{times['floor']:,.0f}", f"{times['recent']:,.0f}", f"{ratio:.2f}")],
    )


def griptape(index, bare) -> None:
    from griptape.drivers.memory.conversation.redis_conversation_memory_driver import (
        RedisConversationMemoryDriver,
    )

    size = 100
    driver = index.driver("ours")
    driver.store([Run.from_dict(run_dict(number)) for number in range(size)], {})
    theirs = RedisConversationMemoryDriver(
        host="", port=0, index="benchmark", conversation_id="ours", client=bare
    )
    runs, loaded = theirs.load()[0], driver.load()[0]
    times = interleaved(
        {
            "load of Griptape": theirs.load,
            "load": driver.load,
            "store of Griptape": lambda: theirs.store(runs, {}),
            "store": lambda: driver.store(loaded, {}),
        },
        3,
    )
    rows = [
        (
            name,
            f"{times[name + ' of Griptape']:,.0f}",
            f"{times[name]:,.0f}",
            f"{times[name + ' of Griptape'] / times[name]:,.0f}",
        )
        for name in ("load", "store")
    ]
    table(
        f"Beside Griptape's own driver, {size} runs: medians in microseconds",
        ("operation", "Griptape", "ours", "times faster"),
        rows,
    )
