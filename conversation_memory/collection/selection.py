"""Selecting conversations by owner and by the time of their last write, a batch at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.utils.timezone import is_naive

from ..clock import milliseconds
from ..keys import Id, encode
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


def page_of(order: bytes, limit: int, *start: Any) -> Command[list[PageKey]]:
    """At most `limit` members of a recency index; for `start` see page.lua."""
    if not start:  # takes the server less
        return Command((("ZREVRANGE", order, 0, limit - 1, "WITHSCORES"),), page_keys)
    return Command((PAGE.call([order], [limit, *start]),), page_keys)


def page_keys(reply: list[Any]) -> list[PageKey]:
    """From ids with their scores: pairs, as RESP3 returns them, or a flat list."""
    if reply and type(reply[0]) is list:
        return [(score, id) for id, score in reply]
    return [*zip(map(float, reply[1::2]), reply[::2], strict=True)]


def chosen(
    page: Callable[..., Operation[list[PageKey]]],
    selection: Selection,
    after: PageKey | None = None,
    *,
    oldest_first: bool = False,
) -> Operation[tuple[list[bytes], PageKey | None]]:
    """The next ids that `selection` selects, and where to continue, None at the end.

    `page` is that of a Listing.

    A conversation that is written to meanwhile may be missed; oldest first, it is returned (again).
    The index may list deleted conversations, and those of other programs only after adoption.
    """
    if selection.ids is not None:
        return _named(selection.ids, after)
    time = selection.start if oldest_first else selection.end
    # A key that no conversation has, directly before those of `time`, from either side.
    front = ("", "") if time is None else (time - 0.5, b"")
    direction = "oldest" if oldest_first else ""
    found = yield from page(selection.owner_key, BATCH, *(after or front), direction)
    ids = [id for score, id in found if selection.has(score)]
    is_last = len(found) < BATCH or len(ids) < len(found)
    return ids, None if is_last else found[-1]


def _named(ids: Sequence[Id], after: PageKey | None) -> tuple[list[bytes], PageKey | None]:
    # Each once. Instead of a time, the page key has a number.
    names = list(dict.fromkeys(map(encode, ids)))
    stop = BATCH if after is None else int(after[0]) + BATCH
    return names[stop - BATCH : stop], (stop, b"") if stop < len(names) else None


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
