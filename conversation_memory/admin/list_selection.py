"""The conversations that a page of the admin is about, and reading them once for each request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import Any

from ..browse.queries import Extent, Finds, Span
from ..collection.summaries import Summary
from ..indexes import ConversationIndex, indexes
from ..keys import encode
from ..models import Conversation
from ..rendering import label
from .addresses import Address

# Each hit comes with its run, of about 1 kB.
MOST_HITS = 200


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
        owner = encode(self.owner) if self.owner else None
        since, until = (
            None if time is None else round(time.timestamp() * 1000)
            for time in (self.since, self.until)
        )
        return Span(owner=owner, since=since, until=until)

    @property
    def is_search(self) -> bool:
        return bool(self.text) or self.unreadable


@dataclass(frozen=True, slots=True)
class TextFinds:
    """The best hit of each conversation by its id, best first.

    `total` runs were found, and `shown` of them are among these. `reason` says why there may be
    more.
    """

    hits: dict[bytes, Any]
    total: int = 0
    shown: int = 0
    reason: str = ""


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
            return len(self.rows(selection, 0, None))
        if selection.is_search:
            return len(self.finds(selection).ids)
        extent = self.extent(selection)
        # Conversations that the recency index does not have yet are on no page.
        missing = extent.unlisted if selection.span == Span() else 0
        return extent.conversations - missing

    def rows(self, selection: ListSelection, low: int, high: int | None) -> list[Conversation]:
        """The conversations from number `low` up to `high`, or to the end if that is None."""
        if selection.chosen is not None:
            return self._chosen(selection.chosen)[low:high]
        if not (index := self._index(selection)):
            return []
        if selection.is_search:
            return self._found(index, selection, self.finds(selection).ids[low:high])
        limit = (self.count(selection) if high is None else high) - low
        return _instances(index, index.browse(selection.span, low, limit)) if limit > 0 else []

    def delete(self, conversations: Iterable[Conversation]) -> int:
        """Returns the number of those that still existed."""
        return sum(
            address.index().delete(*(one.summary.id for one in group))
            for address, group in groupby(conversations, lambda one: one.address.of_index)
        )

    def _extent(self, selection: ListSelection) -> Extent:
        index = self._index(selection)
        return index.extent(selection.span) if index else Extent(0)

    def _finds(self, selection: ListSelection) -> Finds:
        if not (index := self._index(selection)):
            return Finds([])
        self.extent(selection)  # adopts conversations that other programs wrote
        found = _find(index, selection)
        texts = self.texts(selection)
        ids = dict.fromkeys([*found.ids, *(texts.hits if texts else ())])
        return replace(found, ids=list(ids))

    def _texts(self, selection: ListSelection) -> TextFinds | None:
        """The hits in messages; None where they were not searched."""
        index = self._index(selection)
        asks = selection.text and not (selection.unreadable or selection.start)
        return full_text(index, selection) if index and asks else None

    def _found(
        self, index: ConversationIndex, selection: ListSelection, ids: list[bytes]
    ) -> list[Conversation]:
        found = _instances(index, index.glance(*ids))
        if texts := self.texts(selection):
            for conversation in found:
                conversation.found = texts.hits.get(conversation.summary.id)
        return found

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


def full_text(index: ConversationIndex, selection: ListSelection) -> TextFinds | None:
    """The conversations with the text in a message; None if the index has no search."""
    if index.settings.search is None:
        return None
    try:
        results = index.search(
            selection.text,
            owner=selection.owner or None,
            since=selection.since,
            until=selection.until,
            limit=MOST_HITS,
        )
    except ValueError as error:
        return TextFinds({}, reason=str(error))
    hits = {encode(found.conversation_id): found.hits[0] for found in results.conversations}
    return TextFinds(hits, results.total, len(results), results.reason)


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


def _instances(index: ConversationIndex, found: Sequence[Summary]) -> list[Conversation]:
    return [_instance(Address(index.alias, index.name, one.id), one) for one in found]


def _instance(address: Address, summary: Summary) -> Conversation:
    record = summary.record
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
    made._state.adding = False
    made.address, made.summary = address, summary
    return made
