"""The faults that a check can find, and its report."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..keys import decode
from ..redis_io.operations import Command, Operation

# Each kind of fault, printed with a count.
UNREADABLE = "conversations that cannot be read"
NO_RECORD = "conversations without a record"
NO_SCORE = "conversations missing from the recency index, or with a wrong time there"
WRONG_COUNT = "records with a wrong number of runs"
WRONG_FINGERPRINT = "records that do not match their document"
WRONG_DEADLINE = "deadlines that differ between the record and the expiry index"
EXPIRED = "expired conversations that are not deleted yet"
LOST_RUNS = "conversations with missing runs"
STRAY_RECORD = "records without a conversation"
STRAY_RUNS = "lists of runs without a conversation"
STRAY_SCORE = "recency index entries without a conversation"
WRONG_OWNER = "conversations missing from the index of their owner, or listed under another owner"
LOST_OWNER = "conversations listed for an owner whose record is lost"
WRONG_SHARD = "conversations in another shard than that of their id, which no driver finds"
STRAY_REPLY = "open runs without a conversation or a state, or missing from the list of open runs"
STRAY_CHECKPOINTS = "checkpoints of an agent without a conversation"
WRONG_TYPE = "keys of the wrong type"
NOT_INDEXED = (
    "conversations whose search documents do not match their runs; run `reindexconversations`"
)
STRAY_DOCUMENTS = "deleted conversations that still have search documents"
LOST_DOCUMENT = "search documents without a conversation"
WRONG_DOCUMENT_COUNT = "wrong counts of search documents"


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of `name`, a conversation id or a key; `fix` repairs it, None if nothing can."""

    kind: str
    name: bytes
    fix: Command[Any] | Callable[[], Operation[object]] | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """How often a kind of fault was found and how often it is `left`, with some `examples`.

    The examples are conversation ids, or whole keys if the fault is that of a key.
    """

    kind: str
    found: int
    left: int
    examples: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a check: the number of conversations `seen`, and a Problem for each kind."""

    seen: int = 0
    problems: Mapping[str, Problem] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """The number of remaining faults."""
        return sum(problem.left for problem in self.problems.values())


class Tally:
    """The report while it grows, in constant memory."""

    def __init__(self, examples: int):
        self.seen = 0
        self.left: Counter[str] = Counter()
        self._found: Counter[str] = Counter()
        self._names: dict[str, list[str]] = {}
        self._examples = examples

    def add(self, found: Sequence[Finding], left: Sequence[Finding]) -> None:
        """Count the findings before and after the repairs."""
        self._found.update(finding.kind for finding in found)
        self.left.update(finding.kind for finding in left)
        for finding in (*found, *left):
            names, name = self._names.setdefault(finding.kind, []), decode(finding.name)
            if name not in names and len(names) < self._examples:
                names.append(name)

    def report(self) -> Report:
        problems = {
            kind: Problem(kind, self._found[kind], self.left[kind], tuple(names))
            for kind, names in self._names.items()
        }
        return Report(self.seen, problems)
