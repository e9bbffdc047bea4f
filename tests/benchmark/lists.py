"""Layout `list`: appends, tails and pages of long conversations, and the listing of many."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count, islice

import redis

from conversation_memory import Run, indexes
from conversation_memory.conf import IndexSettings
from conversation_memory.indexes import ConversationIndex

from .driver import run_dict
from .measure import interleaved, memory, server_time, table

SIZES = (10, 100, 1_000, 10_000)
FLOOR = "benchmark:floor:list"
CONVERSATIONS = 100_000
COLUMNS = ("operation", "runs", "floor", "ours", "ratio", "target")


def main() -> None:
    url = indexes["default"].settings.url
    index = ConversationIndex(IndexSettings(alias="list", index="lists", url=url, layout="list"))
    bare = redis.Redis.from_url(url)
    try:
        appends(index, bare)
        tails(index, bare)
        sizes(index, bare)
        server(index, bare)
        listing(index, bare)
    finally:
        bare.delete(FLOOR, *bare.scan_iter("{lists}:*", count=10_000), "lists")
        bare.close()


def row(name: str, size: int, floor: float, ours: float, target: str = "") -> tuple[str, ...]:
    return (name, f"{size:,}", f"{floor:,.0f}", f"{ours:,.0f}", f"{ours / floor:.2f}", target)


def fill(index, bare, size: int, id: str = "ours") -> None:
    """`size` runs in a conversation, and the same bytes in a bare list."""
    runs = [Run.from_dict(run_dict(number)) for number in range(size)]
    index.driver(id).store(runs, {})
    bare.delete(FLOOR)
    for start in range(0, size, 1000):
        bare.rpush(FLOOR, *[run.to_wire() for run in runs[start : start + 1000]])


def new_runs() -> Iterator[Run]:
    return (Run.from_dict(run_dict(number)) for number in count(10**9))


def appends(index, bare, rounds: int = 500) -> None:
    """In turn to conversations of every length, and to a list of the same bytes."""
    for size in SIZES:
        fill(index, bare, size, f"of {size}")
    made = [*islice(new_runs(), len(SIZES) * (rounds + 2))]  # before the clock runs
    text, runs = made[0].to_wire(), iter(made)
    calls = {"RPUSH": lambda: bare.rpush(FLOOR, text)}
    for size in SIZES:
        driver = index.driver(f"of {size}")
        calls[f"{size}"] = lambda driver=driver: driver.append(next(runs))
    times = interleaved(calls, rounds)
    rows = [row("append", size, times["RPUSH"], times[f"{size}"], "1.8") for size in SIZES]
    rows.append(row("append, floor: ours at 10", SIZES[-1], times["10"], times["10000"], "1.2"))
    table("Driver, layout list: medians in microseconds", COLUMNS, rows)


def tails(index, bare) -> None:
    driver, size = index.driver("ours"), SIZES[-1]
    fill(index, bare, size)

    def floor() -> list:
        return [json.loads(text) for text in bare.lrange(FLOOR, -20, -1)]

    times = interleaved(
        {
            "floor": floor,
            "tail": lambda: driver.tail(20),
            "texts": lambda: [run.output.text for run in driver.tail(20)],
            "page": lambda: driver.page(before=5_000, limit=20),
        },
        500,
    )
    table(
        "The last 20 runs beside LRANGE + json.loads: medians in microseconds",
        COLUMNS,
        [
            row("tail(20)", size, times["floor"], times["tail"], "2"),
            row("tail(20), all texts", size, times["floor"], times["texts"]),
            row("page(before=5000, limit=20)", size, times["floor"], times["page"]),
        ],
    )


def sizes(index, bare) -> None:
    """The list and the record, with what an append leaves in it, beside the bare list."""
    rows = []
    for size in SIZES[1:]:
        bare.delete(FLOOR)
        driver, runs = index.driver("sizes"), new_runs()
        driver.delete()
        for _ in range(size):
            run = next(runs)
            driver.append(run)
            bare.rpush(FLOOR, run.to_wire())
        ours = sum(memory(bare, f"{{lists}}:{kind}:sizes") for kind in ("runs", "record"))
        rows.append(row("bytes a run", size, memory(bare, FLOOR) / size, ours / size, "1.15"))
    driver.delete()
    table("Memory of list and record, in bytes a run", COLUMNS, rows)


def server(index, bare) -> None:
    rows = []
    for size in SIZES:
        fill(index, bare, size)
        driver, runs = index.driver("ours"), new_runs()
        text = next(runs).to_wire()
        floor = server_time(bare, lambda text=text: bare.rpush(FLOOR, text), 500)
        ours = server_time(bare, lambda d=driver, r=runs: d.append(next(r)), 500)
        rows.append(("append", f"{size:,}", f"{floor:.1f}", f"{ours:.1f}", "60"))
    header = ("operation", "runs", "RPUSH", "ours", "target")
    table("Server time of one append in microseconds, layout list", header, rows)


def listing(index, bare) -> None:
    populate(index, bare)

    def floor() -> list:
        pipeline = bare.pipeline(transaction=False)
        for id in bare.zrange("{lists}:recent", 0, 49, desc=True):
            pipeline.hmget(b"{lists}:record:" + id, "owner", "title", "created", "updated")
        return pipeline.execute()

    times = interleaved({"floor": floor, "recent": lambda: index.recent(50)}, 200)
    table(
        f"Newest 50 of {CONVERSATIONS:,} conversations: medians in microseconds",
        ("operation", "conversations", *COLUMNS[2:]),
        [row("recent(50)", CONVERSATIONS, times["floor"], times["recent"], "3")],
    )


def populate(index, bare) -> None:
    """Conversations in the stored form, copied from one that the driver wrote."""
    index.driver("one").append(Run.from_dict(run_dict(0)))
    field, texts = bare.hget("lists", "one"), bare.lrange("{lists}:runs:one", 0, -1)
    record = bare.hgetall("{lists}:record:one")
    for start in range(0, CONVERSATIONS, 5_000):
        pipeline = bare.pipeline(transaction=False)
        for number in range(start, start + 5_000):
            pipeline.hset("lists", f"{number}", field)
            pipeline.hset(f"{{lists}}:record:{number}", mapping=record)
            pipeline.rpush(f"{{lists}}:runs:{number}", *texts)
            pipeline.zadd("{lists}:recent", {f"{number}": int(record[b"updated"]) - number})
        pipeline.execute()
