"""Search without RediSearch: reading conversations, the latest first, up to a limit.

A query matches the same runs as with RediSearch. The times of runs are unknown here: `since` and
`until` are compared with the last write to the conversation.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..collection.listing import Listing
from ..documents import Document, decoded
from ..exceptions import ConversationCorrupt, Damaged, counted
from ..keys import encode
from ..layouts import ConversationRef, Layout
from ..records import Page, Record, number
from ..redis_io.operations import Command, Operation, single
from ..runs import Run
from ..search_index.documents import text_of
from ..search_index.tokens import Words
from .filters import SearchFilters
from .request import Cursor, Request
from .results import Hit, SearchResults, sentences
from .verify import read_documents

CONVERSATIONS = 2000
BYTES = 32 * 1024 * 1024
SECONDS = 1.0
_BATCH = 50
_ALL = 10**9
UNREADABLE = "Conversations that cannot be read"
_NO_LIKENESS = "Without RediSearch, similar meanings are not found, only words."


class Candidate(NamedTuple):
    """A run that may match; `values` are those of FIELDS, as documents hold them."""

    record: Record
    run: Run
    values: dict[str, bytes]


@dataclass(slots=True)
class Walk:
    """The progress of a scan, which ended at `place`, a cursor of `recent()`; None at the end."""

    place: str | None = None
    count: int = 0
    bytes: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    since: float = field(default_factory=time.monotonic)

    def is_over(self, most: int) -> bool:
        """True after `most` conversations, or at the limits of a scan if that is 0."""
        if most:
            return self.count >= most
        spent = time.monotonic() - self.since
        return self.count >= CONVERSATIONS or self.bytes >= BYTES or spent >= SECONDS

    @property
    def reasons(self) -> Iterator[str]:
        if self.place is not None:
            yield f"Only {counted(self.count, 'conversation')} read so far."
        for why, count in self.skipped.items():
            yield f"{why}: {count:,}."


class Scan:
    """The searches of one index that read the conversations themselves."""

    def __init__(self, layout: Layout, listing: Listing):
        self._layout = layout
        self._listing = listing
        self._words = layout.schema.words if layout.schema else Words()

    def search(self, request: Request, why: str) -> Operation[SearchResults]:
        """The hits in one part of the index. `why` tells why RediSearch is not available."""
        if request.vector is not None and (request.query.is_blank or request.query.is_hopeless):
            return SearchResults([], reason=sentences([why, _NO_LIKENESS]), scanned=True)
        found: list[Hit] = []

        def visit(candidate: Candidate) -> None:
            stream = self.stream(candidate)
            if request.query.matches(stream):
                score = request.query.score(stream) if request.by_relevance else 0.0
                record, run, _ = candidate
                found.append(Hit(record, run, None, score, request.query, self._words))

        start = request.cursor if request.cursor.is_scan else Cursor(request.cursor.offset)
        walk = yield from self.walk(request.filters, visit, start.place, start.mark)
        if request.by_relevance:
            found.sort(key=lambda hit: -hit.score)
        elif request.order_by == "time":
            found.reverse()
        hits = found[start.offset : start.offset + request.limit]
        reason = self.reason(request, walk, why)
        next = _next(start, start.offset + request.limit, len(found), walk)
        return SearchResults(hits, len(found), reason, next, scanned=True)

    def stream(self, candidate: Candidate) -> str:
        """The words of a run, as in its search document."""
        run = candidate.run
        return self._words.stream(text_of(run.input), text_of(run.output))

    def reason(self, request: Request, walk: Walk, why: str) -> str:
        """The reasons why there may be more hits; '' after a complete walk."""
        reasons = [*walk.reasons]
        if request.cursor.place:
            reasons.append("Earlier conversations were searched for the previous pages.")
        if request.vector is not None:
            reasons.append(_NO_LIKENESS)
        if request.filters.since is not None or request.filters.until is not None:
            reasons.append("Times are those of the last write to a conversation.")
        return sentences([why, *reasons]) if reasons else ""

    def walk(
        self,
        filters: SearchFilters,
        visit: Callable[[Candidate], object],
        place: str = "",
        most: int = 0,
    ) -> Operation[Walk]:
        """Call `visit` with the runs that satisfy `filters`, the latest first."""
        walk = Walk()
        cursor: str | None = place or None
        while True:
            page = yield from self._page(filters, cursor, walk, most)
            walk.place = cursor = None if _are_older(page, filters) else page.next
            walk.count += len(page)
            if page.unlisted:
                walk.skipped["Conversations that are not listed yet"] = page.unlisted
            yield from self._visit(page.records, filters, visit, walk)
            if cursor is None or walk.is_over(most):
                return walk

    def _page(
        self, filters: SearchFilters, before: str | None, walk: Walk, most: int
    ) -> Operation[Page]:
        if filters.conversation is not None:
            place = ConversationRef(filters.conversation, filters.owner, filters.owner is not None)
            with suppress(ConversationCorrupt):
                record = yield from self._layout.record(place)
                return Page([record] if record else [])
            walk.skipped[UNREADABLE] += 1
            return Page([])
        limit = min(_BATCH, most - walk.count) if most else _BATCH
        return (yield from self._listing.recent(limit, filters.owner, before))

    def _visit(
        self,
        records: list[Record],
        filters: SearchFilters,
        visit: Callable[[Candidate], object],
        walk: Walk,
    ) -> Operation[None]:
        records = [record for record in records if filters.covers(_updated_ms(record))]
        if not records:
            return
        sizes = yield from self._sizes(records)
        small = [record for record, size in zip(records, sizes, strict=True) if size <= BYTES]
        walk.bytes += sum(size for size in sizes if size <= BYTES)
        if len(small) < len(records):
            walk.skipped["Conversations too long to search"] += len(records) - len(small)
        documents = (yield from read_documents(self._layout, small)) if small else []
        for record, document in zip(small, documents, strict=True):
            candidates = self._candidates(record, document)
            if candidates is None:
                walk.skipped[UNREADABLE] += 1
            for candidate in reversed(candidates or []):
                if filters.matches(candidate.values):
                    visit(candidate)

    def _sizes(self, records: Sequence[Record]) -> Operation[list[int]]:
        """About how many bytes each conversation has."""
        ids = [encode(record.conversation_id) for record in records]
        keys = self._layout.keys
        calls: list[Command[Any]] = [single("HSTRLEN", keys.content(id), id) for id in ids]
        calls += [single("HGET", keys.record(id), "bytes", otherwise=None) for id in ids]
        replies = yield calls
        pairs = zip(replies[: len(ids)], replies[len(ids) :], strict=True)
        return [size + (number(others) or 0) for size, others in pairs]

    def _candidates(self, record: Record, document: Document | None) -> list[Candidate] | None:
        """All runs of a conversation; None if any of it cannot be read."""
        if document is None:
            return None
        schema = self._layout.schema
        with suppress(Damaged):
            runs = decoded(document.texts)
            if schema is None:  # then damaged metadata costs nothing
                return [Candidate(record, run, {}) for run in runs]
            common = _pairs(schema.values(document.metadata))
            return [
                Candidate(record, run, common | _pairs(schema.values(run.meta))) for run in runs
            ]
        return None


def _pairs(flat: list[bytes]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _updated_ms(record: Record) -> int:
    return round(record.updated.timestamp() * 1000) if record.updated else 0


def _are_older(page: Page, filters: SearchFilters) -> bool:
    """True if all conversations after the page were last written before `since`."""
    last = page.records[-1] if page.records else None
    return last is not None and filters.since is not None and _updated_ms(last) < filters.since


def _next(start: Cursor, end: int, found: int, walk: Walk) -> str | None:
    if end < found:
        count = _ALL if walk.place is None else walk.count
        return str(Cursor(end, count, start.place, is_scan=True))
    if walk.place is not None:
        return str(Cursor(0, 0, walk.place, is_scan=True))
    return None
