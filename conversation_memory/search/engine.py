"""The searches of an index: with RediSearch, or by reading the conversations."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import tzinfo
from functools import partial

from django.utils import timezone

from ..collection.listing import Listing
from ..exceptions import ConversationMemoryError, Damaged, RedisDenied
from ..layouts import Layout
from ..redis_io.operations import Operation, T, single
from ..runs import Run, decoded_runs
from ..search_index.index_state import is_unknown_command
from ..search_index.reasons import Reason, Reasons, unique
from . import facets, redisearch
from .facets import Counts, Grouping
from .redisearch import CUT_SHORT, LAST, ReplyRow, ScopedRequest, SearchReply, is_timeout
from .request import Cursor, Request
from .results import Activity, Facets, Hit, SearchResults
from .scan import Scan
from .verify import Verifier

APPROXIMATE = Reason("approximate")
_ENCRYPTED = Reason("encrypted")
_DAMAGED = Run("", "")  # stands for one that cannot be read

_LOST = re.compile("no such index|unknown index|index not found", re.IGNORECASE).search


class Engine:
    """The searches of one index."""

    def __init__(self, layout: Layout, listing: Listing):
        self._layout = layout
        self._listing = listing
        self._schema = layout.schema
        self._verifier = Verifier(layout, listing)

    @property
    def _has_words(self) -> bool:
        return self._schema is None or self._schema.words_field != ""

    def search(self, request: Request) -> Operation[SearchResults]:
        if request.cursor.shards:
            raise ValueError("This is a cursor of a search in an index with SHARDS.")
        if request.is_hopeless:
            reasons = (Reason("too_long"),) if request.query.is_shortened else ()
            return SearchResults([], reasons=reasons)
        read = Scan(self._layout, self._listing, request).search
        return (yield from self._answer(request, self._hits, read, partial(SearchResults, [], 0)))

    def suggestions(self, request: Request) -> Operation[list[str]]:
        """Words similar to those of a search without hits."""

        def ask(scoped: ScopedRequest, reason: Reason | None) -> Operation[list[str] | None]:
            return redisearch.suggestions(scoped)

        def read(reason: Reason | None) -> Operation[list[str]]:
            return []  # which only RediSearch tells
            yield

        return self._answer(request, ask, read, lambda reasons: [])

    def facets(self, request: Request, name: str, limit: int) -> Operation[Facets]:
        if self._schema is None or self._schema.fields.get(name) not in ("tag", "numeric"):
            raise ValueError(f"{name[:100]!r} is not a tag or number among the FIELDS of SEARCH.")
        _, kind = self._schema.field(name)
        counts, reasons = yield from self._counts(request, facets.by_value(self._schema, name))
        return Facets(facets.named(counts, kind, limit), reasons)

    def activity(self, request: Request, by: str, zone: tzinfo | None) -> Operation[Activity]:
        if by not in facets.PERIODS:
            raise ValueError(f"by must be one of {', '.join(facets.PERIODS)}.")
        zone = zone or timezone.get_current_timezone()
        step = facets.step_of(zone)
        counts, reasons = yield from self._counts(request, facets.by_time(step))
        return Activity(facets.in_periods(counts, step, by, zone), reasons)

    def _counts(self, request: Request, grouping: Grouping) -> Operation[tuple[Counts, Reasons]]:
        if request.is_hopeless:
            return Counts(), ()
        ask = partial(self._aggregate, grouping)
        read = partial(Scan(self._layout, self._listing, request).count, grouping.values)
        return (yield from self._answer(request, ask, read, lambda reasons: (Counts(), reasons)))

    def _answer(
        self,
        request: Request,
        ask: Callable[[ScopedRequest, Reason | None], Operation[T | None]],
        read: Callable[[Reason | None], Operation[T]],
        nothing: Callable[[Reasons], T],
    ) -> Operation[T]:
        """The result of `ask`, or of `read` where RediSearch is not available.

        Each gets the reason why its result may be incomplete. `ask` returns None if it must be
        repeated.
        """
        for _ in range(2):  # again if the cached state was outdated
            state = yield from self._layout.search_state()
            known = {f"{kind}_{name}" for name, kind in state.fields.items()}
            is_able = state.answers and request.filters.fields <= known
            if request.cursor.is_scan or not is_able:
                break
            if request.query.terms and request.vector is None and not self._has_words:
                return (yield from read(_ENCRYPTED))
            try:
                # Again if the owner got another tag, or expired conversations had to be deleted.
                for _ in range(3):
                    scoped = yield from self._verifier.scoped(request, state.name)
                    if scoped is None:
                        loss = yield from self._verifier.loss(request.filters)
                        return nothing(unique([state.reason or loss]))
                    answer = yield from ask(scoped, state.reason)
                    if answer is not None:
                        return answer
                return nothing((Reason("changing"),))
            except ConversationMemoryError as error:
                if is_timeout(error):
                    return nothing((CUT_SHORT,))
                # The index may be dropped, or the ACL changed, while the state is cached.
                is_lost = is_unknown_command(error) or _LOST(str(error.__cause__))
                if not is_lost and not isinstance(error, RedisDenied):
                    raise
                assert self._layout.index_state is not None
                self._layout.index_state.forget()
        return (yield from read(state.reason))

    def _hits(
        self, scoped: ScopedRequest, reason: Reason | None
    ) -> Operation[SearchResults | None]:
        reply = yield from self._verifier.search(scoped)
        if reply is None:
            return None
        request = scoped.request
        results = _results(request, reply, reason)
        if results.total or request.vector is not None or not request.suggests:
            return results
        return replace(results, suggestions=(yield from redisearch.suggestions(scoped)))

    def _aggregate(
        self, grouping: Grouping, scoped: ScopedRequest, reason: Reason | None
    ) -> Operation[tuple[Counts, Reasons] | None]:
        start = ("FT.AGGREGATE", scoped.index, redisearch.expression(scoped), "VERBATIM")
        decode = partial(facets.counted, value_of=partial(grouping.value, self._schema))
        command = single(*start, *grouping.aggregate, *redisearch.limits(), decode=decode)
        (counts, reasons), late = yield from redisearch.timed(command)
        if (yield from self._verifier.verify(SearchReply(0, [], []), scoped)) is None:
            return None
        vague = None if scoped.request.is_exact else APPROXIMATE
        return counts, unique([reason, *reasons, *late, vague])


def _results(request: Request, reply: SearchReply, reason: Reason | None) -> SearchResults:
    hits: list[Hit] = []
    taken, damaged = 0, 0
    is_exact = request.is_exact or request.vector is not None
    for row, run in _runs(reply.rows, at_once=is_exact):
        if len(hits) == request.limit:
            break
        taken += 1
        if run is _DAMAGED:
            damaged += 1
        elif run and (is_exact or _matches(row, run, request)):
            assert row.record is not None
            hits.append(Hit(row.record, run, row.time, row.score, request.query))
    reasons = [reason, *reply.reasons]
    if damaged:
        reasons.append(Reason("damaged", damaged))
    if request.query.is_shortened:
        reasons.append(Reason("shortened"))
    end = request.cursor.offset + taken
    more = taken and end < min(reply.total, LAST)
    if not is_exact and (more or request.cursor.offset):
        reasons.append(APPROXIMATE)
    newest = request.cursor.newest
    if request.order_by == "-time" and not newest and hits:
        newest = hits[0].milliseconds or 0
    next = str(Cursor(end, newest)) if more else None
    return SearchResults(hits, reply.total - taken + len(hits), unique(reasons), next)


def _runs(rows: list[ReplyRow], *, at_once: bool) -> Iterator[tuple[ReplyRow, Run | None]]:
    """Each row with its run: None for one that was deleted or may not be seen, or `_DAMAGED`."""
    if at_once:
        texts = [row.text for row in rows if row.record and row.text is not None]
        with suppress(Damaged):
            runs = iter(decoded_runs(texts))
            yield from [
                (it, next(runs) if it.record and it.text is not None else None) for it in rows
            ]
            return
    for row in rows:
        yield row, _run(row)


def _run(row: ReplyRow) -> Run | None:
    if row.record is None or row.text is None:
        return None
    with suppress(Damaged):
        return decoded_runs([row.text])[0]
    return _DAMAGED


def _matches(row: ReplyRow, run: Run, request: Request) -> bool:
    values = {name.decode(): value for name, value in row.fields.items()}
    return request.query.matches(request.query.stream(run)) and request.filters.confirms(values)
