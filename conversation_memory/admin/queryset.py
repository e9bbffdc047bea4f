"""A real QuerySet with rows from Redis, so that the admin's own views work on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

from django.core.exceptions import FieldError
from django.db.models import Model, Q, QuerySet

from ..models import Conversation
from .addresses import Address
from .list_selection import ListReader, ListSelection


class _Rows:
    """An iterable class of a QuerySet, in place of the one that reads a table."""

    def __init__(self, queryset: RedisQuerySet, **kwargs: Any):
        self.queryset = queryset

    def __iter__(self) -> Iterator[Any]:
        query = self.queryset.query
        if query.is_empty():
            return iter(())
        return iter(self.queryset.rows(query.low_mark, query.high_mark))


class RedisQuerySet(QuerySet[Any]):
    """A QuerySet with `rows()` and their `total()` from a `source`, narrowed by a `selection`."""

    row_model: type[Model]
    source: Any
    selection: Any = None
    _chain: Callable[[], Any]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._iterable_class = _Rows  # type: ignore[assignment]

    @classmethod
    def of(cls, source: Any) -> Self:
        queryset = cls(cls.row_model)
        queryset.source = source
        return queryset

    def rows(self, low: int, high: int | None) -> Sequence[Any]:
        """The rows from number `low` up to `high`, or to the end if that is None."""
        raise NotImplementedError

    def total(self) -> int:
        raise NotImplementedError

    def choose(self, keys: Iterable[str]) -> Self:
        """The rows with one of the primary `keys`."""
        raise NotImplementedError

    def filter(self, *args: Any, **kwargs: Any) -> Any:
        lookups = {**dict(_flat(args)), **kwargs}
        if not lookups:
            return self._chain()
        name, value = lookups.popitem()
        if lookups or name not in ("pk", "id", "pk__in", "id__in"):
            raise FieldError(f"Rows from Redis cannot be filtered by {name!r}.")
        return self.choose(map(str, value if name.endswith("__in") else [value]))

    def exclude(self, *args: Any, **kwargs: Any) -> Any:
        raise FieldError("Rows from Redis cannot be excluded.")

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

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone.source, clone.selection = self.source, self.selection
        return clone


class ConversationQuerySet(RedisQuerySet):
    """Conversations, newest first, filtered by primary keys and by `select()`."""

    row_model = Conversation
    source: ListReader
    selection = ListSelection()

    def select(self, **changes: Any) -> Self:
        """Narrow the selection; `changes` are fields of ListSelection."""
        clone: Self = self._chain()
        clone.selection = replace(self.selection, **changes)
        return clone

    def choose(self, keys: Iterable[str]) -> Self:
        return self.select(chosen=tuple(_parsed(keys)))

    def rows(self, low: int, high: int | None) -> Sequence[Conversation]:
        return self.source.rows(self.selection, low, high)

    def total(self) -> int:
        return self.source.count(self.selection)

    def delete(self) -> tuple[int, dict[str, int]]:
        deleted = self.source.delete(self)
        return deleted, {Conversation._meta.label: deleted}

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


def _flat(conditions: Any) -> Iterator[tuple[str, Any]]:
    """The lookups of Q objects that join them by AND, or have only one."""
    for condition in conditions:
        if not isinstance(condition, Q):
            yield condition
        elif condition.negated or (condition.connector != Q.AND and len(condition) > 1):
            raise FieldError("Rows from Redis can only be filtered by primary keys.")
        else:
            yield from _flat(condition.children)


def _parsed(keys: Iterable[str]) -> Iterator[Address]:
    """The addresses of primary keys, without the malformed ones."""
    for key in keys:
        try:
            address = Address.parse(key)
        except ValueError:
            continue
        if address.conversation_id is not None:
            yield address
