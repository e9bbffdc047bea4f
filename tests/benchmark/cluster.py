"""One conversation on three masters and three replicas, beside one server: append, load, WAIT."""

from __future__ import annotations

from functools import partial
from itertools import count

from django.test import override_settings

from conversation_memory import Run, indexes
from conversation_memory.testing.embedded_redis import EmbeddedRedis

from ..clusters import Cluster, started
from .driver import run_dict
from .measure import interleaved, table

SIZES = (10, 100, 1000)
TARGET = "1.3"


def main() -> None:
    with started(Cluster) as cluster, EmbeddedRedis(search=False) as server:
        there = {"CLUSTER": cluster.urls, "INDEX": "benchmark"}
        here = {"URL": server.url, "INDEX": "benchmark"}
        waiting = {**there, "WAIT": {"replicas": 1, "timeout": 500}}
        for layout in ("list", "hash"):
            entries = {"one": here, "six": there, "waiting": waiting}
            entries = {alias: {**entry, "LAYOUT": layout} for alias, entry in entries.items()}
            with override_settings(REDIS=entries):
                rows = [row for size in SIZES for row in rows_of(size)]
                for alias in ("one", "six"):
                    indexes[alias].delete("a")
            table(
                f"One server and six nodes, layout {layout}: medians in microseconds",
                ("operation", "runs", "one server", "six nodes", "ratio", "target", "WAIT 1"),
                rows,
            )


def rows_of(size: int) -> list[tuple[str, ...]]:
    drivers = {alias: indexes[alias].driver("a") for alias in ("one", "six", "waiting")}
    numbers = count(10**6)
    for alias in ("one", "six"):
        drivers[alias].store([Run.from_dict(run_dict(number)) for number in range(size)], {})
    rounds = 40 if size > 100 else 150

    def append(driver) -> None:
        driver.append(Run.from_dict(run_dict(next(numbers))))

    loads = interleaved({alias: drivers[alias].load for alias in ("one", "six")}, rounds)
    calls = {alias: partial(append, driver) for alias, driver in drivers.items()}
    waiting = {"waiting": calls.pop("waiting")}  # apart: replicas work on after the answer
    appends = interleaved(calls, rounds) | interleaved(waiting, rounds)
    return [_row("append", size, appends), _row("load", size, loads)]


def _row(name: str, size: int, times: dict[str, float]) -> tuple[str, ...]:
    waited = f"{times['waiting']:.0f}" if "waiting" in times else ""
    ratio = f"{times['six'] / times['one']:.2f}"
    return name, str(size), f"{times['one']:.0f}", f"{times['six']:.0f}", ratio, TARGET, waited
