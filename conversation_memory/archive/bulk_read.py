"""Conversations as they are stored, read whole and as entries of an archive, as operations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha1
from zlib import crc32

from .. import documents
from ..collection.summaries import Summary, summaries
from ..documents import Document
from ..exceptions import Damaged
from ..layouts import Layout
from ..records import FIELDS
from ..redis_io.operations import Command, Operation
from .format import NOTHING, Entry, Facts

# A reply has about this many bytes, or a single conversation.
_REPLY = 2 * 2**20
_SHORT = 200

# Owner, version, length and digest of the field, for a script that replaces only that.
Expected = tuple[bytes | None, int, int, str]


@dataclass(frozen=True, slots=True)
class Stored:
    """A conversation as it was read; `entry` is None if it does not exist, or has expired."""

    summary: Summary
    entry: Entry | None
    field: bytes | None

    @property
    def expected(self) -> Expected:
        size, digest = -1, ""
        if self.field is not None:
            size, digest = len(self.field), sha1(self.field).hexdigest()
        return self.summary.owner, self.summary.number("version") or 0, size, digest


def portions(found: Sequence[Summary]) -> Iterator[list[Summary]]:
    """Those that are stored, as many at a time as one reply should have."""
    portion: list[Summary] = []
    total = 0
    for summary in found:
        if summary.is_blank:
            continue
        if portion and total + summary.bytes > _REPLY:
            yield portion
            portion, total = [], 0
        portion.append(summary)
        total += summary.bytes
    if portion:
        yield portion


def read(layout: Layout, portion: Sequence[Summary]) -> Operation[list[Stored]]:
    """The conversations of a portion, each as it was at one moment."""
    ids, keys = [it.id for it in portion], layout.keys
    lists = [it.id for it in portion if it.length]
    # As one MULTI, where an unknown digest would not stop the other calls.
    known = summaries(keys, ids, (*FIELDS, "bytes", "ttl"), in_transaction=True)
    fields = ("HMGET", keys.content(ids[0]), *ids)
    ranges = [("LRANGE", keys.runs(id), 0, -1) for id in lists]
    reply, values, *elements = yield Command((*known.calls, fields, *ranges))
    texts = dict(zip(lists, elements, strict=True))
    found = []
    for it, field in zip(known.decode(reply), values, strict=True):
        if it.is_list and it.length and it.id not in texts:  # it became one meanwhile
            found += yield from read(layout, [it])
        else:
            found.append(_stored(it, field, texts.get(it.id, [])))
    return found


def _stored(it: Summary, field: bytes | None, texts: list[bytes]) -> Stored:
    if field is None or it.is_expired:
        return Stored(it, None, field)
    texts = texts if it.is_list else []
    try:
        value, runs, end, checksum = _content(it, field, texts)
        texts = []
    except Damaged:
        value, runs, end, checksum = field, None, None, crc32(field)
    facts, score = _facts(it), it.score
    entry = Entry(
        id=it.id,
        value=value,
        checksum=checksum,
        runs=runs,
        end=end,
        facts=facts,
        expires=it.number("expires"),
        place=None if score == facts.updated else score,
        texts=tuple(texts),
    )
    return Stored(it, entry, field)


def _facts(it: Summary) -> Facts:
    if all(it.values.get(name) is None for name in Facts._fields):
        return NOTHING
    times = (it.number(name) for name in ("created", "updated", "ttl"))
    return Facts(it.owner, it.values.get("title") or b"", *times)


def _content(
    it: Summary, field: bytes, texts: list[bytes]
) -> tuple[bytes, int | None, int | None, int]:
    """The document in the form of layout `hash`, how many runs it has, where they end if it is
    canonical, and its checksum: the same with or without a record. Raises `Damaged`."""
    if not it.is_list:
        checksum, end = crc32(field), it.number("end")
        form = it.number("length"), it.values.get("crc")
        if end is not None and form == (len(field), b"%08x" % checksum):
            return field, documents.runs_before(field, end), end, checksum
        # In another encoding, `raw` of the document would not be what stands in the field.
        document, value = documents.canonical(field), field
    else:
        document = _joined(it, field, texts)
        value = document.raw
    return value, document.count, document.canonical_end, int(document.crc, 16)


def _joined(it: Summary, field: bytes, texts: list[bytes]) -> Document:
    document = _field(field) if len(field) < _SHORT else documents.read(field)
    ours = not document.count and it.fingerprint == document.fingerprint
    # If nobody else wrote to field or list, the runs need not be parsed.
    if not (ours and it.number("bytes") == sum(map(len, texts)) and len(texts) == it.length):
        documents.decoded(texts)  # raises if a run is damaged
    return documents.joined(texts, document)


@lru_cache(100)
def _field(field: bytes) -> Document:
    """Most fields of conversations in lists are the same few bytes."""
    return documents.read(field)
