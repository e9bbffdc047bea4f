"""The results of a search."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import TypeVar, overload

from django.utils.safestring import SafeString

from ..clock import moment
from ..records import Record
from ..runs import Run
from ..search_index.passages import Passage
from ..search_index.reasons import Reasons
from .query import Query
from .snippets import Snippet, best_snippet

K = TypeVar("K")


@dataclass(frozen=True, repr=False, eq=False)
class Hit:
    """A run that matches, and the record of its conversation.

    `score` compares the hits of one search; it is 0 if they are ordered by time.
    """

    _record: Callable[[], Record]
    run: Run
    milliseconds: int | None
    score: float
    _query: Query

    @property
    def record(self) -> Record:
        return self._record()

    @property
    def conversation_id(self) -> str:
        return self.record.conversation_id

    @property
    def title(self) -> str:
        return self.record.title

    @property
    def owner(self) -> str | None:
        return self.record.owner

    @property
    def run_id(self) -> str:
        return self.run.id

    @property
    def time(self) -> datetime | None:
        """When the run was added, None if unknown."""
        return moment(self.milliseconds)

    @property
    def snippet(self) -> str:
        """The part of the run with most of the words, as one line of plain text."""
        return self._snippet[1].text

    @property
    def snippet_html(self) -> SafeString:
        """The snippet as safe HTML: escaped, with the words in `<mark>`."""
        return self._snippet[1].html

    @property
    def part(self) -> str:
        """Where the snippet is from: "input", "output", or "call" or "result" of a tool."""
        return self._snippet[0].part

    @property
    def tool(self) -> str:
        """The name of the tool if the snippet is from a call or its result, else ""."""
        return self._snippet[0].tool

    @cached_property
    def _snippet(self) -> tuple[Passage, Snippet]:
        found = self._query.passages(self.run)
        number, snippet = best_snippet([passage.text for passage in found], self._query)
        return found[number], snippet

    def __repr__(self) -> str:
        return f"<Hit {self.run_id} in {self.conversation_id!r}>"  # never the content


@dataclass(frozen=True, slots=True)
class ConversationHits:
    """The hits of one conversation, in the order of the search."""

    record: Record
    hits: list[Hit]

    @property
    def conversation_id(self) -> str:
        return self.record.conversation_id

    @property
    def title(self) -> str:
        return self.record.title


@dataclass(frozen=True, slots=True)
class SearchResults(Sequence[Hit]):
    """A page of hits.

    `total` is the number of runs on all pages. Unless the results are `complete`, there may be
    more, or for a moment fewer; `reasons` says why, in codes and numbers. `next` is
    the `after` of the next page, None on the last; a page may have fewer hits than `limit`.
    `scanned` is true if the conversations were read because RediSearch was not available.
    `suggestions` are words that would find something, if nothing was found.
    """

    hits: list[Hit]
    total: int = 0
    reasons: Reasons = ()
    next: str | None = None
    suggestions: list[str] = field(default_factory=list)
    scanned: bool = False

    @property
    def complete(self) -> bool:
        """True if everything was searched."""
        return not self.reasons

    @property
    def conversations(self) -> list[ConversationHits]:
        """The hits of this page by conversation, in the order of the first of each."""
        groups: dict[str, list[Hit]] = {}
        for hit in self.hits:
            groups.setdefault(hit.conversation_id, []).append(hit)
        return [ConversationHits(hits[0].record, hits) for hits in groups.values()]

    @overload
    def __getitem__(self, index: int) -> Hit: ...

    @overload
    def __getitem__(self, index: slice) -> list[Hit]: ...

    def __getitem__(self, index: int | slice) -> Hit | list[Hit]:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)


@dataclass(frozen=True, slots=True)
class RunCounts(Mapping[K, int]):
    """Counts of runs. See `SearchResults` for `complete` and `reasons`."""

    counts: dict[K, int]
    reasons: Reasons = ()

    @property
    def complete(self) -> bool:
        return not self.reasons

    def __getitem__(self, key: K) -> int:
        return self.counts[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self.counts)

    def __len__(self) -> int:
        return len(self.counts)


class Facets(RunCounts[str]):
    """The values of a field and how many runs have each, the most frequent first."""

    __slots__ = ()


class Activity(RunCounts[date]):
    """How many runs were added in each period, oldest first, without gaps.

    The key of a period is its first day, that of an hour its first moment.
    """

    __slots__ = ()
