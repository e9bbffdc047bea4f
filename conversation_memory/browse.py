"""An index as staff browse it: numbered pages, searches by name, statistics, other indexes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .clock import moment
from .collection.listing import Listing, counting, score
from .collection.summaries import Summary, summaries
from .conf import IndexSettings
from .documents import read
from .exceptions import Damaged, RedisDenied, RedisMisconfigured
from .keys import Id, Keys, decode, encode
from .layouts import Layout
from .redis_io.operations import Command, Operation, Performing, info, single, twins
from .redis_io.scripts import Script

BROWSE = Script("browse")

# A search by name ends after so many conversations; at most so many bytes are read for it.
MOST_LOOKED_AT = 10_000
MOST_READ = 32 * 1024 * 1024
_STEP = 1000
_ATTEMPTS = 3

# The number of random conversations that are measured, and of those whose keys are weighed.
SAMPLE = 500
_WEIGHED = 50
# MEMORY USAGE extrapolates the size of a hash from so many fields.
_FIELDS_WEIGHED = 50

# 10,000 keys are about 2 ms of server time for a SCAN.
_KEYS_A_STEP = 10_000
_MOST_STEPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of an index: of one owner, last written to from `since` on and before `until` (ms)."""

    owner: bytes | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """The number of conversations."""

    conversations: int
    unlisted: int = 0  # not in the recency index yet


@dataclass(frozen=True, slots=True)
class Finds:
    """The matches in a part of a span."""

    ids: list[bytes]
    next: int | None = None  # the number to continue from, None at the end
    skipped: int = 0  # too large to read
    looked_at: int = 0


def numbered(keys: Keys, span: Span, offset: int, limit: int) -> Command[tuple[int, list[bytes]]]:
    """The number of conversations in the span, and the ids from number `offset` on."""
    times = ["" if time is None else time for time in (span.since, span.until)]
    return Command((BROWSE.call([keys.recency(span.owner)], [offset, limit, *times]),), tuple)


def total(keys: Keys, span: Span) -> Command[int]:
    if span.since is None and span.until is None:
        return counting(keys, span.owner)
    return Command(numbered(keys, span, 0, 0).calls, lambda reply: reply[0])


def shown(keys: Keys, ids: Sequence[bytes], *, glances: bool = True) -> Operation[list[Summary]]:
    """The summaries of those of `ids` that exist."""
    found = (yield summaries(keys, ids, glances=glances)) if ids else []
    return [summary for summary in found if summary.exists]


@dataclass(frozen=True, slots=True)
class Statistics:
    """The size and activity of an index."""

    conversations: int
    newest: datetime | None = None  # the last write to any of them
    active: list[int] = field(default_factory=list)  # last written to in each requested span
    sizes: list[int] = field(default_factory=list)  # of a sample, in bytes
    # None where the Redis user may not ask.
    memory: int | None = None  # an estimate in bytes
    version: str | None = None  # like "Redis 7.4.1"


@dataclass(frozen=True, slots=True)
class Discovery:
    """Names of hashes that INDEXES matches, sorted; incomplete if the server has too many keys."""

    names: list[str]
    is_complete: bool = True


def statistics(keys: Keys, edges: Sequence[int]) -> Operation[Statistics]:
    order = keys.recency()
    spans: list[Command[int]] = [
        single("ZCOUNT", order, start, f"({end}")
        for start, end in zip(edges, edges[1:], strict=False)
    ]
    newest = single("ZREVRANGE", order, 0, 0, "WITHSCORES", decode=score)
    random: Command[list[bytes]] = single("HRANDFIELD", keys.index, SAMPLE)
    conversations, last, ids, *active = yield [counting(keys), newest, random, *spans]
    sample = yield from shown(keys, ids, glances=False)
    memory = None
    with suppress(RedisDenied, RedisMisconfigured):  # the server may refuse MEMORY USAGE
        memory = yield from _memory(keys, sample[:_WEIGHED], conversations)
    sizes, version = [summary.bytes for summary in sample], (yield from _version())
    return Statistics(conversations, moment(last), active, sizes, memory, version)


def discover(settings: IndexSettings) -> Operation[Discovery]:
    """The hashes that INDEXES of `settings` matches, among a million keys at most."""
    exact = [name for name in settings.indexes if not set(name) & set("*?")]
    patterns = [pattern for pattern in settings.indexes if set(pattern) & set("*?")]
    types = (yield [single("TYPE", Keys(name).index) for name in exact]) if exact else []
    names = {name for name, type in zip(exact, types, strict=True) if type == b"hash"}
    cursors = dict.fromkeys(patterns, b"0")
    for _ in range(_MOST_STEPS):
        if not cursors:
            break
        replies = yield [
            single("SCAN", cursor, "MATCH", pattern, "COUNT", _KEYS_A_STEP, "TYPE", "hash")
            for pattern, cursor in cursors.items()
        ]
        for pattern, (cursor, found) in zip(list(cursors), replies, strict=True):
            names |= {decode(name) for name in found}
            cursors[pattern] = cursor
        cursors = {pattern: cursor for pattern, cursor in cursors.items() if cursor != b"0"}
    ours = (name for name in names if settings.covers(name) and not set(name) & set("{}"))
    return Discovery(sorted(ours), not cursors)


def _memory(keys: Keys, sample: Sequence[Summary], conversations: int) -> Operation[int]:
    """Estimated bytes: the shared keys, and all conversations as those of a sample."""
    shared: list[Command[int | None]] = [
        single("MEMORY", "USAGE", keys.index, "SAMPLES", _FIELDS_WEIGHED),
        single("MEMORY", "USAGE", keys.recency()),
        single("MEMORY", "USAGE", keys.expiry()),
    ]
    own: list[Command[int | None]] = [
        single("MEMORY", "USAGE", key, "SAMPLES", _FIELDS_WEIGHED)
        for summary in sample
        for key in (keys.record(summary.id), keys.runs(summary.id))
    ]
    index, order, expiry, *each = [size or 0 for size in (yield [*shared, *own])]
    owned = sum(summary.owner is not None for summary in sample)
    share = conversations / len(sample) if sample else 0
    # Each owned conversation is in a second recency index, that of its owner.
    return int(index + order + expiry + share * sum(each) + order * owned / max(1, len(sample)))


def _version() -> Operation[str | None]:
    lines = yield from info("server")
    for name in ("valkey", "dragonfly", "redis"):
        if version := lines.get(f"{name}_version"):
            return f"{name.capitalize()} {version}"
    return "" if lines else None


EVERYTHING = Span()


class Browsable(Performing):
    """The methods of an index that the admin uses, each with its async twin."""

    settings: IndexSettings
    _layout: Layout
    _listing: Listing

    def _extent(self, span: Span = EVERYTHING) -> Operation[Extent]:
        """Count the conversations in a span, and adopt some that other programs wrote."""
        count = total(self._layout.keys, span)
        return Extent(*(yield from self._listing.with_adoption(count)))

    extent, aextent = twins(_extent)

    def _browse(self, span: Span, offset: int, limit: int) -> Operation[list[Summary]]:
        """The conversations of a span from number `offset` on, newest first.

        Any page costs the same few round trips, and no document is fetched.
        """
        found: list[Summary] = []
        for _ in range(_ATTEMPTS):
            _, ids = yield numbered(self._layout.keys, span, offset, limit)
            found, moved = yield from self._listing.existing(ids, span.owner, glances=True)
            if not moved:
                break
            # Deleted conversations have left the recency index, and others moved up.
        return found

    browse, abrowse = twins(_browse)

    def _glance(self, *conversation_ids: Id) -> Operation[list[Summary]]:
        """The summaries of these conversations, without those that do not exist."""
        return shown(self._layout.keys, [encode(id) for id in conversation_ids])

    glance, aglance = twins(_glance)

    def _find_named(
        self, text: str, span: Span = EVERYTHING, *, start: int = 0
    ) -> Operation[Finds]:
        """Those of 10,000 conversations with `text` in the id or title, from number `start` on."""
        return self._walk(span, start, lambda summary: summary.is_named(text))

    find_named, afind_named = twins(_find_named)

    def _find_unreadable(self, span: Span = EVERYTHING, *, start: int = 0) -> Operation[Finds]:
        """Those of 10,000 conversations that cannot be read, from number `start` on."""

        def is_wanted(summary: Summary) -> bool:  # unless it has the length that we wrote
            return not summary.is_list and summary.number("length") != summary.size

        return self._walk(span, start, is_wanted, reads=True)

    find_unreadable, afind_unreadable = twins(_find_unreadable)

    def _statistics(self, edges: Sequence[int] = ()) -> Operation[Statistics]:
        """Statistics of the index; `edges` are times in milliseconds, ascending.

        `active` counts the conversations last written to between two of them. The number of round
        trips is fixed.
        """
        return statistics(self._layout.keys, edges)

    statistics, astatistics = twins(_statistics)

    def _discover(self) -> Operation[Discovery]:
        """The further indexes that INDEXES of the alias names."""
        return discover(self.settings)

    discover, adiscover = twins(_discover)

    def _walk(
        self, span: Span, start: int, is_wanted: Callable[[Summary], bool], *, reads: bool = False
    ) -> Operation[Finds]:
        """The ids of wanted conversations; if it `reads`, of those that cannot be read."""
        found: list[bytes] = []
        skipped, looked_at, room = 0, 0, MOST_READ
        for offset in range(start, start + MOST_LOOKED_AT, _STEP):
            count, ids = yield numbered(self._layout.keys, span, offset, _STEP)
            listed = yield from shown(self._layout.keys, ids, glances=False)
            wanted = [summary for summary in listed if is_wanted(summary)]
            if reads:
                small = []
                for summary in wanted:
                    if summary.bytes <= room:
                        small.append(summary)
                        room -= summary.bytes
                skipped += len(wanted) - len(small)
                wanted = yield from self._unreadable(small)
            found += [summary.id for summary in wanted]
            looked_at += len(ids)
            if offset + _STEP >= count:
                return Finds(found, None, skipped, looked_at)
        return Finds(found, start + MOST_LOOKED_AT, skipped, looked_at)

    def _unreadable(self, doubtful: list[Summary]) -> Operation[list[Summary]]:
        content = self._layout.keys.content
        reads: list[Command[Any]] = [
            single("HGET", content(summary.id), summary.id) for summary in doubtful
        ]
        found = []
        for summary, raw in zip(doubtful, (yield reads) if reads else [], strict=True):
            try:
                if raw is not None:
                    read(raw)
            except Damaged:
                found.append(summary)
        return found
