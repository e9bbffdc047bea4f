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
class Condition:
    """A condition on a field of documents, in RediSearch's language and as a test of its value.

    RediSearch may find more than what satisfies it unless it `is_exact`.
    """

    field: str
    redisearch: str
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
        return hopeless or any(condition.is_hopeless for condition in self.where)

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
        yield from filter(None, (condition.redisearch for condition in self.where))

    def matches(self, values: Mapping[str, bytes]) -> bool:
        """True if values of FIELDS, as documents hold them, satisfy `where`."""
        return all(condition.matches(values.get(condition.field, b"")) for condition in self.where)

    def covers(self, milliseconds: int) -> bool:
        """True if a time is within them."""
        after = self.since is None or milliseconds >= self.since
        return after and (self.until is None or milliseconds < self.until)


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
            yield _tag_condition(field, _tags(name, lookup, value))
        elif kind == "numeric":
            yield _range_condition(field, lookup, _finite(name, value))
        else:
            yield _text_condition(field, Query.parse(_text(name, value), schema.words))


def _tag_condition(field: str, tags: tuple[str, ...]) -> Condition:
    """One of the tags of a run is one of `tags`."""

    def matches(value: bytes) -> bool:
        return not {*tags}.isdisjoint(value.decode().split(SEPARATOR))

    return Condition(field, f"@{field}:{{{'|'.join(tags)}}}", matches, is_hopeless=not tags)


def _range_condition(field: str, lookup: str, number: float) -> Condition:
    expression, compare = _RANGES[lookup]

    def matches(value: bytes) -> bool:
        return value != b"" and compare(float(value), number)

    return Condition(field, f"@{field}:{expression.format(repr(number))}", matches)


def _text_condition(field: str, query: Query) -> Condition:
    def matches(value: bytes) -> bool:
        return query.matches(value.decode())

    expression = query.redisearch(field)
    return Condition(field, expression, matches, query.is_exact, query.is_hopeless)


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
