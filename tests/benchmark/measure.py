"""Timing calls in turn, and printing what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

from ..utils import monitored

Calls = dict[str, Callable[[], object]]


def interleaved(
    calls: Calls, rounds: int, *, before: Callable[[], object] | None = None
) -> dict[str, float]:
    """The median of each call in microseconds; `before` runs untimed before each of them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round in range(-2, rounds):  # two to warm up
        for name, call in calls.items():
            if before:
                before()
            start = perf_counter()
            call()
            if round >= 0:
                times[name].append(perf_counter() - start)
    return {name: median(values) * 1e6 for name, values in times.items()}


class Least(NamedTuple):
    """The least that a call took, in microseconds: of the client's processor, and on the wall.

    Only the least is the call's own on a machine that does other things at the same time.
    """

    processor: float
    wall: float


def least(
    calls: Calls, rounds: int, *, before: Callable[[], object] | None = None
) -> dict[str, Least]:
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for round in range(-2, rounds):  # two to warm up
        for name, call in calls.items():
            if before:
                before()
            start, began = process_time(), perf_counter()
            call()
            took = process_time() - start, perf_counter() - began
            if round >= 0:
                times[name].append(took)
    return {
        name: Least(*(min(each) * 1e6 for each in zip(*found, strict=True)))
        for name, found in times.items()
    }


def processor_times(
    client, calls: Calls, rounds: int = 15, batch: int = 20
) -> dict[str, tuple[float, float]]:
    """The medians of what each call costs the client and the server, in microseconds of CPU.

    Other work on the machine counts less in it than in the time on the wall.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            before, start = _server_cpu(client), process_time()
            for _ in range(batch):
                call()
            spent = process_time() - start
            times[name].append((spent / batch, (_server_cpu(client) - before) / batch))
    return {
        name: (median(ours for ours, _ in found) * 1e6, median(its for _, its in found) * 1e6)
        for name, found in times.items()
    }


def _server_cpu(client) -> float:
    found = client.info("cpu")
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


def server_time(client, call: Callable[[], object], times: int = 50) -> float:
    """Microseconds of server time for one `call`, which sends the same commands each time.

    INFO commandstats counts what a script or a MULTI runs once more under its own name. So only
    what MONITOR shows as sent by a client, and outside of a MULTI, is added up.
    """
    call()  # loads the scripts
    with monitored(client) as commands:
        call()
    client.config_resetstat()
    for _ in range(times):
        call()
    stats = client.info("commandstats")
    spent = [stats[f"cmdstat_{name}"] for name in _outer(commands)]
    return sum(stat["usec"] / stat["calls"] for stat in spent)


def _outer(commands: list[dict[str, str]]) -> Iterator[str]:
    """The names of `commands`, without those that an EVALSHA or an EXEC ran."""
    queued = False
    for command in commands:
        name = command["command"].split()[0].lower()
        queued = name == "multi" or (queued and name != "exec")
        if command["client_type"] != "lua" and (not queued or name == "multi"):
            yield name


def memory(client, key: str) -> int:
    """Bytes of a key in Redis, of all its elements."""
    return int(client.memory_usage(key, samples=0) or 0)


def table(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(row: tuple[str, ...]) -> str:
        first, *rest = row
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        return "  ".join([first.ljust(widths[0]), *cells])

    print(f"\n{title}\n{line(header)}\n{'  '.join('-' * width for width in widths)}")
    for row in rows:
        print(line(row))
