"""Timing calls in turn, and printing what came out."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

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


def server_time(client, call: Callable[[], object], times: int = 50) -> float:
    """Microseconds of server time for one `call`, from INFO commandstats.

    What a script or a MULTI calls is counted by the server once more under its own name; only the
    outer commands are added up.
    """
    client.config_resetstat()
    for _ in range(times):
        call()
    stats = client.info("commandstats")
    names = {name.removeprefix("cmdstat_"): value["usec"] for name, value in stats.items()}
    inner = {"config|resetstat", "info"}
    if "exec" in names:
        outer = {"exec", "multi"} | ({"hget"} & set(names))
        return names["exec"] / times if outer else 0.0
    scripts = [usec for name, usec in names.items() if name in ("eval", "evalsha")]
    plain = [usec for name, usec in names.items() if name not in inner]
    return (sum(scripts) if scripts else sum(plain)) / times


def table(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(row: tuple[str, ...]) -> str:
        first, *rest = row
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        return "  ".join([first.ljust(widths[0]), *cells])

    print(f"\n{title}\n{line(header)}\n{'  '.join('-' * width for width in widths)}")
    for row in rows:
        print(line(row))
