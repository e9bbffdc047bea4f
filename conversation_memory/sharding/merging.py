"""What several shards answered, as one answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from threading import Lock
from typing import Any, TypeVar

from ..check import Problem, Report
from ..collection.erase import Copies
from ..collection.statistics import Statistics
from ..health import Health, HealthFinding, unusable
from ..indexes import ConversationIndex
from ..search_index.index_state import SearchState
from ..search_index.reasons import Reason
from .across import Answers

C = TypeVar("C")

_WORST = ("failed", "warning", "unknown", "ok")


class Running:
    """Calls `progress` with the sum of the counts of all shards."""

    def __init__(self, progress: Callable[[Any], object], total: Callable[[Iterable[Any]], Any]):
        self._progress, self._total = progress, total
        self._latest: dict[str, Any] = {}
        self._lock = Lock()

    def of(self, shard: ConversationIndex) -> Callable[[Any], object]:
        """The `progress` of a shard."""

        def note(counts: Any) -> None:
            with self._lock:
                self._latest[shard.name] = counts
                self._progress(self._total(self._latest.values()))

        return note


def added(counts: Iterable[C]) -> C:
    """The sum of dataclasses of numbers, which are of one kind."""
    several = [*counts]
    return type(several[0])(*map(sum, zip(*map(astuple, several), strict=True)))  # type: ignore[arg-type]


def whole_report(reports: Iterable[Report], examples: int) -> Report:
    problems: dict[str, Problem] = {}
    seen = 0
    for report in reports:
        seen += report.seen
        for kind, more in report.problems.items():
            known = problems.get(kind, Problem(kind, 0, 0))
            names = (*known.examples, *more.examples)[:examples]
            found, left = known.found + more.found, known.left + more.left
            problems[kind] = Problem(kind, found, left, names)
    return Report(seen, problems)


def whole_statistics(parts: Sequence[Statistics]) -> Statistics:
    versions = [part.version for part in parts if part.version]
    memory = [part.memory for part in parts if part.memory is not None]
    return Statistics(
        sum(part.conversations for part in parts),
        max((part.newest for part in parts if part.newest), default=None),
        [*map(sum, zip(*(part.active for part in parts), strict=True))],
        [size for part in parts for size in part.sizes],
        sum(memory) if len(memory) == len(parts) else None,
        ", ".join(dict.fromkeys(versions)) if versions else parts[0].version,
        sum(part.open_runs for part in parts),
    )


def whole_copies(parts: Sequence[Copies]) -> Copies:
    append_only = [part.append_only_file for part in parts]
    saved = [part.saved for part in parts if part.saved is not None]
    replicas = [part.replicas for part in parts if part.replicas is not None]
    return Copies(
        True if any(append_only) else append_only[0],
        min(saved, default=None),  # what was saved last may be in the oldest snapshot still
        max(replicas, default=None),
    )


def unreached(shards: Sequence[str]) -> Reason:
    return Reason("shards", len(shards), ", ".join(shards))


def whole_state(answers: Answers[SearchState]) -> SearchState:
    """The state of the shard that searches least. Without one that is down, it is incomplete."""
    states = answers.some()
    lacking = [state for state in states if not state.answers]
    incomplete = [state for state in states if not state.complete]
    worst = (lacking or incomplete or states)[0]
    if lacking or not answers.missing:
        return worst
    return replace(worst, kind="incomplete", reason=unreached(answers.missing))


def whole_health(answers: Answers[Health]) -> Health:
    """The worst finding of each name, which says of which shards."""
    found = {shard.name: health for shard, health in answers.results.items()}
    for shard, error in answers.failures.items():
        found[shard.name] = unusable(str(error))
    names = [finding.name for finding in next(iter(found.values())).findings]
    return Health(
        tuple(_worst({shard: health[name] for shard, health in found.items()}) for name in names)
    )


def _worst(findings: Mapping[str, HealthFinding]) -> HealthFinding:
    state = min((finding.state for finding in findings.values()), key=_WORST.index)
    alike = {shard: it for shard, it in findings.items() if it.state == state}
    details = unique_texts(it.detail for it in alike.values())
    if state != "ok" and len(alike) < len(findings) and details:
        details = [f"{', '.join(sorted(alike)[:5])}: {details[0]}", *details[1:3]]
    hints = unique_texts(it.hint for it in alike.values())
    name = next(iter(alike.values())).name
    return HealthFinding(name, state, " ".join(details[:3]), " ".join(hints[:3]))


def unique_texts(texts: Iterable[str]) -> list[str]:
    return [*dict.fromkeys(filter(None, texts))]
