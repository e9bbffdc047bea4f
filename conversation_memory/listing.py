"""Listing, counting, scanning and deleting the conversations of an index, as operations."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from .commands import Command, Operation, Script, single
from .exceptions import RedisDenied, RedisMisconfigured, RedisReadOnly
from .keys import encode
from .layouts import Layout, Place
from .layouts.base import FORGET, OWNER
from .layouts.places import owner_of
from .records import Page, Record

PAGE = Script("page.lua")
ADOPT = Script("adopt.lua")
COUNT = Script("count.lua")

# 1,000 fields are 1.6 ms of server time for an HSCAN without values.
_SCAN_COUNT = 1000
# With values, on servers before 7.4: at 10 kB a conversation, one MB at a time.
_SCAN_COUNT_WITH_VALUES = 100
_SHORT_STEP = 100
_LONG_STEPS = 10
BATCH = 500


class Listing:
    """The operations on all conversations of an index."""

    def __init__(self, layout: Layout):
        self._layout = layout
        self._keys = layout.keys
        self._novalues = True
        self._cursor = b"0"

    def count(self, owner: bytes | None) -> Operation[int]:
        keys = [self._keys.index, self._keys.expiry()]
        keys += [] if owner is None else [self._keys.order(owner)]
        return int((yield Command((COUNT.call(keys, []),))))

    def recent(self, limit: int, owner: bytes | None, before: str | None) -> Operation[Page]:
        if limit < 1:
            raise ValueError("The limit of a page is at least 1.")
        page = self._page(limit, owner, before)
        unlisted = 0
        if owner is None and before is None:
            places, unlisted = yield from self._with_adoption(page)
        else:
            places = yield page
        records = yield from self._existing([id for id, _ in places], owner)
        next = _cursor(*places[-1]) if len(places) == limit else None
        return Page(records, next, unlisted)

    def adopt(self) -> Operation[int]:
        """Give every conversation its place. Returns how many had none."""
        cursor, total = b"0", 0
        while True:
            cursor, adopted, *_ = yield self._adoption(cursor, _SCAN_COUNT)
            total += adopted
            if cursor == b"0":
                return int(total)

    def scan(self, cursor: bytes) -> Operation[tuple[bytes, list[bytes]]]:
        """The next cursor, `b"0"` at the end, and some ids, none of them past its deadline."""
        (cursor, ids), earliest, now = yield from self._scan(cursor)
        if ids and earliest is not None and earliest <= now:
            deadlines = yield single("ZMSCORE", self._keys.expiry(), *ids)
            pairs = zip(ids, deadlines, strict=True)
            ids = [id for id, deadline in pairs if deadline is None or float(deadline) > now]
        return cursor, ids

    def _scan(self, cursor: bytes) -> Operation[tuple[Any, float | None, int]]:
        """Cursor and ids, the earliest deadline in the index, and the time of the server."""
        first = single("ZRANGE", self._keys.expiry(), 0, 0, "WITHSCORES", decode=_score)
        beside: tuple[Command[Any], ...] = (first, _now())
        if self._novalues:
            try:
                return tuple((yield [self._hscan(cursor, "NOVALUES"), *beside]))
            except RedisMisconfigured as error:
                if "syntax error" not in str(error.__cause__):
                    raise
                self._novalues = False
        (cursor, fields), *rest = yield [self._hscan(cursor), *beside]
        return (cursor, fields[::2]), *rest

    def _hscan(self, cursor: bytes, *novalues: str) -> Command[tuple[bytes, list[bytes]]]:
        count = _SCAN_COUNT if novalues else _SCAN_COUNT_WITH_VALUES
        call = ("HSCAN", self._keys.index, cursor, "COUNT", count, *novalues)
        return single(*call, decode=tuple)

    def delete(self, ids: Sequence[bytes]) -> Operation[int]:
        deleted = 0
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            owners = yield from self._owners(batch)
            for id, owner in zip(batch, owners, strict=True):
                deleted += yield from self._layout.delete(Place(id, owner))
        return deleted

    def reap(self, batches: int | None = None) -> Operation[int]:
        """Delete what is past its deadline now, a batch at a time. Returns how many there were."""
        now, reaped = (yield _now()), 0
        due = ("ZRANGEBYSCORE", self._keys.expiry(), "-inf", now, "LIMIT", 0, BATCH)
        while ids := (yield single(*due)):
            reaped += yield from self._forget(ids)
            if batches is not None and reaped >= batches * BATCH:
                break
        return reaped

    def anonymise(self, owner: bytes) -> Operation[int]:
        """Give the conversations of an owner to nobody. Returns how many there were."""
        order, nobody, moved = self._keys.order(owner), self._keys.order(b""), 0
        while ids := (yield single("ZRANGE", order, 0, BATCH - 1)):
            keys = [[*self._keys.of(id, owner), nobody] for id in ids]
            calls = [OWNER.call(k, [id, owner, b"", b""]) for k, id in zip(keys, ids, strict=True)]
            replies = yield [Command((call,)) for call in calls]
            stale = [id for id, reply in zip(ids, replies, strict=True) if reply != 1]
            moved += len(ids) - len(stale)
            if stale:
                yield from self._forget(stale, owner)
        return moved

    def _owners(self, ids: Sequence[bytes]) -> Operation[list[bytes | None]]:
        return (yield [single("HGET", self._keys.record(id), "owner") for id in ids])  # type: ignore[no-any-return]

    def _page(self, limit: int, owner: bytes | None, before: str | None) -> Command[Any]:
        place = () if before is None else _place(before)
        call = PAGE.call([self._keys.order(owner)], [limit, *place])
        return Command((call,), lambda flat: list(zip(flat[::2], flat[1::2], strict=True)))

    def _adoption(self, cursor: bytes, count: int) -> Command[Any]:
        keys = [self._keys.index, self._keys.order(), self._keys.expiry()]
        return Command((ADOPT.call(keys, [cursor, count]),))

    def _with_adoption(self, page: Command[Any]) -> Operation[tuple[Any, int]]:
        """The page, and how many conversations have no place in the order after adopting some.

        Equal numbers prove nothing, as others may have deleted as many as they wrote: each listing
        goes a short step through the hash, and long ones where a place is missing for sure.
        """
        step, places = yield [self._adoption(self._cursor, _SHORT_STEP), page]
        self._cursor, adopted, conversations, listed = step
        for _ in range(_LONG_STEPS):
            if conversations <= listed:
                break
            step = yield self._adoption(self._cursor, _SCAN_COUNT)
            self._cursor, more, conversations, listed = step
            adopted += more
        if adopted:
            places = yield page
        return places, max(0, conversations - listed)

    def _existing(self, ids: list[bytes], owner: bytes | None) -> Operation[list[Record]]:
        """The records of `ids` that still exist (and belong to `owner`)."""
        found = (yield self._layout.records(ids)) if ids else []
        stale = [id for id, record in zip(ids, found, strict=True) if not _belongs(record, owner)]
        if stale:
            with suppress(RedisReadOnly, RedisDenied):  # whoever may write will do it
                yield from self._forget(stale, owner)
        return [record for record in found if record and _belongs(record, owner)]

    def _forget(self, ids: Sequence[bytes], listed_for: bytes | None = None) -> Operation[int]:
        """Take what is gone out of the orders, and what moved out of the order of `listed_for`."""
        owners = yield from self._owners(ids)
        order = [] if listed_for is None else [self._keys.order(listed_for)]
        forgotten = yield [
            Command(
                (
                    FORGET.call(
                        [*self._keys.of(id, owner), *order], [id, owner or b"", listed_for or b""]
                    ),
                )
            )
            for id, owner in zip(ids, owners, strict=True)
        ]
        return int(sum(forgotten))


def _belongs(record: Record | None, owner: bytes | None) -> bool:
    """Whether the conversation is there, and the owner's if there is one."""
    return record is not None and owner in (None, owner_of(record))


def _now() -> Command[int]:
    """The time of the server, in milliseconds."""
    return single("TIME", decode=lambda time: int(time[0]) * 1000 + int(time[1]) // 1000)


def _score(reply: list[Any]) -> float | None:
    """The score of a member `WITHSCORES`, a pair over RESP3; None if there is none."""
    flat = reply[0] if reply and isinstance(reply[0], list) else reply
    return float(flat[1]) if flat else None


def _cursor(id: bytes, score: bytes) -> str:
    return f"{int(float(score))}-{urlsafe_b64encode(id).decode().rstrip('=')}"


def _place(cursor: str) -> tuple[bytes, bytes]:
    """Score and id of a cursor. Raises ValueError if it is none."""
    score, dash, id = cursor.partition("-")
    try:
        if not dash:
            raise ValueError
        padded = id + "=" * (-len(id) % 4)
        return encode(int(score)), b64decode(padded, altchars=b"-_", validate=True)
    except ValueError:
        raise ValueError(f"{cursor[:100]!r} is not a cursor of a page.") from None
