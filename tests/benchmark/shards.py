"""An index over 48 shards on three masters, beside an index without shards on one server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial
from itertools import count
from typing import Any
from uuid import uuid4

from django.test import override_settings

from conversation_memory import Run, indexes
from conversation_memory.keys import shard_number
from conversation_memory.testing.embedded_redis import EmbeddedRedis

from ..clusters import SearchingCluster, started, wait_until
from .driver import run_dict
from .measure import Least, least, table

SHARDS, FEW = 48, 12
WORDS = ("77", "evening")  # in one run, and in each
CONVERSATIONS = 2000
ROUNDS = 60


def main() -> None:
    distribution()
    with started(SearchingCluster) as cluster, EmbeddedRedis() as server:
        one, many = {"URL": server.url}, {"CLUSTER": cluster.urls}
        entries = {
            "one": {**one, "LAYOUT": "list"},
            "few": {**many, "LAYOUT": "list", "SHARDS": FEW, "INDEX": "few"},
            "many": {**many, "LAYOUT": "list", "SHARDS": SHARDS},
        }
        entries |= {
            f"{alias}-search": {**entry, "INDEX": f"{alias}-search", "SEARCH": True}
            for alias, entry in entries.items()
        }
        with override_settings(REDIS=entries):
            fill(entries)
            rows = [row_of(*case) for case in cases()]
            indexes.close()
    sharded = [f"{number} {what}" for number in (FEW, SHARDS) for what in ("shards", "ratio")]
    table(
        f"{CONVERSATIONS:,} conversations, the shards on three masters: "
        "microseconds of the client's processor, and on the wall",
        ("operation", "one server", *sharded, "target"),
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


def fill(aliases: Iterable[str]) -> None:
    for alias in aliases:
        index = indexes[alias]
        wait_until(lambda index=index: index.search_state().kind in ("ready", "off"))
        for number in range(CONVERSATIONS):
            driver = index.driver(f"c{number}", owner=number % 20)
            driver.append(Run.from_dict(run_dict(number)))


def cases():
    numbers = count(10**6)

    def append(alias: str) -> None:
        indexes[alias].driver("c1").append(Run.from_dict(run_dict(next(numbers))))

    def search(text: str, alias: str, **options: Any) -> None:
        assert not indexes[f"{alias}-search"].search(text, **options).scanned

    yield "append", append, "1.3"
    yield "load", lambda alias: indexes[alias].driver("c2").load(), "1.3"
    yield "count", lambda alias: indexes[alias].count(), ""
    yield "recent(50)", lambda alias: indexes[alias].recent(50), "2"
    yield "recent(50, owner=)", lambda alias: indexes[alias].recent(50, owner=3), "2"
    yield "search by reading", lambda alias: indexes[alias].search("nowhere", owner=3), ""
    for text in WORDS:
        yield f"search({text!r})", partial(search, text), ""
        yield f"search({text!r}, owner=)", partial(search, text, owner=3), ""


def row_of(name, ask, target: str) -> tuple[str, ...]:
    times = least({alias: partial(ask, alias) for alias in ("one", "few", "many")}, ROUNDS)
    cells = [figures(times["one"])]
    for alias in ("few", "many"):
        ratios = [took / floor for took, floor in zip(times[alias], times["one"], strict=True)]
        cells += [figures(times[alias]), "{:.2f} / {:.2f}".format(*ratios)]
    return name, *cells, target


def figures(least: Least) -> str:
    return f"{least.processor:.0f} / {least.wall:.0f}"
