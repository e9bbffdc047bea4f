"""Vectors of texts, by the callable that SEARCH names in EMBED."""

from __future__ import annotations

import math
from array import array
from collections.abc import Awaitable, Callable, Sequence
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from ..exceptions import Damaged
from ..keys import Keys
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from ..runs import Run
from ..search_index.documents import text_of
from ..search_index.schema import Schema
from ..wire import loads

EMBED = Script("embed")

BATCH = 64

Embedder = Callable[[list[str]], Any]


@sensitive_variables()
def vectors(schema: Schema | None, texts: Sequence[str]) -> list[bytes]:
    """The vector of each text as documents hold it: of 32-bit floats, of length one."""
    embed = _callable(schema)
    call = async_to_sync(embed) if iscoroutinefunction(embed) else embed
    return _packed(schema, texts, call([*texts]))


@sensitive_variables()
async def avectors(schema: Schema | None, texts: Sequence[str]) -> list[bytes]:
    """See vectors()."""
    embed = _callable(schema)
    call: Callable[[list[str]], Awaitable[Any]] = (
        embed if iscoroutinefunction(embed) else sync_to_async(embed, thread_sensitive=False)
    )
    return _packed(schema, texts, await call([*texts]))


def cosine(a: bytes, b: bytes) -> float:
    """How alike two vectors are, from -1 to 1."""
    return sum(x * y for x, y in zip(array("f", a), array("f", b), strict=True))


def text_to_embed(run: Run) -> str:
    """What a run is about: its input and its output."""
    return "\n\n".join(filter(None, (text_of(run.input), text_of(run.output))))


def waiting(keys: Keys, limit: int) -> Operation[list[tuple[bytes, str]]]:
    """Search documents without a vector, those that wait longest first, and their texts."""
    names = yield single("ZRANGE", keys.unembedded(), 0, limit - 1)
    if not names:
        return []
    found = yield [single("HMGET", name, "run", "w", otherwise=[None, None]) for name in names]
    return [(name, _text(*fields)) for name, fields in zip(names, found, strict=True)]


def put(keys: Keys, names: Sequence[bytes], packed: Sequence[bytes]) -> Operation[int]:
    """Write vectors into the documents that are still there. Returns how many those were."""
    return int((yield Command((EMBED.call([keys.unembedded(), *names], packed),))))


def _callable(schema: Schema | None) -> Embedder:
    if schema is None or schema.embed is None:
        raise ImproperlyConfigured(
            "Searching by meaning needs EMBED in SEARCH: the dotted path of a callable that makes "
            "vectors of texts."
        )
    return import_string(schema.embed)  # type: ignore[no-any-return]


def _packed(schema: Schema | None, texts: Sequence[str], found: Any) -> list[bytes]:
    assert schema is not None  # or there were no callable
    rows = [[float(number) for number in row] for row in found]
    if len(rows) != len(texts) or any(len(row) != schema.dimensions for row in rows):
        raise ImproperlyConfigured(
            f"{schema.embed} was given {len(texts)} texts and did not return as many vectors of "
            f"{schema.dimensions} numbers, the DIMENSIONS of SEARCH."
        )
    return [_unit(row) for row in rows]


def _unit(row: list[float]) -> bytes:
    length = math.hypot(*row)
    if not math.isfinite(length):
        raise ImproperlyConfigured("The callable of EMBED returned what is no finite number.")
    return array("f", [number / (length or 1) for number in row]).tobytes()


def _text(run: bytes | None, words: bytes | None) -> str:
    """Of a run that is too long to be kept twice, its words have to do."""
    if run is None:
        return (words or b"").decode("utf-8", "replace")
    try:
        return text_to_embed(Run.from_dict(loads(run)))
    except Damaged:
        return ""
