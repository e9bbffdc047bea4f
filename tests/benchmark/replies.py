"""Replies that stream: how soon followers get what is written, and what it costs."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from multiprocessing import get_context
from statistics import median, quantiles
from time import monotonic, perf_counter, process_time, sleep
from typing import Any

from django.conf import settings
from redis import Redis

from conversation_memory import indexes

from .measure import table

CHUNKS = 200
TOKENS = 20_000
MANY = 200
REPLIES = 10_000


def main() -> None:
    url = settings.REDIS["default"]["URL"]
    client = Redis.from_url(url)
    try:
        latency(url)
        throughput(client)
        many(url, client)
        growth(client)
    finally:
        clear(client)
        client.close()
        indexes.close()


def latency(url: str) -> None:
    rows = []
    for followers in (1, 100):
        times = asyncio.run(_followed(url, followers))
        percentiles = quantiles(times, n=100)
        rows.append((f"{followers} followers", ms(median(times)), ms(percentiles[98])))
    table("From write() to receipt, in ms", ("", "median", "p99"), rows)


async def _followed(url: str, followers: int) -> list[float]:
    driver = indexes["default"].driver("followed")
    run_id = (await driver.abegin("Why?")).run_id

    async def follow() -> list[float]:
        chunks = driver.follow(run_id)
        return [monotonic() - float(c.text) async for c in chunks if c.kind == "text"]

    tasks = [asyncio.create_task(follow()) for _ in range(followers)]
    await asyncio.sleep(1)
    with in_a_process(write_times, url, run_id):
        found = await asyncio.gather(*tasks)
    await indexes.aclose()
    return [time for times in found for time in times]


def write_times(url: str, run_id: str) -> None:
    with indexes["default"].driver("followed").reply(run_id) as reply:
        for _ in range(CHUNKS):
            reply.write(str(monotonic()))
            reply.flush()
            sleep(0.02)


def throughput(client: Redis) -> None:
    reply = indexes["default"].driver("fast").begin("Why?").claim()
    start, before = perf_counter(), calls(client)
    for _ in range(TOKENS):
        reply.write("token ")
    reply.finish()
    ours, sent = TOKENS / (perf_counter() - start), calls(client) - before
    start = perf_counter()
    for _ in range(TOKENS // 10):
        client.xadd("benchmark-stream", {"t": "token "})
    bare = TOKENS / 10 / (perf_counter() - start)
    client.delete("benchmark-stream")
    rows = [
        ("write()", f"{ours:,.0f}", f"{sent:,}"),
        ("bare XADD", f"{bare:,.0f}", f"{TOKENS:,}"),
    ]
    table(f"{TOKENS:,} tokens of one reply", ("", "tokens/s", "XADDs"), rows)


def calls(client: Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_xadd", {"calls": 0})["calls"])


def many(url: str, client: Redis) -> None:
    cpu, connections, memory, seconds, count = asyncio.run(_many(url, client))
    rows = [
        ("time", f"{seconds:.1f} s"),
        ("CPU of the followers' process", f"{cpu:.2f} s"),
        ("connections of the followers", f"{connections:,}"),
        ("memory of their process, more than before", f"{memory / 1024:,.1f} MB"),
        ("chunks received", f"{count:,}"),
    ]
    table(f"{MANY} replies of 100 tokens at once, {MANY} followers", ("", ""), rows)


async def _many(url: str, client: Redis) -> tuple[float, int, int, float, int]:
    index = indexes["default"]
    run_ids = [(await index.driver(f"m{n}").abegin("Why?")).run_id for n in range(MANY)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    known = client.info("clients")["connected_clients"]

    async def follow(n: int) -> int:
        return len([c async for c in index.driver(f"m{n}").follow(run_ids[n])])

    cpu, start = process_time(), perf_counter()
    tasks = [asyncio.create_task(follow(n)) for n in range(MANY)]
    await asyncio.sleep(2)
    connections = client.info("clients")["connected_clients"] - known
    with in_a_process(write_many, url, run_ids):
        counts = await asyncio.gather(*tasks)
    spent, seconds = process_time() - cpu, perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await indexes.aclose()
    return spent, connections, after - before, seconds, sum(counts)


def write_many(url: str, run_ids: list[str]) -> None:
    async def write(n: int, run_id: str) -> None:
        async with await indexes["default"].driver(f"m{n}").areply(run_id) as reply:
            for _ in range(100):
                await reply.awrite("token ")
                await asyncio.sleep(0.05)

    async def write_all() -> None:
        await asyncio.gather(*(write(n, run_id) for n, run_id in enumerate(run_ids)))
        await indexes.aclose()

    asyncio.run(write_all())


def growth(client: Redis) -> None:
    clear(client)
    index = indexes["default"]
    for number in range(REPLIES):
        with index.driver(f"g{number % 100}").begin("Why?") as reply:
            reply.write("Because.")
    kept = [key for kind in ("open", "chunks") for key in keys(client, kind)]
    size = sum(client.memory_usage(key) or 0 for key in kept[:1000]) / len(kept[:1000])
    for key in kept:
        if client.pttl(key) > 0:  # as time does
            client.pexpire(key, 1)
    sleep(0.01)
    left = [*keys(client, "open"), *keys(client, "chunks"), *keys(client, "opened")]
    rows = [
        ("keys for 5 minutes after the end, for each reply", f"{len(kept) / REPLIES:.2f}"),
        ("bytes of each", f"{size:,.0f}"),
        ("keys after that", f"{len([key for key in left if client.exists(key)]):,}"),
    ]
    table(f"After {REPLIES:,} replies", ("", ""), rows)


def keys(client: Redis, kind: str) -> list[bytes]:
    return [*client.scan_iter(f"{{benchmark}}:{kind}*", count=1000)]


def clear(client: Redis) -> None:
    for key in [*client.scan_iter("{benchmark}:*", count=1000), b"benchmark"]:
        client.delete(key)


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"


class in_a_process:
    """Run a function of this module in a process of its own, for the time of a block."""

    def __init__(self, function: Callable[..., None], url: str, *args: Any):
        context = get_context("spawn")
        self.process = context.Process(target=_configured, args=(function.__name__, url, *args))

    def __enter__(self) -> None:
        self.process.start()

    def __exit__(self, *_: object) -> None:
        self.process.join()


def _configured(name: str, url: str, *args: Any) -> None:
    from .__main__ import configure

    if not settings.configured:
        configure(url)
    globals()[name](url, *args)
    indexes.close()
