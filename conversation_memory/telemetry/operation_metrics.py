"""OpenTelemetry's metrics of operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any

from opentelemetry import metrics

from .outcomes import BUCKETS
from .telemetry import Observation

SCOPE = "conversation_memory"

# In seconds. To take a free connection from the pool costs some microseconds.
_LONG_WAIT = 0.001

_COUNTERS = (
    ("runs", "{run}", "Runs that were added, changed or returned."),
    ("io", "By", "Bytes of the arguments and replies of commands."),
    (
        "conflicts",
        "{attempt}",
        "Attempts at a write that were repeated as another writer came before.",
    ),
    ("retries", "{call}", "Calls that lost their connection."),
)


class OperationMetrics:
    """Histograms, and counters whose sums are kept here until they are collected.

    To add to five counters of the SDK would cost as much as an operation.
    """

    def __init__(self, meter: metrics.Meter):
        self._sums: dict[tuple[str, ...], dict[tuple[str, str], int]] = {}
        self._lock = Lock()
        self._duration = meter.create_histogram(
            f"{SCOPE}.operation.duration",
            unit="s",
            description="Duration of operations.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._waits = meter.create_histogram(
            f"{SCOPE}.connection.wait_time",
            unit="s",
            description="Waits of a millisecond or more for a connection to Redis.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        for name, unit, description in _COUNTERS:
            callbacks = [self._collector(name)]
            meter.create_observable_counter(f"{SCOPE}.{name}", callbacks, unit, description)

    def add(self, seen: Observation, labels: dict[str, str]) -> None:
        """Add an operation."""
        outcome = {f"{SCOPE}.outcome": seen.outcome}
        if seen.error is not None:
            outcome["error.type"] = seen.error
        self._duration.record(seen.seconds, {**labels, **outcome})
        if seen.traffic.waited >= _LONG_WAIT:
            self._waits.record(seen.traffic.waited, labels)
        traffic = seen.traffic
        with self._lock:
            sums = self._sums.setdefault(tuple(labels.values()), dict.fromkeys(_SUMS, 0))
            sums["runs", ""] += seen.runs or 0
            sums["io", "transmit"] += traffic.sent
            sums["io", "receive"] += traffic.received
            sums["conflicts", ""] += traffic.conflicts
            sums["retries", ""] += traffic.retries

    def _collector(
        self, wanted: str
    ) -> Callable[[metrics.CallbackOptions], Iterable[metrics.Observation]]:
        def collect(options: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
            with self._lock:
                found = {labels: {**sums} for labels, sums in self._sums.items()}
            for labels, sums in found.items():
                for (name, direction), value in sums.items():
                    if name == wanted:
                        yield metrics.Observation(value, _attributes(labels, direction))

        return collect


_SUMS = (
    ("runs", ""),
    ("io", "transmit"),
    ("io", "receive"),
    ("conflicts", ""),
    ("retries", ""),
)


def _attributes(labels: tuple[str, ...], direction: str) -> dict[str, Any]:
    names = (f"{SCOPE}.alias", f"{SCOPE}.index", f"{SCOPE}.operation")
    found = dict(zip(names, labels, strict=True))
    return {**found, "network.io.direction": direction} if direction else found
