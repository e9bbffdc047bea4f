"""The filters of a search: owner, times, values of FIELDS, conversation."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import Any

from django.utils import timezone

from ..keys import Id, encode
from ..layouts import Layout
from ..search_index.schema import SEPARATOR, Schema, finite
from ..search_index.tokens import tag
from .query import Query

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
class Tagged:
    """A tag equals one of some values."""

    field: str
    values: tuple[str, ...]
    is_exact = True

    def redisearch(self) -> str:
        return f"@{self.field}:{{{'|'.join(self.values)}}}"

    def matches(self, value: bytes | None) -> bool:
        return not {*self.values}.isdisjoint((value or b"").decode().split(SEPARATOR))


@dataclass(frozen=True, slots=True)
class Between:
    """A number is in a range."""

    field: str
    lookup: str
    number: float
    is_exact = True

    def redisearch(self) -> str:
        return f"@{self.field}:{_RANGES[self.lookup][0].format(repr(self.number))}"

    def matches(self, value: bytes | None) -> bool:
        return value is not None and _RANGES[self.lookup][1](float(value), self.number)


@dataclass(frozen=True, slots=True)
class Worded:
    """A text matches a query."""

    field: str
    query: Query

    @property
    def is_exact(self) -> bool:
        return self.query.is_exact

    def redisearch(self) -> str:
        return self.query.redisearch(self.field)

    def matches(self, value: bytes | None) -> bool:
        return self.query.matches((value or b"").decode())


Condition = Tagged | Between | Worded


@dataclass(frozen=True, slots=True)
class SearchFilters:
    """The conditions on a run besides its text. Times are in ms; `until` itself is excluded."""

    owner: bytes | None = None
    since: int | None = None
    until: int | None = None
    where: tuple[Condition, ...] = ()
    conversation: bytes | None = None

    @classmethod
    def of(
        cls,
        layout: Layout,
        owner: Id | None,
        since: date | None,
        until: date | None,
        where: Mapping[str, Any] | None,
        conversation: Id | None,
    ) -> SearchFilters:
        """The filters that a caller gave. Raises ValueError for invalid ones."""
        if owner in ("", b""):
            raise ValueError("owner must not be empty; for all owners, give None.")
        return cls(
            None if owner is None else encode(owner),
            None if since is None else _milliseconds(since),
            None if until is None else _milliseconds(until),
            tuple(_conditions(layout.alias, layout.schema, where or {})),
            None if conversation is None else encode(conversation),
        )

    @property
    def is_exact(self) -> bool:
        """True if everything that RediSearch finds satisfies them."""
        return all(condition.is_exact for condition in self.where)

    @property
    def is_hopeless(self) -> bool:
        """True if nothing can satisfy them."""
        hopeless = (self.since or 0) >= self.until if self.until is not None else False
        return hopeless or any(_is_hopeless(condition) for condition in self.where)

    @property
    def fields(self) -> set[str]:
        """The fields of documents that they look at."""
        return {condition.field for condition in self.where}

    def before(self, until: int) -> SearchFilters:
        return replace(self, until=until if self.until is None else min(until, self.until))

    def redisearch(self) -> Iterator[str]:
        """The conditions in RediSearch's language, except owner and conversation."""
        if self.since is not None or self.until is not None:
            end = "+inf" if self.until is None else f"({self.until}"
            yield f"@t:[{'-inf' if self.since is None else self.since} {end}]"
        yield from filter(None, (condition.redisearch() for condition in self.where))

    def matches(self, values: Mapping[str, bytes]) -> bool:
        """True if values of FIELDS, as documents hold them, satisfy `where`."""
        return all(condition.matches(values.get(condition.field)) for condition in self.where)

    def covers(self, milliseconds: int) -> bool:
        """True if a time is within them."""
        after = self.since is None or milliseconds >= self.since
        return after and (self.until is None or milliseconds < self.until)


def _is_hopeless(condition: Condition) -> bool:
    if isinstance(condition, Worded):
        return condition.query.is_hopeless
    return isinstance(condition, Tagged) and not condition.values


def _conditions(alias: str, schema: Schema | None, where: Mapping[str, Any]) -> Iterator[Condition]:
    fields = schema.fields if schema else {}
    for key, value in where.items():
        name, lookup = (key, "exact") if key in fields else _parted(key)
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
            yield Tagged(field, _tags(name, lookup, value))
        elif kind == "numeric":
            yield Between(field, lookup, _finite(name, value))
        else:
            yield Worded(field, Query.parse(_text(name, value), schema.words))


def _parted(key: str) -> tuple[str, str]:
    name, _, lookup = key.rpartition("__")
    return (name, lookup) if name else (key, "exact")


def _tags(name: str, lookup: str, value: Any) -> tuple[str, ...]:
    values = value if lookup == "in" or isinstance(value, list | tuple | set) else [value]
    return tuple(filter(None, (tag(_plain(name, item)) for item in values)))


def _plain(name: str, value: Any) -> str | float:
    if isinstance(value, str | int | float):
        return value
    raise ValueError(f"In where, {name!r} must be compared with a string or a number.")


def _finite(name: str, value: Any) -> float:
    number = finite(value)
    if number is not None:
        return number
    raise ValueError(f"In where, {name!r} must be compared with a finite int or float.")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"In where, {name!r} must be compared with a string.")
    return value


def _milliseconds(moment: date) -> int:
    """Of a datetime, or of the beginning of a day in the current time zone."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time.min)
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment)
    return math.ceil(moment.timestamp() * 1000)
