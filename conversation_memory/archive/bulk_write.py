"""Writing the conversations of an archive, many at a time, as an operation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..collection.summaries import SUMMARIES
from ..documents import Document
from ..layouts import Layout
from ..layouts.indexing import INDEX
from ..layouts.refs import Encoded
from ..redis_io.operations import Command, Operation, allowed
from ..redis_io.scripts import Script
from ..search_index.documents import fresh_token
from .bulk_read import Expected
from .format import NOTHING, Entry

RESTORE = Script("restore")
OVERWRITE = Script("overwrite")

# In seconds; an hour longer than ids are known, as clocks differ.
_RECENT = 7200

_READS = ("MULTI", "EXEC", "HMGET", "HGET", "LRANGE", "ZMSCORE", "SMEMBERS", "TIME")


@dataclass(frozen=True, slots=True)
class Item:
    """A conversation to write; `document` is None if it cannot be read.

    It replaces `instead_of` if that is still there. One that `is_new` gets the time of the restore.
    """

    entry: Entry
    document: Document | None
    instead_of: Expected | None = None
    is_new: bool = False

    def encoded(self, layout: Layout) -> Encoded:
        """Its stored form; without a record, as other programs wrote it."""
        entry = self.entry
        if self.document is not None and self.has_record:
            return layout.encoded(self.document)
        record = {"bytes": sum(map(len, entry.texts))} if entry.texts else {}
        return Encoded(entry.value, list(entry.texts), record)

    @property
    def texts(self) -> list[bytes]:
        """The runs, if they can be read."""
        return [] if self.document is None else self.document.texts

    @property
    def has_record(self) -> bool:
        entry = self.entry
        return self.is_new or entry.facts != NOTHING or entry.expires is not None

    @property
    def is_recent(self) -> bool:
        """True if an append to it may still be retried."""
        return self.is_new or (self.entry.facts.updated or 0) > (time.time() - _RECENT) * 1000

    def record(self, encoded: Encoded) -> list[Any]:
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
        pairs = {**encoded.record, **known}
        return [part for pair in pairs.items() if pair[1] is not None for part in pair]


def permission(layout: Layout) -> Command[int]:
    """Raises `RedisDenied` for a user who lacks a permission for any step of a restore."""
    commands = [*RESTORE.commands, *OVERWRITE.commands, *SUMMARIES.commands, *_READS]
    commands += INDEX.commands if layout.schema is not None else []
    return allowed([layout.keys.index, layout.keys.record(b"")], commands)


def write(layout: Layout, items: Sequence[Item]) -> Operation[set[bytes]]:
    """Write conversations, each with another id, in one round trip.

    Returns the ids that were written, each completely; at any other one, something else is stored.
    """
    fresh = [item for item in items if item.instead_of is None]
    others = [item for item in items if item.instead_of is not None]
    commands = [_restore(layout, fresh)] if fresh else []
    replies = yield [*commands, *(_overwrite(layout, item) for item in others)]
    answers = [answer == ord("1") for answer in replies[0]] if fresh else []
    answers += [reply == 1 for reply in replies[len(commands) :]]
    pairs = zip((*fresh, *others), answers, strict=True)
    return {item.entry.id for item, is_written in pairs if is_written}


def _restore(layout: Layout, items: Sequence[Item]) -> Command[bytes]:
    """All in one script, which is faster than one for each."""
    keys, id = layout.keys, items[0].entry.id
    shared = [keys.content(id), keys.record(id), keys.recency(), keys.expiry()]
    own: list[bytes] = []
    for item in items:
        id = item.entry.id
        own += [keys.record(id), keys.runs(id), keys.ids(id), _owned(layout, item)]
    args = [arg for item in items for arg in (_has_owner(item), *_args(layout, item))]
    return Command((RESTORE.call([*shared, keys.call(fresh_token()), *own], args),))


def _overwrite(layout: Layout, item: Item) -> Command[int | list[bytes]]:
    assert item.instead_of is not None
    id, (owner, *expected) = item.entry.id, item.instead_of
    keys = [*layout.keys.of(id, owner, fresh_token()), _owned(layout, item)]
    args = [id, owner or b"", *expected, _has_owner(item), *_args(layout, item)]
    return Command((OVERWRITE.call(keys, args),))


def _has_owner(item: Item) -> int:
    return int(bool(item.entry.facts.owner))


def _owned(layout: Layout, item: Item) -> bytes:
    """The order of its owner; without one, a key that the script does not use."""
    return layout.keys.recency(item.entry.facts.owner or b"")


def _args(layout: Layout, item: Item) -> list[Any]:
    """The conversation as restored.lua takes it."""
    entry, encoded = item.entry, item.encoded(layout)
    record = item.record(encoded)
    digests = encoded.digests if item.document and item.is_recent else []
    score: Any = "now" if item.is_new else entry.score
    return [
        entry.id,
        "" if score is None else score,
        "" if entry.expires is None else entry.expires,
        encoded.field,
        len(encoded.texts),
        len(digests),
        len(record),
        *encoded.texts,
        *digests,
        *record,
    ]
