"""Which conversations an admin page is about, and reading them once for each request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ..browse.queries import Extent, Finds, Span, Summary
from ..indexes import ConversationIndex, indexes
from ..keys import encode
from ..models import Conversation
from ..rendering import label
from .addresses import Address
from .full_text import TextFinds, full_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Some conversations: those of an `index` that all else fits, or just the `chosen` ones.

    `text` is what ids and titles are searched for, `start` how many conversations such a search
    passes over because another page has looked at them.
    """

    index: Address | None = None
    owner: str | None = None
    since: int | None = None
    until: int | None = None
    text: str = ""
    unreadable: bool = False
    start: int = 0
    chosen: tuple[Address, ...] | None = None

    @property
    def span(self) -> Span:
        owner = encode(self.owner) if self.owner else None
        return Span(owner=owner, since=self.since, until=self.until)

    def but(self, **changes: object) -> Selection:
        return replace(self, **changes)  # type: ignore[arg-type]


class Reader:
    """Reads selections for one request, each count and each search once.

    `may_see` says whether an alias may be seen at all; what it denies does not exist.
    """

    def __init__(self, may_see: Callable[[str], bool]):
        self._may_see = may_see
        self._extents: dict[Selection, Extent] = {}
        self._finds: dict[Selection, Finds] = {}
        self._texts: dict[Selection, TextFinds | None] = {}

    def count(self, selection: Selection) -> int:
        if selection.chosen is not None:
            return len(self.rows(selection, 0, None))
        if self.is_search(selection):
            return len(self.finds(selection).ids)
        extent = self.extent(selection)
        # What has no place in the order yet is on no page.
        missing = extent.unlisted if selection.span == Span() else 0
        return extent.conversations - missing

    def rows(self, selection: Selection, low: int, high: int | None) -> list[Conversation]:
        """The conversations from number `low` on and before `high`, which None leaves open."""
        if selection.chosen is not None:
            return self._chosen(selection.chosen)[low:high]
        if not (index := self._index(selection)):
            return []
        if self.is_search(selection):
            return self._found(index, selection, self.finds(selection).ids[low:high])
        limit = (self.count(selection) if high is None else high) - low
        return _instances(index, index.browse(selection.span, low, limit)) if limit > 0 else []

    def extent(self, selection: Selection) -> Extent:
        if selection not in self._extents:
            index = self._index(selection)
            self._extents[selection] = index.extent(selection.span) if index else Extent(0)
        return self._extents[selection]

    def finds(self, selection: Selection) -> Finds:
        if selection not in self._finds:
            index = self._index(selection)
            self.extent(selection)  # gives what others wrote a place
            found = _find(index, selection) if index else Finds([])
            texts = self.texts(selection)
            ids = dict.fromkeys([*found.ids, *(texts.hits if texts else ())])
            self._finds[selection] = replace(found, ids=list(ids))
        return self._finds[selection]

    def texts(self, selection: Selection) -> TextFinds | None:
        """What was found in messages; None where they were not searched."""
        if selection not in self._texts:
            index = self._index(selection)
            asked = index and selection.text and not (selection.unreadable or selection.start)
            found = full_text(index, selection.text, selection.span) if asked and index else None
            self._texts[selection] = found
        return self._texts[selection]

    def delete(self, conversations: Iterable[Conversation]) -> int:
        """Returns how many of them were still there."""
        return sum(
            address.index().delete(*(instance.row.id for instance in group))
            for address, group in groupby(conversations, lambda one: one.address.of_index)
        )

    def is_search(self, selection: Selection) -> bool:
        return bool(selection.text) or selection.unreadable

    def _found(
        self, index: ConversationIndex, selection: Selection, ids: list[bytes]
    ) -> list[Conversation]:
        found = _instances(index, index.glance(*ids))
        texts = self.texts(selection)
        for conversation in found if texts else ():
            conversation.found = texts and texts.hits.get(conversation.row.id)
        return found

    def _index(self, selection: Selection) -> ConversationIndex | None:
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


def _find(index: ConversationIndex, selection: Selection) -> Finds:
    span, start = selection.span, selection.start
    if selection.unreadable:
        return _named(index, selection.text, index.find_unreadable(span, start=start))
    found = index.find_named(selection.text, span, start=start)
    # An id is found wherever it stands in the order.
    rows = [] if start or span.since or span.until else index.glance(selection.text)
    exact = [row.id for row in rows if selection.owner in (None, row.record.owner)]
    return replace(found, ids=list(dict.fromkeys([*exact, *found.ids])))


def _named(index: ConversationIndex, text: str, finds: Finds) -> Finds:
    """Those of `finds` with `text` in the id or the title."""
    if not text:
        return finds
    rows = index.glance(*finds.ids)
    return replace(finds, ids=[row.id for row in rows if row.is_named(text)])


def _instances(index: ConversationIndex, rows: Sequence[Summary]) -> list[Conversation]:
    return [instance(Address(index.alias, index.name, row.id), row) for row in rows]


def instance(address: Address, row: Summary) -> Conversation:
    """The model of a conversation, with `address` and `row` beside its fields."""
    record = row.record
    made = Conversation(
        id=str(address),
        alias=address.alias,
        index=address.name,
        conversation_id=label(row.id),
        title=label(record.title),
        owner=label(record.owner or ""),
        runs=record.runs,
        size=row.size,
        created=record.created,
        updated=record.updated,
        expires=record.expires,
    )
    made._state.adding = False
    made.address, made.row = address, row
    return made
