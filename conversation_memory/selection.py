"""Choosing conversations by owner and by the time of their last write, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.timezone import is_naive

from .commands import Command, Operation, Script
from .keys import Id, Keys, encode

PAGE = Script("page.lua")

BATCH = 500

# Time of the last write in milliseconds, and id: the place of a conversation in an order.
Mark = tuple[float, bytes]


@dataclass(frozen=True, slots=True)
class Selection:
    """Conversations of `owner` (None for all), last written to from `since` on and before `until`.

    The times are aware. What another program wrote counts from when it was first listed.
    """

    owner: Id | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.owner in ("", b""):
            raise ValueError("What belongs to nobody cannot be asked for: name an owner.")
        if any(time is not None and is_naive(time) for time in (self.since, self.until)):
            raise ValueError("Times that choose conversations need a time zone.")

    @property
    def is_everything(self) -> bool:
        return self == Selection()

    @property
    def owner_key(self) -> bytes | None:
        """The owner as it stands in Redis."""
        return None if self.owner is None else encode(self.owner)

    def has(self, time: float) -> bool:
        """Whether what was last written to at `time`, in milliseconds, is chosen."""
        return _first(self) <= time < _end(self)


def chosen(
    keys: Keys, selection: Selection, after: Mark | None = None, *, oldest_first: bool = False
) -> Operation[tuple[list[Mark], Mark | None]]:
    """The next places that `selection` chooses, and where to go on, None at the end.

    Oldest first, nothing is missed beside writers: what is written to moves to the end, and comes
    (again). Newest first, it moves to the beginning, and may be missed. A place may outlive its
    conversation. What others wrote has a place once it was adopted.
    """
    start = after or _start(selection, oldest_first)
    place = ("", "") if start is None else start
    order = keys.order(selection.owner_key)
    call = PAGE.call([order], [BATCH, *place, "oldest" if oldest_first else ""])
    flat = yield Command((call,))
    found = [(float(score), id) for id, score in zip(flat[::2], flat[1::2], strict=True)]
    marks = [mark for mark in found if selection.has(mark[0])]
    is_last = len(found) < BATCH or len(marks) < len(found)
    return marks, None if is_last else found[-1]


def _start(selection: Selection, oldest_first: bool) -> Mark | None:
    """A place that no conversation has, behind which the chosen ones begin."""
    time = selection.since if oldest_first else selection.until
    return None if time is None else (_milliseconds(time) - 0.5, b"")


def _first(selection: Selection) -> float:
    return float("-inf") if selection.since is None else _milliseconds(selection.since)


def _end(selection: Selection) -> float:
    return float("inf") if selection.until is None else _milliseconds(selection.until)


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)
