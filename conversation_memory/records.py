"""The record of a conversation, and the values that reading conversations returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, overload

from .clock import moment
from .encryption.sealing import TITLE, Sealing
from .exceptions import Damaged, RedisUnavailable
from .keys import decode
from .runs import Run

# What a listing shows; the other fields say what the stored form is.
LISTED = ("owner", "title", "created", "updated", "runs", "version", "expires")
FIELDS = (*LISTED, "layout", "length", "crc", "end")

# Behind the name of the layout, in the record of an encrypted conversation.
SEALED = "+cm1"

# Some limits of Redis are 32-bit integers.
LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Record:
    """Owner, title, times and run count of a conversation.

    `expires` is the time when it is deleted, None for never. `created`, `updated` and `runs` are
    None if only stock Griptape drivers have written to it. Times are aware, in UTC, to the
    millisecond, by the clock of the server.

    `layout`, `length` (bytes of the field), `crc` (its CRC-32 in hex) and `end` (offset of the
    bracket behind the runs, None unless it suffices to split them) are those of the last write by
    the app. Of an encrypted conversation, `layout` ends in SEALED, and `crc` is the end of its tag.
    """

    conversation_id: str
    owner: str | None = None
    title: str = ""
    created: datetime | None = None
    updated: datetime | None = None
    runs: int | None = None
    version: int = 0
    expires: datetime | None = None
    layout: str = field(default="", repr=False, compare=False)
    length: int | None = field(default=None, repr=False, compare=False)
    crc: str = field(default="", repr=False, compare=False)
    end: int | None = field(default=None, repr=False, compare=False)

    @classmethod
    def from_reply(
        cls, conversation_id: bytes, reply: Sequence[bytes | None], sealing: Sealing | None = None
    ) -> Record:
        """The record from the values of FIELDS; an invalid value counts as missing."""
        owner, title, created, updated, runs, version, expires, layout, length, crc, end = reply
        return cls(
            decode(conversation_id),
            decode(owner) if owner else None,
            _title(conversation_id, title or b"", sealing),
            moment(number(created)),
            moment(number(updated)),
            number(runs),
            number(version) or 0,
            moment(number(expires)),
            (layout or b"").decode("ascii", "replace"),
            number(length),
            (crc or b"").decode("ascii", "replace"),
            number(end),
        )

    @classmethod
    def from_listed(
        cls, conversation_id: bytes, reply: Sequence[bytes | None], sealing: Sealing | None = None
    ) -> Record:
        """See from_reply(), from the values of LISTED only."""
        return cls.from_reply(conversation_id, [*reply, None, None, None, None], sealing)

    @property
    def is_list(self) -> bool:
        """True if the app wrote it in layout `list`, encrypted or not."""
        return self.layout in ("list", "list" + SEALED)

    @property
    def is_sealed(self) -> bool:
        """True if the app wrote it encrypted."""
        return self.layout.endswith(SEALED)

    @property
    def fingerprint(self) -> str:
        """See wire.fingerprint(): of the field as the app wrote it last."""
        return f"{self.length}-{self.crc}"


class Runs(list[Run]):
    """The runs of a document, with its members other than runs and metadata.

    Griptape writes none. They are kept when loaded runs are stored again.
    """

    members: dict[str, bytes]

    def __init__(self, runs: Iterable[Run] = (), members: dict[str, bytes] | None = None):
        super().__init__(runs)
        self.members = members or {}


@dataclass(frozen=True, slots=True)
class ConversationState:
    """A whole conversation as it was at one moment.

    `revision` changes with every write, also of stock Griptape drivers; pass it to `store()`.
    """

    record: Record
    runs: list[Run]
    metadata: dict[str, Any]
    revision: str
    exists: bool

    @property
    def conversation_id(self) -> str:
        return self.record.conversation_id


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some runs of a conversation, oldest first, with its record and metadata.

    `start` is the position of the first run, `total` the number of all runs, `revision` that of
    `read()`. If there is no conversation, `exists` is false and everything is empty.
    """

    record: Record
    runs: list[Run]
    start: int
    total: int
    metadata: dict[str, Any]
    exists: bool
    revision: str = "0-absent"


@dataclass(frozen=True, slots=True)
class RunPage(Sequence[Run]):
    """Some runs of a conversation, oldest first.

    `start` is the position of the first run, 0 at the beginning: pass it as `before` for the
    preceding runs.
    """

    runs: list[Run]
    start: int

    @overload
    def __getitem__(self, index: int) -> Run: ...

    @overload
    def __getitem__(self, index: slice) -> list[Run]: ...

    def __getitem__(self, index: int | slice) -> Run | list[Run]:
        return self.runs[index]

    def __len__(self) -> int:
        return len(self.runs)


@dataclass(frozen=True, slots=True)
class Page(Sequence[Record]):
    """Some records of a listing, newest first.

    `next` is the cursor to continue from, None at the end. `unlisted` conversations of other
    programs are not listed yet: each listing adopts some of them. Of an index with SHARDS,
    `missing` are the names of the shards that did not answer: their conversations are left out.
    """

    records: list[Record]
    next: str | None = None
    unlisted: int = 0
    missing: tuple[str, ...] = ()

    @property
    def whole(self) -> list[Record]:
        """The records. Raises `RedisUnavailable` if shards are missing."""
        if self.missing:
            raise RedisUnavailable(f"Shards that did not answer: {', '.join(self.missing)}.")
        return self.records

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)


def _title(id: bytes, title: bytes, sealing: Sealing | None) -> str:
    """The title as text; '' for one that cannot be decrypted, which must not break a listing."""
    if sealing is not None:
        try:
            title = sealing.open(TITLE, id, title)
        except Damaged:
            return ""
    return title.decode("utf-8", "replace")


def page_limit(limit: int) -> int:
    if limit < 1:
        raise ValueError("The limit of a page must be at least 1.")
    return min(limit, LARGEST)


def number(value: bytes | None) -> int | None:
    # Lua holds integers of 15 digits exactly.
    return int(value) if value and value.isdigit() and len(value) <= 15 else None
