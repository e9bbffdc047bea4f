"""Searching with RediSearch where there is one, else by reading the conversations."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ..collection.listing import Listing
from ..exceptions import ConversationMemoryError, Damaged, RedisDenied, RedisMisconfigured
from ..layouts import Layout
from ..redis_io.operations import Operation, T
from ..runs import Run
from ..search_index.documents import text_of
from ..search_index.index_state import OFF, State
from ..search_index.schema import Schema
from ..wire import loads
from .redisearch import LAST, Asking
from .replies import CUT_SHORT, Reply, Row, sentences
from .request import Cursor, Request
from .results import Hit, SearchResults
from .scan import Scan
from .scope import Scope, Tags
from .seen import Seen
from .verify import Checking, Conversations

APPROXIMATE = "A phrase has a word twice or ends in *: some runs may be counted that lack it."
OVERWRITTEN = (
    "Conversations that were found have runs without search documents: run reindexconversations."
)
RESTLESS = "What was searched kept changing."

_LOST = re.compile("no such index|unknown index|index not found", re.IGNORECASE).search


class Engine:
    """The searches of one index."""

    def __init__(self, layout: Layout, listing: Listing, scan: Scan):
        self._layout = layout
        self._scan = scan
        self.tags = Tags(layout.keys)
        self.checking = Checking(layout, listing, self.tags)
        self._searches_in_scripts = True

    def search(self, request: Request) -> Operation[SearchResults]:
        """The hits; of a scan if RediSearch cannot be asked."""
        if request.is_hopeless:
            reason = "There was too much text to look for." if request.query.is_shortened else ""
            return SearchResults([], reason=reason)
        return (
            yield from self.answered(
                request,
                partial(self._ask, request),
                partial(self._scan.search, request),
                SearchResults([], reason=CUT_SHORT),
            )
        )

    def answered(
        self,
        request: Request,
        ask: Callable[[State], Operation[T]],
        scan: Callable[[str], Operation[T]],
        cut_short: T,
    ) -> Operation[T]:
        """What `ask` says in a state in which RediSearch can be asked; else, what `scan` does.

        `scan` is given the reason. `cut_short` is the answer of a server that takes too long and is
        told to give up.
        """
        for _ in range(2):
            state = yield from self.state()
            if request.cursor.is_scan or not _can_answer(state, request, self._layout.schema):
                break
            try:
                return (yield from ask(state))
            except ConversationMemoryError as error:
                if _is_timeout(error):
                    return cut_short
                self._recover(error)
        return (yield from scan(state.reason))

    def state(self) -> Operation[State]:
        lifecycle = self._layout.lifecycle
        return OFF if lifecycle is None else (yield from lifecycle.ready())

    def _recover(self, error: ConversationMemoryError) -> None:
        """Look anew what there is. Raises an error that has nothing to do with that."""
        unknown = "nknown command" in str(error.__cause__) or _LOST(str(error.__cause__))
        if not unknown and not isinstance(error, RedisDenied):
            raise error
        assert self._layout.lifecycle is not None
        self._layout.lifecycle.forget()

    def _ask(self, request: Request, state: State) -> Operation[SearchResults]:
        for _ in range(3):
            scope = yield from self.tags.scope(request.filters)
            if scope is None:
                lost = yield from self.tags.loss(request.filters)
                return SearchResults([], reason=state.reason or lost)
            asking = Asking(self._layout.keys, state.name, request, scope)
            reply, reasons, seen = yield from self._found(asking, request, scope)
            if seen is not None:
                results = self._results(request, reply, seen, [state.reason, *reasons])
                if results.total or request.vector is not None:
                    return results
                assert self._layout.schema is not None
                similar = yield from asking.similar(self._layout.schema.words)
                return replace(results, suggestions=similar)
        return SearchResults([], reason=RESTLESS)

    def _found(
        self, asking: Asking, request: Request, scope: Scope
    ) -> Operation[tuple[Reply, list[str], Conversations]]:
        """What was found, why there may be more, and the conversations; if possible, in one trip.

        Some servers, such as a cluster, search for their clients, but for no script.
        """
        refused = False
        if asking.suits_a_script and self._searches_in_scripts:
            try:
                return (yield from self.checking.search(asking, request.filters, scope))
            except (RedisMisconfigured, RedisDenied) as error:
                if _is_timeout(error):
                    raise
                refused = True
        reply, reasons = yield from asking.reply()
        self._searches_in_scripts = self._searches_in_scripts and not refused
        seen = yield from self.checking.check(reply.rows, request.filters, scope)
        return reply, reasons, seen

    def _results(
        self, request: Request, reply: Reply, seen: dict[bytes, Seen], reasons: list[str]
    ) -> SearchResults:
        hits: list[Hit] = []
        taken, dropped, damaged = 0, 0, 0
        is_exact = request.is_exact or request.vector is not None
        for row in reply.rows:
            if len(hits) == request.limit:
                break
            taken += 1
            try:
                hit = self._hit(row, seen.get(row.token), request, is_exact)
            except Damaged:
                hit, damaged = None, damaged + 1
            if hit is None:
                dropped += 1
            else:
                hits.append(hit)
        if not all(conversation.is_current for conversation in seen.values()):
            reasons.append(OVERWRITTEN)
        if damaged:
            reasons.append(f"Runs that cannot be read: {damaged:,}.")
        if request.query.is_shortened:
            reasons.append("Of that much text, only the first words were looked for.")
        end = request.cursor.offset + taken
        more = taken and end < min(reply.total, LAST)
        if not is_exact and (more or request.cursor.offset):
            reasons.append(APPROXIMATE)
        next = self._next(request, end, hits) if more else None
        return SearchResults(hits, reply.total - dropped, sentences(reasons), next)

    def _next(self, request: Request, end: int, hits: list[Hit]) -> str:
        mark = request.cursor.mark
        if request.order_by == "-time" and not mark and hits:
            mark = hits[0].milliseconds or 0
        return str(Cursor(end, mark))

    def _hit(self, row: Row, seen: Seen | None, request: Request, is_exact: bool) -> Hit | None:
        """None for what is not there any more, or does not belong to the caller.

        Raises `Damaged` if it is not a run.
        """
        if seen is None:
            return None
        text = row.text if seen.texts is None else seen.texts.get(row.suffix)
        if text is None:
            return None
        assert self._layout.schema is not None
        words = self._layout.schema.words
        run = Run.from_wire(text, loads(text))
        if not is_exact:
            stream = words.stream(text_of(run.input), text_of(run.output))
            values = {name.decode(): value for name, value in row.fields.items()}
            if not (request.query.matches(stream) and request.filters.matches(values)):
                return None
        return Hit(seen, run, row.time, row.score, request.query, words)


def _can_answer(state: State, request: Request, schema: Schema | None) -> bool:
    if not state.answers or schema is None:
        return False
    known = {f"{kind}_{name}" for name, kind in dict(state.fields).items()}
    return request.filters.fields <= known


def _is_timeout(error: ConversationMemoryError) -> bool:
    """Whether RediSearch gave up, as it does where ON_TIMEOUT is `fail`."""
    return isinstance(error, RedisMisconfigured) and "imeout limit" in str(error.__cause__)
