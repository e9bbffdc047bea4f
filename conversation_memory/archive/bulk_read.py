"""Conversations as they are stored, read whole and as entries of an archive, as operations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha1
from typing import Any, NamedTuple
from zlib import crc32

from .. import documents
from ..documents import Document
from ..exceptions import Damaged
from ..layouts import Layout
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Call, Script
from .beside import BESIDE, Beside
from .format import Entry

SIZES = Script("sizes")

# Together the conversations of one reply have about this many bytes, or are one.
_REPLY = 2 * 2**20
_SHORT = 200


class Size(NamedTuple):
    """How much there is of a conversation: bytes of field and list, -1 if there is none."""

    field: int
    list: int
    has_keys: int

    @property
    def is_blank(self) -> bool:
        """Whether nothing at all is stored."""
        return self.field < 0 and self.list < 0 and not self.has_keys


Portion = list[tuple[bytes, Size]]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What is in the place of a conversation, for a script that clears it if it is still there.

    `expectation` is version, length and digest of the field, as the scripts take them.
    """

    owner: bytes | None
    expectation: tuple[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """What was found of a conversation; `entry` is None if there is none, or none any more."""

    beside: Beside
    entry: Entry | None
    field: bytes | None

    @property
    def obstacle(self) -> Obstacle:
        size, digest = -1, ""
        if self.field is not None:
            size, digest = len(self.field), sha1(self.field).hexdigest()
        return Obstacle(self.beside.owner, (self.beside.version, size, digest))


def sizes(layout: Layout, ids: Sequence[bytes]) -> Command[list[Size]]:
    """The size of each of `ids`, a few hundred at most."""

    def decoded(flat: list[Any]) -> list[Size]:
        return [Size(*flat[i : i + 3]) for i in range(0, len(flat), 3)]

    call = SIZES.call([layout.keys.content(ids[0]), *_keys(layout, ids)], ids)
    return Command((call,), decoded)


def now() -> Command[int]:
    """The time of the server, in milliseconds."""
    return single("TIME", decode=_milliseconds)


def portions(ids: Sequence[bytes], sizes: Sequence[Size]) -> Iterator[Portion]:
    """The ids of what is stored, as many at a time as one reply should have."""
    portion: Portion = []
    total = 0
    for id, size in zip(ids, sizes, strict=True):
        if size.is_blank:
            continue
        more = size.field + size.list
        if portion and total + more > _REPLY:
            yield portion
            portion, total = [], 0
        portion.append((id, size))
        total += more
    if portion:
        yield portion


def read(layout: Layout, portion: Portion) -> Operation[list[Stored]]:
    """The conversations of a portion, each as it stood at one moment."""
    ids, keys = [id for id, _ in portion], layout.keys
    lists = [id for id, size in portion if size.list >= 0]
    beside = [keys.content(ids[0]), keys.order(), *_keys(layout, ids)]
    # As one MULTI, where an unknown digest would not stop the other calls.
    calls: list[Call] = [
        ("TIME",),
        BESIDE.whole(beside, ids),
        ("HMGET", keys.content(ids[0]), *ids),
        *(("LRANGE", keys.runs(id), 0, -1) for id in lists),
    ]
    time, replies, fields, *ranges = yield Command(tuple(calls))
    now, texts = _milliseconds(time), dict(zip(lists, ranges, strict=True))
    found = []
    for id, reply, field in zip(ids, replies, fields, strict=True):
        state = Beside(reply)
        if state.is_list and state.length and id not in texts:  # it became one meanwhile
            found += yield from read(layout, [(id, Size(len(field or b""), state.bytes, 1))])
        else:
            found.append(_stored(id, state, field, texts.get(id, []), now))
    return found


def _keys(layout: Layout, ids: Sequence[bytes]) -> list[bytes]:
    keys = layout.keys
    return [key for id in ids for key in (keys.record(id), keys.runs(id))]


def _stored(id: bytes, state: Beside, field: bytes | None, texts: list[bytes], now: int) -> Stored:
    expires = state.expires
    if field is None or (expires is not None and expires <= now):
        return Stored(state, None, field)
    texts = texts if state.is_list else []
    try:
        value, runs, end, checksum = _content(state, field, texts)
        texts = []
    except Damaged:
        value, runs, end, checksum = field, None, None, crc32(field)
    facts = state.facts
    entry = Entry(
        id=id,
        value=value,
        checksum=checksum,
        runs=runs,
        end=end,
        facts=facts,
        expires=expires,
        place=None if state.place == facts.updated else state.place,
        texts=tuple(texts),
    )
    return Stored(state, entry, field)


def _content(
    state: Beside, field: bytes, texts: list[bytes]
) -> tuple[bytes, int | None, int | None, int]:
    """The document in the form of layout `hash`, how many runs it has, where they end if it is
    canonical, and its checksum: the same whatever is known beside it. Raises `Damaged`."""
    if not state.is_list:
        if sealed := documents.sealed(field, state.seal):
            return field, *sealed
        # In another encoding, `raw` of the document would not be what stands in the field.
        document, value = documents.canonical(field), field
    else:
        document = _joined(state, field, texts)
        value = document.raw
    end = document.end if document.pieces is None else None
    return value, document.count, end, int(document.mark.rpartition("-")[2], 16)


def _joined(state: Beside, field: bytes, texts: list[bytes]) -> Document:
    document = _field(field) if len(field) < _SHORT else documents.read(field)
    ours = not document.count and state.seal == f"list-{document.mark}"
    # If nobody else wrote to field or list, the runs need not be parsed.
    if not (ours and state.bytes == sum(map(len, texts)) and len(texts) == state.length):
        documents.decoded(texts)  # raises if a run is damaged
    return documents.joined(texts, document)


@lru_cache(100)
def _field(field: bytes) -> Document:
    """Beside a list, most fields are the same few bytes."""
    return documents.read(field)


def _milliseconds(time: Any) -> int:
    return int(time[0]) * 1000 + int(time[1]) // 1000
