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
        labels, traffic = (seen.index.alias, seen.index.name, seen.operation), seen.traffic
        self._operations.labels(*labels, seen.outcome).inc()
        self._seconds.labels(*labels).observe(seen.seconds)
        self._bytes.labels(*labels, "sent").inc(traffic.sent)
        self._bytes.labels(*labels, "received").inc(traffic.received)
        self._runs.labels(*labels).inc(seen.runs or 0)
        self._conflicts.labels(*labels).inc(traffic.conflicts)
        self._retries.labels(*labels).inc(traffic.retries)
        self._waits.labels(*labels).inc(traffic.waited)


def namespace() -> str:
    """What the names of metrics begin with: the setting of django-prometheus for its own."""
    return str(getattr(settings, "PROMETHEUS_METRIC_NAMESPACE", "") or "")
