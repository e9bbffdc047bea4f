"""Selecting conversations by owner and by the time of their last write, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.utils.timezone import is_naive

from ..clock import milliseconds
from ..keys import Id, Keys, encode
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script

PAGE = Script("page")

BATCH = 500

T = TypeVar("T")

# Where a page of a recency index ends: time of the last write in milliseconds, and id.
PageKey = tuple[float, bytes]


@dataclass(frozen=True, slots=True)
class Selection:
    """Conversations of `owner` (None for all), last written to from `since` on and before `until`.

    The times are aware. Conversations of other programs count as written when they were first
    listed. With `ids`, no other criterion is allowed.
    """

    owner: Id | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: Sequence[Id] | None = None

    def __post_init__(self) -> None:
        if self.owner in ("", b""):
            raise ValueError("`owner` is required.")
        if any(time is not None and is_naive(time) for time in (self.since, self.until)):
            raise ValueError("`since` and `until` require a time zone.")
        if self.ids is not None and (self.owner, self.since, self.until) != (None, None, None):
            raise ValueError("Select conversations by id, or by owner and time, but not by both.")

    @property
    def is_everything(self) -> bool:
        return self == EVERYTHING

    @property
    def owner_key(self) -> bytes | None:
        """The owner as stored in Redis."""
        return None if self.owner is None else encode(self.owner)

    def has(self, time: float) -> bool:
        """True if a last write at `time`, in milliseconds, is selected."""
        return (self.start is None or self.start <= time) and (self.end is None or time < self.end)

    @property
    def start(self) -> int | None:
        """`since` in milliseconds."""
        return None if self.since is None else milliseconds(self.since)

    @property
    def end(self) -> int | None:
        """`until` in milliseconds."""
        return None if self.until is None else milliseconds(self.until)


EVERYTHING = Selection()


def chosen(
    keys: Keys, selection: Selection, after: PageKey | None = None, *, oldest_first: bool = False
) -> Operation[tuple[list[PageKey], PageKey | None]]:
    """The next conversations that `selection` selects, and where to continue, None at the end.

    Oldest first, concurrent writes hide nothing: a conversation that is written to moves to the end
    and is returned (again). Newest first, it moves to the beginning and may be missed. The index
    may list deleted conversations, and those of other programs only after adoption.
    """
    if selection.ids is not None:
        return _named(selection.ids, after)
    start = after or _front(selection.start if oldest_first else selection.end)
    order = keys.recency(selection.owner_key)
    call = PAGE.call([order], [BATCH, *start, "oldest" if oldest_first else ""])
    flat = yield Command((call,))
    found = [(float(score), id) for id, score in zip(flat[::2], flat[1::2], strict=True)]
    found_keys = [mark for mark in found if selection.has(mark[0])]
    is_last = len(found) < BATCH or len(found_keys) < len(found)
    return found_keys, None if is_last else found[-1]


class ScanCursor(Generic[T]):
    """The batches of a SCAN, HSCAN or ZSCAN, one at a time."""

    def __init__(self, scan: Callable[[bytes], Operation[tuple[bytes, T]]]):
        self._scan = scan
        self._cursor: bytes | None = None

    @property
    def goes_on(self) -> bool:
        return self._cursor != b"0"

    def next(self) -> Operation[T]:
        self._cursor, batch = yield from self._scan(self._cursor or b"0")
        return batch


def members(order: bytes) -> ScanCursor[list[bytes]]:
    """The ids in a sorted set."""

    def scan(cursor: bytes) -> Operation[tuple[bytes, list[bytes]]]:
        cursor, pairs = yield single("ZSCAN", order, cursor, "COUNT", BATCH)
        return cursor, pairs[::2]

    return ScanCursor(scan)


def _named(ids: Sequence[Id], after: PageKey | None) -> tuple[list[PageKey], PageKey | None]:
    """Some of `ids`, each once; the time of one is its position."""
    names = list(dict.fromkeys(map(encode, ids)))
    first = 0 if after is None else int(after[0]) + 1
    found_keys = [(float(n), id) for n, id in enumerate(names)][first : first + BATCH]
    return found_keys, found_keys[-1] if first + BATCH < len(names) else None


def _front(time: int | None) -> tuple[Any, Any]:
    """A key that no conversation has, directly before those of `time`, from either side."""
    return ("", "") if time is None else (time - 0.5, b"")
