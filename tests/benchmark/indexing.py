"""What search costs those who write, beside the same without SEARCH; and reindexing.

RUNS runs (20,000 by default) are indexed before appends are measured. See search.py for the texts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice
from time import perf_counter, sleep

import redis

from conversation_memory import Run, indexes
from conversation_memory.conf import IndexSettings, SearchSettings
from conversation_memory.indexes import ConversationIndex

from .kinds import ANSWER, QUESTION, TEXT
from .measure import interleaved, processor_times, server_time, table
from .search import LENGTH, PER_CONVERSATION, made_up, real

RUNS = int(os.environ.get("RUNS", 20_000))
MOVED = 10_000
PLAIN_HSET = 2.5  # microseconds of server time: of a record, or of a document without an index


def main() -> None:
    bare = redis.Redis.from_url(indexes["default"].settings.url)
    try:
        weight(bare)
        for layout in ("list", "hash"):
            reindexing(layout, bare)
            appends(layout, bare)
            wipe(bare)
        owner(bare)
        wipe(bare)
    finally:
        bare.close()


def index(layout: str, name: str, *, search: bool) -> ConversationIndex:
    settings = IndexSettings(
        alias=name, index=name, url=indexes["default"].settings.url, layout=layout
    )
    return ConversationIndex(replace(settings, search=SearchSettings() if search else None))


def new_runs() -> Iterator[Run]:
    texts = real() if "DIALOGUES" in os.environ else made_up()
    for number, text in zip(count(), texts, strict=False):
        yield Run(text[: LENGTH // 3], text[LENGTH // 3 :], id=f"{number:032x}")


def weight(bare: redis.Redis) -> None:
    """Bytes of memory for each byte of text, of 20 conversations of 100 runs with their index.

    The floor is a hash for each run, with the texts, the id of the conversation and the time.
    """
    found = {}
    for layout in ("list", "hash"):
        ours = index(layout, "indexed", search=True)
        ours.search("word")  # makes the index
        for number in (-1, -2):  # loads the scripts
            ours.driver(number).append(Run(QUESTION, ANSWER))
            ours.driver(number).delete()
        before = settled(bare)
        for number in range(20):
            ours.driver(number).append(*(Run(QUESTION, ANSWER) for _ in range(100)))
        found[layout] = settled(bare) - before
        wipe(bare)
    columns = ("c", "TAG", "w", "TEXT", "NOSTEM", "t", "NUMERIC", "SORTABLE")
    where = ("ON", "HASH", "PREFIX", 1, "{indexed}:run:", "NOHL", "STOPWORDS", 0, "SCHEMA")
    bare.execute_command("FT.CREATE", "{indexed}:floor", *where, *columns)
    before = settled(bare)
    for number in range(2000):
        run = {"c": number // 100, "w": f"{QUESTION} _ {ANSWER}", "t": number}
        bare.hset(f"{{indexed}}:run:{number}", mapping=run)
    found["floor"] = settled(bare) - before
    wipe(bare)
    ratios = {name: f"{size / (2000 * TEXT):.2f}" for name, size in found.items()}
    print(f"\nMemory with search for each byte of text: {ratios} (target of list: 4.3)")


def settled(bare: redis.Redis) -> int:
    """The memory once RediSearch has finished."""
    last, size = -1, used(bare)
    while size != last:
        sleep(0.3)
        last, size = size, used(bare)
    return size


def reindexing(layout: str, bare: redis.Redis) -> None:
    """The floor is the same documents, written by a pipeline into an index of the same kind."""
    runs, plain = new_runs(), index(layout, "indexed", search=False)
    for number in range(RUNS // PER_CONVERSATION):
        plain.driver(number).store([*islice(runs, PER_CONVERSATION)])
    ours, before = index(layout, "indexed", search=True), used(bare)
    start = perf_counter()
    done = ours.reindex()
    rate = done.documents / (perf_counter() - start)
    memory = (used(bare) - before) / done.documents
    documents = [
        (key, bare.hgetall(key)) for key in bare.scan_iter("{indexed}:run:*", count=10_000)
    ]
    schema = ours._layout.schema
    bare.execute_command("FT.DROPINDEX", schema.name, "DD")
    bare.execute_command(*schema.create())
    start = perf_counter()
    for first in range(0, len(documents), 500):
        pipeline = bare.pipeline(transaction=False)
        for key, document in documents[first : first + 500]:
            pipeline.hset(key, mapping=document)
        pipeline.execute()
    floor = len(documents) / (perf_counter() - start)
    start = perf_counter()
    ours.reindex()
    again = perf_counter() - start
    print(
        f"\nReindexing {done.documents:,} runs, layout {layout}: {rate:,.0f} a second, "
        f"HSET {floor:,.0f}, ratio {rate / floor:.2f} (target: 0.8); {memory:,.0f} bytes a run; "
        f"again, with nothing to do: {again:.2f} s"
    )


def appends(layout: str, bare: redis.Redis) -> None:
    indexed, plain = index(layout, "indexed", search=True), index(layout, "plain", search=False)
    drivers = {"off": plain.driver("x"), "on": indexed.driver("x")}
    rows = []
    for size in (10, 100):
        runs = new_runs()
        made, fresh = [*islice(runs, size)], iter([*islice(runs, 2000)])

        def restore(made: list[Run] = made) -> None:
            for driver in drivers.values():
                driver.store(made)

        calls = {
            name: lambda driver=driver, fresh=fresh: driver.append(next(fresh))
            for name, driver in drivers.items()
        }
        wall = interleaved(calls, 200, before=restore)
        restore()
        spent = processor_times(bare, calls, rounds=10)
        restore()
        server = {name: server_time(bare, call, 50) for name, call in calls.items()}
        own = server["on"] - own_time(bare, calls["on"])
        for kind, off, on, target in (
            ("wall", wall["off"], wall["on"], ""),
            ("client CPU", spent["off"][0], spent["on"][0], "1.6"),
            ("server", server["off"], server["on"], ""),
            ("server without RediSearch", server["off"], own, "1.5"),
        ):
            rows.append(
                (f"append, {kind}", f"{size}", f"{off:.0f}", f"{on:.0f}", f"{on / off:.2f}", target)
            )
    header = ("operation", "runs", "off", "on", "ratio", "target")
    table(f"Appending with search, layout {layout}: microseconds", header, rows)


def own_time(bare: redis.Redis, call: Callable[[], object], times: int = 50) -> float:
    """Microseconds of RediSearch itself for one append: what HSET takes of a search document."""
    bare.config_resetstat()
    for _ in range(times):
        call()
    hset = bare.info("commandstats")["cmdstat_hset"]["usec"] / times
    return float(hset) - 2 * PLAIN_HSET


def owner(bare: redis.Redis) -> None:
    indexed = index("list", "indexed", search=True)
    driver = indexed.driver("x", owner="ann")
    runs = new_runs()
    for _ in range(0, MOVED, 500):
        driver.append(*islice(runs, 500))
    start = perf_counter()
    indexed.driver("x").move_to("bob")
    print(f"\nGiving {MOVED:,} indexed runs to another owner: {perf_counter() - start:.2f} s")
    start = perf_counter()
    indexed.driver("x").delete()
    print(f"Deleting them: {perf_counter() - start:.2f} s")


def used(bare: redis.Redis) -> int:
    return int(bare.info("memory")["used_memory"])


def wipe(bare: redis.Redis) -> None:
    for name in bare.execute_command("FT._LIST"):
        if name.startswith(b"{indexed}:"):
            bare.execute_command("FT.DROPINDEX", name)
    for name in ("indexed", "plain"):
        bare.unlink(name, *bare.scan_iter(f"{{{name}}}:*", count=10_000))
