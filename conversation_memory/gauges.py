"""The sizes of indexes for Prometheus, asked of Redis when the metrics are collected."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING

from . import conf
from .collection.statistics import Statistics
from .exceptions import ConversationMemoryError, InvalidIndexError
from .indexes import indexes
from .telemetry import is_installed

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

# In seconds. A scrape has ten by default, for all that the process exports.
LONGEST = 2.0

_GAUGES = {
    "up": "1 if the index answered when the metrics were collected, else 0.",
    "conversations": "The number of conversations.",
    "open_runs": "The number of open runs.",
    "memory_bytes": "An estimate of the memory that the index uses.",
}


class IndexGauges:
    """A collector of prometheus-client, of every alias that has 'prometheus' in TELEMETRY."""

    def __init__(self, longest: float = LONGEST):
        self._longest = longest
        self._asked: dict[str, Future[Statistics]] = {}

    def describe(self) -> list[GaugeMetricFamily]:
        """Without this, a registry would collect once to learn the names."""
        return [*self._families().values()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges. An index that does not answer in time has only `up`, with 0."""
        families = self._families()
        for alias, statistics in self._statistics().items():
            labels = (alias, indexes[alias].name)
            families["up"].add_metric(labels, float(statistics is not None))
            for name in ("conversations", "open_runs", "memory_bytes"):
                value = getattr(statistics, name.removesuffix("_bytes"), None)
                if value is not None:
                    families[name].add_metric(labels, value)
        yield from families.values()

    def _statistics(self) -> dict[str, Statistics | None]:
        for alias in watched():
            # One that still waits for a server that hangs is not asked twice.
            if alias not in self._asked or self._asked[alias].done():
                self._asked[alias] = _in_a_thread(alias)
        asked = {alias: self._asked[alias] for alias in watched()}
        wait(asked.values(), timeout=self._longest)
        return {alias: _answer(future) for alias, future in asked.items()}

    def _families(self) -> dict[str, GaugeMetricFamily]:
        from prometheus_client.core import GaugeMetricFamily

        from .telemetry.prometheus import namespace

        prefix = f"{namespace()}_" if namespace() else ""
        return {
            name: GaugeMetricFamily(
                f"{prefix}conversation_memory_index_{name}", help, labels=("alias", "index")
            )
            for name, help in _GAUGES.items()
        }


def watched() -> list[str]:
    """The aliases whose TELEMETRY names Prometheus."""
    return [alias for alias in conf.aliases() if _wants_gauges(alias)]


def _wants_gauges(alias: str) -> bool:
    with suppress(InvalidIndexError):  # `manage.py check` names the fault
        return "prometheus" in conf.get(alias).telemetry
    return False


def _in_a_thread(alias: str) -> Future[Statistics]:
    thread = ThreadPoolExecutor(1)
    answer = thread.submit(lambda: indexes[alias].statistics([]))
    thread.shutdown(wait=False)
    return answer


def _answer(future: Future[Statistics]) -> Statistics | None:
    if not future.done():
        return None
    try:
        return future.result()
    except ConversationMemoryError:
        return None


def connect_gauges() -> None:
    """Add the gauges to the registry of prometheus-client, if an alias wants them."""
    with suppress(InvalidIndexError):
        if watched() and is_installed("prometheus"):
            from prometheus_client import REGISTRY

            REGISTRY.register(IndexGauges())
