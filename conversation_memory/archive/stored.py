"""Conversations as they are stored, read whole and as entries of an archive, as operations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any
from zlib import crc32

from .. import documents
from ..commands import Call, Command, Operation, Script, single
from ..documents import Damaged, Document
from ..layouts import Layout
from .format import NOTHING, Entry, Facts

BESIDE = Script("beside.lua")

# Together the conversations of one reply have about this many bytes, or are one.
_REPLY = 2 * 2**20


@dataclass(frozen=True, slots=True)
class Survey:
    """What stands beside a conversation, and how much it is; the times in milliseconds.

    `size` is the length of the field, -1 if there is none, `length` that of the list.
    """

    size: int
    length: int
    place: int | None
    owner: bytes | None
    title: bytes
    created: int | None
    updated: int | None
    ttl: int | None
    expires: int | None
    version: int | None
    seal: str
    bytes: int

    @classmethod
    def of(cls, reply: list[Any]) -> Survey:
        size, length, place, owner, title, *numbers, seal, bytes = reply
        created, updated, ttl, expires, version = map(_number, numbers)
        return cls(
            size=size,
            length=length,
            place=None if place is None else max(0, int(float(place))),
            owner=owner or None,
            title=title or b"",
            created=created,
            updated=updated,
            ttl=ttl,
            expires=expires,
            version=version,
            seal=(seal or b"").decode("ascii", "replace"),
            bytes=_number(bytes) or 0,
        )

    @property
    def is_list(self) -> bool:
        """Whether the runs are in the list, as the layouts see it."""
        return self.seal.startswith("list-") or (self.length > 0 and not self.seal[:1].isdigit())

    @property
    def is_blank(self) -> bool:
        """Whether nothing at all is stored."""
        return self.size < 0 and not self.length and self.version is None and not self._facts()

    def _facts(self) -> bool:
        return self.facts != NOTHING or self.expires is not None

    @property
    def facts(self) -> Facts:
        return Facts(
            owner=self.owner,
            title=self.title,
            created=self.created,
            updated=self.updated,
            ttl=self.ttl,
        )


Portion = list[tuple[bytes, Survey]]


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

    survey: Survey
    entry: Entry | None = None
    field: bytes | None = None

    @property
    def obstacle(self) -> Obstacle:
        digest = "" if self.field is None else sha1(self.field).hexdigest()
        return Obstacle(self.survey.owner, (self.survey.version or 0, self.survey.size, digest))


def survey(layout: Layout, ids: Sequence[bytes]) -> Operation[list[Survey]]:
    """What stands beside each of `ids`, of which there are at most a few hundred."""
    return (yield _survey(layout, ids))  # type: ignore[no-any-return]


def survey_at(layout: Layout, ids: Sequence[bytes]) -> Operation[tuple[list[Survey], int]]:
    """See survey(); and the time of the server, in milliseconds."""
    return tuple((yield [_survey(layout, ids), single("TIME", decode=_milliseconds)]))


def portions(ids: Sequence[bytes], surveys: Sequence[Survey]) -> Iterator[Portion]:
    """The ids of what is stored, as many at a time as one reply should have."""
    portion: Portion = []
    size = 0
    for id, found in zip(ids, surveys, strict=True):
        if found.size < 0:
            continue
        more = found.size + (found.bytes if found.is_list else 0)
        if portion and size + more > _REPLY:
            yield portion
            portion, size = [], 0
        portion.append((id, found))
        size += more
    if portion:
        yield portion


def read(layout: Layout, portion: Portion) -> Operation[list[Stored]]:
    """The conversations of a portion, each as it stood at one moment."""
    ids, keys = [id for id, _ in portion], layout.keys
    lists = [id for id, found in portion if found.is_list]
    calls: list[Call] = [
        ("TIME",),
        _survey(layout, ids).calls[0],
        ("HMGET", keys.content(ids[0]), *ids),
        *(("LRANGE", keys.runs(id), 0, -1) for id in lists),
    ]
    time, replies, fields, *ranges = yield Command(_whole(calls))
    texts = dict(zip(lists, ranges, strict=True))
    found = []
    for id, reply, field in zip(ids, replies, fields, strict=True):
        state = Survey.of(reply)
        if state.is_list and id not in texts:  # it became one meanwhile
            found += yield from read(layout, [(id, state)])
        else:
            found.append(_stored(id, state, field, texts.get(id, []), _milliseconds(time)))
    return found


def _whole(calls: list[Call]) -> tuple[Call, ...]:
    """`calls` as one MULTI, where an unknown digest would not stop the other calls."""
    return tuple(Script.with_source(call) if call[0] == "EVALSHA" else call for call in calls)


def _survey(layout: Layout, ids: Sequence[bytes]) -> Command[list[Survey]]:
    keys = layout.keys
    pairs = [key for id in ids for key in (keys.record(id), keys.runs(id))]
    call = BESIDE.call([keys.content(ids[0]), keys.order(), *pairs], ids)
    return Command((call,), lambda replies: [Survey.of(reply) for reply in replies])


def _stored(id: bytes, state: Survey, field: bytes | None, texts: list[bytes], now: int) -> Stored:
    if field is None or (state.expires is not None and state.expires <= now):
        return Stored(state, None, field)
    texts = texts if state.is_list else []
    beside: dict[str, Any] = {
        "id": id,
        "facts": state.facts,
        "expires": state.expires,
        "place": None if state.place == state.updated else state.place,
    }
    try:
        document = _document(state, field, texts)
    except (Damaged, RecursionError):
        entry = Entry(value=field, checksum=crc32(field), texts=tuple(texts), **beside)
        return Stored(state, entry, field)
    entry = Entry(
        # Of a document in another encoding, `raw` is not what stands in the field.
        value=document.raw if state.is_list else field,
        checksum=int(document.mark.rpartition("-")[2], 16),
        runs=document.count,
        end=document.end if document.pieces is None else None,
        **beside,
    )
    return Stored(state, entry, field)


def _document(state: Survey, field: bytes, texts: list[bytes]) -> Document:
    """The document in the form of layout `hash`; the same bytes whatever is known beside it."""
    if not state.is_list:
        return documents.canonical(field, state.seal)
    document = documents.read(field)
    if not _is_ours(state, document, texts):
        documents.canonical(document.with_texts(texts).raw)  # raises if a run is damaged
    return documents.joined(texts, document)


def _is_ours(state: Survey, document: Document, texts: list[bytes]) -> bool:
    """Whether nobody else wrote to field or list, so that the runs need not be parsed."""
    sealed = not document.count and state.seal == f"list-{document.mark}"
    return sealed and state.bytes == sum(map(len, texts)) and len(texts) == state.length


def _milliseconds(time: Any) -> int:
    return int(time[0]) * 1000 + int(time[1]) // 1000


def _number(value: Any) -> int | None:
    return int(value) if value and value.isdigit() and len(value) < 16 else None
