"""Observing the operations of an index."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextvars import Token
from functools import cache
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from ..exceptions import PackageMissing
from ..redis_io import traffic
from ..redis_io.traffic import Traffic
from .outcomes import outcome_of, runs_in

T = TypeVar("T")

PACKAGES = {"opentelemetry": "opentelemetry.trace", "prometheus": "prometheus_client"}


class Sink(Protocol):
    """Where observations go."""

    @property
    def is_on(self) -> bool:
        """False if nobody would get them."""

    def begin(self, seen: Observation) -> Any:
        """Begin to observe. Returns what `end()` needs."""

    def end(self, seen: Observation, begun: Any) -> None:
        """The observation is complete."""


class Observation:
    """One operation, from its begin to its end."""

    def __init__(
        self, index: Telemetry, sinks: list[Sink], operation: str, client: Any, id: bytes | None
    ):
        self.index, self.operation, self.client, self.conversation = index, operation, client, id
        self.traffic = Traffic()
        self.runs: int | None = None
        self.error: str | None = None
        self.outcome = ""
        self.seconds = 0.0
        self._sinks = sinks
        self._begun: list[Any] = []
        self._token: Token[Traffic | None]

    def result(self, result: T) -> T:
        """Take note of a result and return it."""
        self.runs = runs_in(self.operation, result)
        return result

    def __enter__(self) -> Self:
        self._begun = [sink.begin(self) for sink in self._sinks]
        self._token = traffic.current.set(self.traffic)
        self._start = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._start
        traffic.current.reset(self._token)
        # Only the class: the sentence of an error names ids, and that of a callable of the
        # project may quote a message.
        self.error = None if kind is None else kind.__name__
        self.outcome = outcome_of(error)
        for sink, begun in zip(self._sinks, self._begun, strict=True):
            sink.end(self, begun)


class Unobserved:
    """What there is instead of an observation that nobody would get."""

    def result(self, result: T) -> T:
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


_UNOBSERVED = Unobserved()


class Telemetry:
    """Observes the operations of one index, as TELEMETRY of its alias says."""

    def __init__(self, alias: str, name: str, kinds: Iterable[str]):
        self.alias, self.name, self._kinds = _sendable(alias), _sendable(name), tuple(kinds)
        self._sinks = [sink for kind in self._kinds if (sink := _sink(kind))]

    def __reduce__(self) -> tuple[Any, ...]:
        return Telemetry, (self.alias, self.name, self._kinds)  # a sink has locks

    def observe(
        self, operation: str, client: Any, conversation: bytes | None = None
    ) -> Observation | Unobserved:
        """A context manager around an operation, which is the name of a method."""
        sinks = [sink for sink in self._sinks if sink.is_on]
        if not sinks:
            return _UNOBSERVED
        return Observation(self, sinks, operation, client, conversation)


def _sendable(name: str) -> str:
    # A name of others may not be UTF-8. An exporter would lose all else that it sends with it.
    return name.encode("utf-8", "replace").decode()


@cache
def _sink(kind: str) -> Sink | None:
    """The sink of this process; None if its package is not installed."""
    if not is_installed(kind):
        if kind == "opentelemetry":  # the default, for those who have it
            return None
        raise PackageMissing(
            "TELEMETRY has 'prometheus', which requires the package prometheus-client: "
            "pip install 'django-conversation-memory[prometheus]'."
        )
    if kind == "opentelemetry":
        from .spans import OpenTelemetry

        return OpenTelemetry()
    from .prometheus import Prometheus

    return Prometheus()


def is_installed(kind: str) -> bool:
    """True if the package for a word of TELEMETRY is installed."""
    try:
        return find_spec(PACKAGES[kind]) is not None
    except ModuleNotFoundError:  # a parent package
        return False
