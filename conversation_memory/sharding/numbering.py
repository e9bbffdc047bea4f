"""Pages by number over several shards, each of which knows only its own numbers."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..browse import Span, numbered
from ..collection.selection import PageKey
from ..indexes import ConversationIndex
from ..redis_io.operations import Command, Operation, single
from .across import Across, Answers
from .sharded_listing import ShardedListing

# So many conversations before a page are read instead of being counted.
_FEW = 500
# Into how many parts each step divides the time in which the page is.
_PARTS = 16
_LATEST = 1e15  # ms; anybody can write garbage


class Numbering:
    """The conversations of a span, numbered over all shards."""

    def __init__(self, listing: ShardedListing, shards: Sequence[ConversationIndex], span: Span):
        self._listing, self._shards, self._span = listing, shards, span

    def page(self, offset: int, limit: int) -> Operation[tuple[int, list[bytes]]]:
        """How many there are, and the ids from number `offset` on."""
        answers: Answers[Any] = yield Across(self._shards, self._extent, is_read=True)
        extents = answers.all()
        count = sum(extent[0] for extent in extents)
        limit = min(limit, count - offset)
        if limit <= 0:
            return count, []
        times = [int(key[0]) for _, *ends in extents for end in ends for key in end]
        start, passed = yield from self._start(offset, min(times), max(times))
        direction = "oldest" if self._span.oldest_first else ""
        # A key that no conversation has; see chosen().
        most = offset - passed + limit
        found = yield from self._listing.page(self._span.owner, most, start - 0.5, b"", direction)
        return count, [id for _, id in found[offset - passed :]]

    def _extent(self, shard: ConversationIndex) -> Operation[Any]:
        """The count of a shard, and the first and the last of its recency index."""
        keys = shard._layout.keys
        ends: list[Command[Any]] = [
            single(range, keys.recency(self._span.owner), 0, 0, "WITHSCORES", decode=_keys)
            for range in ("ZRANGE", "ZREVRANGE")
        ]
        (count, _), first, last = yield [numbered(keys, self._span, 0, 0), *ends]
        return count, first, last

    def _start(self, offset: int, low: int, high: int) -> Operation[tuple[int, int]]:
        """A time a little before number `offset`, and how many conversations are before it."""
        span = self._span
        since, until = span.since, span.until
        low, high = max(low, low if since is None else since), high + 1
        high = min(high, high if until is None else until)
        # In the order of the listing, `near` is before the page, `far` behind it.
        near, far = (low, high) if span.oldest_first else (high, low)
        passed = 0
        while offset - passed > _FEW and abs(far - near) > 1:
            times = [near + (far - near) * part // _PARTS for part in range(1, _PARTS)]
            times = [time for time in dict.fromkeys(times) if time not in (near, far)]
            answers: Answers[list[int]] = yield Across(
                self._shards, partial(self._before, times), is_read=True
            )
            for time, counts in zip(times, zip(*answers.all(), strict=True), strict=True):
                if sum(counts) > offset:
                    far = time
                    break
                near, passed = time, sum(counts)
        return near, passed

    def _before(self, times: Sequence[int], shard: ConversationIndex) -> Operation[list[int]]:
        """How many conversations of the span come before each of the times."""
        span, order = self._span, shard._layout.keys.recency(self._span.owner)
        if span.oldest_first:
            since = "-inf" if span.since is None else span.since
            counts: list[int] = yield [single("ZCOUNT", order, since, f"({it}") for it in times]
            return counts
        until = "+inf" if span.until is None else f"({span.until}"
        counts = yield [single("ZCOUNT", order, time, until) for time in times]
        return counts


def _keys(reply: list[Any]) -> list[PageKey]:
    # RESP3 returns pairs, RESP2 a flat list.
    flat = reply[0] if reply and isinstance(reply[0], list) else reply
    return [(min(max(float(flat[1]), 0), _LATEST), flat[0])] if flat else []
