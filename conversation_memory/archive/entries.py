"""Reading many stored conversations at a time, as entries of an archive."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import Any, NamedTuple, cast
from zlib import crc32

from .. import documents
from ..documents import Document
from ..encryption.sealing import RUN, TITLE, Sealing
from ..exceptions import Damaged, counted
from ..keys import Keys
from ..layouts.long_lists import last_of_first, may_go_on, whole
from ..records import SEALED, number
from ..redis_io.operations import Command, Operation
from ..redis_io.scripts import Script
from ..runs import decoded_runs
from ..segments import opened_document
from . import questions
from .format import Entry, Facts

CONTENTS = Script("contents")

_REPLY = 2**19  # bytes, and one conversation more; longer replies are slower to take in

# Owner, version, length and digest of the field: the state that a script may overwrite.
Expected = tuple[bytes | None, int, int, str]


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
    found = yield from _read(keys, ids, last_of_first())
    for place, it in enumerate(found):
        size = number(it.values.bytes) or 0
        if size > _REPLY or may_go_on(it.texts):
            found[place] = yield from _read_long(keys, it.id, len(it.texts))
    if any(it.open for it in found):
        opened = yield from questions.read(keys, {it.id: it.open for it in found if it.open})
        found = [it._replace(questions=opened.get(it.id, ())) for it in found]
    return found


def _read_long(keys: Keys, id: bytes, first: int) -> Operation[Stored]:
    def one(last: int) -> Operation[Stored]:
        return (yield from _read(keys, [id], last))[0]

    def parts_of(it: Stored) -> tuple[bytes | None, list[bytes]]:
        return it.values.version, cast("list[bytes]", it.texts)

    return whole(keys, id, one, parts_of, first)


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
        document, value = documents.read(field), field
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
