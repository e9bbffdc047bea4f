"""Conversations without their content: record, size, types, score, last words; many at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from ..artifacts import Artifact
from ..encryption.sealing import Sealing
from ..keys import Keys, decode
from ..layouts.refs import Snapshot
from ..records import FIELDS, Record, number
from ..redis_io.operations import Command, Operation
from ..redis_io.scripts import Script

SUMMARIES = Script("summaries")

SIZE_FIELDS = ("bytes", "replies")

# Lua copies a field to look at its end, at about 0.1 ms a MB once it is in the cache.
LARGEST_GLANCE = 1024 * 1024
_ALL_GLANCES = 16 * 1024 * 1024

# What one script looks at: each one costs some 10 us while its keys are not in a cache of the CPU.
_AT_ONCE = 50

_PREVIEW_LENGTH = 120
_BINARY = {"ImageArtifact": "[image]", "AudioArtifact": "[audio]", "BlobArtifact": "[binary]"}
_type = re.compile(r'\{"type": ?"(\w{1,100})"').match
_plain = re.compile(r'\[?"((?:[^"\\]|\\.)*)', re.S).match
_value = re.compile(r'"value": ?"((?:[^"\\]|\\.)*)', re.S).search

Bytes = bytes  # in the class, the name is a property


@dataclass(frozen=True, slots=True)
class Summary:
    """A conversation without its content, as it was at `time` (ms), None if it has no deadline.

    `size` is the length of its field in bytes, -1 without a field; `length` the number of elements
    in its list; `edges` are the first and the last byte of the field, and `beginning` is that of
    the last output, where they were asked for. Values are decoded when they are looked at.
    """

    id: Bytes
    time: int | None
    size: int
    record_type: Bytes
    runs_type: Bytes
    length: int
    values: Mapping[str, Bytes | None]
    raw_score: Bytes | None = None
    edges: Bytes = b""
    beginning: Bytes | None = None
    sealing: Sealing | None = None  # what opens the title

    @classmethod
    def of(
        cls, keys: Keys, id: Bytes, time: int | None, names: Sequence[str], row: list[Any]
    ) -> Summary:
        """From a row as the scripts return it, with the values of the fields `names`."""
        size, record_type, runs_type, length, values, *others = row
        known = dict(zip(names, values, strict=False))
        found = cls(id, time, size, record_type, runs_type, length, known, *others)
        return found if keys.sealing is None else replace(found, sealing=keys.sealing)

    @property
    def conversation_id(self) -> str:
        return decode(self.id)

    @property
    def record(self) -> Record:
        values = [self.values.get(name) for name in FIELDS]
        return Record.from_reply(self.id, values, self.sealing)

    @property
    def exists(self) -> bool:
        return self.size >= 0 and not self.is_expired

    @property
    def is_expired(self) -> bool:
        expires = self.number("expires")
        return expires is not None and self.time is not None and expires <= self.time

    @property
    def is_blank(self) -> bool:
        """True if nothing at all is stored."""
        return self.size < 0 and self.record_type == self.runs_type == b"none"

    @property
    def has_right_types(self) -> bool:
        return self.record_type in (b"hash", b"none") and self.runs_type in (b"list", b"none")

    @property
    def has_stray_runs(self) -> bool:
        """True if there is text that no conversation shows."""
        return self.size < 0 and not self.is_expired and self.runs_type == b"list"

    @property
    def is_list(self) -> bool:
        """True if the runs are in the list, as the layouts see it."""
        layout = (self.values.get("layout") or b"")[:4]
        return layout == b"list" or (self.length > 0 and layout != b"hash")

    @property
    def is_damaged(self) -> bool:
        """True if the document certainly is not an object, where it was looked at."""
        return self.size == 0 or any(33 <= edge < 127 and edge not in b"{}" for edge in self.edges)

    @property
    def last_words(self) -> str | None:
        """The first words of the last output; None where finding them would have cost too much."""
        return None if self.beginning is None else _preview(self.beginning)

    @property
    def score(self) -> int | None:
        """None if it is not in the recency index that was looked at."""
        return None if self.raw_score is None else max(0, int(float(self.raw_score)))

    @property
    def owner(self) -> Bytes | None:
        return self.values.get("owner") or None

    @property
    def bytes(self) -> int:
        """Bytes of the stored JSON. The record may count too few for a list that others wrote."""
        counted = max(self.length, self.number("bytes") or 0) if self.length else 0
        return max(0, self.size) + counted

    def is_named(self, text: str) -> bool:
        """True if the id or the title contains `text`, ignoring case."""
        names = (self.conversation_id, self.record.title)
        return any(text.casefold() in name.casefold() for name in names)

    def number(self, name: str) -> int | None:
        return number(self.values.get(name))


def summaries(
    keys: Keys,
    ids: Sequence[bytes],
    fields: Sequence[str] = Snapshot.FIELDS,
    *,
    order: bytes = b"",
    glances: bool = False,
) -> Operation[list[Summary]]:
    """The summary of each id, with its score in `order`, else in that of all.

    With `glances`, what a list shows of the content of fields up to LARGEST_GLANCE bytes too. Fifty
    at a time are as they are at one moment.
    """
    asked = summarising(keys, ids, fields, order=order, glances=glances)
    return [it for found in ((yield asked) if asked else []) for it in found]


def summarising(
    keys: Keys,
    ids: Sequence[bytes],
    fields: Sequence[str] = Snapshot.FIELDS,
    *,
    order: bytes = b"",
    glances: bool = False,
) -> list[Command[list[Summary]]]:
    """See summaries(): each Command is about fifty of them."""
    parts = [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
    return [_summaries(keys, part, fields, order or keys.recency(), glances) for part in parts]


def _summaries(
    keys: Keys, ids: Sequence[bytes], fields: Sequence[str], order: bytes, glances: bool
) -> Command[list[Summary]]:
    own = [key for id in ids for key in (keys.record(id), keys.runs(id))]
    names = _names(tuple(fields))

    def decoded(reply: list[Any]) -> list[Summary]:
        time, *rows = reply
        return [Summary.of(keys, id, time, names, row) for id, row in zip(ids, rows, strict=True)]

    # What is encrypted shows nothing to a script.
    largest = LARGEST_GLANCE if glances and keys.sealing is None else 0
    args = [largest, _ALL_GLANCES, len(names), *names, *ids]
    return Command((SUMMARIES.call([keys.content(ids[0]), order, *own], args),), decoded)


@cache
def _names(fields: tuple[str, ...]) -> tuple[str, ...]:
    """Of the fields to fetch, the one first that the script looks at."""
    return tuple(dict.fromkeys(("expires", *fields)))


def shown(keys: Keys, ids: Sequence[bytes], *, glances: bool = True) -> Operation[list[Summary]]:
    """The summaries of those of `ids` that exist."""
    found = yield from summaries(keys, ids, glances=glances)
    return [summary for summary in found if summary.exists]


def _preview(beginning: bytes) -> str | None:
    text = beginning.decode("utf-8", "replace")
    kind = _type(text)
    if kind and kind[1] in _BINARY:
        return _BINARY[kind[1]]
    data = shown = None
    with suppress(ValueError, RecursionError):  # the artifact may be longer than its beginning
        data, _ = json.JSONDecoder().raw_decode(text)
    if isinstance(data, dict):
        shown = Artifact.from_dict(data).text
    elif found := _plain(text) or _value(text):
        with suppress(ValueError):
            shown = json.loads(f'"{found[1]}"', strict=False)
    if shown is None:
        return None
    words = " ".join(shown[: 4 * _PREVIEW_LENGTH].split())
    return words if len(words) <= _PREVIEW_LENGTH else words[: _PREVIEW_LENGTH - 1] + "…"
