"""Reading and writing many conversations at a time, as entries of an archive."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from itertools import chain
from typing import Any, NamedTuple, cast
from zlib import crc32

from .. import documents
from ..documents import Document
from ..encryption.sealing import DOCUMENT, RUN, TITLE, Sealing
from ..exceptions import Damaged, counted
from ..keys import Keys
from ..layouts import Layout
from ..layouts.declared import names_keys
from ..layouts.indexed import DERIVE
from ..layouts.long_lists import FIRST_PART, whole
from ..layouts.refs import Encoded
from ..records import SEALED, Record, number
from ..redis_io.operations import Command, Operation, allowed
from ..redis_io.scripts import Script
from ..runs import decoded_runs
from ..search_index.run_documents import fresh_token
from ..segments import opened_document
from . import questions
from .format import NOTHING, Entry, Facts

CONTENTS = Script("contents")
RESTORE = Script("restore")
OVERWRITE = Script("overwrite")

_REPLY = 2**19  # bytes, and one conversation more; longer replies are slower to take in


_TIMES = ("created", "updated", "ttl", "expires")

# In seconds: the ids of runs expire in Redis after an hour, and clocks may differ by another.
_RECENT = 7200

_CATCHING_UP = ("MULTI", "EXEC", "HMGET", "HGET", "LRANGE", "ZMSCORE", "SMEMBERS")

# Owner, version, length and digest of the field: the state that a script may overwrite.
Expected = tuple[bytes | None, int, int, str]


Written = set[bytes]  # the ids of conversations that were written


class _Values(NamedTuple):
    """Of a record, as stored; empty where its key is not a hash."""

    expires: bytes | None = None
    replies: bytes | None = None
    owner: bytes | None = None
    title: bytes | None = None
    created: bytes | None = None
    updated: bytes | None = None
    ttl: bytes | None = None
    version: bytes | None = None
    layout: bytes | None = None
    length: bytes | None = None
    crc: bytes | None = None
    end: bytes | None = None
    runs: bytes | None = None
    bytes: bytes | None = None


class Stored(NamedTuple):
    """A conversation as it was at `time` (ms), None unless one that was read with it can expire.

    `field` is None without one, `texts` if the key of the list has another type.
    """

    id: bytes
    time: int | None
    score: bytes | None = None
    is_blank: bool = True  # nothing at all is stored
    has_right_types: bool = True
    field: bytes | None = None
    texts: Sequence[bytes] = ()
    values: _Values = _Values()
    open: Sequence[bytes] = ()  # fields and values of its open runs, then what they say
    sealing: Sealing | None = None
    questions: tuple[questions.Question, ...] = ()

    @classmethod
    def of(
        cls, keys: Keys, id: bytes, time: int | None, score: bytes | None, row: list[Any] | None
    ) -> Stored:
        """From a row as contents.lua returns it."""
        if row is None:
            return cls(id, time)
        field, texts, open, values = row
        is_right = texts is not None and values is not None
        known = _Values(*values or ())
        return cls(
            id, time, score, False, is_right, field, texts or (), known, open or (), keys.sealing
        )

    @property
    def expected(self) -> Expected:
        size, digest = -1, ""
        if self.field is not None:
            size, digest = len(self.field), sha1(self.field).hexdigest()
        return self.values.owner or None, number(self.values.version) or 0, size, digest

    @property
    def is_list(self) -> bool:
        """True if the runs are in the list, as the layouts see it."""
        layout = (self.values.layout or b"")[:4]
        return layout == b"list" or (bool(self.texts) and layout != b"hash")

    @property
    def lost(self) -> int:
        """How many runs the list lacks, as after an eviction."""
        values = self.values
        if not self.is_list or number(values.length) != len(self.field or b""):
            return 0
        return max(0, (number(values.runs) or 0) - len(self.texts))

    @property
    def opened(self) -> Stored:
        """The same with its values decrypted. Raises `Undecryptable`."""
        sealing, values = self.sealing, self.values
        if sealing is None or self.field is None:
            return self
        was_sealed = (values.layout or b"").endswith(SEALED.encode())
        length = number(values.length) if was_sealed else None
        field = opened_document(sealing, self.id, self.field, length)
        texts = sealing.open_all(RUN, self.id, self.texts)
        title = sealing.open(TITLE, self.id, values.title or b"") or None
        # What the record says of the stored form is not about these texts.
        known = values._replace(title=title, length=None, crc=None, end=None, bytes=None)
        return self._replace(field=field, texts=texts, values=known, sealing=None)

    @property
    def entry(self) -> Entry | None:
        """None if it does not exist or has expired."""
        expires = number(self.values.expires)
        if self.field is None or (expires is not None and expires <= (self.time or 0)):
            return None
        left: Sequence[bytes] = ()
        known = self
        try:
            if self.lost:
                raise Damaged(f"{counted(self.lost, 'run')} of its list are missing")
            known = self.opened
            value, runs, end, checksum = _content(known, known.field or b"")
        except Damaged:
            value, runs, end, checksum = self.field, None, None, crc32(self.field)
            left = self.texts if self.is_list else ()
        _, _, owner, title, created, updated, ttl, *_ = known.values
        facts = Facts(owner or None, title or b"", number(created), number(updated), number(ttl))
        score = None if self.score is None else max(0, int(float(self.score)))
        if score == facts.updated:
            score = None
        rest = tuple(left), self.questions
        return Entry(self.id, value, checksum, runs, end, facts, expires, score, *rest)


def read(keys: Keys, ids: Sequence[bytes]) -> Operation[list[Stored]]:
    """The first of some conversations, as many as fit into one reply."""
    found = yield from _read(keys, ids, FIRST_PART - 1)
    for place, it in enumerate(found):
        if len(it.texts) == FIRST_PART:
            found[place] = yield from _read_long(keys, it.id)
    if any(it.open for it in found):
        opened = yield from questions.read(keys, {it.id: it.open for it in found if it.open})
        found = [it._replace(questions=opened.get(it.id, ())) for it in found]
    return found


def _read_long(keys: Keys, id: bytes) -> Operation[Stored]:
    def one(last: int) -> Operation[Stored]:
        return (yield from _read(keys, [id], last))[0]

    return whole(keys, id, one, lambda it: (it.values.version, cast("list[bytes]", it.texts)))


def _read(keys: Keys, ids: Sequence[bytes], last: int) -> Operation[list[Stored]]:
    own = [key for id in ids for key in (keys.record(id), keys.open(id))]
    names = _Values._fields
    args = [_REPLY, last, len(names), *names, *ids]
    shared = [keys.content(ids[0]), keys.recency()]
    call = CONTENTS.call([*shared, *own, *map(keys.runs, ids)], args)
    time, scores, *rows = yield Command((call,))
    return [
        Stored.of(keys, id, time, score, row)
        for id, score, row in zip(ids, scores, rows, strict=False)
    ]


def _content(it: Stored, field: bytes) -> tuple[bytes, int | None, int | None, int]:
    """The document in the form of layout `hash`, how many runs it has, where they end if it is
    canonical, and its checksum: the same with or without a record. Raises `Damaged`."""
    if not it.is_list:
        checksum, end = crc32(field), number(it.values.end)
        form = number(it.values.length), it.values.crc
        if end is not None and form == (len(field), b"%08x" % checksum):
            return field, documents.runs_before(field, end), end, checksum
        is_spliced = end is not None and form == (len(field), b"")  # by a script
        if is_spliced and (values := documents.values_before(field, end or 0)) is not None:
            return field, len(values), end, checksum
        # In another encoding, `raw` of the document would not be what stands in the field.
        known = Record("", length=form[0], end=None if form[1] else end)
        document, value = documents.read(field, known), field
    else:
        document = _joined(it, field).whole()
        value = document.raw
    return value, document.count, document.canonical_end, int(document.crc, 16)


def _joined(it: Stored, field: bytes) -> Document:
    document = documents.read_field(field)
    form, texts = (number(it.values.length), it.values.crc), it.texts
    ours = not document.count and form == (len(field), document.crc.encode())
    # If nobody else wrote to field or list, the runs need not be parsed.
    if not (ours and number(it.values.bytes) == sum(map(len, texts))):
        decoded_runs(texts)  # raises if a run is damaged
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
    commands = [*RESTORE.commands, *OVERWRITE.commands, *CONTENTS.commands]
    commands += questions.RESTORE_REPLIES.commands
    commands += [*DERIVE.commands, *_CATCHING_UP] if layout.schema is not None else []
    return allowed([layout.keys.index, layout.keys.record(b"")], commands)


def writing(layout: Layout, items: Sequence[Item]) -> list[Command[Written]]:
    """The commands that write conversations with distinct ids, each of which answers what it wrote.

    The others were not written, because something else is stored there.
    """
    fresh = [item for item in items if item.instead_of is None]
    others = [item for item in items if item.instead_of is not None]
    commands = [_restore(layout, fresh)] if fresh else []
    return [*commands, *(_overwrite(layout, item) for item in others)]


def restore_open_runs(layout: Layout, entries: Sequence[Entry]) -> Operation[None]:
    """Open the runs of conversations that are there, unless they are known."""
    calls = [questions.restoring(layout.keys, it.id, it.open) for it in entries if it.open]
    if calls:
        yield calls


def _restore(layout: Layout, items: Sequence[Item]) -> Command[Written]:
    # One script for all is faster than one script each.
    keys, ids = layout.keys, [item.entry.id for item in items]
    shared = [keys.content(ids[0]), keys.record(ids[0]), keys.recency(), keys.expiry()]
    own: list[bytes] = []
    for item in items:
        id = item.entry.id
        own += [keys.record(id), keys.runs(id), keys.ids(id), _owned(layout, item)]
    args = [arg for item in items for arg in _args(layout, item)]

    def decoded(reply: bytes) -> Written:
        return {id for id, answer in zip(ids, reply, strict=True) if answer == ord("1")}

    return Command((RESTORE.call([*shared, keys.call(fresh_token()), *own], args),), decoded)


def _overwrite(layout: Layout, item: Item) -> Command[Written]:
    assert item.instead_of is not None
    id, (owner, *expected) = item.entry.id, item.instead_of
    keys = [*layout.keys.forgetting(id, owner, fresh_token()), _owned(layout, item)]
    call = OVERWRITE.call(keys, [id, owner or b"", *expected, *_args(layout, item)])

    def decoded(reply: Any) -> Written:
        return reply if names_keys(reply) else {id} if reply == 1 else set()

    return Command((call,), decoded)


def _owned(layout: Layout, item: Item) -> bytes:
    # A script must declare a key even where it will not use it, as without an owner.
    return layout.keys.recency(item.entry.facts.owner or b"")


def _args(layout: Layout, item: Item) -> list[Any]:
    """The arguments of restored.lua."""
    entry, facts, document = item.entry, item.entry.facts, item.document
    if document is not None and item.has_record:
        encoded = layout.encoded(document).sealed(layout.sealing, entry.id)
    elif document is not None and layout.sealing is not None:
        field = layout.sealing.seal(DOCUMENT, entry.id, entry.value)
        encoded = Encoded(field, [], {})
    else:
        sizes = {"bytes": sum(map(len, entry.texts))} if entry.texts else {}
        encoded = Encoded(entry.value, list(entry.texts), sizes)
    plain, others = "", []
    if item.has_record:
        owner, title, *times = facts
        if layout.sealing is not None and document is not None:
            title = layout.sealing.seal(TITLE, entry.id, title)
        known = chain(encoded.record.items(), zip(_TIMES, (*times, entry.expires), strict=True))
        plain = "".join([f" {name} {value}" for name, value in known if value not in (None, "")])
        named = ((b"owner", owner), (b"title", title or None))
        others = [part for pair in named if pair[1] is not None for part in pair]
    # Only an append to a recent one may still be retried.
    is_recent = item.is_new or (facts.updated or 0) > (time.time() - _RECENT) * 1000
    told = encoded.told if document and encoded.texts and is_recent else []
    score: Any = facts.updated if entry.score is None else entry.score
    if item.is_new:
        score = "now"
    counts = f"{len(others)} {len(encoded.texts)} {len(told)}"
    when = f"{'-' if score is None else score} {'-' if entry.expires is None else entry.expires}"
    head = f"{int(bool(facts.owner))} {when} {counts}{plain}"
    return [head, entry.id, encoded.field, *others, *encoded.texts, *told]
