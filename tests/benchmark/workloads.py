"""What users do with a memory, beside the floor and, with --peers, other libraries in the same run.

Every text is read. See kinds.py for what is compared.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from uuid import uuid4

import redis

from conversation_memory import Run, indexes

from .kinds import TEXT, Floor, LlamaIndex, OpenAIAgents, Ours, RedisVL
from .measure import table

SIZES = (10, 100, 1_000, 10_000)
# Seconds by operation and number of runs, then by kind.
Times = dict[tuple[str, int], dict[str, float | None]]


def main(*, peers: bool = False, plots: Path | None = None) -> None:
    url = indexes["default"].settings.url
    times = asyncio.run(compare(url, peers))
    processes(url)
    longest(url)
    if plots:
        plot(times, plots)


async def compare(url: str, peers: bool) -> Times:
    kinds = [Floor(url), Ours(url, "list"), Ours(url, "hash")]
    kinds += [kind(url) for kind in (OpenAIAgents, LlamaIndex, RedisVL)] if peers else []
    header = ("workload", *(kind.name for kind in kinds))
    rows, times = [], {}
    try:
        rows.append(await weight(kinds, redis.Redis.from_url(url)))  # on a fresh server
        for kind in kinds:  # the floor's scan for ids looks at all keys that there are or were
            kind.clear()
        ids = await every_id(kinds)
        for size in SIZES:
            for kind in kinds:
                if not (size == SIZES[-1] and kind.name in ("redisvl",)):
                    await _done(kind.fill(f"{size}", size))
            for name in ("load", "tail", "append"):
                rounds = 100 if name != "load" else max(5, 1_000 // size)
                times[name, size] = await medians(name, f"{size}", kinds, rounds)
                rows.append(row(f"{name}, {size:,} runs", times[name, size]))
        rows.append(ids)
    finally:
        for kind in kinds:
            kind.clear()
    table("Every text read: microseconds of the floor, then ratios to it", header, rows)
    return times


def row(title: str, found: dict[str, float | None]) -> tuple[str, ...]:
    """The median of the floor, and of each other kind as a multiple of it."""
    floor, *others = found.values()
    return (title, f"{floor * 1e6:,.0f}", *(_ratio(each, floor) for each in others))


async def medians(name: str, id: str, kinds: list[Any], rounds: int) -> dict[str, float | None]:
    """The median time of each kind in seconds, measured in turn; None if it takes too long."""
    times: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    is_longest = int(id) == SIZES[-1]
    for round in range(-2, rounds):
        for kind in kinds:
            grows = name == "append" and kind.name == "ours, hash"
            if is_longest and (kind.name == "redisvl" or grows and round > 3):
                continue  # minutes
            if grows:  # by a run each time, which only here makes a difference
                kind.fill(id, int(id))
            start = perf_counter()
            await _done(getattr(kind, name)(id))
            if round >= 0:
                times[kind.name].append(perf_counter() - start)
    return {name: median(values) if values else None for name, values in times.items()}


def _ratio(value: float | None, floor: float) -> str:
    return "" if value is None else f"{value / floor:.2f}"


async def _done(result: Any) -> Any:
    return await result if asyncio.iscoroutine(result) else result


async def weight(kinds: list[Any], client: redis.Redis) -> tuple[str, ...]:
    """Bytes of memory for each byte of text, of 100 conversations of 100 runs."""
    found = []
    for kind in kinds:
        await _done(kind.fill("weight-first", 100))  # with what is there only once, as scripts
        await asyncio.sleep(1)  # the server frees the buffers of requests
        before = client.info("memory")["used_memory"]
        for number in range(100):
            await _done(kind.fill(f"weight-{number}", 100))
        await asyncio.sleep(1)
        found.append((client.info("memory")["used_memory"] - before) / (100 * 100 * TEXT))
    return ("memory for each byte of text", *(f"{value:.2f}" for value in found))


async def every_id(kinds: list[Any], count: int = 10_000) -> tuple[str, ...]:
    listing = [kind for kind in kinds if hasattr(kind, "ids")]
    times = []
    for kind in listing:
        for number in range(count):
            kind.append(f"{number}")
        times.append(_median_of(kind.ids))
        kind.clear()
    cells = [f"{times[0] * 1e6:,.0f}", *(_ratio(time, times[0]) for time in times[1:])]
    return (f"every id of {count:,}", *cells, *[""] * (len(kinds) - len(times)))


def _median_of(call: Callable[[], Any], rounds: int = 10) -> float:
    times = []
    for _ in range(rounds):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return median(times)


def processes(url: str) -> None:
    """Four processes that each open a conversation anew, and eight that append to one."""
    kinds = {
        "floor": partial(Floor, url),
        "ours, list": partial(Ours, url, "list"),
        "ours, hash": partial(Ours, url, "hash"),
    }
    rows = [
        ("open + append a second, 4 processes", *_rates(kinds, "append")),
        ("open + load of 10 runs a second, 4 processes", *_rates(kinds, "load")),
        ("8 processes x 50 appends to one, ms", *_crowds(kinds)),
    ]
    for make in kinds.values():
        make().clear()
    table("Processes", ("workload", *kinds), rows)


def _rates(kinds: dict[str, Any], name: str) -> list[str]:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        return [f"{sum(pool.starmap(_rate, [(kind, name)] * 4)):,.0f}" for kind in kinds.values()]


def _rate(make: Callable[[], Any], name: str, seconds: float = 2.0) -> float:
    kind = make()
    ids = [uuid4().hex for _ in range(20)]
    for id in ids:
        kind.fill(id, 10)
    call, done, start = getattr(kind, name), 0, perf_counter()
    while perf_counter() - start < seconds:
        call(ids[done % len(ids)])
        done += 1
    return done / (perf_counter() - start)


def _crowds(kinds: dict[str, Any]) -> list[str]:
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        found = []
        for kind in kinds.values():
            pool.starmap(_append, [(kind, f"warm-{n}", 1) for n in range(8)])
            times = []
            for number in range(5):
                start = perf_counter()
                pool.starmap(_append, [(kind, f"crowd-{number}", 50)] * 8, chunksize=1)
                times.append(perf_counter() - start)
            found.append(f"{median(times) * 1e3:,.0f}")
        return found


def _append(make: Callable[[], Any], id: str, times: int) -> None:
    kind = make()
    for _ in range(times):
        kind.append(id)


def longest(url: str, runs: int = 1_000_000) -> None:
    """A conversation of a million short runs in layout `list`, beside one of ten."""
    ours = Ours(url, "list")
    for id, size in (("10", 10), ("longest", runs)):
        for start in range(0, size, 5_000):
            batch = range(start, min(size, start + 5_000))
            ours.index.driver(id).append(*[Run("How far?", f"{number} miles.") for number in batch])
    calls = {
        "append": ours.append,
        "tail(20) and texts": ours.tail,
        "page(before=the middle) and texts": ours.page,
    }
    rows = []
    for name, call in calls.items():
        short, long = (_median_of(partial(call, id), 200) for id in ("10", "longest"))
        rows.append((name, f"{short * 1e6:,.0f}", f"{long * 1e6:,.0f}", _ratio(long, short)))
    ours.clear()
    table(f"Layout list, {runs:,} runs", ("operation", "10 runs, us", "all, us", "ratio"), rows)


def plot(times: Times, folder: Path) -> None:
    """Milliseconds over the number of runs, an SVG file for each operation."""
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    pyplot.rcParams["svg.hashsalt"] = "the same file for the same figures"
    for operation in ("append", "load"):
        figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
        for kind in next(iter(times.values())):
            found = [(size, times[operation, size][kind]) for size in SIZES]
            sizes = [size for size, value in found if value]
            values = [value * 1e3 for _, value in found if value]
            style = "k--" if kind == "floor" else "o-" if kind.startswith("ours") else ".:"
            axes.loglog(sizes, values, style, label=kind)
        axes.set(xlabel="runs in the conversation", ylabel="milliseconds")
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(folder / f"{operation}.svg", metadata={"Date": None})
        pyplot.close(figure)
