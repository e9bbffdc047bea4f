"""Listing, counting and scanning the conversations of an index, as operations."""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from ..clock import now
from ..exceptions import RedisDenied, RedisMisconfigured, RedisReadOnly
from ..keys import NO_CALL, Keys, encode
from ..layouts import ConversationRef, Layout
from ..layouts.declared import declared
from ..layouts.long_lists import whole
from ..layouts.refs import Snapshot
from ..layouts.written import FORGET
from ..records import LISTED, ConversationState, Page, page_limit
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from ..search_index.run_documents import fresh_token
from ..search_index.sweep import finished
from .selection import PageKey, ScanCursor, Selection, chosen, page_keys, page_of
from .summaries import Summary, summaries

ADOPT = Script("adopt")
COUNT = Script("count")

# For what looks at each conversation as well.
_SCAN_COUNT = 1000
# Up to 2 ms of server time for an HSCAN without values, half of that if the hash is in the cache.
_IDS_COUNT = 2000
# With values, on servers before 7.4: at 10 kB a conversation, one MB at a time.
_SCAN_COUNT_WITH_VALUES = 100
SHORT_STEP = 100
_LONG_STEP = 250  # the server looks for the score of each
_LONG_STEPS = 20


class Front(NamedTuple):
    """What the first step of a listing finds: time and id of each, newest first.

    Other programs have written `unlisted` conversations, and the shards `missing` did not answer.
    """

    listed: list[PageKey]
    unlisted: int = 0
    missing: tuple[str, ...] = ()


class Listing:
    """The operations that read all conversations of an index."""

    def __init__(self, layout: Layout):
        self._layout = layout
        self._keys = layout.keys
        self._scanned = (self._keys.index, self._keys.recency(), self._keys.expiry())
        self._novalues = True
        self._cursor = b"0"

    def recent(self, limit: int, owner: bytes | None, before: str | None) -> Operation[Page]:
        limit = page_limit(limit)
        listed, unlisted, missing = yield from self.front(limit, owner, before)
        found, _ = yield from self.existing([id for _, id in listed], owner, LISTED)
        next = _cursor(*listed[-1]) if len(listed) == limit else None
        return Page([summary.record for summary in found], next, unlisted, missing)

    def front(self, limit: int, owner: bytes | None, before: str | None) -> Operation[Front]:
        start = () if before is None else start_of(before)
        return (yield from self.adopted((yield self.first(limit, owner, start)), limit))

    def first(
        self, limit: int, owner: bytes | None, start: Sequence[Any], *, step: int = SHORT_STEP
    ) -> Command[Front]:
        """The first step of a listing. From the beginning of all, it adopts in so many fields."""
        if owner is None and not start:
            return self._front(step, limit)
        page = page_of(self._keys.recency(owner), limit, *start)
        return Command(page.calls, lambda reply: Front(page_keys(reply)))

    def adopted(self, front: Front, limit: int) -> Operation[Front]:
        """`front` again, after adopting some of those that it does not list."""
        for _ in range(_LONG_STEPS):
            if not front.unlisted:
                break
            front = yield self._front(_LONG_STEP, limit)
        return front

    def _front(self, step: int, limit: int) -> Command[Front]:
        # Equal numbers prove nothing, as others may have deleted as many as they wrote: each
        # listing goes a short step through the hash, and long ones if the numbers differ.
        def decoded(reply: list[Any]) -> Front:
            self._cursor, _, conversations, listed, newest = reply
            return Front(page_keys(newest), conversations - listed if conversations > listed else 0)

        return Command((ADOPT.call(self._scanned, [self._cursor, step, limit]),), decoded)

    def page(self, owner: bytes | None, limit: int, *start: Any) -> Operation[list[PageKey]]:
        """See page_of()."""
        found: list[PageKey] = yield page_of(self._keys.recency(owner), limit, *start)
        return found

    def batch(
        self, selection: Selection, after: PageKey | None, *, oldest_first: bool = False
    ) -> Operation[tuple[list[Summary], PageKey | None]]:
        """Some of the selected conversations, and where to continue; see chosen()."""
        owner = selection.owner_key
        if after is None and owner is None and selection.ids is None:
            yield from self.adopt()
        ids, next = yield from chosen(self.page, selection, after, oldest_first=oldest_first)
        found = yield from self.summaries(ids)
        return [summary for summary in found if _belongs(summary, owner)], next

    def summaries(
        self,
        ids: Sequence[bytes],
        fields: Sequence[str] = Snapshot.FIELDS,
        *,
        glances: bool = False,
    ) -> Operation[list[Summary]]:
        """See summaries()."""
        return (yield from summaries(self._keys, ids, fields=fields, glances=glances))

    def inspect(self, id: bytes) -> Operation[ConversationState]:
        ref = ConversationRef(id)
        conversation = yield from self._layout.guarded(ref, self._layout.read(ref))
        if not conversation.exists:
            raise self._layout.not_found(ref)
        return conversation

    def raw(self, id: bytes) -> Operation[list[bytes]]:
        """The field and the elements of the list."""
        field = ("HGET", self._keys.content(id), id)
        version = ("HGET", self._keys.record(id), "version")

        def read(last: int) -> Operation[list[Any]]:
            runs = ("LRANGE", self._keys.runs(id), 0, last)
            both: Command[Any] = Command((field, runs), otherwise=None)
            before, found = yield [single(*version, otherwise=None), both]
            return [before, *(found or [(yield single(*field)), []])]

        found = yield from whole(self._keys, id, read, lambda found: (found[0], found[2]))
        _, document, texts = found
        return texts if document is None else [document, *texts]

    def adopt(self) -> Operation[int]:
        """Give every conversation its score. Returns how many had none."""
        cursor, total = b"", 0
        while cursor != b"0":
            keys = [*self._scanned, self._keys.call(fresh_token())]
            call = ADOPT.call(keys, [cursor or b"0", _LONG_STEP, 0])
            cursor, adopted, *_ = yield Command((call,))
            total += adopted
        return total

    def ids(self) -> ScanCursor[list[bytes]]:
        """Every id, as many at a time as cost the server little; see scan()."""
        return ScanCursor(partial(self.scan, count=_IDS_COUNT))

    def scan(self, cursor: bytes, count: int = _SCAN_COUNT) -> Operation[tuple[bytes, list[bytes]]]:
        """The next cursor, `b"0"` at the end, and some ids, none of them expired."""
        cursor, ids, earliest, time = yield from self._scan(cursor, count)
        if ids and earliest is not None and earliest <= time:
            parts = [ids[start : start + _SCAN_COUNT] for start in range(0, len(ids), _SCAN_COUNT)]
            deadlines = yield [single("ZMSCORE", self._keys.expiry(), *part) for part in parts]
            pairs = zip(ids, chain.from_iterable(deadlines), strict=True)
            ids = [id for id, deadline in pairs if deadline is None or float(deadline) > time]
        return cursor, ids

    def every(self, cursor: bytes) -> Operation[tuple[bytes, list[bytes]]]:
        """See scan(); expired ones too."""
        return (yield from self._scan(cursor, _SCAN_COUNT))[:2]

    def _scan(
        self, cursor: bytes, count: int
    ) -> Operation[tuple[bytes, list[bytes], float | None, int]]:
        # Also the earliest deadline and the time of the server, which tell if any has expired.
        options = (count, "NOVALUES") if self._novalues else (_SCAN_COUNT_WITH_VALUES,)
        hscan: Command[Any] = single("HSCAN", self._keys.index, cursor, "COUNT", *options)
        first = single("ZRANGE", self._keys.expiry(), 0, 0, "WITHSCORES", decode=score)
        try:
            (next, found), earliest, time = yield [hscan, first, now()]
        except RedisMisconfigured as error:
            # Redis before 7.4 does not know the option.
            if not self._novalues or "syntax error" not in str(error.__cause__):
                raise
            self._novalues = False
            return (yield from self._scan(cursor, count))
        return next, found if "NOVALUES" in options else found[::2], earliest, time

    def existing(
        self,
        ids: list[bytes],
        owner: bytes | None,
        fields: Sequence[str] = Snapshot.FIELDS,
        *,
        glances: bool = False,
    ) -> Operation[tuple[list[Summary], bool]]:
        """Those of `ids` that exist (and belong to `owner`); True if the others were removed."""
        listed = yield from self.summaries(ids, fields, glances=glances)
        found = [summary for summary in listed if _belongs(summary, owner)]
        if stale := {*ids} - {summary.id for summary in found}:
            with suppress(RedisReadOnly, RedisDenied):  # another client will clean up
                yield from self.forget([*stale], owner)
                return found, True
        return found, False

    def forget(self, ids: Sequence[bytes], listed_for: bytes | None = None) -> Operation[int]:
        """See forgetting(). Returns how many were removed."""
        owners = yield owners_of(self._keys, ids)
        replies = yield from declared(
            [
                forgetting(self._keys, id, owner, listed_for)
                for id, owner in zip(ids, owners, strict=True)
            ]
        )
        forgotten = yield from finished(self._keys, ids, replies)
        # Their records, which tell their deadlines, cannot be read.
        if mistyped := [id for id, reply in zip(ids, forgotten, strict=True) if reply is None]:
            yield single("ZREM", self._keys.expiry(), *mistyped)
        return sum(reply for reply in forgotten if isinstance(reply, int))


def counting(keys: Keys, owner: bytes | None = None) -> Command[int]:
    """The number of conversations, of all or of one owner."""
    order = [] if owner is None else [keys.recency(owner)]
    return Command((COUNT.call([keys.index, keys.expiry(), *order], []),))


def owners_of(keys: Keys, ids: Sequence[bytes]) -> list[Command[bytes | None]]:
    """The owner that the record of each id names; None if it names none."""
    return [single("HGET", keys.record(id), "owner", otherwise=None) for id in ids]


def forgetting(
    keys: Keys, id: bytes, owner: bytes | None, listed_for: bytes | None = None
) -> Command[int | None]:
    """Remove a deleted conversation from the indexes, and one that moved from that of `listed_for`.

    Deletes an expired one. The reply is None, and all stays, if a key has another type.
    """
    order = keys.recency(listed_for or b"")
    args = [id, owner or b"", listed_for or b""]
    call = FORGET.call([*keys.forgetting(id, owner, NO_CALL), order], args)
    return Command((call,), otherwise=None)


def _belongs(summary: Summary, owner: bytes | None) -> bool:
    return summary.exists and owner in (None, summary.owner)


def score(reply: list[Any]) -> float | None:
    # RESP3 returns pairs, RESP2 a flat list.
    flat = reply[0] if reply and isinstance(reply[0], list) else reply
    return float(flat[1]) if flat else None


def _cursor(score: float, id: bytes) -> str:
    return f"{int(score)}-{urlsafe_b64encode(id).decode().rstrip('=')}"


def start_of(cursor: str) -> tuple[bytes, bytes]:
    """The page key in the cursor of a page. Raises ValueError."""
    score, dash, id = cursor.partition("-")
    try:
        if not dash:
            raise ValueError
        padded = id + "=" * (-len(id) % 4)
        return encode(int(score)), b64decode(padded, altchars=b"-_", validate=True)
    except ValueError:
        raise ValueError(f"{cursor[:100]!r} is not a cursor of a page.") from None
