"""An encrypted document in segments: itself, and behind it what appends have added to its runs.

A segment is bound to the end of the one before it, the tag of a cipher. So none opens behind
another one, and none can be left out, repeated or moved. The server adds one without reading.
"""

from __future__ import annotations

from collections.abc import Sequence

from .documents import CLOSING, read
from .encryption.sealing import DOCUMENT, SEGMENT, Sealing, is_sealed
from .exceptions import Damaged, Undecryptable
from .wire import tail_of

SEPARATOR = b"~"

MOST_SEGMENTS = 32  # as in scripts/segment.lua


def end_of(field: bytes) -> bytes:
    """What the next segment is bound to."""
    return tail_of(field).encode()


def added_text(texts: Sequence[bytes]) -> bytes:
    """Runs as they follow others in a document."""
    return b"".join([b", " + text for text in texts])


def sealed_segment(sealing: Sealing, id: bytes, text: bytes, end: bytes) -> bytes:
    """What is added behind a document that ends with `end`."""
    return sealing.seal(SEGMENT, id, text, end)


def opened_document(
    sealing: Sealing, id: bytes, field: bytes, length: int | None, end: int | None = None
) -> bytes:
    """The document in one piece. Raises `Undecryptable`, or `Damaged` if that is not one.

    `length` is how many bytes its record counts, if it was encrypted then; `end` is where its runs
    end, if known.
    """
    if is_sealed(field) and (length or 0) > len(field):
        raise Damaged("its end is missing")
    if SEPARATOR not in field or not is_sealed(field):
        return sealing.open(DOCUMENT, id, field)
    first, *others = field.split(SEPARATOR)
    plain, last, texts = sealing.open(DOCUMENT, id, first), first, []
    for segment in others:
        if not is_sealed(segment):
            raise Undecryptable("a part of it is not encrypted", field)
        texts.append(sealing.open(SEGMENT, id, segment, end_of(last)))
        last = segment
    text = b"".join(texts)
    start = (end or 0) - len(text)
    if start < 0 or not plain.startswith(CLOSING, start):  # nobody has recorded it, or wrongly
        start = read(plain).end
    return b"".join((plain[:start], text, plain[start:]))
