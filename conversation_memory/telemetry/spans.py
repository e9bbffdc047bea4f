"""OpenTelemetry: a span for each operation, and its metrics.

Imported only where the package opentelemetry-api is installed.
"""

from __future__ import annotations

import time
from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from .conventions import MEMORY_OPERATIONS, follows_conventions
from .operation_metrics import SCOPE, OperationMetrics
from .telemetry import Observation

# In seconds; how often to look for an SDK.
_LOOK = 1.0


class OpenTelemetry:
    """Makes a span of each operation, the parent of what it does, and records its metrics."""

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        self._is_on = bool(tracer_provider or meter_provider)
        self._until = 0.0
        self._follows_conventions = follows_conventions()
        self._metrics = OperationMetrics(metrics.get_meter(SCOPE, meter_provider=meter_provider))

    @property
    def is_on(self) -> bool:
        # A process sets its providers once, perhaps after the first operation. To ask for them
        # takes longer than all else here.
        if not self._is_on and (now := time.monotonic()) >= self._until:
            self._is_on, self._until = _has_sdk(), now + _LOOK
        return self._is_on

    def begin(self, seen: Observation) -> Any:
        span = self._tracer.start_span(
            self._name(seen.operation), kind=SpanKind.CLIENT, attributes=self._known(seen)
        )
        return span, context.attach(trace.set_span_in_context(span))

    def end(self, seen: Observation, begun: Any) -> None:
        span, token = begun
        context.detach(token)
        if span.is_recording():
            span.set_attributes({**_found(seen), **self._records(seen)})
            if seen.error is not None:
                span.set_status(Status(StatusCode.ERROR))
        span.end()
        self._metrics.add(seen, labels_of(seen))

    def _name(self, operation: str) -> str:
        known = MEMORY_OPERATIONS.get(operation) if self._follows_conventions else None
        return known or f"{SCOPE}.{operation}"

    def _known(self, seen: Observation) -> dict[str, Any]:
        """What is known before the operation, for samplers as well."""
        found = {**labels_of(seen), **_endpoint(seen.client)}
        if self._follows_conventions:
            if known := MEMORY_OPERATIONS.get(seen.operation):
                found["gen_ai.operation.name"] = known
                found["gen_ai.memory.store.id"] = seen.index.name
            if seen.conversation is not None:
                found["gen_ai.conversation.id"] = seen.conversation.decode("utf-8", "replace")
        return found

    def _records(self, seen: Observation) -> dict[str, int]:
        follows = self._follows_conventions and seen.operation in MEMORY_OPERATIONS
        name = "gen_ai.memory.record.count" if follows else f"{SCOPE}.runs"
        return {} if seen.runs is None else {name: seen.runs}


def _has_sdk() -> bool:
    """False if only the API is there, which throws everything away."""
    return _is_set(trace.get_tracer_provider()) or _is_set(metrics.get_meter_provider())


def _is_set(provider: Any) -> bool:
    # The providers of the API that do nothing are in its own modules.
    module = type(provider).__module__
    return not module.startswith(("opentelemetry.trace", "opentelemetry.metrics"))


def labels_of(seen: Observation) -> dict[str, str]:
    return {
        f"{SCOPE}.alias": seen.index.alias,
        f"{SCOPE}.index": seen.index.name,
        f"{SCOPE}.operation": seen.operation,
    }


def _found(seen: Observation) -> dict[str, Any]:
    traffic = seen.traffic
    counts = {
        "round_trips": traffic.round_trips,
        "sent_bytes": traffic.sent,
        "received_bytes": traffic.received,
        "conflicts": traffic.conflicts,
        "retries": traffic.retries,
    }
    found: dict[str, Any] = {f"{SCOPE}.{name}": count for name, count in counts.items()}
    found[f"{SCOPE}.outcome"] = seen.outcome
    if seen.error is not None:
        found["error.type"] = seen.error
    return found


def _endpoint(client: Any) -> dict[str, Any]:
    """The address of the server, if the client has one for all commands."""
    options = getattr(getattr(client, "connection_pool", None), "connection_kwargs", {})
    if path := options.get("path"):
        return {"server.address": path}
    if host := options.get("host"):
        return {"server.address": host, "server.port": int(options.get("port", 6379))}
    return {}
