"""A real QuerySet with rows from Redis, so that the admin's own views work on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import Any, Self

from django.core.exceptions import FieldError
from django.db.models import Model, Q, QuerySet
from django.db.models.query import BaseIterable

from ..browse import Extent, Finds, Span
from ..clock import milliseconds
from ..collection.summaries import Summary
from ..indexes import ConversationIndex, indexes
from ..keys import encode
from ..models import Conversation
from ..rendering import label
from ..search.results import Hit, SearchResults
from ..search_index.reasons import Reason
from .addresses import Address

# Each hit comes with its run, of about 1 kB.
MOST_HITS = 200


class _Rows(BaseIterable):  # type: ignore[type-arg]  # takes none at run time
    queryset: Any

    def __iter__(self) -> Iterator[Any]:
        rows, query = self.queryset, self.queryset.query
        if query.is_empty():
            return iter(())
        return iter(rows.source.rows(rows.selection, query.low_mark, query.high_mark))


class RedisQuerySet(QuerySet[Any]):
    """The rows of a `source` that match a `selection`.

    The source has the methods `count(selection)`, and `rows(selection, low, high)` for those from
    number `low` up to `high`, or to the end if that is None.
    """

    row_model: type[Model]
    source: Any
    selection: Any = None
    _chain: Callable[[], Any]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._iterable_class = _Rows

    @classmethod
    def of(cls, source: Any) -> Self:
        queryset = cls(cls.row_model)
        queryset.source = source
        return queryset

    def choose(self, keys: Iterable[str]) -> Self:
        """The rows with one of the primary `keys`."""
        raise NotImplementedError

    def filter(self, *args: Any, **kwargs: Any) -> Any:
        lookups = dict(_lookups(Q(*args, **kwargs)))
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
        total: int = self.source.count(self.selection)
        return max(0, min(total, total if high is None else high) - low)

    def exists(self) -> bool:
        return self.count() > 0

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone.source, clone.selection = self.source, self.selection
        return clone


def _lookups(condition: Q) -> Iterator[tuple[str, Any]]:
    if condition.negated or (condition.connector != Q.AND and len(condition) > 1):
        raise FieldError("Rows from Redis can only be filtered by primary keys.")
    for child in condition.children:
        if isinstance(child, Q):
            yield from _lookups(child)
        else:
            yield child  # type: ignore[misc]  # an expression fails as a lookup of another name


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSelection:
    """The conversations of an `index` that match all else, or only the `chosen` ones.

    `text` is searched for in ids, titles and messages; `start` is the number of conversations that
    the search skips because an earlier page has examined them.
    """

    index: Address | None = None
    owner: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    unreadable: bool = False
    start: int = 0
    chosen: tuple[Address, ...] | None = None

    @property
    def span(self) -> Span:
        return Span(
            owner=encode(self.owner) if self.owner else None,
            since=None if self.since is None else milliseconds(self.since),
            until=None if self.until is None else milliseconds(self.until),
        )

    @property
    def is_search(self) -> bool:
        return bool(self.text) or self.unreadable


class ListReader:
    """Reads selections for one request, each count and each search once.

    To the user, an alias that `may_see` denies does not exist.
    """

    def __init__(self, may_see: Callable[[str], bool]):
        self._may_see = may_see
        self.extent = cache(self._extent)
        self.finds = cache(self._finds)
        self.texts = cache(self._texts)

    def count(self, selection: ListSelection) -> int:
        if selection.chosen is not None:
            return len(self._chosen(selection.chosen))
        if selection.is_search:
            return len(self.finds(selection).ids)
        extent = self.extent(selection)
        # Conversations that the recency index does not have yet are on no page.
        missing = extent.unlisted if selection.span == Span() else 0
        return extent.conversations - missing

    def rows(self, selection: ListSelection, low: int, high: int | None) -> list[Conversation]:
        if selection.chosen is not None:
            return self._chosen(selection.chosen)[low:high]
        if not (index := self._index(selection)):
            return []
        if selection.is_search:
            found = _instances(index, index.glance(*self.finds(selection).ids[low:high]))
            hits = self._hits(selection)
            for conversation in found:
                conversation.found = hits.get(conversation.summary.id)
            return found
        limit = (self.count(selection) if high is None else high) - low
        return _instances(index, index.browse(selection.span, low, limit)) if limit > 0 else []

    def _extent(self, selection: ListSelection) -> Extent:
        index = self._index(selection)
        return index.extent(selection.span) if index else Extent(0)

    def _finds(self, selection: ListSelection) -> Finds:
        if not (index := self._index(selection)):
            return Finds([])
        self.extent(selection)  # adopts conversations that other programs wrote
        found = _find(index, selection)
        return replace(found, ids=list(dict.fromkeys([*found.ids, *self._hits(selection)])))

    def _hits(self, selection: ListSelection) -> dict[bytes, Hit]:
        """The best hit of each conversation by its id, best first."""
        found = self.texts(selection) or SearchResults([])
        return {encode(one.conversation_id): one.hits[0] for one in found.conversations}

    def _texts(self, selection: ListSelection) -> SearchResults | None:
        """The hits in messages; None where they were not searched."""
        index = self._index(selection)
        asks = selection.text and not (selection.unreadable or selection.start)
        if not index or not index.settings.search or not asks:
            return None
        try:
            return index.search(
                selection.text,
                owner=selection.owner or None,
                since=selection.since,
                until=selection.until,
                limit=MOST_HITS,
            )
        except ValueError as error:
            return SearchResults([], reasons=(Reason("invalid", detail=str(error)),))

    def _index(self, selection: ListSelection) -> ConversationIndex | None:
        address = selection.index
        return address.index() if address and self._sees(address) else None

    def _sees(self, address: Address) -> bool:
        return address.alias in indexes and self._may_see(address.alias)

    def _chosen(self, chosen: Iterable[Address]) -> list[Conversation]:
        seen = [address for address in chosen if self._sees(address)]
        found: list[Conversation] = []
        for address, group in groupby(seen, lambda address: address.of_index):
            ids = [member.conversation_id for member in group if member.conversation_id is not None]
            index = address.index()
            found += _instances(index, index.glance(*ids))
        return found


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
        chosen: list[Address] = []
        for key in keys:
            with suppress(ValueError):
                chosen.append(Address.parse(key))
        return self.select(chosen=tuple(chosen))

    def delete(self) -> tuple[int, dict[str, int]]:
        deleted = delete_rows(self)
        return deleted, {Conversation._meta.label: deleted}

    # As of Django's own: no template calls it, and a manager does not have it.
    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


def delete_rows(conversations: Iterable[Conversation]) -> int:
    """Returns the number of those that still existed."""
    return sum(
        address.index().delete(*(one.summary.id for one in group))
        for address, group in groupby(conversations, lambda one: one.address.of_index)
    )


def _find(index: ConversationIndex, selection: ListSelection) -> Finds:
    span, start, text = selection.span, selection.start, selection.text
    if selection.unreadable:
        found = index.find_unreadable(span, start=start)
        if not text:
            return found
        return replace(found, ids=[it.id for it in index.glance(*found.ids) if it.is_named(text)])
    found = index.find_named(text, span, start=start)
    # A conversation is found by its id however old it is.
    rows = [] if start or span.since or span.until else index.glance(text)
    exact = [row.id for row in rows if selection.owner in (None, row.record.owner)]
    return replace(found, ids=list(dict.fromkeys([*exact, *found.ids])))


def _instances(index: ConversationIndex, summaries: Iterable[Summary]) -> list[Conversation]:
    found = []
    for summary in summaries:
        address, record = Address(index.alias, index.name, summary.id), summary.record
        made = Conversation(
            id=str(address),
            alias=address.alias,
            index=address.name,
            conversation_id=label(summary.id),
            title=label(record.title),
            owner=label(record.owner or ""),
            runs=record.runs,
            size=summary.bytes,
            created=record.created,
            updated=record.updated,
            expires=record.expires,
        )
        made._state.adding = False  # or Django takes it for one that is not stored yet
        made.address, made.summary = address, summary
        found.append(made)
    return found
