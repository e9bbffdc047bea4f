"""Search without RediSearch: reading conversations, the latest first, up to a limit.

A query matches the same runs as with RediSearch. The times of runs are unknown here: `since` and
`until` are compared with the last write to the conversation.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from ..clock import milliseconds
from ..collection.listing import Listing
from ..documents import Document
from ..exceptions import ConversationCorrupt, Damaged
from ..keys import encode
from ..layouts import ConversationRef, Layout
from ..records import Page, Record, number
from ..redis_io.operations import Command, Operation, single
from ..runs import Run, decoded_runs
from ..search_index.reasons import Reason, Reasons, unique
from .request import Cursor, Request
from .results import Hit, SearchResults

CONVERSATIONS = 2000
BYTES = 32 * 1024 * 1024
SECONDS = 1.0
_BATCH = 50
_ALL = 10**9  # conversations, of a part that reaches to the end of the index
_NO_LIKENESS = Reason("no_likeness")


class Candidate(NamedTuple):
    """A run that may match; `values` are those of FIELDS, see `Schema.plain_values()`."""

    record: Record
    run: Run
    values: dict[str, bytes]


Visit = Callable[[Candidate, str], None]


class Scan:
    """One search that reads the conversations. `why` tells why RediSearch is not available."""

    def __init__(self, layout: Layout, listing: Listing, request: Request):
        self._layout = layout
        self._listing = listing
        self._request = request
        # Where it goes on: a cursor of `recent()`, None at both ends of the index.
        self._before: str | None = None
        self._count = 0
        self._bytes = 0
        self._skipped: Counter[str] = Counter()

    def search(self, why: Reason | None) -> Operation[SearchResults]:
        request, query = self._request, self._request.query
        if request.vector is not None and (query.is_blank or query.is_hopeless):
            return SearchResults([], reasons=unique([why, _NO_LIKENESS]), scanned=True)
        found: list[Hit] = []

        def visit(candidate: Candidate, stream: str) -> None:
            score = query.score(stream) if request.by_relevance else 0.0
            record = partial(_same, candidate.record)
            found.append(Hit(record, candidate.run, None, score, query))

        start = request.cursor if request.cursor.is_scan else Cursor(request.cursor.offset)
        yield from self._run(visit, start)
        if request.by_relevance:
            found.sort(key=lambda hit: -hit.score)
        elif request.order_by == "time":
            found.reverse()
        end = start.offset + request.limit
        next = None
        if end < len(found):
            count = _ALL if self._before is None else self._count
            next = str(Cursor(end, count=count, before=start.before, is_scan=True))
        elif self._before is not None:
            next = str(Cursor(before=self._before, is_scan=True))
        hits, reasons = found[start.offset : end], self._reasons(why)
        return SearchResults(hits, len(found), reasons, next, scanned=True)

    def count(
        self, values: Callable[[Candidate], list[str]], why: Reason | None
    ) -> Operation[tuple[Counter[str], Reasons]]:
        counts: Counter[str] = Counter()

        def visit(candidate: Candidate, stream: str) -> None:
            counts.update({*values(candidate)} - {""})

        yield from self._run(visit, Cursor())
        return counts, self._reasons(why)

    def _run(self, visit: Visit, start: Cursor) -> Operation[None]:
        """Call `visit` with each run that matches and with its words, the latest first."""
        self._before = start.before or None
        end = time.monotonic() + SECONDS
        while True:
            page = yield from self._page(start.count)
            self._before = None if self._is_last(page) else page.next
            self._count += len(page)
            if page.unlisted:
                self._skipped["unlisted"] = page.unlisted
            yield from self._read(page.records, visit)
            is_full = self._count >= (start.count or CONVERSATIONS)
            is_spent = self._bytes >= BYTES or time.monotonic() >= end
            if self._before is None or is_full or (is_spent and not start.count):
                return

    def _reasons(self, why: Reason | None) -> Reasons:
        """The reasons why there may be more hits; none if everything was read."""
        reasons = []
        if self._before is not None:
            reasons.append(Reason("unread", self._count))
        reasons += [Reason(code, count) for code, count in self._skipped.items()]
        if self._request.cursor.before:
            reasons.append(Reason("earlier"))
        if self._request.vector is not None:
            reasons.append(_NO_LIKENESS)
        if self._request.filters.since is not None or self._request.filters.until is not None:
            reasons.append(Reason("last_write"))
        return unique([why, *reasons]) if reasons else ()

    def _is_last(self, page: Page) -> bool:
        # The latest comes first: all others were last written before `since`, too.
        since = self._request.filters.since
        return bool(page.records) and since is not None and _updated_ms(page.records[-1]) < since

    def _page(self, most: int) -> Operation[Page]:
        owner, id = self._request.filters.owner, self._request.filters.conversation
        if id is None:
            limit = min(_BATCH, most - self._count) if most else _BATCH
            return (yield from self._listing.recent(limit, owner, self._before))
        with suppress(ConversationCorrupt):
            record = yield from self._layout.record(ConversationRef(id, owner, owner is not None))
            return Page([record] if record else [])
        self._skipped["unreadable"] += 1
        return Page([])

    def _read(self, records: list[Record], visit: Visit) -> Operation[None]:
        filters, query = self._request.filters, self._request.query
        records = [record for record in records if filters.covers(_updated_ms(record))]
        if not records:
            return
        sizes = yield from self._sizes(records)
        small = [record for record, size in zip(records, sizes, strict=True) if size <= BYTES]
        self._bytes += sum(size for size in sizes if size <= BYTES)
        if len(small) < len(records):
            self._skipped["too_large"] += len(records) - len(small)
        for record, document in zip(small, (yield from self._documents(small)), strict=True):
            candidates = self._candidates(record, document)
            if candidates is None:
                self._skipped["unreadable"] += 1
            for candidate in reversed(candidates or []):
                if filters.matches(candidate.values):
                    stream = query.stream(candidate.run)
                    if query.matches(stream):
                        visit(candidate, stream)

    def _documents(self, records: list[Record]) -> Operation[list[Document | None]]:
        """The documents of conversations, None for one that cannot be read."""
        refs = [ConversationRef(encode(record.conversation_id)) for record in records]
        found: list[Document | None] = []
        for snapshot in (yield from self._layout.snapshots(refs)):
            document = None
            with suppress(Damaged):
                document = snapshot.document if snapshot else None
            found.append(document)
        return found

    def _sizes(self, records: Sequence[Record]) -> Operation[list[int]]:
        # Redis tells how many runs a list has, but not their bytes, which the record counts.
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
            runs = decoded_runs(document.texts)
            if schema is None:  # then damaged metadata costs nothing
                return [Candidate(record, run, {}) for run in runs]
            common = schema.plain_values(document.metadata)
            return [Candidate(record, run, common | schema.plain_values(run.meta)) for run in runs]
        return None


def _same(record: Record) -> Record:
    return record


def _updated_ms(record: Record) -> int:
    return milliseconds(record.updated) if record.updated else 0
