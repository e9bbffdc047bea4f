"""Conversations without their content: records, sizes, types and scores, many at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..keys import Keys, decode
from ..records import FIELDS, Record, number
from ..redis_io.operations import Command
from ..redis_io.scripts import Script

SUMMARIES = Script("summaries")

_FIELDS = (*FIELDS, "bytes", "ttl")
SIZE_FIELDS = ("bytes",)

Bytes = bytes  # in the class, the name is a property


@dataclass(frozen=True, slots=True)
class Summary:
    """A conversation without its content, as it was at `time`, None if it has no deadline.

    `size` is the length of its field in bytes, -1 without a field; `length` the number of elements
    in its list. Times are in milliseconds. Values are decoded when they are looked at.
    """

    id: Bytes
    time: int | None
    size: int
    record_type: Bytes
    runs_type: Bytes
    length: int
    raw_score: Bytes | None
    values: Mapping[str, Bytes | None]

    @property
    def conversation_id(self) -> str:
        return decode(self.id)

    @property
    def record(self) -> Record:
        return Record.from_reply(self.id, [self.values.get(name) for name in FIELDS])

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
    def is_recorded(self) -> bool:
        """True if the app has written its record."""
        return self.values.get("version") is not None

    @property
    def has_stray_runs(self) -> bool:
        """True if there is text that no conversation shows."""
        return self.size < 0 and not self.is_expired and self.runs_type == b"list"

    @property
    def is_list(self) -> bool:
        """True if the runs are in the list, as the layouts see it."""
        layout = self.values.get("layout")
        return layout == b"list" or (self.length > 0 and layout != b"hash")

    @property
    def is_listed(self) -> bool:
        """True if it is in the recency index that was looked at."""
        return self.raw_score is not None

    @property
    def score(self) -> int | None:
        return None if self.raw_score is None else max(0, int(float(self.raw_score)))

    @property
    def owner(self) -> Bytes | None:
        return self.values.get("owner") or None

    @property
    def fingerprint(self) -> str:
        return self.record.fingerprint

    @property
    def bytes(self) -> int:
        """Bytes of the stored JSON. The record may count too few for a list that others wrote."""
        counted = max(self.length, self.number("bytes") or 0) if self.length else 0
        return max(0, self.size) + counted

    def number(self, name: str) -> int | None:
        """The number in a field of the record; None if there is none."""
        return number(self.values.get(name))


def summaries(
    keys: Keys,
    ids: Sequence[bytes],
    fields: Sequence[str] = _FIELDS,
    *,
    order: bytes = b"",
    in_transaction: bool = False,
) -> Command[list[Summary]]:
    """The summary of each of a few hundred ids, with its score in `order`, else in that of all."""
    own = [key for id in ids for key in (keys.record(id), keys.runs(id))]
    names = tuple(dict.fromkeys(("expires", *fields)))
    call = SUMMARIES.whole if in_transaction else SUMMARIES.call

    def decoded(reply: list[Any]) -> list[Summary]:
        time, *rows = reply
        return [
            Summary(id, time, *known, dict(zip(names, values, strict=False)))  # type: ignore[call-arg]
            for id, (*known, values) in zip(ids, rows, strict=True)
        ]

    args = [len(names), *names, *ids]
    return Command((call([keys.content(ids[0]), order or keys.recency(), *own], args),), decoded)
