"""Search by meaning: the vectors of texts, by the callable that SEARCH names in EMBED."""

import math
from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..exceptions import Damaged, RedisMisconfigured, counted, sensitive
from ..keys import Keys
from ..layouts import ConversationRef, Layout
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from ..runs import Run, decoded_runs
from ..search_index.passages import text_of
from ..search_index.reasons import Reason, Reasons, explained
from ..search_index.schema import Schema
from ..search_index.shared_texts import restored
from . import redisearch
from .query import Query
from .redisearch import ReplyRow, ScopedRequest, SearchReply
from .request import MOST, Cursor, Request, SearchFilters
from .stored_texts import texts_of_documents

EMBED = Script("embed")

BATCH = 64
_DISTANCE = "distance"

SCOPES = ("conversation", "owner")
# Up to so many runs are compared one by one where RediSearch is not available.
FEW = 200


@sensitive
def vectors(schema: Schema | None, texts: Sequence[str]) -> list[bytes]:
    """The vector of each text as documents hold it: of 32-bit floats, of length one."""
    embed = _callable(schema)
    call = async_to_sync(embed) if iscoroutinefunction(embed) else embed
    return _packed(schema, texts, call([*texts]))


@sensitive
async def avectors(schema: Schema | None, texts: Sequence[str]) -> list[bytes]:
    """See vectors()."""
    embed = _callable(schema)
    # Awaited in this event loop, to which the clients of an async callable may belong.
    call: Callable[[list[str]], Awaitable[Any]] = (
        embed if iscoroutinefunction(embed) else sync_to_async(embed, thread_sensitive=False)
    )
    return _packed(schema, texts, await call([*texts]))


def text_to_embed(run: Run) -> str:
    return "\n\n".join(filter(None, (text_of(run.input), text_of(run.output))))


def waiting(layout: Layout, limit: int) -> Operation[list[tuple[bytes, str]]]:
    """Search documents without a vector, the oldest first, and their texts."""
    names = yield single("ZRANGE", layout.keys.unembedded(), 0, limit - 1)
    if not names:
        return []
    if layout.sealing is not None:
        texts = yield from texts_of_documents(layout, names)
        found = [(text or b"", b"") for text in texts]
    else:
        found = yield [single("HMGET", name, "run", "w", otherwise=[None, None]) for name in names]
    return [(name, _text_to_embed(*fields)) for name, fields in zip(names, found, strict=True)]


def put(keys: Keys, names: Sequence[bytes], packed: Sequence[bytes]) -> Operation[int]:
    """Write vectors into the documents that still exist. Returns how many did."""
    return int((yield Command((EMBED.call([keys.unembedded(), *names], packed),))))


def search(scoped: ScopedRequest) -> Operation[SearchReply]:
    """The runs nearest to the vector of a request, ranked by its words too if there are any."""
    request = scoped.request
    offset, end = request.cursor.offset, request.cursor.offset + request.limit
    count = max(100, end)  # KNN finds as many rows as it is asked for
    wordless = replace(request, query=Query(is_blank=True))
    filters = redisearch.expression(replace(scoped, request=wordless))
    query = b"(%b)=>[KNN %d @v $vector AS %b]" % (filters, count, _DISTANCE.encode())
    # Without a LIMIT, FT.SEARCH returns ten of the rows that KNN finds.
    rest = ("SORTBY", _DISTANCE, "LIMIT", 0, count, "PARAMS", 2, "vector", request.vector)
    call = redisearch.ft_search(scoped, query, ("t", "run", "w", _DISTANCE), *rest)
    reply, late = yield from redisearch.timed(redisearch.command(scoped, call))
    reasons = [*reply.reasons, *late]
    # The distance is 0 for the same direction, 2 for the opposite one; the score is from 0 to 1.
    rows = [replace(row, score=1 - _distance(row) / 2) for row in sorted(reply.rows, key=_distance)]
    if not scoped.schema.words_field and not request.query.is_blank:
        reasons.append(Reason("encrypted"))
    elif not request.query.is_blank and not request.query.is_hopeless:
        words = replace(request, cursor=Cursor(), limit=min(count, MOST))
        found = yield redisearch.command(replace(scoped, request=words))
        rows = _fused([rows, found.rows])
        reasons += found.reasons
    if waiting := (yield single("ZCARD", scoped.keys.unembedded())):
        reasons.append(Reason("not_embedded", waiting))
    return SearchReply(len(rows), rows[offset:end], reasons)


def recall_request(ref: ConversationRef, k: int, of: str) -> Request:
    """The search, still without its vector, for `k` runs of a conversation or of its owner."""
    if of not in SCOPES:
        raise ValueError(f"of must be one of {', '.join(SCOPES)}.")
    if of == "owner" and ref.owner is None:
        raise ValueError('of="owner" requires a driver that was opened with an owner.')
    filters = SearchFilters(owner=ref.owner, conversation=ref.id if of == "conversation" else None)
    return Request(Query(is_blank=True), filters, limit=k)


def too_many(alias: str, reasons: Reasons, of: str) -> RedisMisconfigured:
    why = explained(reasons)
    what = "all conversations of an owner" if of == "owner" else f"more than {FEW:,} runs"
    return RedisMisconfigured(f"Recalling from {what} needs RediSearch (alias {alias!r}). {why}")


def nearest(runs: Sequence[Run], vectors: Sequence[bytes], to: bytes, k: int) -> list[Run]:
    """The `k` runs whose vectors are most similar to another one."""
    wanted = array("f", to)

    def similarity(number: int) -> float:  # the cosine, as all vectors have length one
        return sum(x * y for x, y in zip(array("f", vectors[number]), wanted, strict=True))

    ranked = sorted(range(len(runs)), key=similarity, reverse=True)
    return [runs[number] for number in ranked[:k]]


def _distance(row: ReplyRow) -> float:
    return float(row.fields.get(_DISTANCE.encode(), b"2"))


def _fused(rankings: Sequence[list[ReplyRow]]) -> list[ReplyRow]:
    """The rows of several rankings as one, by reciprocal rank fusion with 60 as in the paper."""
    found: dict[tuple[bytes, bytes], ReplyRow] = {}
    for ranking in rankings:
        for rank, row in enumerate(ranking, 1):
            key = (row.token, row.suffix)
            score = found[key].score if key in found else 0
            found[key] = replace(found.get(key, row), score=score + 1 / (60 + rank))
    return sorted(found.values(), key=lambda row: -row.score)


def _callable(schema: Schema | None) -> Callable[[list[str]], Any]:
    if schema is None or schema.embed is None:
        raise ImproperlyConfigured(
            "Search by meaning needs EMBED in SEARCH: the dotted path of a callable that turns "
            "texts into vectors."
        )
    return import_string(schema.embed)  # type: ignore[no-any-return]


def _packed(schema: Schema | None, texts: Sequence[str], found: Any) -> list[bytes]:
    assert schema is not None  # without one, there is no callable
    rows = [[float(number) for number in row] for row in found]
    if len(rows) != len(texts) or any(len(row) != schema.dimensions for row in rows):
        raise ImproperlyConfigured(
            f"{schema.embed} must return one vector of {schema.dimensions} numbers (DIMENSIONS of "
            f"SEARCH) for each of {counted(len(texts), 'text')}."
        )
    packed = []
    for row in rows:
        length = math.hypot(*row)
        if not math.isfinite(length):
            raise ImproperlyConfigured(
                "The callable of EMBED returned a number that is not finite."
            )
        packed.append(array("f", [number / (length or 1) for number in row]).tobytes())
    return packed


def _text_to_embed(run: bytes | None, words: bytes | None) -> str:
    if run is None:  # too long for a copy in its document
        return (words or b"").decode("utf-8", "replace")
    try:
        return text_to_embed(decoded_runs([restored(run, words or b"")])[0])
    except Damaged:
        return ""
