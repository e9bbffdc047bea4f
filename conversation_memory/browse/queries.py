"""Parts of an index by number, and what a list shows of each conversation: values and Commands."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..collection.listing import COUNT
from ..documents import read
from ..exceptions import Damaged
from ..keys import Keys
from ..records import Record
from ..redis_io.operations import Command, Operation
from ..redis_io.scripts import Script
from ..runs import Artifact

BROWSE = Script("browse")
GLANCE = Script("glance")

# Lua copies a field to look at its end, at about 0.1 ms a MB once it is in the cache.
MOST_COPIED = 1024 * 1024
MOST_COPIED_OF_A_PAGE = 16 * 1024 * 1024

PREVIEW_LENGTH = 120
_BINARY = {"ImageArtifact": "[image]", "AudioArtifact": "[audio]", "BlobArtifact": "[binary]"}
_type = re.compile(r'\{"type": "(\w{1,100})"').match
_value = re.compile(r'"value": "((?:[^"\\]|\\.)*)', re.S).search


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of an index: of one owner, and last written to from `since` on and before `until`.

    Times are in milliseconds.
    """

    owner: bytes | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """A conversation in a list: `size` in bytes, the first words of its last message.

    `last_words` is None where finding them would have cost too much. `is_damaged` is True only if
    the document is certainly not an object.
    """

    id: bytes
    record: Record
    size: int
    last_words: str | None = None
    is_damaged: bool = False

    @property
    def is_sealed(self) -> bool:
        """True if the document has the length that we wrote last, and need not be read."""
        return self.record.layout == "list" or self.record.length == self.size

    def is_named(self, text: str) -> bool:
        """True if the id or the title contains `text`, ignoring case."""
        names = (self.record.conversation_id, self.record.title)
        return any(text.casefold() in name.casefold() for name in names)


@dataclass(frozen=True, slots=True)
class Extent:
    """The number of conversations, and how many of them the recency index does not have yet."""

    conversations: int
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class Finds:
    """The matches in a part of a span.

    `looked_at` is the number of conversations examined, `next` the number to continue from, None
    at the end. `skipped` is the number of those that were too large to read.
    """

    ids: list[bytes]
    next: int | None = None
    skipped: int = 0
    looked_at: int = 0


def numbered(keys: Keys, span: Span, offset: int, limit: int) -> Command[tuple[int, list[bytes]]]:
    """The number of conversations in the span, and the ids from number `offset` on."""
    times = ["" if time is None else time for time in (span.since, span.until)]
    return Command((BROWSE.call([keys.recency(span.owner)], [offset, limit, *times]),), tuple)


def total(keys: Keys, span: Span) -> Command[int]:
    if span.since is not None or span.until is not None:
        page = numbered(keys, span, 0, 0)
        return Command(page.calls, lambda reply: page.decode(reply)[0])
    counted = [keys.index, keys.expiry()]
    counted += [] if span.owner is None else [keys.recency(span.owner)]
    return Command((COUNT.call(counted, []),), int)


def summaries(keys: Keys, ids: Sequence[bytes], most_copied: int = 0) -> Operation[list[Preview]]:
    """Those of `ids` that exist, with last words where a field has at most `most_copied` bytes."""
    if not ids:
        return []
    touched = [keys.content(ids[0])]
    for id in ids:
        touched += [keys.record(id), keys.runs(id)]
    call = GLANCE.call(touched, [most_copied, MOST_COPIED_OF_A_PAGE, *ids])
    replies = yield Command((call,))
    return [
        _summary(id, *reply) for id, (exists, *reply) in zip(ids, replies, strict=True) if exists
    ]


def _summary(id: bytes, *values: Any) -> Preview:
    *fields, size, edges, beginning = values
    words = None if beginning is None else preview(beginning)
    return Preview(id, Record.from_reply(id, fields), size, words, not size or _is_no_object(edges))


def _is_no_object(edges: bytes) -> bool:
    """True if the first or the last byte is a character that no object has there."""
    return any(33 <= edge < 127 and edge not in b"{}" for edge in edges)


def is_unreadable(field: bytes) -> bool:
    try:
        read(field)
    except Damaged:
        return True
    return False


def preview(beginning: bytes) -> str | None:
    """The first words of an artifact whose JSON starts with `beginning`; None if unclear."""
    text = beginning.decode("utf-8", "replace")
    kind = _type(text)
    if kind and kind[1] in _BINARY:
        return _BINARY[kind[1]]
    try:
        data, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return _preview_of_part(text)
    return _shortened(Artifact.from_dict(data).text) if isinstance(data, dict) else None


def _preview_of_part(text: str) -> str | None:
    """From the value, if it is a text, up to where it was cut."""
    if not (found := _value(text)):
        return None
    try:
        return _shortened(json.loads(f'"{found[1]}"', strict=False))
    except ValueError:
        return None


def _shortened(text: str) -> str:
    words = " ".join(text[: 4 * PREVIEW_LENGTH].split())
    return words if len(words) <= PREVIEW_LENGTH else words[: PREVIEW_LENGTH - 1] + "…"
