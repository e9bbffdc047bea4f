"""An index over 48 shards on three masters, beside an index without shards on one server."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import count
from uuid import uuid4

from django.test import override_settings

from conversation_memory import Run, indexes
from conversation_memory.keys import shard_number
from conversation_memory.testing.embedded_redis import EmbeddedRedis

from ..clusters import Cluster, started
from .driver import run_dict
from .measure import interleaved, table

SHARDS = 48
CONVERSATIONS = 2000
ROUNDS = 60


def main() -> None:
    distribution()
    with started(Cluster) as cluster, EmbeddedRedis(search=False) as server:
        entries = {
            "one": {"URL": server.url, "LAYOUT": "list"},
            "many": {"CLUSTER": cluster.urls, "SHARDS": SHARDS, "LAYOUT": "list"},
        }
        with override_settings(REDIS=entries):
            fill()
            rows = [row_of(*case) for case in cases()]
            indexes.close()
    table(
        f"{CONVERSATIONS:,} conversations, {SHARDS} shards on three masters: in microseconds",
        ("operation", "one server", "shards", "ratio", "target"),
        rows,
    )


def distribution() -> None:
    kinds = {
        "uuid4 in hex": [uuid4().hex for _ in range(100_000)],
        "1 to 100,000": [*map(str, range(1, 100_001))],
    }
    rows = []
    for name, ids in kinds.items():
        sizes = Counter(shard_number(id.encode(), SHARDS) for id in ids)
        ratio = max(sizes.values()) / (len(ids) / SHARDS)
        rows.append((name, str(min(sizes.values())), str(max(sizes.values())), f"{ratio:.2f}"))
    header = ("ids", "smallest", "largest", "largest / mean (target 1.2)")
    table(f"100,000 conversations over {SHARDS} shards", header, rows)


def fill() -> None:
    for number in range(CONVERSATIONS):
        for alias in ("one", "many"):
            driver = indexes[alias].driver(f"c{number}", owner=number % 20)
            driver.append(Run.from_dict(run_dict(number)))


def cases():
    numbers = count(10**6)

    def append(alias: str) -> None:
        indexes[alias].driver("c1").append(Run.from_dict(run_dict(next(numbers))))

    yield "append", append, "1.3"
    yield "load", lambda alias: indexes[alias].driver("c2").load(), "1.3"
    yield "count", lambda alias: indexes[alias].count(), ""
    yield "recent(50)", lambda alias: indexes[alias].recent(50), "2"
    yield "recent(50, owner=)", lambda alias: indexes[alias].recent(50, owner=3), "2"
    yield "search by reading", lambda alias: indexes[alias].search("nowhere", owner=3), ""


def row_of(name, ask, target: str) -> tuple[str, ...]:
    times = interleaved({alias: partial(ask, alias) for alias in ("one", "many")}, ROUNDS)
    ratio = f"{times['many'] / times['one']:.2f}"
    return name, f"{times['one']:.0f}", f"{times['many']:.0f}", ratio, target
