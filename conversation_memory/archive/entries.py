"""Reading and writing many conversations at a time, as entries of an archive."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha1
from typing import Any
from zlib import crc32

from .. import documents
from ..collection.selection import split_by_bytes
from ..collection.summaries import SUMMARIES, Summary, summaries
from ..documents import Document
from ..exceptions import Damaged
from ..layouts import Layout
from ..layouts.refs import Encoded
from ..layouts.stored import DERIVE
from ..records import FIELDS
from ..redis_io.operations import Command, Operation, allowed
from ..redis_io.scripts import Script
from ..search_index.run_documents import fresh_token
from . import replies
from .format import NOTHING, Entry, Facts

RESTORE = Script("restore")
OVERWRITE = Script("overwrite")

_REPLY = 2 * 2**20  # bytes, unless a single conversation has more
_SHORT = 200
_read_short = lru_cache(100)(documents.read)  # most fields beside lists are the same few bytes

# In seconds: the ids of runs expire in Redis after an hour, and clocks may differ by another.
_RECENT = 7200

_READS = ("MULTI", "EXEC", "HMGET", "HGET", "LRANGE", "ZMSCORE", "SMEMBERS", "TIME")

# Owner, version, length and digest of the field: the state that a script may overwrite.
Expected = tuple[bytes | None, int, int, str]


@dataclass(frozen=True, slots=True)
class Stored:
    """A conversation that was read; `entry` is None if it does not exist or has expired."""

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
    """Split stored conversations into parts that fit into one reply."""
    stored = [summary for summary in found if not summary.is_blank]
    return split_by_bytes(stored, lambda summary: summary.bytes, _REPLY)


def read(layout: Layout, portion: Sequence[Summary]) -> Operation[list[Stored]]:
    """Read a portion in one transaction."""
    ids, keys = [it.id for it in portion], layout.keys
    lists = [it.id for it in portion if it.length]
    # EVAL, as an unknown digest of EVALSHA does not stop the other calls of a MULTI.
    known = summaries(keys, ids, (*FIELDS, "bytes", "ttl"), in_transaction=True)
    fields = ("HMGET", keys.content(ids[0]), *ids)
    answering = [it.id for it in portion if it.values.get("replies")]
    ranges = [("LRANGE", keys.runs(id), 0, -1) for id in lists]
    opens = replies.reading(keys, answering)
    reply, values, *others = yield Command((*known.calls, fields, *ranges, *opens))
    elements, opened = others[: len(lists)], others[len(lists) :]
    questions = yield from replies.read(keys, answering, opened)
    texts = dict(zip(lists, elements, strict=True))
    found = []
    for it, field in zip(known.decode(reply), values, strict=True):
        if it.is_list and it.length and it.id not in texts:  # it was converted meanwhile
            found += yield from read(layout, [it])
        else:
            entry = _entry(it, field, texts.get(it.id, []))
            if entry is not None and it.id in questions:
                entry = entry._replace(open=questions[it.id])
            found.append(Stored(it, entry, field))
    return found


def _entry(it: Summary, field: bytes | None, texts: list[bytes]) -> Entry | None:
    if field is None or it.is_expired:
        return None
    left: list[bytes] = []
    try:
        value, runs, end, checksum = _content(it, field, texts)
    except Damaged:
        value, runs, end, checksum = field, None, None, crc32(field)
        left = texts if it.is_list else []
    times = (it.number(name) for name in ("created", "updated", "ttl"))
    facts = Facts(it.owner, it.values.get("title") or b"", *times)
    return Entry(
        id=it.id,
        value=value,
        checksum=checksum,
        runs=runs,
        end=end,
        facts=facts,
        expires=it.number("expires"),
        score=None if it.score == facts.updated else it.score,
        texts=tuple(left),
    )


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
    document = _read_short(field) if len(field) < _SHORT else documents.read(field)
    form = it.number("length"), it.values.get("crc")
    ours = not document.count and form == (len(field), document.crc.encode())
    # If nobody else wrote to field or list, the runs need not be parsed.
    if not (ours and it.number("bytes") == sum(map(len, texts)) and len(texts) == it.length):
        documents.decoded(texts)  # raises if a run is damaged
    return documents.joined(texts, document)


@dataclass(slots=True)
class Item:
    """A conversation to restore, and its `outcome`, which is a field of `Counts`.

    It replaces the stored state `instead_of`. One that `is_new` gets the time of the restore. The
    `document`, None if it is unreadable, is required only for writing.
    """

    entry: Entry
    outcome: str
    instead_of: Expected | None = None
    is_new: bool = False
    document: Document | None = None

    @property
    def has_record(self) -> bool:
        """False if another program wrote it: it stays without a record, as that left it."""
        entry = self.entry
        return self.is_new or entry.facts != NOTHING or entry.expires is not None


def permission(layout: Layout) -> Command[int]:
    """Raises `RedisDenied` if the user lacks a permission for any step of a restore."""
    commands = [*RESTORE.commands, *OVERWRITE.commands, *SUMMARIES.commands, *_READS]
    commands += replies.RESTORE_REPLIES.commands
    commands += DERIVE.commands if layout.schema is not None else []
    return allowed([layout.keys.index, layout.keys.record(b"")], commands)


def write(layout: Layout, items: Sequence[Item]) -> Operation[set[bytes]]:
    """Write conversations with distinct ids in one round trip.

    Returns the ids that were written. The others were not, because something else is stored there.
    """
    fresh = [item for item in items if item.instead_of is None]
    others = [item for item in items if item.instead_of is not None]
    commands = [_restore(layout, fresh)] if fresh else []
    answered = yield [*commands, *(_overwrite(layout, item) for item in others)]
    answers = [answer == ord("1") for answer in answered[0]] if fresh else []
    answers += [reply == 1 for reply in answered[len(commands) :]]
    pairs = zip((*fresh, *others), answers, strict=True)
    return {item.entry.id for item, is_written in pairs if is_written}


def restore_open_runs(layout: Layout, entries: Sequence[Entry]) -> Operation[None]:
    """Open the runs of conversations that are there, unless they are known."""
    calls = [replies.restoring(layout.keys, it.id, it.open) for it in entries if it.open]
    if calls:
        yield calls


def _restore(layout: Layout, items: Sequence[Item]) -> Command[bytes]:
    # One script for all is faster than one script each.
    keys, id = layout.keys, items[0].entry.id
    shared = [keys.content(id), keys.record(id), keys.recency(), keys.expiry()]
    own: list[bytes] = []
    for item in items:
        id = item.entry.id
        own += [keys.record(id), keys.runs(id), keys.ids(id), _owned(layout, item)]
    args = [arg for item in items for arg in _args(layout, item)]
    return Command((RESTORE.call([*shared, keys.call(fresh_token()), *own], args),))


def _overwrite(layout: Layout, item: Item) -> Command[int | list[bytes]]:
    assert item.instead_of is not None
    id, (owner, *expected) = item.entry.id, item.instead_of
    keys = [*layout.keys.of(id, owner, fresh_token()), _owned(layout, item)]
    return Command((OVERWRITE.call(keys, [id, owner or b"", *expected, *_args(layout, item)]),))


def _owned(layout: Layout, item: Item) -> bytes:
    # A script must declare a key even where it will not use it, as without an owner.
    return layout.keys.recency(item.entry.facts.owner or b"")


def _args(layout: Layout, item: Item) -> list[Any]:
    """1 if it has an owner, else 0, and the arguments of restored.lua."""
    entry, facts, document = item.entry, item.entry.facts, item.document
    if document is not None and item.has_record:
        encoded = layout.encoded(document)
    else:
        sizes = {"bytes": sum(map(len, entry.texts))} if entry.texts else {}
        encoded = Encoded(entry.value, list(entry.texts), sizes)
    record: dict[str, Any] = {}
    if item.has_record:
        known = {**facts._asdict(), "title": facts.title or None, "expires": entry.expires}
        record = {**encoded.record, **known}
    pairs = [part for pair in record.items() if pair[1] is not None for part in pair]
    # Only an append to a recent one may still be retried.
    is_recent = item.is_new or (facts.updated or 0) > (time.time() - _RECENT) * 1000
    digests = encoded.digests if document and is_recent else []
    score: Any = facts.updated if entry.score is None else entry.score
    if item.is_new:
        score = "now"
    return [
        int(bool(facts.owner)),
        entry.id,
        "" if score is None else score,
        "" if entry.expires is None else entry.expires,
        encoded.field,
        len(encoded.texts),
        len(digests),
        len(pairs),
        *encoded.texts,
        *digests,
        *pairs,
    ]
