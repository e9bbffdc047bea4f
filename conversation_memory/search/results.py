"""What a search answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

from django.utils.safestring import SafeString

from ..records import Record
from ..runs import Run
from ..search_index.documents import text_of
from ..search_index.tokens import Words
from .query import Query
from .seen import Seen
from .snippets import Snippet, snippet


class Hit:
    """A run that was found, and the record of its conversation.

    `score` compares the hits of one search; it is 0 where the order is that of time.
    """

    def __init__(
        self,
        seen: Seen,
        run: Run,
        milliseconds: int | None,
        score: float,
        query: Query,
        words: Words,
    ):
        self.run = run
        self.score = score
        self.milliseconds = milliseconds
        self._seen = seen
        self._query = query
        self._words = words

    @property
    def record(self) -> Record:
        return self._seen.record

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
        """When the run came, None if nobody knows."""
        if self.milliseconds is None:
            return None
        return datetime.fromtimestamp(self.milliseconds / 1000, UTC)

    @property
    def snippet(self) -> str:
        """The part of the run where most of the words stand, as one line of plain text."""
        return self._snippet.text

    @property
    def snippet_html(self) -> SafeString:
        """The same as safe HTML: escaped, the words in `<mark>`."""
        return self._snippet.html

    @cached_property
    def _snippet(self) -> Snippet:
        texts = [text_of(self.run.input), text_of(self.run.output)]
        return snippet(texts, self._query, self._words)

    def __repr__(self) -> str:
        return f"<Hit {self.run_id} in {self.conversation_id!r}>"  # never the content


@dataclass(frozen=True, slots=True)
class Found:
    """The hits of one conversation, best or newest first as they were searched."""

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

    `total` is how many runs there are on all pages. Unless the results are `complete`, there may be
    more, or for a moment fewer, and `reason` says why in a sentence. `next` is what to give as
    `after` for the next page, None on the last; a page may have fewer hits than were asked for.
    `scanned` tells that RediSearch could not be asked and the conversations themselves were read.
    `suggestions` are words that would find something, where nothing was found.
    """

    hits: list[Hit]
    total: int = 0
    reason: str = ""
    next: str | None = None
    suggestions: list[str] = field(default_factory=list)
    scanned: bool = False

    @property
    def complete(self) -> bool:
        """Whether everything was looked through."""
        return not self.reason

    @property
    def conversations(self) -> list[Found]:
        """The hits of this page by conversation, in the order of the first of each."""
        groups: dict[str, list[Hit]] = {}
        for hit in self.hits:
            groups.setdefault(hit.conversation_id, []).append(hit)
        return [Found(hits[0].record, hits) for hits in groups.values()]

    def __getitem__(self, index: Any) -> Any:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)


@dataclass(frozen=True, slots=True)
class Facets(Mapping[str, int]):
    """The values of a field, those of most runs first, each with how many runs have it.

    See `SearchResults` for `complete` and `reason`.
    """

    counts: dict[str, int]
    reason: str = ""

    @property
    def complete(self) -> bool:
        return not self.reason

    def __getitem__(self, value: str) -> int:
        return self.counts[value]

    def __iter__(self) -> Iterator[str]:
        return iter(self.counts)

    def __len__(self) -> int:
        return len(self.counts)


@dataclass(frozen=True, slots=True)
class Activity(Mapping[date, int]):
    """How many runs came in each period, oldest first, without gaps.

    A period is known by its first day, or by its first moment if it is an hour. See
    `SearchResults` for `complete` and `reason`.
    """

    counts: dict[date, int]
    reason: str = ""

    @property
    def complete(self) -> bool:
        return not self.reason

    def __getitem__(self, start: date) -> int:
        return self.counts[start]

    def __iter__(self) -> Iterator[date]:
        return iter(self.counts)

    def __len__(self) -> int:
        return len(self.counts)
