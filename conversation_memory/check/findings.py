"""What a check finds, and the report of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..keys import decode
from ..redis_io.operations import Command

# Each kind, to be followed by how many.
UNREADABLE = "conversations that cannot be read"
NO_RECORD = "conversations without a record"
NO_PLACE = "conversations without a place in the order, or with a wrong one"
WRONG_COUNT = "records with a wrong number of runs"
WRONG_SEAL = "records with the seal of another document"
WRONG_DEADLINE = "deadlines that differ between the record and the order of deadlines"
EXPIRED = "conversations past their deadline and not reaped"
LOST_RUNS = "conversations whose list of runs, or a part of it, is lost"
STRAY_RECORD = "records of no conversation"
STRAY_RUNS = "lists of runs of no conversation"
STRAY_PLACE = "places in an order of no conversation"
WRONG_OWNER = "places in the order of an owner that belong to another, or are missing there"
LOST_OWNER = "conversations in the order of an owner whose record is lost"
WRONG_TYPE = "keys of the wrong type"
NOT_INDEXED = (
    "conversations whose search documents are not those of their runs; run reindexconversations"
)
STRAY_DOCUMENTS = "conversations that are not there, but have search documents"
LOST_DOCUMENT = "search documents of no conversation"
WRONG_DOCUMENT_COUNT = "counts of search documents that are wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with `name`, a conversation id or a key; `fix` is what repairs it, if so."""

    kind: str
    name: bytes
    fix: Command[Any] | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """How often a kind of fault was found, how often it is `left`, and some `examples` of it.

    The examples are conversation ids, or whole keys where the fault is one of a key.
    """

    kind: str
    found: int
    left: int
    examples: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check of an index: conversations `seen`, and a Problem for each kind."""

    seen: int = 0
    problems: Mapping[str, Problem] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """How many faults there are still."""
        return sum(problem.left for problem in self.problems.values())


class Tally:
    """The report while it grows, in constant memory."""

    def __init__(self, examples: int):
        self.seen = 0
        self._examples = examples
        self._problems: dict[str, Problem] = {}

    def add(self, found: Sequence[Finding], left: Sequence[Finding]) -> None:
        """Count what was `found`, and what of it, or in its place, is `left` after the repairs."""
        for finding in found:
            self._count(finding, 1, 0)
        for finding in left:
            self._count(finding, 0, 1)

    def left(self, kind: str) -> int:
        """How many faults of a kind there are still."""
        return self._problems[kind].left if kind in self._problems else 0

    def report(self) -> Report:
        return Report(self.seen, dict(self._problems))

    def _count(self, finding: Finding, found: int, left: int) -> None:
        known = self._problems.get(finding.kind, Problem(finding.kind, 0, 0))
        name, examples = decode(finding.name), known.examples
        if name not in examples and len(examples) < self._examples:
            examples = (*examples, name)
        self._problems[finding.kind] = Problem(
            finding.kind, known.found + found, known.left + left, examples
        )
