"""Archives: a dump beside HSCAN and `write`, a restore beside a pipelined HSET.

Two floors. The barest moves the values as they are, and makes nothing that could be checked, nor
read again if a value has a line break. The other is what a person would write: a line of JSON with
id and value, a batch at a time. Neither keeps owner, title, times or deadline.

The processor time is that of the client and the server together. It tells what the work costs on a
machine that does other things; the rate tells how much of it is done at the same time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, NamedTuple

import redis

from conversation_memory import Run, indexes
from conversation_memory.archive import Dump, Restore, files, open_archive
from conversation_memory.conf import IndexSettings
from conversation_memory.documents import build
from conversation_memory.indexes import ConversationIndex

from .driver import run_dict
from .measure import table

BATCH = 200
ROUNDS = 5
FLOOR = "benchmark:floor"


class Shape(NamedTuple):
    """So many conversations of so many runs, which have 1,050 bytes each."""

    name: str
    conversations: int
    runs: int


SHAPES = (Shape("10 kB", 5_000, 9), Shape("1 kB", 20_000, 1))
# Of the rate to JSON Lines.
TARGETS = {
    ("dump", "10 kB", "hash"): 0.85,
    ("dump", "10 kB", "list"): 0.85,
    ("restore", "10 kB", "hash"): 0.75,
    ("restore", "10 kB", "list"): 0.7,
    ("dump", "1 kB", "hash"): 0.5,
    ("dump", "1 kB", "list"): 0.5,
    ("restore", "1 kB", "hash"): 0.5,
    ("restore", "1 kB", "list"): 0.5,
}


class Cost(NamedTuple):
    """Medians in seconds: of the clock, and of the processors that client and server used."""

    wall: float
    processor: float


def main() -> None:
    url = indexes["default"].settings.url
    bare = redis.Redis.from_url(url)
    try:
        with TemporaryDirectory() as folder:
            for shape in SHAPES:
                for layout in ("hash", "list"):
                    speed(index_of(url, layout), bare, Path(folder), shape)
            if os.environ.get("BENCHMARK_MEMORY"):
                memory(url, bare, Path(folder))
    finally:
        wipe(bare)
        bare.close()


def index_of(url: str, layout: str) -> ConversationIndex:
    return ConversationIndex(IndexSettings(alias=layout, index="archives", url=url, layout=layout))


def wipe(bare) -> None:
    bare.delete(FLOOR, "archives")
    for pattern in ("{archives}:*", f"{FLOOR}:*"):
        for keys in batches(bare.scan_iter(pattern, count=10_000), 1000):
            bare.delete(*keys)


def batches(items, size: int = BATCH) -> Iterator[list]:
    items = iter(items)
    while batch := [*islice(items, size)]:
        yield batch


def fill(index, bare, shape: Shape) -> int:
    """The conversations, and the same bytes bare. Returns how many bytes."""
    wipe(bare)
    size = 0
    for number in range(shape.conversations):
        runs = [Run.from_dict(run_dict(10 * number + n)) for n in range(shape.runs)]
        size += len(raw := build(runs, {}).raw)
        index.driver(f"{number}", owner=number % 100).append(*runs)
        if index.settings.layout == "list":
            bare.rpush(key_of(f"{number}"), *(run.to_wire() for run in runs))
            raw = b""
        bare.hset(FLOOR, f"{number}", raw)
    return size


def speed(index, bare, folder: Path, shape: Shape) -> None:
    layout = index.settings.layout
    size, floor = fill(index, bare, shape), Floor(bare, layout)
    dumps: dict[str, Callable[[], object]] = {
        "raw": lambda: floor.dump_raw(folder / "raw"),
        "json": lambda: floor.dump_json(folder / "json"),
        "dump": lambda: dump(index, folder / "a.jsonl"),
        "dump, zstd": lambda: dump(index, folder / "a.jsonl.zst"),
        "dump, gzip": lambda: dump(index, folder / "a.jsonl.gz"),
    }
    written = costs(bare, dumps, lambda: None)
    loads: dict[str, Callable[[], object]] = {
        "raw": lambda: floor.load_raw(folder / "raw"),
        "json": lambda: floor.load_json(folder / "json"),
        "restore": lambda: restore(index, folder / "a.jsonl", shape),
        "restore, zstd": lambda: restore(index, folder / "a.jsonl.zst", shape),
        "restore, gzip": lambda: restore(index, folder / "a.jsonl.gz", shape),
    }
    read = costs(bare, loads, lambda: wipe(bare))
    commands = ("HSCAN", "HSET") if layout == "hash" else ("HSCAN and LRANGE", "HSET and RPUSH")
    titles = (f"Dump: {commands[0]}, write", f"Restore: pipelined {commands[1]}")
    header = ("what", "MB/s", "to raw", "to JSON Lines", "target", "processor ms", "to JSON Lines")
    for title, found in zip(titles, (written, read), strict=True):
        table(
            f"{title}, layout {layout}: {size / 1e6:.0f} MB in conversations of {shape.name}",
            header,
            [row(name, shape, layout, size, found) for name in found],
        )


def row(name: str, shape: Shape, layout: str, size: int, found: dict[str, Cost]) -> tuple[str, ...]:
    cost, raw, json = found[name], found["raw"], found["json"]
    return (
        name,
        f"{size / 1e6 / cost.wall:.0f}",
        f"{raw.wall / cost.wall:.2f}",
        f"{json.wall / cost.wall:.2f}",
        str(TARGETS.get((name, shape.name, layout), "")),
        f"{cost.processor * 1e3:.0f}",
        f"{json.processor / cost.processor:.2f}",
    )


def costs(bare, calls: dict, before: Callable[[], object]) -> dict[str, Cost]:
    """What each costs, taken in turn."""
    found: dict[str, list[Cost]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            before()
            start, spent = perf_counter(), processor(bare)
            call()
            found[name].append(Cost(perf_counter() - start, processor(bare) - spent))
    return {
        name: Cost(*(median(values) for values in zip(*each, strict=True)))
        for name, each in found.items()
    }


def processor(bare) -> float:
    """Seconds of the processors that this process and the server have used."""
    spent = bare.info("cpu")
    return process_time() + float(spent["used_cpu_user"]) + float(spent["used_cpu_sys"])


class Floor:
    """Bare redis-py doing the same: with a hash, or with a hash of ids and a list for each."""

    def __init__(self, bare, layout: str):
        self.bare = bare
        self.is_list = layout == "list"

    def scanned(self) -> Iterator[tuple[bytes, list[bytes]]]:
        cursor = 0
        while True:
            cursor, found = self.bare.hscan(FLOOR, cursor, count=BATCH)
            if self.is_list:
                with self.bare.pipeline(transaction=False) as pipeline:
                    for id in found:
                        pipeline.lrange(key_of(id), 0, -1)
                    yield from zip(found, pipeline.execute(), strict=True)
            else:
                yield from ((id, [value]) for id, value in found.items())
            if not cursor:
                return

    def dump_raw(self, path: Path) -> None:
        with path.open("wb") as file:
            for id, values in self.scanned():
                file.write(b"%b\0%b\n" % (id, b"\0".join(values)))

    def dump_json(self, path: Path) -> None:
        with path.open("wb") as file:
            for id, values in self.scanned():
                line = {"id": id.decode(), "values": [value.decode() for value in values]}
                file.write(json.dumps(line).encode() + b"\n")

    def load_raw(self, path: Path) -> None:
        def read(line: bytes) -> tuple[bytes, list[bytes]]:
            id, *values = line[:-1].split(b"\0")
            return id, values

        self.load(path, read)

    def load_json(self, path: Path) -> None:
        def read(line: bytes) -> tuple[str, list[str]]:
            members = json.loads(line)
            return members["id"], members["values"]

        self.load(path, read)

    def load(self, path: Path, read: Callable[[bytes], tuple[Any, list[Any]]]) -> None:
        with path.open("rb") as file:
            for lines in batches(file):
                pipeline = self.bare.pipeline(transaction=False)
                for id, values in map(read, lines):
                    if self.is_list:
                        pipeline.rpush(key_of(id), *values)
                    pipeline.hset(FLOOR, id, "" if self.is_list else values[0])
                pipeline.execute()


def key_of(id: bytes | str) -> bytes:
    return b"%b:%b" % (FLOOR.encode(), id.encode() if isinstance(id, str) else id)


def dump(index, path: Path) -> None:
    with files.written(path) as file:
        for chunk in Dump(index):
            file.write(chunk)


def restore(index, path: Path, shape: Shape) -> None:
    with open_archive(path) as archive:
        counts = Restore(index, archive).run()
    assert counts.new == shape.conversations


def memory(url: str, bare, folder: Path) -> None:
    """The most memory that a process needs for an archive of 10 MB and for one of 1 GB."""
    rows = []
    for count in (1_000, 100_000):
        index = index_of(url, "hash")
        size = fill(index, bare, Shape("10 kB", count, 9))
        path = folder / "large.jsonl"
        needed = [peak(url, "dump", path)]
        wipe(bare)
        needed.append(peak(url, "restore", path))
        rows.append((f"{size / 1e6:,.0f} MB", *(f"{kilobytes / 1000:.0f}" for kilobytes in needed)))
    table("Peak memory of a process in MB (target: 150)", ("archive", "dump", "restore"), rows)


def peak(url: str, what: str, path: Path) -> int:
    command = [sys.executable, "-m", "tests.benchmark.archives", what, url, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout)


def alone(what: str, url: str, path: str) -> None:
    """Dump or restore in a process of its own, and print its peak memory in kB."""
    import resource

    import django
    from django.conf import settings

    settings.configure(SECRET_KEY="benchmark", INSTALLED_APPS=["conversation_memory"], REDIS={})
    django.setup()
    index = index_of(url, "hash")
    if what == "dump":
        dump(index, Path(path))
    else:
        with open_archive(path) as archive:
            Restore(index, archive).run()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    alone(*sys.argv[1:])
