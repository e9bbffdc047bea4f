"""Listing, counting, scanning and deleting the conversations of an index, as operations."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..exceptions import RedisDenied, RedisMisconfigured, RedisReadOnly
from ..keys import NO_CALL, Keys, encode
from ..layouts import Layout, Place
from ..layouts.refs import owner_of
from ..layouts.writes import DELETE, FORGET, OWNER
from ..records import LARGEST, Conversation, Listed, Page, Record, number
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from ..search_index.documents import fresh_token
from .selection import BATCH, PAGE, Mark, Selection, chosen

ADOPT = Script("adopt")
COUNT = Script("count")
DISOWN = Script("disown")

# 1,000 fields are 1.6 ms of server time for an HSCAN without values.
_SCAN_COUNT = 1000
# With values, on servers before 7.4: at 10 kB a conversation, one MB at a time.
_SCAN_COUNT_WITH_VALUES = 100
_SHORT_STEP = 100
_LONG_STEPS = 10


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
        limit = min(limit, LARGEST)
        page = self._page(limit, owner, before)
        unlisted = 0
        if owner is None and before is None:
            places, unlisted = yield from self.with_adoption(page)
        else:
            places = yield page
        records = yield from self._existing([id for id, _ in places], owner)
        next = _cursor(*places[-1]) if len(places) == limit else None
        return Page(records, next, unlisted)

    def batch(
        self, selection: Selection, after: Mark | None, *, oldest_first: bool = False
    ) -> Operation[tuple[list[Listed], Mark | None]]:
        """Some of the conversations that are chosen, and where to go on; see chosen()."""
        owner = selection.owner_key
        if after is None and owner is None and selection.ids is None:
            yield from self.adopt()
        marks, next = yield from chosen(self._keys, selection, after, oldest_first=oldest_first)
        listed = yield from self.overview([id for _, id in marks])
        return [it for it in listed if it and _belongs(it.record, owner)], next

    def overview(self, ids: Sequence[bytes]) -> Operation[list[Listed | None]]:
        """Record and size of each id, None where there is no such conversation."""
        if not ids:
            return []
        fields: list[Command[Any]] = [single("HSTRLEN", self._keys.content(id), id) for id in ids]
        runs: list[Command[Any]] = [
            single("HGET", self._keys.record(id), "bytes", otherwise=None) for id in ids
        ]
        records, *sizes = yield [self._layout.records(ids), *fields, *runs]
        both = zip(records, sizes, sizes[len(ids) :], strict=False)
        return [record and Listed(record, _size(record, *size)) for record, *size in both]

    def inspect(self, id: bytes) -> Operation[Conversation]:
        place = Place(id)
        conversation = yield from self._layout.guarded(place, self._layout.read(place))
        if not conversation.exists:
            raise self._layout.not_found(Place(id))
        return conversation

    def raw(self, id: bytes) -> Operation[list[bytes]]:
        """The field and the elements of the list."""
        field = ("HGET", self._keys.content(id), id)
        runs = ("LRANGE", self._keys.runs(id), 0, -1)
        both = yield Command((field, runs), otherwise=None)
        document, texts = both or ((yield single(*field)), [])
        return texts if document is None else [document, *texts]

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

    def every(self, cursor: bytes) -> Operation[tuple[bytes, list[bytes]]]:
        """See scan(); also what is past its deadline."""
        (cursor, ids), *_ = yield from self._scan(cursor)
        return cursor, ids

    def _scan(self, cursor: bytes) -> Operation[tuple[Any, float | None, int]]:
        """Cursor and ids, the earliest deadline in the index, and the time of the server."""
        first = single("ZRANGE", self._keys.expiry(), 0, 0, "WITHSCORES", decode=score)
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
            places = [Place(id, owner) for id, owner in zip(batch, owners, strict=True)]
            for place, reply in zip(places, (yield self._deletions(places)), strict=True):
                if isinstance(reply, list):  # it got another owner meanwhile, or cannot be read
                    reply = yield from self._layout.delete(place)
                deleted += reply
        return deleted

    def _deletions(self, places: Sequence[Place]) -> list[Command[Any]]:
        calls = [
            DELETE.call(self._keys.of(it.id, it.owner, it.call), [it.id, it.owner or b""])
            for it in places
        ]
        return [Command((call,), otherwise=[]) for call in calls]

    def reap(self, batches: int | None = None) -> Operation[int]:
        """Delete what is past its deadline now, a batch at a time. Returns how many there were."""
        now, reaped = (yield _now()), 0
        due = ("ZRANGEBYSCORE", self._keys.expiry(), "-inf", now, "LIMIT", 0, BATCH)
        while ids := (yield single(*due)):
            reaped += yield from self.forget(ids)
            if batches is not None and reaped >= batches * BATCH:
                break
        return reaped

    def anonymise(self, owner: bytes) -> Operation[int]:
        """Give the conversations of an owner to nobody. Returns how many there were."""
        order, nobody, moved = self._keys.order(owner), self._keys.order(b""), 0
        while ids := (yield single("ZRANGE", order, 0, BATCH - 1)):
            keys = [[*self._keys.of(id, owner, fresh_token()), nobody] for id in ids]
            calls = [OWNER.call(k, [id, owner, b"", b""]) for k, id in zip(keys, ids, strict=True)]
            replies = yield [Command((call,), otherwise=None) for call in calls]
            pairs = list(zip(ids, replies, strict=True))
            moved += sum(reply == 1 for _, reply in pairs)
            # Of what cannot be read, only its place in the order says that it is the owner's.
            if mistyped := [id for id, reply in pairs if reply is None]:
                yield [self._disowning(id, owner) for id in mistyped]
            stale = [id for id, reply in pairs if reply not in (1, None)]
            if stale:
                yield from self.forget(stale, owner)
        return moved

    def _disowning(self, id: bytes, owner: bytes) -> Command[Any]:
        return Command((DISOWN.call(self._keys.of(id, owner, NO_CALL), [id, owner]),))

    def _owners(self, ids: Sequence[bytes]) -> Operation[list[bytes | None]]:
        owners: list[Command[Any]] = [
            single("HGET", self._keys.record(id), "owner", otherwise=None) for id in ids
        ]
        return (yield owners)  # type: ignore[no-any-return]

    def _page(self, limit: int, owner: bytes | None, before: str | None) -> Command[Any]:
        place = () if before is None else _place(before)
        call = PAGE.call([self._keys.order(owner)], [limit, *place])
        return Command((call,), lambda flat: list(zip(flat[::2], flat[1::2], strict=True)))

    def _adoption(self, cursor: bytes, count: int) -> Command[Any]:
        call = self._keys.call(fresh_token())
        keys = [self._keys.index, self._keys.order(), self._keys.expiry(), call]
        return Command((ADOPT.call(keys, [cursor, count]),))

    def with_adoption(self, page: Command[Any]) -> Operation[tuple[Any, int]]:
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
                yield from self.forget(stale, owner)
        return [record for record in found if record and _belongs(record, owner)]

    def forget(self, ids: Sequence[bytes], listed_for: bytes | None = None) -> Operation[int]:
        """Take what is gone out of the orders, and what moved out of the order of `listed_for`."""
        owners = yield from self._owners(ids)
        forgotten = yield [
            forgetting(self._keys, id, owner, listed_for)
            for id, owner in zip(ids, owners, strict=True)
        ]
        pairs = zip(ids, forgotten, strict=True)
        # The order of deadlines follows the record, and there is none that could be read.
        if mistyped := [id for id, reply in pairs if reply is None]:
            yield single("ZREM", self._keys.expiry(), *mistyped)
        return int(sum(reply or 0 for reply in forgotten))


def forgetting(
    keys: Keys, id: bytes, owner: bytes | None, listed_for: bytes | None = None
) -> Command[int | None]:
    """Take a conversation that is gone out of the orders, and one that moved out of `listed_for`'s.

    It deletes what is past its deadline. What is there, it leaves there; also what has a key of
    another type, for which the reply is None.
    """
    order = [] if listed_for is None else [keys.order(listed_for)]
    args = [id, owner or b"", listed_for or b""]
    call = FORGET.call([*keys.of(id, owner, NO_CALL), *order], args)
    return Command((call,), otherwise=None)


def _belongs(record: Record | None, owner: bytes | None) -> bool:
    """Whether the conversation is there, and the owner's if there is one."""
    return record is not None and owner in (None, owner_of(record))


def _size(record: Record, field: int, runs: bytes | None) -> int:
    """The bytes of the stored JSON, from those of the field and what the record counts."""
    is_list = record.seal.startswith("list-")
    return field + ((number(runs) or 0) if is_list else 0)


def _now() -> Command[int]:
    """The time of the server, in milliseconds."""
    return single("TIME", decode=lambda time: int(time[0]) * 1000 + int(time[1]) // 1000)


def score(reply: list[Any]) -> float | None:
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
