"""Listing, counting, scanning and deleting the conversations of an index, as operations."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from .commands import Command, Operation, Script, single
from .exceptions import RedisDenied, RedisMisconfigured, RedisReadOnly
from .keys import encode
from .layouts import Layout, Place
from .layouts.base import owner_of
from .records import Page, Record

PAGE = Script("page.lua")
ADOPT = Script("adopt.lua")
COUNT = Script("count.lua")
FORGET = Script("prelude.lua", "forget.lua")

# 1,000 fields are 1.6 ms of server time for an HSCAN without values.
_SCAN_COUNT = 1000
# With values, on servers before 7.4: at 10 kB a conversation, one MB at a time.
_SCAN_COUNT_WITH_VALUES = 100
_ADOPTION_STEPS = 10
_BATCH = 500


class Listing:
    """The operations on all conversations of an index."""

    def __init__(self, layout: Layout):
        self._layout = layout
        self._keys = layout.keys
        self._novalues = True
        self._adoption_cursor = b"0"

    def count(self, owner: bytes | None) -> Operation[int]:
        keys = [self._keys.index, self._keys.expiry()]
        keys += [] if owner is None else [self._keys.order(owner)]
        return int((yield Command((COUNT.call(keys, []),))))

    def recent(self, limit: int, owner: bytes | None, before: str | None) -> Operation[Page]:
        if limit < 1:
            raise ValueError("The limit of a page is at least 1.")
        page = self._page(limit, owner, before)
        unlisted = 0
        if owner is None:
            places, unlisted = yield from self._with_adoption(page)
        else:
            places = yield page
        records = yield from self._existing([id for id, _ in places], owner)
        next = _cursor(*places[-1]) if len(places) == limit else None
        return Page(records, next, unlisted)

    def adopt(self, ids: Sequence[bytes]) -> Operation[int]:
        if not ids:
            return 0
        call = ADOPT.call([self._keys.index, self._keys.order()], ids)
        return int((yield Command((call,))))

    def scan(self, cursor: bytes) -> Operation[tuple[bytes, list[bytes]]]:
        """The next cursor, `b"0"` at the end, and some ids."""
        if self._novalues:
            try:
                found: tuple[bytes, list[bytes]] = yield self._hscan(cursor, "NOVALUES")
                return found
            except RedisMisconfigured as error:
                if "syntax error" not in str(error.__cause__):
                    raise
                self._novalues = False
        cursor, fields = yield self._hscan(cursor)
        return cursor, fields[::2]

    def _hscan(self, cursor: bytes, *novalues: str) -> Command[tuple[bytes, list[bytes]]]:
        count = _SCAN_COUNT if novalues else _SCAN_COUNT_WITH_VALUES
        call = ("HSCAN", self._keys.index, cursor, "COUNT", count, *novalues)
        return single(*call, decode=tuple)

    def delete(self, ids: Sequence[bytes]) -> Operation[int]:
        deleted = 0
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            owners = yield from self._owners(batch)
            for id, owner in zip(batch, owners, strict=True):
                deleted += yield from self._layout.delete(Place(id, owner))
        return deleted

    def of_owner(self, owner: bytes) -> Operation[list[bytes]]:
        """A batch of the conversations of an owner, those written to last first."""
        ids = yield single("ZREVRANGE", self._keys.order(owner), 0, _BATCH - 1)
        return list(ids)

    def reap(self) -> Operation[int]:
        """Delete a batch of conversations that are past their deadline. Returns how many."""
        time = yield single("TIME")
        now = int(time[0]) * 1000 + int(time[1]) // 1000
        expiry = self._keys.expiry()
        ids = yield single("ZRANGEBYSCORE", expiry, "-inf", now, "LIMIT", 0, _BATCH)
        return (yield from self._forget(ids)) if ids else 0

    def _owners(self, ids: Sequence[bytes]) -> Operation[list[bytes | None]]:
        return (yield [single("HGET", self._keys.record(id), "owner") for id in ids])  # type: ignore[no-any-return]

    def _page(self, limit: int, owner: bytes | None, before: str | None) -> Command[Any]:
        place = () if before is None else _place(before)
        call = PAGE.call([self._keys.order(owner)], [limit, *place])
        return Command((call,), lambda flat: list(zip(flat[::2], flat[1::2], strict=True)))

    def _with_adoption(self, page: Command[Any]) -> Operation[tuple[Any, int]]:
        """The page and how many conversations have no place in the order, after adopting some."""
        places, conversations, listed = yield [
            page,
            single("HLEN", self._keys.index),
            single("ZCARD", self._keys.order()),
        ]
        if conversations <= listed:
            return places, 0
        try:
            adopted = yield from self._adopt_some()
        except (RedisReadOnly, RedisDenied):
            adopted = 0  # a replica, or a user who may only read, lists what is listed
        if adopted:
            places = yield page
        return places, max(0, conversations - listed - adopted)

    def _adopt_some(self) -> Operation[int]:
        adopted = 0
        for _ in range(_ADOPTION_STEPS):
            self._adoption_cursor, ids = yield from self.scan(self._adoption_cursor)
            adopted += yield from self.adopt(ids)
            if self._adoption_cursor == b"0":
                break
        return adopted

    def _existing(self, ids: list[bytes], owner: bytes | None) -> Operation[list[Record]]:
        """The records of `ids` that still exist (and belong to `owner`)."""
        found = (yield self._layout.records(ids)) if ids else []
        gone = [id for id, record in zip(ids, found, strict=True) if record is None]
        if gone:
            with suppress(RedisReadOnly, RedisDenied):  # whoever may write will do it
                yield from self._forget(gone, owner)
        return [record for record in found if record and owner in (None, owner_of(record))]

    def _forget(self, ids: Sequence[bytes], listed_for: bytes | None = None) -> Operation[int]:
        """Take what is gone out of the orders, of that owner too who had it listed."""
        owners = yield from self._owners(ids)
        forgotten = yield [
            Command((FORGET.call(self._keys.of(id, owner or listed_for), [id, owner or b""]),))
            for id, owner in zip(ids, owners, strict=True)
        ]
        return sum(forgotten)


def _cursor(id: bytes, score: bytes) -> str:
    return f"{int(float(score))}-{urlsafe_b64encode(id).decode().rstrip('=')}"


def _place(cursor: str) -> tuple[bytes, bytes]:
    """Score and id of a cursor. Raises ValueError if it is none."""
    score, _, id = cursor.partition("-")
    try:
        return encode(int(score)), urlsafe_b64decode(id + "=" * (-len(id) % 4))
    except ValueError:
        raise ValueError(f"{cursor[:100]!r} is not a cursor of a page.") from None
