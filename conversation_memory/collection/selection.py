"""Choosing conversations by owner and by the time of their last write, a batch at a time."""

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

# Time of the last write in milliseconds, and id: the place of a conversation in an order.
Mark = tuple[float, bytes]


@dataclass(frozen=True, slots=True)
class Selection:
    """Conversations of `owner` (None for all), last written to from `since` on and before `until`.

    The times are aware. What another program wrote counts from when it was first listed. Or those
    of some `ids`, and nothing else then.
    """

    owner: Id | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: Sequence[Id] | None = None

    def __post_init__(self) -> None:
        if self.owner in ("", b""):
            raise ValueError("What belongs to nobody cannot be asked for: name an owner.")
        if any(time is not None and is_naive(time) for time in (self.since, self.until)):
            raise ValueError("Times that choose conversations need a time zone.")
        if self.ids is not None and (self.owner, self.since, self.until) != (None, None, None):
            raise ValueError(
                "Choose conversations by their ids, or by owner and time, not by both."
            )

    @property
    def is_everything(self) -> bool:
        return self == EVERYTHING

    @property
    def owner_key(self) -> bytes | None:
        """The owner as it stands in Redis."""
        return None if self.owner is None else encode(self.owner)

    def has(self, time: float) -> bool:
        """Whether what was last written to at `time`, in milliseconds, is chosen."""
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
    keys: Keys, selection: Selection, after: Mark | None = None, *, oldest_first: bool = False
) -> Operation[tuple[list[Mark], Mark | None]]:
    """The next places that `selection` chooses, and where to go on, None at the end.

    Oldest first, nothing is missed beside writers: what is written to moves to the end, and comes
    (again). Newest first, it moves to the beginning, and may be missed. A place may outlive its
    conversation. What others wrote has a place once it was adopted.
    """
    if selection.ids is not None:
        return _named(selection.ids, after)
    place = after or _front(selection.start if oldest_first else selection.end)
    order = keys.order(selection.owner_key)
    call = PAGE.call([order], [BATCH, *place, "oldest" if oldest_first else ""])
    flat = yield Command((call,))
    found = [(float(score), id) for id, score in zip(flat[::2], flat[1::2], strict=True)]
    marks = [mark for mark in found if selection.has(mark[0])]
    is_last = len(found) < BATCH or len(marks) < len(found)
    return marks, None if is_last else found[-1]


class Walk(Generic[T]):
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


def members(order: bytes) -> Walk[list[bytes]]:
    """The ids in a sorted set."""

    def scan(cursor: bytes) -> Operation[tuple[bytes, list[bytes]]]:
        cursor, pairs = yield single("ZSCAN", order, cursor, "COUNT", BATCH)
        return cursor, pairs[::2]

    return Walk(scan)


def _named(ids: Sequence[Id], after: Mark | None) -> tuple[list[Mark], Mark | None]:
    """Some of `ids`, each once; the mark of one is its position."""
    names = list(dict.fromkeys(map(encode, ids)))
    first = 0 if after is None else int(after[0]) + 1
    marks = [(float(n), id) for n, id in enumerate(names)][first : first + BATCH]
    return marks, marks[-1] if first + BATCH < len(names) else None


def _front(time: int | None) -> tuple[Any, Any]:
    """A place that no conversation has, behind which those of `time` begin, from either side."""
    return ("", "") if time is None else (time - 0.5, b"")
