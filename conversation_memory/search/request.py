"""One search: its query, its filters, and the cursor of its next page."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import Any

from django.utils import timezone

from ..keys import Id, encode
from ..layouts import Layout
from ..search_index.schema import SEPARATOR, Schema, finite
from ..search_index.tokens import Words, tag
from .query import ALL, Query

ORDERS = ("relevance", "-time", "time")
MOST = 1000

_CURSOR = re.compile(r"([is])(\d{1,9})-(\d{0,15})-([\w.-]{0,1500})", re.ASCII).fullmatch

_SHARDS = re.compile(r"m[\w.:~-]{1,500000}", re.ASCII).fullmatch

_LOOKUPS = {
    "tag": ("exact", "in"),
    "numeric": ("exact", "gt", "gte", "lt", "lte"),
    "text": ("exact",),
}
# Each lookup as a range in RediSearch's language and as a comparison of two numbers.
_RANGES: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "exact": ("[{0} {0}]", operator.eq),
    "gt": ("[({0} +inf]", operator.gt),
    "gte": ("[{0} +inf]", operator.ge),
    "lt": ("[-inf ({0}]", operator.lt),
    "lte": ("[-inf {0}]", operator.le),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a field of documents, in RediSearch's language and as a test of its value.

    RediSearch may find more than what satisfies it unless it `is_exact`. In its language, it is one
    for the documents of a schema: digests differ between the shards of an index.
    """

    field: str
    redisearch: Callable[[Schema], str]
    matches: Callable[[bytes], bool]
    is_exact: bool = True
    is_hopeless: bool = False


@dataclass(frozen=True, slots=True)
class SearchFilters:
    """The conditions on a run besides its text. Times are in ms; `until` itself is excluded."""

    owner: bytes | None = None
    since: int | None = None
    until: int | None = None
    where: tuple[Condition, ...] = ()
    conversation: bytes | None = None

    @property
    def is_exact(self) -> bool:
        """True if everything that RediSearch finds satisfies them."""
        return all(condition.is_exact for condition in self.where)

    @property
    def is_hopeless(self) -> bool:
        is_empty = self.until is not None and (self.since or 0) >= self.until
        return is_empty or any(condition.is_hopeless for condition in self.where)

    @property
    def fields(self) -> set[str]:
        """The fields of documents that they look at."""
        return {condition.field for condition in self.where}

    def before(self, until: int) -> SearchFilters:
        return replace(self, until=until if self.until is None else min(until, self.until))

    def redisearch(self, schema: Schema) -> Iterator[str]:
        """The conditions in RediSearch's language, except owner and conversation."""
        if self.since is not None or self.until is not None:
            end = "+inf" if self.until is None else f"({self.until}"
            yield f"@t:[{'-inf' if self.since is None else self.since} {end}]"
        yield from (condition.redisearch(schema) for condition in self.where)

    def matches(self, values: Mapping[str, bytes]) -> bool:
        """True if values of FIELDS, as `Schema.plain_values()` has them, satisfy `where`."""
        return all(condition.matches(values.get(condition.field, b"")) for condition in self.where)

    def confirms(self, values: Mapping[str, bytes]) -> bool:
        """True if values of a document that RediSearch found satisfy what it does not tell."""
        inexact = (condition for condition in self.where if not condition.is_exact)
        return all(condition.matches(values.get(condition.field, b"")) for condition in inexact)

    def covers(self, milliseconds: int) -> bool:
        is_after = self.since is None or milliseconds >= self.since
        return is_after and (self.until is None or milliseconds < self.until)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page of hits begins: after `offset` hits.

    With RediSearch and `-time`, `newest` is the time in ms of the newest hit: a later run would
    shift the pages, and so does one that arrives within the same ms.

    Of an index with SHARDS, `shards` are the cursors in each of them, as text.

    In a scan, the hits are those of a part of the index: of the `count` conversations, 0 if
    unknown, that `recent()` lists `before` a cursor of its own.
    """

    offset: int = 0
    newest: int = 0
    count: int = 0
    before: str = ""
    is_scan: bool = False
    shards: str = ""

    def __str__(self) -> str:
        if self.shards:
            return f"m{self.shards}"
        if self.is_scan:
            return f"s{self.offset}-{self.count}-{self.before}"
        return f"i{self.offset}-{self.newest}-"

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """Raises ValueError for a text that is not the `next` of a search."""
        if text is None:
            return cls()
        if _SHARDS(text):
            return cls(shards=text[1:])
        if not (parts := _CURSOR(text)):
            raise ValueError(f"{text[:100]!r} is not a cursor of a search.")
        offset, number = int(parts[2]), int(parts[3] or 0)
        if parts[1] == "s":
            return cls(offset, count=number, before=parts[4], is_scan=True)
        return cls(offset, newest=number)


@dataclass(frozen=True, slots=True)
class Request:
    """A valid search. Raises ValueError for an invalid one.

    If it `suggests`, similar words are looked for where nothing is found.
    """

    query: Query
    filters: SearchFilters
    order_by: str = "relevance"
    limit: int = 20
    cursor: Cursor = Cursor()
    vector: bytes | None = None
    suggests: bool = True

    @classmethod
    def of(
        cls,
        layout: Layout,
        text: str,
        owner: Id | None,
        since: date | None,
        until: date | None,
        where: Mapping[str, Any] | None,
        conversation: Id | None,
        order_by: str = "relevance",
        limit: int = 20,
        after: str | None = None,
    ) -> Request:
        if owner in ("", b""):
            raise ValueError("owner must not be empty; for all owners, give None.")
        filters = SearchFilters(
            None if owner is None else encode(owner),
            None if since is None else _milliseconds(since),
            None if until is None else _milliseconds(until),
            tuple(_conditions(layout.alias, layout.schema, where or {})),
            None if conversation is None else encode(conversation),
        )
        schema = layout.schema
        words, has_calls = (schema.words, schema.tool_calls) if schema else (Words(), False)
        # Where documents have no words, conversations are read: then all of them count.
        parts = (schema.parts if schema else None) or ALL
        query = Query.parse(text, words, tool_calls=has_calls, parts=parts)
        return cls(query, filters, order_by, limit, Cursor.parse(after))

    def __post_init__(self) -> None:
        if self.order_by not in ORDERS:
            raise ValueError(f"order_by must be one of {', '.join(ORDERS)}.")
        if not 1 <= self.limit <= MOST:
            raise ValueError(f"limit must be from 1 to {MOST:,}.")

    @property
    def is_exact(self) -> bool:
        """True if everything that RediSearch finds matches."""
        return self.query.is_exact and self.filters.is_exact

    @property
    def is_hopeless(self) -> bool:
        without_like = self.query.is_hopeless and self.vector is None
        return without_like or self.filters.is_hopeless

    @property
    def by_relevance(self) -> bool:
        return self.order_by == "relevance" and not self.query.is_blank


def _conditions(alias: str, schema: Schema | None, where: Mapping[str, Any]) -> Iterator[Condition]:
    fields = schema.fields if schema else {}
    for key, value in where.items():
        name, _, lookup = key.rpartition("__")
        if key in fields or not name:
            name, lookup = key, "exact"
        if schema is None or name not in fields:
            known = ", ".join(map(repr, fields)) or "none"
            raise ValueError(
                f"where names {name[:100]!r}, which is not among the FIELDS of SEARCH of alias "
                f"{alias!r}; choose from {known}."
            )
        field, kind = schema.field(name)
        if lookup not in _LOOKUPS[kind]:
            raise ValueError(
                f"where has {key[:100]!r}, but the lookups of a {kind!r} field are "
                f"{', '.join(_LOOKUPS[kind])} (alias {alias!r})."
            )
        if kind == "tag":
            yield _tag_condition(schema, name, lookup, value)
        elif kind == "numeric":
            yield _range_condition(name, field, lookup, value)
        else:
            yield _text_condition(name, field, value, schema.words)


def _tag_condition(schema: Schema, name: str, lookup: str, value: Any) -> Condition:
    """One of the tags of a run is one of those in `value`."""
    several = lookup == "in" or isinstance(value, list | tuple | set)
    values = [*value] if several else [value]
    if not all(isinstance(item, str | int | float) for item in values):
        raise ValueError(f"In where, {name!r} must be compared with a string or a number.")
    tags = [*filter(None, map(tag, values))]

    def matches(value: bytes) -> bool:
        return not {*tags}.isdisjoint(value.decode().split(SEPARATOR))

    field, _ = schema.field(name)

    def expression(schema: Schema) -> str:
        return f"@{field}:{{{'|'.join(it for tag in tags for it in schema.sought(name, tag))}}}"

    return Condition(field, expression, matches, is_hopeless=not tags)


def _range_condition(name: str, field: str, lookup: str, value: Any) -> Condition:
    number = finite(value)
    if number is None:
        raise ValueError(f"In where, {name!r} must be compared with a finite int or float.")
    expression, compare = _RANGES[lookup]

    def matches(value: bytes) -> bool:
        return value != b"" and compare(float(value), number)

    text = f"@{field}:{expression.format(repr(number))}"
    return Condition(field, lambda _: text, matches)


def _text_condition(name: str, field: str, value: Any, words: Words) -> Condition:
    if not isinstance(value, str):
        raise ValueError(f"In where, {name!r} must be compared with a string.")
    query = Query.parse(value, words)

    def matches(value: bytes) -> bool:
        return query.matches(value.decode())

    expression = query.redisearch(field)
    return Condition(field, lambda _: expression, matches, query.is_exact, query.is_hopeless)


def _milliseconds(moment: date) -> int:
    """Of a datetime, or of the beginning of a day in the current time zone."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time.min)
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment)
    return math.ceil(moment.timestamp() * 1000)
