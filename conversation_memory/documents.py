"""The JSON document of a conversation: taken apart and put together without rewriting its runs.

The record tells a document that we wrote by length and checksum, and where its runs end. It is
split at C speed, and each run is decoded when it is looked at. Any other is parsed in full.

A document of layout `list` holds its runs `apart`: the field of the hash and the texts of the list.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from .encryption.sealing import is_sealed
from .exceptions import Damaged
from .records import Record, Runs
from .runs import Run, decoded_runs, lenient, list_texts, wire_texts
from .wire import (
    damage,
    dumps,
    dumps_unchecked,
    fingerprint,
    fingerprint_of,
    loads,
    loads_together,
    members_of,
)

_OPENING = b'{"runs": ['
_RUN = b'{"type": "Run", "id": '
_BETWEEN = b", " + _RUN
CLOSING = b'], "metadata": '
_SHORT = 200
_FEW = 10

_plain_id = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_opening = re.compile(re.escape(_RUN) + rb'"[^"\\]*"').match


@dataclass(slots=True)
class Document:
    """A document and where its parts are: byte offsets into `raw`."""

    raw: bytes
    number: int | None  # of runs, None until they are counted
    end: int  # of the runs: their closing bracket
    metadata_start: int
    metadata_end: int
    # The JSON texts of the runs; None if the document is canonical: it can be split unparsed.
    pieces: list[bytes] | None = None
    members: dict[str, bytes] = field(default_factory=dict)  # the texts of other members
    fingerprint: str = ""  # of what is stored
    checksum: int | None = None  # CRC-32 of what is in front of `end`, if known
    apart: bool = False  # if True, the runs are `pieces` and not in `raw`
    values: list[Any] | None = None  # of the runs, if loads_together() has read them

    def __post_init__(self) -> None:
        self.fingerprint = self.fingerprint or fingerprint(self.raw)

    @property
    def count(self) -> int:
        if self.number is None:
            self.number = runs_before(self.raw, self.end)
        return self.number

    @property
    def runs(self) -> Runs:
        """The runs, oldest first; a damaged one is an error when it is looked at."""
        return Runs(lenient(self.texts, self.taken_values()), self.members)

    def taken_values(self) -> list[Any] | None:
        """The values of the runs, if they were read: once, as a caller may change them."""
        values, self.values = self.values, None
        return values

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata, decoded anew at each call. Raises `Damaged`."""
        return {} if self._metadata in (b"{}", b"null") else loads(self._metadata)

    @property
    def crc(self) -> str:
        return self.fingerprint.rpartition("-")[2]

    @property
    def canonical_end(self) -> int | None:
        """`end`; None unless the document is canonical."""
        return self.end if self.pieces is None else None

    def absent(self, runs: Sequence[Run]) -> list[Run]:
        """Those of `runs` whose ids it does not have."""
        ids = [run.id for run in runs]
        # A few ids are looked for in the text, which is quicker than to decode its runs.
        is_quick = self.pieces is None and len(ids) <= _FEW and all(map(_plain_id, ids))
        if is_quick and not any(_RUN + dumps(id) in self.raw for id in ids):
            return [*runs]
        known = {run.id for run in self.runs}
        return [run for run, id in zip(runs, ids, strict=True) if id not in known]

    def appended(self, runs: list[Run]) -> Document:
        """This document with `runs` behind its own, every other byte as it was."""
        if self.apart:
            return self.with_texts([*self.texts, *(run.to_list() for run in runs)])
        text, pieces = _join([run.to_wire() for run in runs])
        added = (b", " if self.count and runs else b"") + text
        shift = len(added) if self.metadata_start > self.end else 0
        if pieces is not None or self.pieces is not None:
            pieces = [*self.texts, *(pieces or [run.to_wire() for run in runs])]
        rest = self.raw[self.end :]
        raw = b"".join((memoryview(self.raw)[: self.end], added, rest))
        known, checksum = "", None
        if self.checksum is not None:  # CRC-32 can go on from there
            checksum = zlib.crc32(added, self.checksum)
            known = fingerprint_of(len(raw), zlib.crc32(rest, checksum))
        offsets = self.end + len(added), self.metadata_start + shift, self.metadata_end + shift
        count = self.count + len(runs)
        return Document(raw, count, *offsets, pieces, self.members, known, checksum)

    def with_metadata(self, metadata: dict[str, Any]) -> Document:
        """This document with other metadata, every other byte as it was."""
        text = dumps_unchecked(metadata)  # what others stored in it may be deeper than we allow
        start = self.metadata_start
        end = start + len(text)
        shift = end - self.metadata_end if self.end > start else 0
        raw = b"".join((self.raw[:start], text, self.raw[self.metadata_end :]))
        rest = (self.pieces, self.members, "", None, self.apart)
        return Document(raw, self.count, self.end + shift, start, end, *rest)

    def with_texts(self, texts: list[bytes]) -> Document:
        """This document with other runs, given as JSON texts."""
        if self.apart:
            return replace(self, pieces=texts, number=len(texts), values=None)
        return _whole(texts, self._metadata, self.members)

    def whole(self) -> Document:
        """This document in the wire format."""
        if not self.apart:
            return self
        return _whole(wire_texts(self.texts), self._metadata, self.members)

    def listed(self) -> Document:
        """This document with the runs apart."""
        if self.apart:
            return self
        return _apart(list_texts(self.texts), self._metadata, self.members)

    @property
    def _metadata(self) -> bytes:
        return self.raw[self.metadata_start : self.metadata_end]

    @property
    def texts(self) -> list[bytes]:
        return _split(self.raw, len(_OPENING), self.end) if self.pieces is None else self.pieces

    def part(self, before: int | None, limit: int) -> tuple[int, list[bytes], list[Any] | None]:
        """At most `limit` runs in front of `before`, or the last: start, texts, values if read."""
        stop = self.count if before is None else min(before, self.count)
        start, values = max(0, stop - limit), self.taken_values()
        if self.pieces is None and stop == self.count and 2 * limit < stop:
            # The last ones of many are found without a look at the others.
            first = self.end
            for _ in range(limit):
                first = self.raw.rfind(_BETWEEN, 0, first)
            texts = _split(self.raw, first + len(_BETWEEN) - len(_RUN), self.end)
        else:
            texts = self.texts[start:stop]
        return start, texts, None if values is None else values[start:stop]


def _split(raw: bytes, start: int, end: int) -> list[bytes]:
    pieces = raw[start + len(_RUN) : end].split(_BETWEEN) if end > start else []
    return [_RUN + piece for piece in pieces]


def runs_before(raw: bytes, end: int) -> int:
    """How many runs a canonical document has whose runs end at `end`."""
    return 1 + raw.count(_BETWEEN, 0, end) if end > len(_OPENING) else 0


def build(runs: Iterable[Run], metadata: dict[str, Any], *, apart: bool = False) -> Document:
    """A document of `runs` and `metadata`, in the wire format or with the runs `apart`."""
    runs = runs if isinstance(runs, Runs) else Runs(runs)
    if apart:
        return _apart([run.to_list() for run in runs], dumps(metadata), runs.members)
    return _whole([run.to_wire() for run in runs], dumps(metadata), runs.members)


def _whole(texts: list[bytes], metadata: bytes, members: dict[str, bytes]) -> Document:
    text, pieces = _join(texts)
    return _assemble(text, len(texts), metadata, members, pieces)


def _apart(texts: list[bytes], metadata: bytes, members: dict[str, bytes]) -> Document:
    document = _assemble(b"", 0, metadata, members, None)
    document.pieces, document.number, document.apart = texts, len(texts), True
    return document


def _assemble(
    text: bytes, count: int, metadata: bytes, members: dict[str, bytes], pieces: list[bytes] | None
) -> Document:
    end = len(_OPENING) + len(text)
    start = end + len(CLOSING)
    others = b"".join(b", %b: %b" % (dumps(key), value) for key, value in members.items())
    raw = b"".join((_OPENING, text, CLOSING, metadata, others, b"}"))
    document = Document(raw, count, end, start, start + len(metadata), pieces, members)
    if others and pieces is None:
        document.pieces = document.texts
    return document


def _join(texts: list[bytes]) -> tuple[bytes, list[bytes] | None]:
    return b", ".join(texts), None if all(map(opening_of, texts)) else texts


def opening_of(text: bytes) -> bytes | None:
    """How the text of a run begins, up to its id; None if it could not be found by it.

    `texts` and `absent` find runs again that begin with _RUN and an id without escapes, and have no
    other _RUN inside. It cannot hide in a string, where each quote has a backslash before it.
    """
    opening = _opening(text)
    return opening[0] if opening and text.count(_RUN) == 1 else None


def joined(texts: Sequence[bytes], field: Document) -> Document:
    """The document of runs that are kept in a list, and of the field."""
    if not field.count:
        offsets = field.end, field.metadata_start, field.metadata_end
        own = [*texts], field.members, field.fingerprint
        return Document(field.raw, len(texts), *offsets, *own, apart=True)
    # Another program, which knows no list, wrote runs into the field.
    known = {run.id for run in decoded_runs(texts)} - {""}
    others = [run.to_list() for run in field.runs if run.id not in known]
    return field.listed().with_texts([*texts, *others])


def read(raw: bytes, record: Record | None = None, *, is_known: bool = False) -> Document:
    """The document of `raw`. Raises `Damaged` if it is not a conversation.

    If the record is that of `raw`, which it need not prove if that `is_known`, it tells where the
    runs end.
    """
    if record and record.end and is_known:
        with suppress(Damaged):
            return opened(raw, None, record.end, zlib.crc32(raw))
    if record and record.end and record.length == len(raw) and not record.crc:
        # Spliced by a script, which computes no checksum.
        if (values := values_before(raw, record.end)) is not None:
            return replace(opened(raw, len(values), record.end, zlib.crc32(raw)), values=values)
    elif record and record.end and record.length == len(raw):
        view = memoryview(raw)
        checksum = zlib.crc32(view[: record.end])
        whole = zlib.crc32(view[record.end :], checksum)
        if fingerprint_of(len(raw), whole) == record.fingerprint:
            with suppress(Damaged):
                return opened(raw, None, record.end, whole, checksum)
    if is_sealed(raw):
        raise damage(ValueError(), raw)
    try:
        text = raw.decode(json.detect_encoding(raw), "surrogatepass")
        members = {key: span for key, *span in members_of(text)}
    except (ValueError, RecursionError) as error:
        raise damage(error, raw) from None
    document = _locate(raw, text, members)
    # A document in our form is canonical, whichever program wrote it.
    if _is_canonical(document):
        document.pieces = None
    return document


def _is_canonical(document: Document) -> bool:
    raw, end, pieces = document.raw, document.end, document.texts
    start, stop = document.metadata_start, document.metadata_end
    return (
        (start, stop) == (end + len(CLOSING), len(raw) - 1)
        and b"".join((_OPENING, b", ".join(pieces), CLOSING)) == raw[:start]
        and not document.members
        and all(map(_opening, pieces))
        and raw.count(_RUN, 0, end) == len(pieces)
    )


_read_short = lru_cache(100)(read)


def read_field(raw: bytes) -> Document:
    """See read(), of the field beside a list: most are the same few bytes."""
    return _read_short(raw) if len(raw) < _SHORT else read(raw)


def values_before(raw: bytes, end: int) -> list[Any] | None:
    """The values of the runs of a canonical document, None unless they end at `end`."""
    could_end = raw.startswith(_OPENING) and raw.startswith(CLOSING, end)
    match loads_together([raw]) if could_end else None:
        case [{"runs": list(runs), "metadata": dict()} as members] if len(members) == 2:
            return runs if len(runs) == runs_before(raw, end) else None
    return None


def opened(
    raw: bytes, count: int | None, end: int, whole: int, checksum: int | None = None
) -> Document:
    """The canonical document of `raw`, of which it is known where its `count` runs end.

    `whole` is the CRC-32 of all of it. Raises `Damaged` if the runs cannot end there.
    """
    start = end + len(CLOSING)
    if raw[end:start] != CLOSING or not raw.startswith(_OPENING):
        raise Damaged("its runs do not end where they should")
    known = fingerprint_of(len(raw), whole)
    return Document(raw, count, end, start, len(raw) - 1, None, {}, known, checksum)


def _locate(raw: bytes, text: str, members: dict[str, list[Any]]) -> Document:
    """The document of parsed `members`: of each its value, and its start and end in `text`."""
    ascii = len(raw) == len(text)

    def encoded(start: int, end: int) -> bytes:
        return raw[start:end] if ascii else text[start:end].encode("utf-8", "surrogatepass")

    def offset(position: int) -> int:
        return position if ascii else len(encoded(0, position))

    spliceable = {"runs", "metadata"} <= set(members) and json.detect_encoding(raw) == "utf-8"
    spans, _, end = members.pop("runs", ([], 0, 0))
    metadata, start, stop = members.pop("metadata", (None, 0, 0))
    if not isinstance(spans, list):
        raise Damaged("its runs are not a list")
    if None in spans:
        raise Damaged(f"run {spans.index(None)} is not an object")
    if not isinstance(metadata, dict | None):
        raise Damaged("its metadata is not an object")
    pieces = [encoded(start, end) for _, start, end in spans]
    others = {key: encoded(*span) for key, (_, *span) in members.items()}
    if not spliceable:  # the same members in the usual form
        metadata_text = encoded(start, stop) or b"{}"
        document = _assemble(b", ".join(pieces), len(pieces), metadata_text, others, pieces)
        document.fingerprint = fingerprint(raw)
        return document
    offsets = offset(end - 1), offset(start), offset(stop)
    return Document(raw, len(pieces), *offsets, pieces, others, values=[one[0] for one in spans])
