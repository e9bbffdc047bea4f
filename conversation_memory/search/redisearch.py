"""RediSearch: the calls of a search, and their replies over RESP2 and RESP3."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..encryption.sealing import Sealing
from ..exceptions import ConversationMemoryError, RedisDenied, RedisMisconfigured
from ..keys import Keys
from ..records import Record
from ..redis_io.operations import Command, Operation, T, single
from ..redis_io.scripts import Call
from ..search_index.reasons import Reason
from ..search_index.schema import Schema
from ..search_index.shared_texts import MARK, restored
from .query import Query, Term
from .request import Request

TIMEOUT = 1000  # ms
LAST = 1_000_000  # MAXSEARCHRESULTS of RediSearch: it returns no hit beyond this one
_MOST_SUGGESTIONS = 5

CUT_SHORT = Reason("timeout")
EXPANDED = Reason("prefix")


class FoundRecord:
    """The record of a conversation with hits, as bytes; it is decoded when it is looked at."""

    __slots__ = ("_record", "_sealing", "_values", "id")

    def __init__(self, id: bytes, values: list[bytes | None], sealing: Sealing | None):
        self.id, self._values, self._sealing = id, values, sealing
        self._record: Record | None = None

    def __call__(self) -> Record:
        if self._record is None:
            self._record = Record.from_listed(self.id, self._values, self._sealing)
        return self._record


@dataclass(slots=True)
class ReplyRow:
    """A search document that matched.

    `text` is the JSON of its run, None if the document has no copy. `record` is that of its
    conversation, None until it is verified or if the caller may not see it.
    """

    token: bytes
    suffix: bytes
    score: float
    fields: dict[bytes, bytes]
    text: bytes | None = None
    record: FoundRecord | None = None

    @property
    def time(self) -> int:
        """In milliseconds; 0 for garbage."""
        try:
            time = float(self.fields.get(b"t", b"0"))
        except ValueError:
            return 0
        return int(time) if 0 <= time < 10**15 else 0


@dataclass(frozen=True, slots=True)
class SearchReply:
    """The rows of a search, and the reasons why there may be more."""

    total: int
    rows: list[ReplyRow]
    reasons: list[Reason]

    @classmethod
    def of(cls, reply: Any, documents: bytes) -> SearchReply:
        """From a map (RESP3) or a flat list (RESP2). Every key begins with `documents`."""
        hits: Iterable[tuple[bytes, Any, dict[bytes, bytes]]]
        if isinstance(reply, dict):
            total, reasons = reply[b"total_results"], warnings(reply)
            hits = [
                (it[b"id"], it.get(b"score", 0), it.get(b"extra_attributes", {}))
                for it in reply[b"results"]
            ]
        else:
            total, reasons, hits = reply[0], [], _flat_hits(reply[1:])
        rows, start = [], len(documents)
        for key, score, fields in hits:
            token, _, suffix = key[start:].partition(b":")
            text = fields.get(b"run")
            if text is not None and MARK in text:
                text = restored(text, fields.get(b"w", b""))
            rows.append(ReplyRow(token, suffix, float(score), fields, text))
        return cls(int(total), rows, reasons)


@dataclass(frozen=True, slots=True)
class ScopedRequest:
    """A request, the index to search, and the conditions on owner and conversation.

    `tag` stands for the owner in search documents, which are those of `schema`.
    """

    request: Request
    keys: Keys
    index: bytes
    conditions: tuple[str, ...]
    tag: bytes
    schema: Schema


def expression(scoped: ScopedRequest) -> bytes:
    request = scoped.request
    newest, filters = request.cursor.newest, request.filters
    filters = filters.before(newest + 1) if newest else filters
    # The scope comes first, so that nothing after it can widen it.
    words = request.query.redisearch(scoped.schema.words_field)
    conditions = [*scoped.conditions, *filters.redisearch(scoped.schema), words]
    return " ".join(filter(None, conditions)).encode() or b"*"


def limits() -> tuple[Any, ...]:
    # KNN requires dialect 2, and the default may be 1.
    return ("TIMEOUT", TIMEOUT, "DIALECT", 2)


def timed(search: Command[T]) -> Operation[tuple[T, list[Reason]]]:
    """A reply, and the reason if it may have taken too long."""
    is_told = False

    def decoded(reply: Any) -> T:
        nonlocal is_told
        is_told = isinstance(reply, dict)
        return search.decode(reply)

    start = time.monotonic()
    reply = yield replace(search, decode=decoded)
    # Over RESP2, RediSearch does not tell that it returns only what it found in time.
    is_late = not is_told and (time.monotonic() - start) * 1000 > TIMEOUT
    return reply, [CUT_SHORT] if is_late else []


def is_timeout(error: ConversationMemoryError) -> bool:
    # Where ON_TIMEOUT of RediSearch is `fail`, it returns an error instead of some rows.
    return isinstance(error, RedisMisconfigured) and "imeout limit" in str(error.__cause__)


def search(scoped: ScopedRequest) -> Operation[SearchReply]:
    reply, late = yield from timed(command(scoped))
    return (yield from explained(scoped, reply, late))


def explained(
    scoped: ScopedRequest, reply: SearchReply, late: list[Reason]
) -> Operation[SearchReply]:
    """The reply with all reasons why there may be more."""
    reasons = [*late, *reply.reasons]
    has_prefix = any(term.is_prefix for term in scoped.request.query.terms)
    if not has_prefix or EXPANDED in reasons:
        return replace(reply, reasons=reasons)
    query = expression(scoped)
    # RediSearch 2.10 tells only in FT.PROFILE that it expanded a prefix in part.
    profile = ("FT.PROFILE", scoped.index, "SEARCH", "LIMITED", "QUERY", query, "LIMIT", 0, 0)
    try:
        is_expanded = "prefix expansion" in repr((yield single(*profile, *limits()))).lower()
    except (RedisDenied, RedisMisconfigured):
        is_expanded = True  # it may have been
    return replace(reply, reasons=[*reasons, EXPANDED] if is_expanded else reasons)


def call(scoped: ScopedRequest) -> Call:
    request = scoped.request
    returned = ("t", "run", "w", *sorted(request.filters.fields))
    direction = "ASC" if request.order_by == "time" else "DESC"
    # RediSearch sorts by relevance unless told otherwise, and returns scores only if asked.
    order = ("WITHSCORES",) if request.by_relevance else ("SORTBY", "t", direction)
    page = ("LIMIT", request.cursor.offset, rows_to_ask_for(request))
    return ft_search(scoped, expression(scoped), returned, *order, *page)


def rows_to_ask_for(request: Request) -> int:
    # More if some of them may not match after all.
    limit = request.limit if request.is_exact else request.limit * 5
    return max(0, min(limit, LAST - request.cursor.offset))


def ft_search(scoped: ScopedRequest, query: bytes, returned: Sequence[str], *rest: Any) -> Call:
    # VERBATIM, as words are stemmed by us: RediSearch would add stems of its own.
    # In lower case, OpenTelemetry's instrumentation does not take it for the FT.SEARCH whose query
    # and documents it would record.
    start = ("ft.search", scoped.index, query, "VERBATIM", "RETURN", len(returned), *returned)
    return (*start, *rest, *limits())


def command(scoped: ScopedRequest, search: Call = ()) -> Command[SearchReply]:
    """The `search`, or that of the request."""
    decode = partial(SearchReply.of, documents=scoped.keys.documents())
    return single(*(search or call(scoped)), decode=decode)


def warnings(reply: Any) -> list[Reason]:
    """The warnings of a reply over RESP3."""
    reasons = []
    for warning in reply.get(b"warning", []):
        if b"imeout" in warning:
            reasons.append(CUT_SHORT)
        elif b"expansion" in warning:
            reasons.append(EXPANDED)
        else:
            reasons.append(Reason("warning", detail=_text(warning[:200])))
    return reasons


def suggestions(scoped: ScopedRequest) -> Operation[list[str]]:
    """Words similar to those typed; each would find something in this scope."""
    query = scoped.request.query
    typed = " ".join(term.words[0] for term in _single_words(query)[:_MOST_SUGGESTIONS])
    if not typed or query.words.language:  # a stem is not a word to suggest
        return []
    check = ("FT.SPELLCHECK", scoped.index, typed.encode(), "DISTANCE", 1, "DIALECT", 2)
    try:
        similar = yield single(*check, decode=_similar)
    except (RedisDenied, RedisMisconfigured):  # a missing suggestion is not worth an error
        return []
    others = [*_alternatives(query, similar)]
    requests = [replace(scoped.request, query=other) for _, other in others]
    searches = [command(replace(scoped, request=request)) for request in requests]
    replies = (yield searches) if searches else []
    pairs = zip(others, replies, strict=True)
    return [*{word: None for (word, _), reply in pairs if reply.total}]


def _flat_hits(flat: list[Any]) -> Iterator[tuple[bytes, Any, dict[bytes, bytes]]]:
    # Key, score if asked for, and fields, again and again.
    has_scores = len(flat) > 1 and not isinstance(flat[1], list | None)
    width = 3 if has_scores else 2
    for start in range(0, len(flat), width):
        key, *score, fields = flat[start : start + width]
        fields = fields or []  # None for a document that was deleted during the search
        values = dict(zip(fields[::2], fields[1::2], strict=True))
        yield key, score[0] if score else 0, values


def _similar(reply: Any) -> dict[str, list[str]]:
    """Word -> similar ones, best first, over RESP3 and RESP2."""
    if isinstance(reply, dict):
        pairs = [
            (word, [[score, name] for row in rows for name, score in row.items()])
            for word, rows in reply[b"results"].items()
        ]
    else:
        pairs = [(word, rows) for _, word, rows in reply]
    return {
        _text(word): [_text(name) for _, name in sorted(rows, key=lambda row: -float(row[0]))]
        for word, rows in pairs
    }


def _alternatives(query: Query, similar: dict[str, list[str]]) -> Iterator[tuple[str, Query]]:
    """Similar words, each with the query in which it replaces the one that was typed."""
    for term in _single_words(query):
        for word in similar.get(term.words[0], [])[:_MOST_SUGGESTIONS]:
            if query.words.of(word) != [word]:  # only words of our own get into a query
                continue
            terms = [Term((word,)) if other == term else other for other in query.terms]
            yield word, replace(query, terms=tuple(terms))


def _single_words(query: Query) -> list[Term]:
    return [term for term in query.wanted if len(term.words) == 1 and not term.is_prefix]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
