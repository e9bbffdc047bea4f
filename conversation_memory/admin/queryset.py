"""A real QuerySet whose rows come from Redis, so that the admin's own views work on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.core.exceptions import FieldError
from django.db.models import Q, QuerySet

from ..models import Conversation, Index
from .addresses import Address
from .overview import Overview
from .selections import Reader, Selection


class _Rows:
    """What a QuerySet iterates over, in place of the rows of a table."""

    def __init__(self, queryset: RedisQuerySet, **kwargs: Any):
        self.queryset = queryset

    def __iter__(self) -> Iterator[Any]:
        query = self.queryset.query
        if query.is_empty():
            return iter(())
        return iter(self.queryset.rows(query.low_mark, query.high_mark))


class RedisQuerySet(QuerySet[Any]):
    """A QuerySet whose rows come from `rows()`, and their number from `total()`."""

    _chain: Callable[[], Any]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._iterable_class = _Rows  # type: ignore[assignment]

    def rows(self, low: int, high: int | None) -> Sequence[Any]:
        """The rows from number `low` on and before `high`, which None leaves open."""
        raise NotImplementedError

    def total(self) -> int:
        raise NotImplementedError

    def filter(self, *args: Any, **kwargs: Any) -> Any:
        lookups = {**dict(_flat(args)), **kwargs}
        if not lookups:
            return self._chain()
        name, value = lookups.popitem()
        if lookups or name not in ("pk", "id", "pk__in", "id__in"):
            raise FieldError(f"What is in Redis cannot be filtered by {name!r}.")
        return self.choose(map(str, value if name.endswith("__in") else [value]))

    def choose(self, keys: Iterable[str]) -> Any:
        """Those with one of the primary `keys`."""
        raise NotImplementedError

    def exclude(self, *args: Any, **kwargs: Any) -> Any:
        raise FieldError("What is in Redis cannot be filtered by what it is not.")

    def count(self) -> int:
        if self._result_cache is not None:
            return len(self._result_cache)
        if self.query.is_empty():
            return 0
        low, high = self.query.low_mark, self.query.high_mark
        total = self.total()
        return max(0, min(total, total if high is None else high) - low)

    def exists(self) -> bool:
        return self.count() > 0


class ConversationQuerySet(RedisQuerySet):
    """Conversations, newest first. Beside primary keys, it filters by `select()`."""

    reader: Reader
    selection = Selection()

    @classmethod
    def of(cls, reader: Reader) -> ConversationQuerySet:
        queryset = cls(Conversation)
        queryset.reader = reader
        return queryset

    def select(self, **changes: Any) -> ConversationQuerySet:
        """Those that fit as well; `changes` are fields of Selection."""
        clone: ConversationQuerySet = self._chain()
        clone.selection = self.selection.but(**changes)
        return clone

    def choose(self, keys: Iterable[str]) -> ConversationQuerySet:
        return self.select(chosen=tuple(_parsed(keys)))

    def rows(self, low: int, high: int | None) -> Sequence[Conversation]:
        return self.reader.rows(self.selection, low, high)

    def total(self) -> int:
        return self.reader.count(self.selection)

    def delete(self) -> tuple[int, dict[str, int]]:
        deleted = self.reader.delete(self)
        return deleted, {Conversation._meta.label: deleted}

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _clone(self) -> ConversationQuerySet:
        clone: ConversationQuerySet = super()._clone()  # type: ignore[misc]
        clone.reader, clone.selection = self.reader, self.selection
        return clone


class IndexQuerySet(RedisQuerySet):
    """Indexes, in the order of settings."""

    overview: Overview
    chosen: tuple[str, ...] | None = None

    @classmethod
    def of(cls, overview: Overview) -> IndexQuerySet:
        queryset = cls(Index)
        queryset.overview = overview
        return queryset

    def choose(self, keys: Iterable[str]) -> IndexQuerySet:
        clone: IndexQuerySet = self._chain()
        clone.chosen = tuple(keys)
        return clone

    def rows(self, low: int, high: int | None) -> Sequence[Index]:
        return self.overview.rows(self._addresses()[low:high])

    def total(self) -> int:
        return len(self._addresses())

    def _addresses(self) -> list[Address]:
        found, chosen = self.overview.addresses, self.chosen
        return found if chosen is None else [one for one in found if str(one) in chosen]

    def _clone(self) -> IndexQuerySet:
        clone: IndexQuerySet = super()._clone()  # type: ignore[misc]
        clone.overview, clone.chosen = self.overview, self.chosen
        return clone


def _flat(conditions: Any) -> Iterator[tuple[str, Any]]:
    """The lookups of Q objects that want them all, or only one."""
    for condition in conditions:
        if not isinstance(condition, Q):
            yield condition
        elif condition.negated or (condition.connector != Q.AND and len(condition) > 1):
            raise FieldError("What is in Redis is filtered by primary keys only.")
        else:
            yield from _flat(condition.children)


def _parsed(keys: Iterable[str]) -> Iterator[Address]:
    """The addresses of primary keys; one that is none belongs to no conversation."""
    for key in keys:
        try:
            address = Address.parse(key)
        except ValueError:
            continue
        if address.conversation_id is not None:
            yield address
