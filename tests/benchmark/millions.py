"""An index of 1,000,000 conversations on one server: memory, times, and what blocks the server.

Not run unless named: it takes some minutes and 7 GB of memory. MILLIONS is another number of
conversations.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from time import perf_counter, sleep

import redis
from redis.backoff import ConstantBackoff
from redis.exceptions import BusyLoadingError, ConnectionError
from redis.retry import Retry

from conversation_memory import Run
from conversation_memory.conf import IndexSettings
from conversation_memory.indexes import ConversationIndex
from conversation_memory.testing.embedded_redis import EmbeddedRedis

from .measure import server_time, table

CONVERSATIONS = int(os.environ.get("MILLIONS", 1_000_000))
RUNS = 5
OWNED = 20  # conversations of each owner
SAMPLES = 200  # distinct conversations, of which the others are copies
BATCH = 1_000
GIGABYTE = 10**9

WORDS = ["".join(random.Random(n).choices("etaoinshrdlu", k=2 + n % 9)) for n in range(5_000)]

Row = tuple[str, ...]


def main() -> None:
    for layout in ("hash", "list"):
        with EmbeddedRedis(search=False) as server:
            measure(layout, server)


def measure(layout: str, server: EmbeddedRedis) -> None:
    settings = IndexSettings(alias=layout, index="millions", url=server.url, layout=layout)
    index = ConversationIndex(settings)
    with redis.Redis.from_url(server.url, socket_timeout=600) as bare:
        empty = bare.info("memory")["used_memory"]
        fill(index, bare)
        head = f"layout {layout}, {CONVERSATIONS:,} conversations of {RUNS} runs"
        table(f"Memory, {head}", ("of", "bytes of a conversation"), sizes(index, bare, empty))
        table(f"Microseconds of server time, {head}", ("call", "µs"), calls(index, bare))
        table(f"One call or event, {head}", ("event", "took"), [*blocking(index, bare, server)])


def fill(index: ConversationIndex, bare: redis.Redis) -> None:
    """Copies of conversations that the driver has written, with ids and owners of their own."""
    keys, words = index._layout.keys, random.Random(1)
    samples = [sample(index, bare, words) for _ in range(SAMPLES)]
    for start in range(0, CONVERSATIONS, BATCH):
        pipeline = bare.pipeline(transaction=False)
        for number in range(start, min(start + BATCH, CONVERSATIONS)):
            id, owner = b"%032x" % number, b"%d" % (number // OWNED)
            field, record, runs = samples[number % SAMPLES]
            pipeline.hset(keys.index, id, field)
            pipeline.hset(keys.record(id), mapping={**record, b"owner": owner})
            if runs:
                pipeline.rpush(keys.runs(id), *runs)
            pipeline.zadd(keys.recency(), {id: record[b"updated"]})
            pipeline.zadd(keys.recency(owner), {id: record[b"updated"]})
        pipeline.execute()


def sample(index: ConversationIndex, bare: redis.Redis, words: random.Random) -> tuple:
    keys, driver = index._layout.keys, index.driver("sample", owner="sample")
    driver.append(*(Run(text(words, 120), text(words, 600)) for _ in range(RUNS)))
    found = bare.hget(keys.index, "sample"), bare.hgetall(keys.record(b"sample"))
    runs = bare.lrange(keys.runs(b"sample"), 0, -1)
    driver.delete()
    return (*found, runs)


def text(words: random.Random, length: int) -> str:
    return " ".join(words.choice(WORDS) for _ in range(length // 5))[:length].ljust(length, ".")


def sizes(index: ConversationIndex, bare: redis.Redis, empty: int) -> list[Row]:
    keys, id = index._layout.keys, b"%032x" % 0
    used = bare.info("memory")["used_memory"] - empty
    own = {"record": keys.record(id), "runs": keys.runs(id)}
    shared = {"hash of the index": keys.index, "recency index": keys.recency()}
    found = {"all": used / CONVERSATIONS}
    found |= {name: bare.memory_usage(key) or 0 for name, key in own.items()}
    found |= {
        name: (bare.memory_usage(key, samples=1000) or 0) / CONVERSATIONS
        for name, key in shared.items()
    }
    found["order of an owner"] = (bare.memory_usage(keys.recency(b"0")) or 0) / OWNED
    return [(name, f"{size:,.0f}") for name, size in found.items()]


def calls(index: ConversationIndex, bare: redis.Redis) -> list[Row]:
    id, words = f"{CONVERSATIONS // 2:032x}", random.Random(2)
    owner = str(CONVERSATIONS // 2 // OWNED)
    driver = index.driver(id, owner=owner)
    run = {"input": text(words, 120), "output": text(words, 600)}
    timed = {
        "append": lambda: driver.append(Run(**run)),
        "load": driver.load,
        "tail of 5": lambda: driver.tail(5),
        "recent, 20 of all": lambda: index.recent(20),
        "recent, 20 of an owner": lambda: index.recent(20, owner=owner),
        "count": index.count,
        "count of an owner": lambda: index.count(owner=owner),
    }
    rows = [(name, server_time(bare, call, 30)) for name, call in timed.items()]
    return [(name, f"{time:,.0f}") for name, time in rows]


def blocking(index: ConversationIndex, bare: redis.Redis, server: EmbeddedRedis) -> list[Row]:
    key = index._layout.keys.index
    rows = [row("KEYS of another name", lambda: bare.keys("other:*"))]
    rows.append(row("RENAME of the hash", lambda: bare.rename(key, f"{{{index.name}}}:moved")))
    bare.rename(f"{{{index.name}}}:moved", key)
    rows.append(row("BGSAVE, in the background", lambda: save(bare)))
    rows.append(("its fork", f"{bare.info('stats')['latest_fork_usec'] / 1000:,.0f} ms"))
    file = server.data_dir / "dump.rdb"
    rows.append(("its file", f"{file.stat().st_size / GIGABYTE:.2f} GB"))
    rows.append(row("DEL of the hash", lambda: bare.delete(key)))
    bare.flushall()  # makes room
    rows.append(row("start of a server from that file", lambda: start(server)))
    return rows


def row(name: str, event: Callable[[], object]) -> Row:
    start = perf_counter()
    event()
    return name, f"{(perf_counter() - start) * 1000:,.0f} ms"


def save(bare: redis.Redis) -> None:
    bare.bgsave()
    while bare.info("persistence")["rdb_bgsave_in_progress"]:
        sleep(0.05)


def start(server: EmbeddedRedis) -> None:
    """Start another server with the same data, and stop it when it has loaded them."""
    options = ["--port", "0", "--unixsocket", "second", "--dir", server.data_dir, "--save", ""]
    command = [server.installation.server, *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as second:
        retry = Retry(ConstantBackoff(0.05), 20_000, (ConnectionError, BusyLoadingError))
        socket = str(server.data_dir / "second")
        with redis.Redis(unix_socket_path=socket, retry=retry) as client:
            client.ping()
        second.terminate()
