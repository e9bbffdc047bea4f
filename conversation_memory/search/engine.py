"""Asking RediSearch, and checking what it found against the conversations as they are now."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ..commands import Command, Operation, Script, T, single
from ..exceptions import (
    ConversationMemoryError,
    RedisDenied,
    RedisMisconfigured,
    RedisReadOnly,
)
from ..keys import Keys
from ..layouts import Layout
from ..layouts.places import owner_of
from ..listing import Listing
from ..records import Record
from ..runs import Run
from . import reading, semantic, suggestions
from .documents import suffix, text_of
from .lifecycle import OFF, State
from .queries import Query
from .replies import CUT_SHORT, EXPANDED, Reply, Row, sentences
from .request import MOST, Cursor, Request
from .results import Hit, SearchResults
from .scanning import Scan
from .schema import Schema

FOUND = Script("found.lua")

TIMEOUT = 1000  # ms
LAST = 1_000_000  # MAXSEARCHRESULTS of RediSearch: no hit behind it can be asked for

APPROXIMATE = "A phrase has a word twice or ends in *: some runs may be counted that lack it."

_LOST = re.compile("no such index|unknown index|index not found", re.IGNORECASE).search


@dataclass(frozen=True, slots=True)
class Seen:
    """The conversation of a token: its record, and its runs by suffix if they had to be read."""

    record: Record
    texts: dict[bytes, bytes] | None = None


@dataclass(slots=True)
class Scope:
    """The conditions on owner and conversation; `tag` is what the owner was taken for."""

    conditions: list[str] = field(default_factory=list)
    tag: bytes = b""


class Engine:
    """The searches of one index."""

    def __init__(self, layout: Layout, listing: Listing, scan: Scan):
        self._layout = layout
        self._listing = listing
        self._keys: Keys = layout.keys
        self._scan = scan
        # Owner -> tag. It is checked with every search, and costs a round trip only if it is wrong.
        self._tags: dict[bytes, bytes] = {}

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
            scope = yield from self.scope(request)
            if scope is None:
                return SearchResults([], reason=state.reason)
            reply, reasons = yield from self._reply(request, state, scope)
            seen = yield from self._seen(reply.rows, request, scope)
            if seen is not None:
                results = self._results(request, reply, seen, [state.reason, *reasons])
                if results.total or request.vector is not None:
                    return results
                similar = yield from self._similar(request, state, scope)
                return replace(results, suggestions=similar)
        return SearchResults([], reason="The owner came and went meanwhile.")

    def scope(self, request: Request) -> Operation[Scope | None]:
        """None if there is nothing of that owner, or in that conversation."""
        scope, filters = Scope(), request.filters
        owner, id = filters.owner, filters.conversation
        known = self._tags.get(owner) if owner is not None else None
        calls: list[Command[Any]] = []
        if owner is not None and known is None:
            calls.append(single("HGET", self._keys.owners(), owner))
        if id is not None:
            calls.append(single("HGET", self._keys.record(id), "token"))
        found = (yield calls) if calls else []
        if None in found:
            return None
        if owner is not None:
            scope.tag = known or found[0]
            self._remember(owner, scope.tag)
            scope.conditions.append(f"@o:{{{scope.tag.decode()}}}")
        if id is not None:
            scope.conditions.append(f"@c:{{{found[-1].decode()}}}")
        return scope

    def _remember(self, owner: bytes, tag: bytes) -> None:
        if len(self._tags) >= 10_000:
            self._tags.clear()
        self._tags[owner] = tag

    def _reply(
        self, request: Request, state: State, scope: Scope
    ) -> Operation[tuple[Reply, list[str]]]:
        if request.vector is not None:
            return (yield from self._nearest(request, state, scope))
        call = self._call(request, state, scope)
        reply, late = yield from self.current(self._search(call))
        reasons = [*reply.reasons, *([CUT_SHORT] if late else [])]
        if request.query.has_prefix and EXPANDED not in reasons:
            reasons += yield from self._expansion(call)
        return reply, reasons

    def _search(self, call: tuple[Any, ...]) -> Command[Reply]:
        return single(*call, decode=partial(Reply.of, documents=self._keys.documents()))

    def _nearest(
        self, request: Request, state: State, scope: Scope
    ) -> Operation[tuple[Reply, list[str]]]:
        """By likeness to a vector, and by words as well if there are any."""
        offset, limit = request.cursor.offset, request.limit
        count = max(semantic.CANDIDATES, offset + limit)
        blank = replace(request, query=Query(is_blank=True))
        query = semantic.nearest(self.query(blank, scope), count)
        near = self._search(
            (
                *("FT.SEARCH", state.name, query, "SORTBY", semantic.DISTANCE),
                *("RETURN", 3, "t", "run", semantic.DISTANCE, "LIMIT", 0, count),
                *("PARAMS", 2, "vector", request.vector, "TIMEOUT", TIMEOUT, "DIALECT", 2),
            )
        )
        reply, late = yield from self.current(near)
        replies = [semantic.by_distance(reply)]
        if not request.query.is_blank and not request.query.is_hopeless:
            words = replace(request, cursor=Cursor(), limit=min(count, MOST))
            replies.append((yield self._search(self._call(words, state, scope))))
        waiting = yield single("ZCARD", self._keys.unembedded())
        reasons = [CUT_SHORT] if late else []
        reasons += [f"{waiting:,} runs have no vector yet."] if waiting else []
        joined = semantic.fused(replies) if replies[1:] else replies[0]
        return semantic.page(joined, offset, limit), [*joined.reasons, *reasons]

    def current(self, search: Command[T]) -> Operation[tuple[T, bool]]:
        """The reply when what is past its deadline has gone, and whether it took too long.

        Over RESP2, RediSearch does not say so itself.
        """
        due: Command[int] = single("ZCOUNT", self._keys.expiry(), "-inf", int(time.time() * 1000))
        start = time.monotonic()
        reply, overdue = yield [search, due]
        if overdue:
            with suppress(RedisReadOnly, RedisDenied):  # whoever may write will do it
                if (yield from self._listing.reap(batches=1)):
                    start = time.monotonic()
                    reply = yield search
        return reply, (time.monotonic() - start) * 1000 > TIMEOUT

    def query(self, request: Request, scope: Scope) -> bytes:
        """Scope first, so that nothing behind it can widen it."""
        mark, filters = request.cursor.mark, request.filters
        filters = filters.before(mark + 1) if mark else filters
        conditions = [*scope.conditions, *filters.redisearch(), request.query.redisearch()]
        return " ".join(filter(None, conditions)).encode() or b"*"

    def _call(self, request: Request, state: State, scope: Scope) -> tuple[Any, ...]:
        offset, limit = request.cursor.offset, _wanted(request)
        returned = ["t", "run", *sorted(request.filters.fields)]
        order = (
            []
            if request.by_relevance
            else ["SORTBY", "t", "ASC" if request.order_by == "time" else "DESC"]
        )
        scores = ["WITHSCORES"] if request.by_relevance else []
        return (
            *("FT.SEARCH", state.name, self.query(request, scope), "VERBATIM", *scores),
            *("RETURN", len(returned), *returned, *order),
            *("LIMIT", offset, limit, "TIMEOUT", TIMEOUT, "DIALECT", 2),
        )

    def _expansion(self, call: tuple[Any, ...]) -> Operation[list[str]]:
        """Ask RediSearch 2.10, which does not say it by itself, whether a prefix was cut."""
        name, query = call[1:3]
        profile = ("FT.PROFILE", name, "SEARCH", "LIMITED", "QUERY", query)
        try:
            reply = yield single(*profile, "LIMIT", 0, 0, "TIMEOUT", TIMEOUT, "DIALECT", 2)
        except (RedisDenied, RedisMisconfigured):
            return [EXPANDED]  # nobody knows
        return [EXPANDED] if b"prefix expansion" in repr(reply).lower().encode() else []

    def is_current(self, request: Request, scope: Scope) -> Operation[bool]:
        """Whether the owner still has the tag that he was taken to have."""
        return (yield from self._seen([], request, scope)) is not None

    def _similar(self, request: Request, state: State, scope: Scope) -> Operation[list[str]]:
        """Words like those that found nothing, of which each would find something in this scope."""
        assert self._layout.schema is not None
        words, call = self._layout.schema.words, suggestions.call(state.name, request.query)
        if call is None or words.language:  # a stem is no word to suggest
            return []
        try:
            similar = yield single(*call, decode=suggestions.decoded)
        except (RedisDenied, RedisMisconfigured):  # it is not worth an error
            return []
        others = [*suggestions.alternatives(request.query, similar, words)]
        counts = [
            self._search(self._call(replace(request, query=query, limit=1), state, scope))
            for _, query in others
        ]
        replies = (yield counts) if counts else []
        pairs = zip(others, replies, strict=True)
        return [*{word: None for (word, _), reply in pairs if reply.total}]

    def _seen(
        self, rows: Sequence[Row], request: Request, scope: Scope
    ) -> Operation[dict[bytes, Seen] | None]:
        """The conversations of `rows` by token. None if the owner has another tag by now."""
        tokens = [*{row.token: None for row in rows}]
        owner = request.filters.owner
        keys = [self._keys.index, self._keys.tokens(), self._keys.owners(), self._keys.root]
        call = FOUND.call(keys, [owner or b"", scope.tag, *tokens])
        is_tag, *found = yield Command((call,))
        if not is_tag and owner is not None:
            self._tags.pop(owner, None)
            return None
        seen, unread = {}, set()
        for token, conversation in zip(tokens, found, strict=True):
            if not conversation:
                continue
            id, current, exists, *fields = conversation
            record = Record.from_reply(id, [*fields])
            if exists and _may_see(record, id, request):
                seen[token] = Seen(record)
                long = any(row.token == token and row.text is None for row in rows)
                unread |= {token} if long or not current else set()
        return seen | (yield from self._read(seen, [*unread]))

    def _read(self, seen: dict[bytes, Seen], tokens: list[bytes]) -> Operation[dict[bytes, Seen]]:
        """Those that another program has written since, or that have a very long run."""
        if not tokens:
            return {}
        records = [seen[token].record for token in tokens]
        documents = yield from reading.documents(self._layout, records)
        texts = [
            {suffix(text): text for text in document.texts} if document else {}
            for document in documents
        ]
        return dict(zip(tokens, map(Seen, records, texts), strict=True))

    def _results(
        self, request: Request, reply: Reply, seen: dict[bytes, Seen], reasons: list[str]
    ) -> SearchResults:
        hits: list[Hit] = []
        taken, dropped = 0, 0
        for row in reply.rows:
            if len(hits) == request.limit:
                break
            hit = self._hit(row, seen.get(row.token), request)
            taken += 1
            if hit is None:
                dropped += 1
            else:
                hits.append(hit)
        if request.query.is_shortened:
            reasons.append("Of that much text, only the first words were looked for.")
        end = request.cursor.offset + taken
        more = taken and end < min(reply.total, LAST)
        if not request.is_exact and request.vector is None and (more or request.cursor.offset):
            reasons.append(APPROXIMATE)
        next = self._next(request, end, hits) if more else None
        return SearchResults(hits, reply.total - dropped, sentences(reasons), next)

    def _next(self, request: Request, end: int, hits: list[Hit]) -> str:
        mark = request.cursor.mark
        if request.order_by == "-time" and not mark and hits and hits[0].time:
            mark = round(hits[0].time.timestamp() * 1000)
        return str(Cursor(end, mark))

    def _hit(self, row: Row, seen: Seen | None, request: Request) -> Hit | None:
        """None for what is not there any more, or does not belong to the caller."""
        if seen is None:
            return None
        text = row.text if seen.texts is None else seen.texts.get(row.suffix)
        if text is None:
            return None
        assert self._layout.schema is not None
        words = self._layout.schema.words
        run = Run.from_wire(text)
        if not request.is_exact and request.vector is None:
            stream = words.stream(text_of(run.input), text_of(run.output))
            values = {name.decode(): value for name, value in row.fields.items()}
            if not (request.query.matches(stream) and request.filters.matches(values)):
                return None
        moment = datetime.fromtimestamp(row.time / 1000, UTC)
        return Hit(seen.record, run, moment, row.score, request.query, words)


def _can_answer(state: State, request: Request, schema: Schema | None) -> bool:
    if not state.answers or schema is None:
        return False
    known = {f"{kind}_{name}" for name, kind in dict(state.fields).items()}
    return request.filters.fields <= known


def _wanted(request: Request) -> int:
    """How many to ask for: more if some of them may turn out to be none."""
    limit = request.limit if request.is_exact else request.limit * 5
    return max(0, min(limit, LAST - request.cursor.offset))


def _may_see(record: Record, id: bytes, request: Request) -> bool:
    filters = request.filters
    return filters.owner in (None, owner_of(record)) and filters.conversation in (None, id)


def _is_timeout(error: ConversationMemoryError) -> bool:
    """Whether RediSearch gave up, as it does where ON_TIMEOUT is `fail`."""
    return isinstance(error, RedisMisconfigured) and "imeout limit" in str(error.__cause__)
