"""What is known of a conversation beside its content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .keys import decode
from .runs import Run

FIELDS = ("owner", "title", "created", "updated", "runs", "version", "seal", "expires")

# Redis takes no larger number for every limit. Nothing has as many parts.
LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Record:
    """Owner, title, times and run count of a conversation.

    `expires` is the deadline after which the conversation is gone, None if it has none.

    `created`, `updated` and `runs` are None where only a stock Griptape driver wrote, which leaves
    no trace of them. Times are aware, in UTC, to the millisecond, by the clock of the server.
    """

    conversation_id: str
    owner: str | None = None
    title: str = ""
    created: datetime | None = None
    updated: datetime | None = None
    runs: int | None = None
    version: int = 0
    seal: str = field(default="", repr=False)
    expires: datetime | None = None

    @classmethod
    def from_reply(cls, conversation_id: bytes, reply: Sequence[bytes | None]) -> Record:
        """The record from the values of FIELDS; garbage in a field counts as not there."""
        owner, title, created, updated, runs, version, seal, expires = reply
        return cls(
            decode(conversation_id),
            decode(owner) if owner else None,
            (title or b"").decode("utf-8", "replace"),
            _time(created),
            _time(updated),
            number(runs),
            number(version) or 0,
            (seal or b"").decode("ascii", "replace"),
            _time(expires),
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """A conversation in a listing: its record, and the bytes of its stored JSON."""

    record: Record
    bytes: int

    @property
    def conversation_id(self) -> str:
        return self.record.conversation_id


@dataclass(frozen=True, slots=True)
class Conversation:
    """All of a conversation as it stood at one moment.

    `revision` changes with every write, of stock Griptape drivers too; give it to `store()`.
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
    """Some runs of a conversation, oldest first, with what else is known of it.

    `start` is the position of the first of them and `total` how many there are. Without a
    conversation, `exists` is false and all is empty.
    """

    record: Record
    runs: list[Run]
    start: int
    total: int
    metadata: dict[str, Any]
    exists: bool


@dataclass(frozen=True, slots=True)
class RunPage(Sequence[Run]):
    """Some runs of a conversation, oldest first.

    `start` is the position of the first of them, and what to give as `before` for the runs in
    front of these; 0 at the beginning of the conversation.
    """

    runs: list[Run]
    start: int

    def __getitem__(self, index: Any) -> Any:
        return self.runs[index]

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)


@dataclass(frozen=True, slots=True)
class Page(Sequence[Record]):
    """Some records of a listing, newest first.

    `next` is the cursor to continue from, None at the end. `unlisted` counts conversations that
    others wrote and that have no place in the order yet: each listing adopts a part of them.
    """

    records: list[Record]
    next: str | None = None
    unlisted: int = 0

    def __getitem__(self, index: Any) -> Any:
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)


def number(value: bytes | None) -> int | None:
    """A number of a record as the scripts read it, which Lua could not hold with more digits."""
    return int(value) if value and value.isdigit() and len(value) <= 15 else None


def _time(value: bytes | None) -> datetime | None:
    return moment(number(value))


def moment(milliseconds: float | None) -> datetime | None:
    """The time of a score, None for what no calendar has."""
    try:
        return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
