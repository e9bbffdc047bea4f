"""Writing the conversations of an archive, many at a time, as an operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..commands import Call, Command, Operation, Script
from ..documents import Document
from ..layouts import Layout
from ..layouts.places import Form
from .format import NOTHING, Entry
from .stored import Obstacle

RESTORE = Script("restore.lua")
RESTORED = Script("restored.lua")
WIPE = Script("prelude.lua", "expected.lua", "wipe.lua")

_PUSHED = 1000  # elements of one RPUSH


@dataclass(frozen=True, slots=True)
class Item:
    """A conversation to write; `document` is None if it cannot be read.

    `instead_of` is what was found in its place, and goes if it is still there. One that `is_new`
    has the time of the restore.
    """

    entry: Entry
    document: Document | None
    instead_of: Obstacle | None = None
    is_new: bool = False

    def form(self, layout: Layout) -> Form:
        """What is kept of it; one that no record stands beside stays as others wrote it."""
        entry = self.entry
        if self.document is not None and self.has_record:
            return layout.form(self.document)
        size = len(entry.value) + sum(map(len, entry.texts))
        return Form(entry.value, list(entry.texts), {"bytes": size})

    @property
    def texts(self) -> list[bytes]:
        """The runs, if it has any that can be read."""
        return [] if self.document is None else self.document.texts

    @property
    def has_record(self) -> bool:
        entry = self.entry
        return self.is_new or entry.facts != NOTHING or entry.expires is not None

    def record(self, form: Form) -> list[Any]:
        """Fields and values of the record."""
        if not self.has_record:
            return []
        facts = self.entry.facts
        known = {
            "owner": facts.owner,
            "title": facts.title or None,
            "created": facts.created,
            "updated": facts.updated,
            "ttl": facts.ttl,
            "expires": self.entry.expires,
        }
        pairs = {**form.record, **known}
        return [part for pair in pairs.items() if pair[1] is not None for part in pair]


def write(layout: Layout, items: Sequence[Item]) -> Operation[list[bool]]:
    """Write conversations, each with another id, in one MULTI.

    Returns for each whether it was written; not if there is something else in its place.
    """
    keys, forms = layout.keys, [item.form(layout) for item in items]
    first = items[0].entry.id
    content, refused = keys.content(first), keys.aside(first)
    shared = [content, keys.order(), keys.expiry(), refused]
    wipes = [_wipe(layout, item) for item in items if item.instead_of]
    lists = [(i.entry.id, form.texts) for i, form in zip(items, forms, strict=True) if form.texts]
    own = [key for item in items for key in _keys(layout, item)]
    args = [arg for item, form in zip(items, forms, strict=True) for arg in _args(item, form)]
    fields = [
        part for i, form in zip(items, forms, strict=True) for part in (i.entry.id, form.field)
    ]
    due = [item.entry for item in items if item.entry.expires is not None]
    calls: list[Call] = [
        ("DEL", refused, *(keys.aside(id) for id, _ in lists)),
        *wipes,
        *(call for id, texts in lists for call in _pushes(keys.aside(id), texts)),
        RESTORE.whole([*shared, *own], args),
        ("HSET", content, *fields),
        RESTORED.whole(
            [content, refused, *(keys.runs(entry.id) for entry in due)],
            [part for entry in due for part in (entry.id, entry.expires)],
        ),
    ]
    answers = yield Command(tuple(calls), lambda replies: replies[-3])
    return [answer == 1 for answer in answers]


def _keys(layout: Layout, item: Item) -> list[bytes]:
    id, keys = item.entry.id, layout.keys
    # Where it has no owner, the key of none: the script does not use it.
    owned = keys.order(item.entry.facts.owner or b"")
    return [keys.record(id), keys.runs(id), keys.aside(id), owned]


def _args(item: Item, form: Form) -> list[Any]:
    entry, record = item.entry, item.record(form)
    place: Any = "now" if item.is_new else entry.score
    return [
        entry.id,
        "" if place is None else place,
        "" if entry.expires is None else entry.expires,
        int(bool(entry.facts.owner)),
        int(bool(form.texts)),
        len(record),
        *record,
    ]


def _pushes(aside: bytes, texts: list[bytes]) -> list[Call]:
    starts = range(0, len(texts), _PUSHED)
    return [("RPUSH", aside, *texts[start : start + _PUSHED]) for start in starts]


def _wipe(layout: Layout, item: Item) -> Call:
    assert item.instead_of is not None
    id, owner = item.entry.id, item.instead_of.owner
    args = [id, owner or b"", *item.instead_of.expectation]
    return WIPE.whole(layout.keys.of(id, owner), args)
