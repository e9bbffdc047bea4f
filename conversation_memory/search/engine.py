"""The searches of an index: with RediSearch, or by reading the conversations."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import tzinfo
from functools import partial
from typing import Any

from django.utils import timezone

from ..collection.listing import Listing
from ..exceptions import ConversationMemoryError, Damaged, RedisDenied, RedisMisconfigured
from ..layouts import Layout
from ..redis_io.operations import Operation, T, single
from ..runs import Run
from ..search_index.documents import text_of
from ..search_index.index_state import State, is_unknown_command
from ..search_index.schema import SEPARATOR
from ..wire import loads
from . import embeddings, facets, redisearch
from .facets import Counts
from .redisearch import CUT_SHORT, LAST, Reply, ReplyRow, Scope, is_timeout
from .request import Cursor, Request
from .results import Activity, Facets, Hit, SearchResults, sentences
from .scan import Candidate, Scan
from .verify import Verifier

APPROXIMATE = (
    "A phrase repeats a word or ends in *: the total may include runs that do not match exactly."
)
CHANGING = "The index kept changing during the search."
SHORTENED = "The query was truncated."
TOO_LONG = "The query is too long."

_LOST = re.compile("no such index|unknown index|index not found", re.IGNORECASE).search


class Engine:
    """The searches of one index."""

    def __init__(self, layout: Layout, listing: Listing):
        self._layout = layout
        self._schema = layout.schema
        self._scan = Scan(layout, listing)
        self._verifier = Verifier(layout, listing)
        self._searches_in_scripts = True

    def search(self, request: Request) -> Operation[SearchResults]:
        if request.is_hopeless:
            return SearchResults([], reason=TOO_LONG if request.query.is_shortened else "")
        return (
            yield from self._answer(
                request,
                partial(self._hits, request),
                partial(self._scan.search, request),
                lambda reason: SearchResults([], reason=reason),
            )
        )

    def facets(self, request: Request, name: str, limit: int) -> Operation[Facets]:
        if self._schema is None or self._schema.fields.get(name) not in ("tag", "numeric"):
            raise ValueError(f"{name[:100]!r} is not a tag or number among the FIELDS of SEARCH.")
        field, kind = self._schema.field(name)

        def values(candidate: Candidate) -> list[str]:
            return candidate.values.get(field, b"").decode().split(SEPARATOR)

        pairs, reason = yield from self._counts(request, facets.by_value(field, kind), values)
        return Facets(facets.named(pairs, kind, limit), reason)

    def activity(self, request: Request, by: str, zone: tzinfo | None) -> Operation[Activity]:
        if by not in facets.PERIODS:
            raise ValueError(f"by must be one of {', '.join(facets.PERIODS)}.")
        zone = zone or timezone.get_current_timezone()
        step = facets.step_of(zone)

        def values(candidate: Candidate) -> list[str]:
            updated = candidate.record.updated
            return [str(int(updated.timestamp() * 1000 // step))] if updated else []

        pairs, reason = yield from self._counts(request, facets.by_time(step), values)
        return Activity(facets.in_periods(pairs, step, by, zone), reason)

    def _counts(
        self, request: Request, part: list[Any], values: Callable[[Candidate], list[str]]
    ) -> Operation[tuple[Counts, str]]:
        """The counts of values: by `part` of an FT.AGGREGATE, or by the `values` of each run."""
        if request.is_hopeless:
            return [], ""
        ask = partial(self._aggregate, request, part)
        scan = partial(self._count, request, values)
        return (yield from self._answer(request, ask, scan, lambda reason: ([], reason)))

    def _answer(
        self,
        request: Request,
        ask: Callable[[Scope, str], Operation[T | None]],
        scan: Callable[[str], Operation[T]],
        nothing: Callable[[str], T],
    ) -> Operation[T]:
        """The result of `ask`, or of `scan` where RediSearch is not available.

        Both get the reason why the result may be incomplete. `ask` returns None if it must be
        repeated.
        """
        for _ in range(2):
            state = yield from self._layout.search_state()
            if request.cursor.is_scan or not self._can_answer(state, request):
                break
            try:
                return (yield from self._asked(request, state, ask, nothing))
            except ConversationMemoryError as error:
                if is_timeout(error):
                    return nothing(CUT_SHORT)
                self._recover(error)
        return (yield from scan(state.reason))

    def _asked(
        self,
        request: Request,
        state: State,
        ask: Callable[[Scope, str], Operation[T | None]],
        nothing: Callable[[str], T],
    ) -> Operation[T]:
        for _ in range(3):
            scope = yield from self._verifier.scope(request.filters, state.name)
            if scope is None:
                loss = yield from self._verifier.loss(request.filters)
                return nothing(state.reason or loss)
            answer = yield from ask(scope, state.reason)
            if answer is not None:
                return answer
        return nothing(CHANGING)

    def _can_answer(self, state: State, request: Request) -> bool:
        if not state.answers or self._schema is None:
            return False
        known = {f"{kind}_{name}" for name, kind in dict(state.fields).items()}
        return request.filters.fields <= known

    def _recover(self, error: ConversationMemoryError) -> None:
        """Forget the state if it is outdated; raise other errors."""
        is_lost = is_unknown_command(error) or _LOST(str(error.__cause__))
        if not is_lost and not isinstance(error, RedisDenied):
            raise error
        assert self._layout.index_state is not None
        self._layout.index_state.forget()

    def _hits(self, request: Request, scope: Scope, reason: str) -> Operation[SearchResults | None]:
        reply = yield from self._verified(request, scope)
        if reply is None:
            return None
        results = self._results(request, reply, [reason, *reply.reasons])
        if results.total or request.vector is not None:
            return results
        assert self._schema is not None
        similar = yield from redisearch.suggestions(request, scope, self._schema.words)
        return replace(results, suggestions=similar)

    def _verified(self, request: Request, scope: Scope) -> Operation[Reply | None]:
        """The verified reply; in one round trip where a script can search.

        Some servers, such as a cluster, refuse a search in a script.
        """
        refused = False
        if redisearch.fits_script(request) and self._searches_in_scripts:
            try:
                return (yield from self._verifier.search(request, scope))
            except (RedisMisconfigured, RedisDenied) as error:
                if is_timeout(error):
                    raise
                refused = True
        ask = redisearch.search if request.vector is None else embeddings.search
        reply = yield from ask(request, scope)
        self._searches_in_scripts = self._searches_in_scripts and not refused
        return (yield from self._verifier.verify(reply, request.filters, scope))

    def _results(self, request: Request, reply: Reply, reasons: list[str]) -> SearchResults:
        hits: list[Hit] = []
        taken, dropped, damaged = 0, 0, 0
        is_exact = request.is_exact or request.vector is not None
        for row in reply.rows:
            if len(hits) == request.limit:
                break
            taken += 1
            try:
                hit = self._hit(row, request, is_exact)
            except Damaged:
                hit, damaged = None, damaged + 1
            if hit is None:
                dropped += 1
            else:
                hits.append(hit)
        if damaged:
            reasons.append(f"Runs that cannot be read: {damaged:,}.")
        if request.query.is_shortened:
            reasons.append(SHORTENED)
        end = request.cursor.offset + taken
        more = taken and end < min(reply.total, LAST)
        if not is_exact and (more or request.cursor.offset):
            reasons.append(APPROXIMATE)
        mark = request.cursor.mark
        if request.order_by == "-time" and not mark and hits:
            mark = hits[0].milliseconds or 0
        next = str(Cursor(end, mark)) if more else None
        return SearchResults(hits, reply.total - dropped, sentences(reasons), next)

    def _hit(self, row: ReplyRow, request: Request, is_exact: bool) -> Hit | None:
        """None for a run that was deleted, or does not match. Raises `Damaged`."""
        if row.record is None or row.text is None:
            return None
        assert self._schema is not None
        words = self._schema.words
        run = Run.from_wire(row.text, loads(row.text))
        if not is_exact:
            stream = words.stream(text_of(run.input), text_of(run.output))
            values = {name.decode(): value for name, value in row.fields.items()}
            if not (request.query.matches(stream) and request.filters.matches(values)):
                return None
        return Hit(row.record, run, row.time, row.score, request.query, words)

    def _aggregate(
        self, request: Request, part: list[Any], scope: Scope, reason: str
    ) -> Operation[tuple[Counts, str] | None]:
        query = redisearch.expression(request, scope)
        call = ("FT.AGGREGATE", scope.index, query, "VERBATIM", *part, *redisearch.limits())
        aggregate = single(*call, decode=facets.counts)
        (pairs, reasons), late = yield from redisearch.timed(aggregate)
        verified = yield from self._verifier.verify(Reply(0, [], []), request.filters, scope)
        if verified is None:
            return None
        vague = "" if request.is_exact else APPROXIMATE
        return pairs, sentences([reason, *reasons, *late, vague])

    def _count(
        self, request: Request, values: Callable[[Candidate], list[str]], why: str
    ) -> Operation[tuple[Counts, str]]:
        counter: Counter[str] = Counter()

        def visit(candidate: Candidate) -> None:
            if request.query.matches(self._scan.stream(candidate)):
                counter.update({*values(candidate)} - {""})

        walk = yield from self._scan.walk(request.filters, visit)
        return [*counter.items()], self._scan.reason(request, walk, why)
