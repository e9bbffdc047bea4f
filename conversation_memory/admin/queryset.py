"""A real QuerySet whose rows come from Redis, so that the admin's own views work on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import FieldError
from django.db.models import Q, QuerySet

from ..models import Conversation
from .addresses import Address
from .selections import Reader, Selection


class _Rows:
    """What a QuerySet iterates over, in place of the rows of a table."""

    def __init__(self, queryset: ConversationQuerySet, **kwargs: Any):
        self.queryset = queryset

    def __iter__(self) -> Iterator[Conversation]:
        query = self.queryset.query
        if query.is_empty():
            return iter(())
        selection = self.queryset.selection
        return iter(self.queryset.reader.rows(selection, query.low_mark, query.high_mark))


class ConversationQuerySet(QuerySet[Conversation]):
    """Conversations in Redis, newest first. It filters by primary key and by `select()` only."""

    reader: Reader
    selection = Selection()

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._iterable_class = _Rows

    @classmethod
    def of(cls, reader: Reader) -> ConversationQuerySet:
        queryset = cls(Conversation)
        queryset.reader = reader
        return queryset

    def select(self, **changes: Any) -> ConversationQuerySet:
        """Those that fit as well; `changes` are fields of Selection."""
        clone = self._chain()
        clone.selection = self.selection.but(**changes)
        return clone

    def filter(self, *args: Any, **kwargs: Any) -> ConversationQuerySet:
        lookups = {**dict(_flat(args)), **kwargs}
        if not lookups:
            return self._chain()
        name, value = lookups.popitem()
        if lookups or name not in ("pk", "id", "pk__in", "id__in"):
            raise FieldError(f"Conversations cannot be filtered by {name!r}.")
        keys = value if name.endswith("__in") else [value]
        return self.select(chosen=tuple(_parsed(keys)))

    def exclude(self, *args: Any, **kwargs: Any) -> Any:
        raise FieldError("Conversations cannot be excluded.")

    def count(self) -> int:
        if self._result_cache is not None:
            return len(self._result_cache)
        if self.query.is_empty():
            return 0
        low, high = self.query.low_mark, self.query.high_mark
        count = self.reader.count(self.selection)
        return max(0, min(count, count if high is None else high) - low)

    def exists(self) -> bool:
        return self.count() > 0

    def delete(self) -> tuple[int, dict[str, int]]:
        deleted = self.reader.delete(self)
        return deleted, {Conversation._meta.label: deleted}

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _clone(self) -> ConversationQuerySet:
        clone: ConversationQuerySet = super()._clone()  # type: ignore[misc]
        clone.reader, clone.selection = self.reader, self.selection
        return clone


def _flat(conditions: Any) -> Iterator[tuple[str, Any]]:
    """The lookups of Q objects that want them all, or only one."""
    for condition in conditions:
        if not isinstance(condition, Q):
            yield condition
        elif condition.negated or (condition.connector != Q.AND and len(condition) > 1):
            raise FieldError("Conversations are filtered by their primary keys only.")
        else:
            yield from _flat(condition.children)


def _parsed(keys: Any) -> Iterator[Address]:
    """The addresses of primary keys; one that is none belongs to no conversation."""
    for key in keys:
        try:
            address = Address.parse(str(key))
        except ValueError:
            continue
        if address.conversation_id is not None:
            yield address
