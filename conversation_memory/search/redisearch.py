"""Asking RediSearch: what is sent for a search, and what came back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..exceptions import RedisDenied, RedisMisconfigured
from ..keys import Keys
from ..redis_io.operations import Command, Operation, T, single
from ..redis_io.scripts import Call
from ..search_index.tokens import Words
from ..text import counted
from . import semantic, suggestions
from .query import Query
from .replies import CUT_SHORT, EXPANDED, Reply
from .request import MOST, Cursor, Request
from .scope import Scope

TIMEOUT = 1000  # ms
# Of longer replies, a script would hold a second copy while the server waits.
_MOST_IN_SCRIPTS = 200
LAST = 1_000_000  # MAXSEARCHRESULTS of RediSearch: no hit behind it can be asked for


def expression(request: Request, scope: Scope) -> bytes:
    """The query, with the scope first, so that nothing behind it can widen it."""
    mark, filters = request.cursor.mark, request.filters
    filters = filters.before(mark + 1) if mark else filters
    conditions = [*scope.conditions, *filters.redisearch(), request.query.redisearch()]
    return " ".join(filter(None, conditions)).encode() or b"*"


def limits() -> tuple[Any, ...]:
    """What ends every query."""
    return ("TIMEOUT", TIMEOUT, "DIALECT", 2)


def timed(search: Command[T]) -> Operation[tuple[T, list[str]]]:
    """The reply, and that it took too long: over RESP2, RediSearch does not say so itself."""
    start = time.monotonic()
    reply = yield search
    late = (time.monotonic() - start) * 1000 > TIMEOUT
    return reply, [CUT_SHORT] if late else []


class Asking:
    """The questions that a search puts to one index of RediSearch."""

    def __init__(self, keys: Keys, index: bytes, request: Request, scope: Scope):
        self._keys = keys
        self._index = index
        self._request = request
        self._scope = scope

    def reply(self) -> Operation[tuple[Reply, list[str]]]:
        """The documents that satisfy the request, and why there may be more."""
        if self._request.vector is not None:
            return (yield from self._nearest(self._request.vector))
        reply, late = yield from timed(self._search(self._request))
        return reply, [*late, *(yield from self.reasons(reply))]

    @property
    def call(self) -> Call:
        """The search, for a script."""
        return self._call(self._request)

    @property
    def suits_a_script(self) -> bool:
        """Whether it is one search, whose reply is small enough to go through a script."""
        return self._request.vector is None and _wanted(self._request) <= _MOST_IN_SCRIPTS

    @property
    def parts(self) -> int:
        """How many parts a hit has in the reply to it: key, score if there is one, fields."""
        return 3 if self._request.by_relevance else 2

    def reasons(self, reply: Reply) -> Operation[list[str]]:
        """Why there may be more than the reply has."""
        if self._request.query.has_prefix and EXPANDED not in reply.reasons:
            return [*reply.reasons, *(yield from self._expansion())]
        return reply.reasons

    def similar(self, words: Words) -> Operation[list[str]]:
        """Words like those that found nothing, of which each would find something in this scope."""
        query = self._request.query
        call = suggestions.call(self._index, query)
        if call is None or words.language:  # a stem is no word to suggest
            return []
        try:
            similar = yield single(*call, decode=suggestions.decoded)
        except (RedisDenied, RedisMisconfigured):  # it is not worth an error
            return []
        others = [*suggestions.alternatives(query, similar, words)]
        counts = [self._search(replace(self._request, query=other)) for _, other in others]
        replies = (yield counts) if counts else []
        pairs = zip(others, replies, strict=True)
        return [*{word: None for (word, _), reply in pairs if reply.total}]

    def _search(self, request: Request) -> Command[Reply]:
        return self._command(self._call(request))

    def _call(self, request: Request) -> Call:
        returned = ("t", "run", *sorted(request.filters.fields))
        direction = "ASC" if request.order_by == "time" else "DESC"
        order = ("WITHSCORES",) if request.by_relevance else ("SORTBY", "t", direction)
        page = ("LIMIT", request.cursor.offset, _wanted(request))
        return self._ft_search(expression(request, self._scope), returned, *order, *page)

    def _ft_search(self, query: bytes, returned: Sequence[str], *rest: Any) -> Call:
        call = ("FT.SEARCH", self._index, query, "VERBATIM", "RETURN", len(returned), *returned)
        return (*call, *rest, *limits())

    def _command(self, call: Call) -> Command[Reply]:
        return single(*call, decode=partial(Reply.of, documents=self._keys.documents()))

    def _nearest(self, vector: bytes) -> Operation[tuple[Reply, list[str]]]:
        """By likeness to a vector, and by words as well if there are any."""
        request = self._request
        offset, limit = request.cursor.offset, request.limit
        count = max(semantic.CANDIDATES, offset + limit)
        blank = replace(request, query=Query(is_blank=True))
        query = semantic.nearest(expression(blank, self._scope), count)
        returned, order = ("t", "run", semantic.DISTANCE), ("SORTBY", semantic.DISTANCE)
        rest = (*order, "LIMIT", 0, count, "PARAMS", 2, "vector", vector)
        call = self._ft_search(query, returned, *rest)
        reply, reasons = yield from timed(self._command(call))
        replies = [semantic.by_distance(reply)]
        if not request.query.is_blank and not request.query.is_hopeless:
            words = replace(request, cursor=Cursor(), limit=min(count, MOST))
            replies.append((yield self._search(words)))
        waiting = yield single("ZCARD", self._keys.unembedded())
        reasons += [f"Without a vector yet: {counted(waiting, 'run')}."] if waiting else []
        joined = semantic.fused(replies) if replies[1:] else replies[0]
        return semantic.page(joined, offset, limit), [*joined.reasons, *reasons]

    def _expansion(self) -> Operation[list[str]]:
        """Ask RediSearch 2.10, which does not say it by itself, whether a prefix was cut."""
        query = expression(self._request, self._scope)
        call = ("FT.PROFILE", self._index, "SEARCH", "LIMITED", "QUERY", query, "LIMIT", 0, 0)
        try:
            reply = yield single(*call, *limits())
        except (RedisDenied, RedisMisconfigured):
            return [EXPANDED]  # nobody knows
        return [EXPANDED] if "prefix expansion" in repr(reply).lower() else []


def _wanted(request: Request) -> int:
    """How many to ask for: more if some of them may turn out to be none."""
    limit = request.limit if request.is_exact else request.limit * 5
    return max(0, min(limit, LAST - request.cursor.offset))
