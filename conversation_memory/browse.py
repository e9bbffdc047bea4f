"""An index as staff browse it: numbered pages, searches and sorting by reading, statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from .clock import now
from .collection.listing import Listing, counting
from .collection.statistics import Discovery, Statistics, discover, statistics
from .collection.summaries import Summary
from .conf import IndexSettings
from .documents import read
from .exceptions import ConversationCorrupt, Damaged
from .keys import Id, Keys, encode
from .layouts import ConversationRef, Layout
from .layouts.refs import Snapshot
from .redis_io.operations import Command, Operation, Performing, single, twins
from .redis_io.scripts import Script
from .replies.lifecycle import fields_of, read_open_runs
from .replies.open_runs import OpenRun, ReplyTexts, said
from .runs import Run, lenient

BROWSE = Script("browse")

# Open runs of one conversation that are shown, the newest ones.
MOST_OPEN = 20
# A search by name ends after so many conversations; at most so many bytes are read for it.
MOST_LOOKED_AT = 10_000
MOST_READ = 32 * 1024 * 1024
_STEP = 1000
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of an index: of one owner, last written to from `since` on and before `until` (ms).

    Its conversations are numbered from the newest on, or with `oldest_first` from the oldest on.
    """

    owner: bytes | None = None
    since: int | None = None
    until: int | None = None
    oldest_first: bool = False


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


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The newest open runs of a conversation, the oldest of them first; `left` are older ones."""

    runs: list[tuple[OpenRun, str]] = field(default_factory=list)
    left: int = 0


def numbered(keys: Keys, span: Span, offset: int, limit: int) -> Command[tuple[int, list[bytes]]]:
    """The number of conversations in the span, and the ids from number `offset` on."""
    times = ["" if time is None else time for time in (span.since, span.until)]
    args = [offset, limit, *times, "oldest" if span.oldest_first else ""]
    return Command((BROWSE.call([keys.recency(span.owner)], args),), tuple)


def total(keys: Keys, span: Span) -> Command[int]:
    if span.since is None and span.until is None:
        return counting(keys, span.owner)
    return Command(numbered(keys, span, 0, 0).calls, lambda reply: reply[0])


EVERYTHING = Span()

# Takes a conversation and one of its runs.
RunTest = Callable[[Summary, Run], bool]


class Browsable(Performing):
    """The methods of an index that the admin uses, each with its async twin."""

    settings: IndexSettings
    _layout: Layout
    _listing: Listing

    def _extent(self, span: Span = EVERYTHING) -> Operation[Extent]:
        """Count the conversations in a span, and adopt some that other programs wrote."""
        count = total(self._layout.keys, span)
        front, conversations = yield [self._listing.first(0, None, ()), count]
        if front.unlisted:
            front = yield from self._listing.adopted(front, 0)
            conversations = yield count
        return Extent(conversations, front.unlisted)

    extent, aextent = twins(_extent)

    def _browse(self, span: Span, offset: int, limit: int) -> Operation[list[Summary]]:
        """The conversations of a span from number `offset` on.

        Any page costs the same few round trips, and no document is fetched.
        """
        found: list[Summary] = []
        for _ in range(_ATTEMPTS):
            _, ids = yield from self._numbered(span, offset, limit)
            found, moved = yield from self._listing.existing(ids, span.owner, glances=True)
            if not moved:
                break
            # Deleted conversations have left the recency index, and others moved up.
        return found

    browse, abrowse = twins(_browse)

    def _glance(self, *conversation_ids: Id) -> Operation[list[Summary]]:
        """The summaries of these conversations, without those that do not exist."""
        found = yield from self._listing.summaries([*map(encode, conversation_ids)], glances=True)
        return [summary for summary in found if summary.exists]

    glance, aglance = twins(_glance)

    def _unfinished(self, conversation_id: Id) -> Operation[Unfinished]:
        """The open runs of a conversation, with what was said so far of their outputs."""
        keys, id = self._layout.keys, encode(conversation_id)
        fields = yield replace(fields_of(keys.open(id)), otherwise={})
        runs = read_open_runs(keys, id, None, fields, 0)
        if not runs:
            return Unfinished()
        streams: list[Command[Any]] = [
            single("XRANGE", keys.chunks(id, encode(run.run_id)), "-", "+", otherwise=[])
            for run in runs[-MOST_OPEN:]
        ]
        # Only then: a user who may only read may lack TIME, which is not in @read.
        time, *replies = yield [now(), *streams]
        shown = read_open_runs(keys, id, None, fields, time)[-MOST_OPEN:]
        forms = [ReplyTexts.of(keys, id, encode(run.run_id)) for run in shown]
        texts = [
            said([form.chunk(entry, strict=False) for entry in stream])
            for form, stream in zip(forms, replies, strict=True)
        ]
        return Unfinished(list(zip(shown, texts, strict=True)), len(runs) - len(shown))

    unfinished, aunfinished = twins(_unfinished)

    def _find_named(
        self, text: str, span: Span = EVERYTHING, *, start: int = 0
    ) -> Operation[Finds]:
        """Those of 10,000 conversations with `text` in the id or title, from number `start` on."""
        return self._walk(span, start, lambda summary: summary.is_named(text))

    find_named, afind_named = twins(_find_named)

    def _find_unreadable(self, span: Span = EVERYTHING, *, start: int = 0) -> Operation[Finds]:
        """Those of 10,000 conversations that cannot be read, from number `start` on."""

        def is_wanted(summary: Summary) -> bool:  # unless it has the length that we wrote
            if self._layout.sealing is not None:  # with a key that nobody may have any more
                return True
            return not summary.is_list and summary.number("length") != summary.size

        return self._walk(span, start, is_wanted, read=self._unreadable)

    find_unreadable, afind_unreadable = twins(_find_unreadable)

    def _find_with_run(
        self, is_wanted: RunTest, span: Span = EVERYTHING, *, start: int = 0
    ) -> Operation[Finds]:
        """Those of 10,000 conversations with a run that `is_wanted`, from number `start` on.

        `is_wanted` is called with the summary and each run that can be read, until it is true.
        """

        def read(small: list[Summary]) -> Operation[list[Summary]]:
            return self._with_run(small, is_wanted)

        return self._walk(span, start, lambda summary: True, read=read)

    find_with_run, afind_with_run = twins(_find_with_run)

    def _find_sorted(
        self,
        measure: Callable[[Summary], int],
        span: Span = EVERYTHING,
        *,
        start: int = 0,
        descending: bool = True,
    ) -> Operation[Finds]:
        """10,000 conversations from number `start` on, sorted by what `measure` tells of each."""
        measured: dict[bytes, int] = {}

        def is_wanted(summary: Summary) -> bool:
            measured[summary.id] = measure(summary)
            return True

        found = yield from self._walk(span, start, is_wanted)
        ids = sorted(found.ids, key=measured.__getitem__, reverse=descending)
        return replace(found, ids=ids)

    find_sorted, afind_sorted = twins(_find_sorted)

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

    def _numbered(self, span: Span, offset: int, limit: int) -> Operation[tuple[int, list[bytes]]]:
        """See numbered()."""
        found: tuple[int, list[bytes]] = yield numbered(self._layout.keys, span, offset, limit)
        return found

    def _walk(
        self,
        span: Span,
        start: int,
        is_wanted: Callable[[Summary], bool],
        *,
        read: Callable[[list[Summary]], Operation[list[Summary]]] | None = None,
    ) -> Operation[Finds]:
        """The ids of wanted conversations; with `read`, of those that it returns of them."""
        found: list[bytes] = []
        skipped, looked_at, room = 0, 0, MOST_READ
        for offset in range(start, start + MOST_LOOKED_AT, _STEP):
            count, ids = yield from self._numbered(span, offset, _STEP)
            listed = yield from self._listing.summaries(ids)
            wanted = [summary for summary in listed if summary.exists and is_wanted(summary)]
            if read is not None:
                small = []
                for summary in wanted:
                    if summary.bytes <= room:
                        small.append(summary)
                        room -= summary.bytes
                skipped += len(wanted) - len(small)
                wanted = yield from read(small)
            found += [summary.id for summary in wanted]
            looked_at += len(ids)
            if offset + _STEP >= count:
                return Finds(found, None, skipped, looked_at)
        return Finds(found, start + MOST_LOOKED_AT, skipped, looked_at)

    def _with_run(self, listed: list[Summary], is_wanted: RunTest) -> Operation[list[Summary]]:
        keys = self._layout.keys
        # In no transaction, which a user who may only read may lack the permission for.
        fields: list[Command[Any]] = [
            single("HGET", keys.content(it.id), it.id, otherwise=None) for it in listed
        ]
        lists: list[Command[Any]] = [
            single("LRANGE", keys.runs(it.id), 0, -1, otherwise=None) for it in listed if it.length
        ]
        replies = iter((yield [*fields, *lists]) if listed else [])
        found = list(zip(listed, islice(replies, len(listed)), strict=True))
        return [
            summary
            for summary, field in found
            if _has_run(keys, summary, field, next(replies) if summary.length else [], is_wanted)
        ]

    def _unreadable(self, doubtful: list[Summary]) -> Operation[list[Summary]]:
        content = self._layout.keys.content
        if self._layout.sealing is not None:
            return (yield from self._undecryptable(doubtful))
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

    def _undecryptable(self, doubtful: list[Summary]) -> Operation[list[Summary]]:
        """Those of which a value cannot be decrypted, or read after that."""
        refs = [ConversationRef(summary.id) for summary in doubtful]
        snapshots = yield from self._layout.snapshots(refs)
        found = []
        for summary, ref, snapshot in zip(doubtful, refs, snapshots, strict=True):
            try:
                if snapshot is not None:
                    self._layout.document(ref, snapshot)
            except ConversationCorrupt:
                found.append(summary)
        return found


def _has_run(
    keys: Keys, summary: Summary, field: bytes | None, texts: list[bytes] | None, is_wanted: RunTest
) -> bool:
    with suppress(Damaged):  # the runs before a damaged one count
        snapshot = Snapshot(field, summary.record, texts or [], sealing=keys.sealing)
        document = snapshot.document
        return any(is_wanted(summary, run) for run in lenient(document.texts))
    return False
