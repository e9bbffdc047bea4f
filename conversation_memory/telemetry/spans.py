"""OpenTelemetry: a span for each operation, and its metrics.

Imported only where the package opentelemetry-api is installed.
"""

from __future__ import annotations

from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from ..keys import decode
from .conventions import MEMORY_OPERATIONS, follows_conventions
from .outcomes import BUCKETS
from .telemetry import Observation

SCOPE = "conversation_memory"

# In seconds. To take a free connection from the pool costs some microseconds.
_LONG_WAIT = 0.001


class OpenTelemetry:
    """Makes a span of each operation, the parent of what it does, and records its metrics."""

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        self._is_on = bool(tracer_provider or meter_provider)
        self._follows_conventions = follows_conventions()
        meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
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
        self._runs = meter.create_counter(
            f"{SCOPE}.runs", unit="{run}", description="Runs that were added, changed or returned."
        )
        self._bytes = meter.create_counter(
            f"{SCOPE}.io", unit="By", description="Bytes of the arguments and replies of commands."
        )
        self._conflicts = meter.create_counter(
            f"{SCOPE}.conflicts",
            unit="{attempt}",
            description="Attempts at a write that were repeated as another writer came before.",
        )
        self._retries = meter.create_counter(
            f"{SCOPE}.retries", unit="{call}", description="Calls that lost their connection."
        )

    @property
    def is_on(self) -> bool:
        # A process sets its providers once, perhaps after the first operation.
        self._is_on = self._is_on or _has_sdk()
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
        self._measure(seen)

    def _name(self, operation: str) -> str:
        known = MEMORY_OPERATIONS.get(operation) if self._follows_conventions else None
        return known or f"{SCOPE}.{operation}"

    def _known(self, seen: Observation) -> dict[str, Any]:
        """What is known before the operation, for samplers as well."""
        found = {**_labels(seen), **_endpoint(seen.client)}
        if self._follows_conventions:
            if known := MEMORY_OPERATIONS.get(seen.operation):
                found["gen_ai.operation.name"] = known
                found["gen_ai.memory.store.id"] = seen.index.name
            if seen.conversation is not None:
                found["gen_ai.conversation.id"] = decode(seen.conversation)
        return found

    def _records(self, seen: Observation) -> dict[str, int]:
        follows = self._follows_conventions and seen.operation in MEMORY_OPERATIONS
        name = "gen_ai.memory.record.count" if follows else f"{SCOPE}.runs"
        return {} if seen.runs is None else {name: seen.runs}

    def _measure(self, seen: Observation) -> None:
        labels, traffic = _labels(seen), seen.traffic
        error = {} if seen.error is None else {"error.type": seen.error}
        outcome = {f"{SCOPE}.outcome": seen.outcome, **error}
        self._duration.record(seen.seconds, {**labels, **outcome})
        if traffic.waited >= _LONG_WAIT:
            self._waits.record(traffic.waited, labels)
        self._bytes.add(traffic.sent, {**labels, "network.io.direction": "transmit"})
        self._bytes.add(traffic.received, {**labels, "network.io.direction": "receive"})
        for counter, count in (
            (self._runs, seen.runs),
            (self._conflicts, traffic.conflicts),
            (self._retries, traffic.retries),
        ):
            if count:
                counter.add(count, labels)


def _has_sdk() -> bool:
    """False if only the API is there, which throws everything away."""
    return _is_set(trace.get_tracer_provider()) or _is_set(metrics.get_meter_provider())


def _is_set(provider: Any) -> bool:
    # The providers of the API that do nothing are in its own modules.
    module = type(provider).__module__
    return not module.startswith(("opentelemetry.trace", "opentelemetry.metrics"))


def _labels(seen: Observation) -> dict[str, str]:
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
