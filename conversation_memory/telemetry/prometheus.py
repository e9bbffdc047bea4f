"""Prometheus: the metrics of operations, in the registry of the package prometheus-client.

django-prometheus exports that registry too. Imported only for an alias whose TELEMETRY names it.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

from .outcomes import BUCKETS
from .telemetry import Observation

_LABELS = ("alias", "index", "operation")


class Prometheus:
    """Counts operations. A metric never has an id, an owner or a text for a label."""

    is_on = True

    def __init__(self, registry: CollectorRegistry = REGISTRY):
        self._known: dict[tuple[str, ...], tuple[Any, ...]] = {}
        options: dict[str, Any] = {"namespace": namespace(), "registry": registry}

        def counter(name: str, help: str, *labels: str) -> Counter:
            full = f"conversation_memory_{name}"
            return Counter(full, help, (*_LABELS, *labels), **options)

        self._operations = counter("operations", "Operations, by how they ended.", "outcome")
        self._seconds = Histogram(
            "conversation_memory_operation_duration_seconds",
            "Duration of operations.",
            _LABELS,
            buckets=BUCKETS,
            **options,
        )
        self._runs = counter("runs", "Runs that were added, changed or returned.")
        self._bytes = counter(
            "io_bytes", "Bytes of the arguments (sent) and replies of commands.", "direction"
        )
        self._conflicts = counter(
            "conflicts", "Attempts at a write that were repeated as another writer came before."
        )
        self._retries = counter("retries", "Calls that lost their connection.")
        self._waits = counter(
            "connection_wait_seconds", "Seconds until operations had their connections to Redis."
        )

    def begin(self, seen: Observation) -> None:
        """Nothing to do yet."""

    def end(self, seen: Observation, begun: Any) -> None:
        traffic = seen.traffic
        seconds, runs, sent, received, conflicts, retries, waits = self._of(
            (seen.index.alias, seen.index.name, seen.operation)
        )
        seconds.observe(seen.seconds)
        self._operations.labels(
            seen.index.alias, seen.index.name, seen.operation, seen.outcome
        ).inc()
        for counter, count in (
            (runs, seen.runs),
            (sent, traffic.sent),
            (received, traffic.received),
            (conflicts, traffic.conflicts),
            (retries, traffic.retries),
            (waits, traffic.waited),
        ):
            if count:
                counter.inc(count)

    def _of(self, labels: tuple[str, ...]) -> tuple[Any, ...]:
        # To find a metric by its labels takes longer than to add to it.
        if labels not in self._known:
            self._known[labels] = (
                self._seconds.labels(*labels),
                self._runs.labels(*labels),
                self._bytes.labels(*labels, "sent"),
                self._bytes.labels(*labels, "received"),
                self._conflicts.labels(*labels),
                self._retries.labels(*labels),
                self._waits.labels(*labels),
            )
        return self._known[labels]


def namespace() -> str:
    """What the names of metrics begin with: the setting of django-prometheus for its own."""
    return str(getattr(settings, "PROMETHEUS_METRIC_NAMESPACE", "") or "")
