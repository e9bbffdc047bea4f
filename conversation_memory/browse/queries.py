"""Looking through an index by page number, as staff do: operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..collection.listing import COUNT, Listing
from ..documents import read
from ..exceptions import Damaged, RedisDenied, RedisReadOnly
from ..layouts import Layout
from ..layouts.refs import owner_of
from ..records import Record
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from .preview import preview

BROWSE = Script("browse")
GLANCE = Script("glance")

# Lua copies a field to look at its end, at about 0.1 ms a MB once it is in the cache.
MOST_COPIED = 1024 * 1024
MOST_COPIED_OF_A_PAGE = 16 * 1024 * 1024

# A look through conversations ends after so many, or so many bytes that had to be read.
MOST_LOOKED_AT = 10_000
MOST_READ = 32 * 1024 * 1024
_STEP = 1000
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of an index: of one owner, and last written to from `since` on and before `until`.

    Times are in milliseconds.
    """

    owner: bytes | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation in a list: `size` in bytes, the first words of its last message.

    `last_words` is None where they would have cost too much to find, `is_damaged` True if it is
    sure that the document is none.
    """

    id: bytes
    record: Record
    size: int
    last_words: str | None = None
    is_damaged: bool = False

    @property
    def is_sealed(self) -> bool:
        """Whether the document has the length of the one that we wrote last: it is sound."""
        length = self.record.seal.removeprefix("list-").partition("-")[0]
        return (
            length.isdecimal()
            and len(length) <= 15
            and (self.record.seal.startswith("list-") or int(length) == self.size)
        )

    def is_named(self, text: str) -> bool:
        """Whether the id or the title has `text` in it, in whatever case."""
        names = (self.record.conversation_id, self.record.title)
        return any(text.casefold() in name.casefold() for name in names)


@dataclass(frozen=True, slots=True)
class Extent:
    """How many conversations there are, and how many of them have no place in the order yet."""

    conversations: int
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class Finds:
    """What a look through a part of a span has found.

    `looked_at` is how many of the span were looked at, `next` the number to go on from, None if
    nothing is left. `skipped` were too large to read.
    """

    ids: list[bytes]
    next: int | None = None
    skipped: int = 0
    looked_at: int = 0


class Browser:
    """The operations on an index as a list of pages with numbers."""

    def __init__(self, layout: Layout, listing: Listing):
        self._layout = layout
        self._keys = layout.keys
        self._listing = listing

    def extent(self, span: Span) -> Operation[Extent]:
        """How many conversations are in the span; adopts some that others wrote on the way."""
        total, unlisted = yield from self._listing.with_adoption(self._count(span))
        return Extent(total, unlisted)

    def _count(self, span: Span) -> Command[int]:
        if span.since is not None or span.until is not None:
            times = self._ids(span, 0, 0)
            return Command(times.calls, lambda reply: times.decode(reply)[0])
        keys = [self._keys.index, self._keys.expiry()]
        keys += [] if span.owner is None else [self._keys.order(span.owner)]
        return Command((COUNT.call(keys, []),), int)

    def page(self, span: Span, offset: int, limit: int) -> Operation[list[Row]]:
        """The conversations from number `offset` on, newest first."""
        rows: list[Row] = []
        for _ in range(_ATTEMPTS):
            _, ids = yield self._ids(span, offset, limit)
            rows = yield from self.rows(ids, span.owner)
            stale = {*ids} - {row.id for row in rows}
            if not stale:
                break
            try:  # what is gone leaves the order, and others move up
                yield from self._listing.forget([*stale], span.owner)
            except (RedisReadOnly, RedisDenied):
                break
        return rows

    def rows(self, ids: Sequence[bytes], owner: bytes | None = None) -> Operation[list[Row]]:
        """Those of `ids` that exist (and belong to `owner`), with their last words."""
        found = (yield self._glance(ids, MOST_COPIED)) if ids else []
        return [row for row in found if row and owner in (None, owner_of(row.record))]

    def sizes(self, ids: Sequence[bytes]) -> Operation[list[Row]]:
        """Those of `ids` that exist, without their last words."""
        return [row for row in ((yield self._glance(ids, 0)) if ids else []) if row]

    def named(self, span: Span, text: str, start: int) -> Operation[Finds]:
        """Those with `text` in the id or the title, in whatever case."""

        def found(rows: list[Row], finds: Finds) -> Operation[Finds]:
            yield from ()
            return replace(finds, ids=[*finds.ids, *(row.id for row in rows if row.is_named(text))])

        return (yield from self._walk(span, start, found))

    def unreadable(self, span: Span, start: int) -> Operation[Finds]:
        """Those whose document is none. What has our seal is not read."""
        room = MOST_READ

        def found(rows: list[Row], finds: Finds) -> Operation[Finds]:
            nonlocal room
            doubtful = []
            for row in rows:
                if not row.is_sealed and row.size <= room:
                    doubtful.append(row.id)
                    room -= row.size
            skipped = sum(not row.is_sealed for row in rows) - len(doubtful)
            damaged = yield from self._damaged(doubtful)
            return replace(finds, ids=[*finds.ids, *damaged], skipped=finds.skipped + skipped)

        return (yield from self._walk(span, start, found))

    def _walk(
        self, span: Span, start: int, found: Callable[[list[Row], Finds], Operation[Finds]]
    ) -> Operation[Finds]:
        finds = Finds([])
        for offset in range(start, start + MOST_LOOKED_AT, _STEP):
            count, ids = yield self._ids(span, offset, _STEP)
            rows = (yield self._glance(ids, 0)) if ids else []
            finds = yield from found([row for row in rows if row], finds)
            finds = replace(finds, looked_at=finds.looked_at + len(ids))
            if offset + _STEP >= count:
                return finds
        return replace(finds, next=start + MOST_LOOKED_AT)

    def _damaged(self, ids: list[bytes]) -> Operation[list[bytes]]:
        calls: list[Command[Any]] = [single("HGET", self._keys.content(id), id) for id in ids]
        fields = (yield calls) if calls else []
        return [
            id
            for id, field in zip(ids, fields, strict=True)
            if field is not None and _is_bad(field)
        ]

    def _ids(self, span: Span, offset: int, limit: int) -> Command[tuple[int, list[bytes]]]:
        times = ["" if time is None else time for time in (span.since, span.until)]
        call = BROWSE.call([self._keys.order(span.owner)], [offset, limit, *times])
        return Command((call,), tuple)

    def _glance(self, ids: Sequence[bytes], most: int) -> Command[list[Row | None]]:
        keys = [self._keys.content(ids[0])]
        for id in ids:
            keys += [self._keys.record(id), self._keys.runs(id)]

        def decoded(replies: list[Any]) -> list[Row | None]:
            return [_row(id, *reply) for id, reply in zip(ids, replies, strict=True)]

        return Command((GLANCE.call(keys, [most, MOST_COPIED_OF_A_PAGE, *ids]),), decoded)


def _row(id: bytes, exists: int, *values: Any) -> Row | None:
    *fields, size, edges, beginning = values
    if not exists:
        return None
    words = None if beginning is None else preview(beginning)
    return Row(id, Record.from_reply(id, fields), size, words, not size or _is_no_object(edges))


def _is_no_object(edges: bytes) -> bool:
    """Whether the first or the last byte is a letter that no object has there."""
    return any(33 <= edge < 127 and edge not in b"{}" for edge in edges)


def _is_bad(field: bytes) -> bool:
    try:
        read(field)
    except Damaged:
        return True
    return False
