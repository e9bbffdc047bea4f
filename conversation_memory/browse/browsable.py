"""An index as staff browse it: numbered pages, searches by name, statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..collection.listing import Listing
from ..collection.summaries import Summary
from ..conf import IndexSettings
from ..documents import read
from ..exceptions import Damaged
from ..keys import Id, encode
from ..layouts import Layout
from ..redis_io.operations import Command, Operation, Performing, single, twins
from . import stats
from .queries import Extent, Finds, Span, numbered, shown, total
from .stats import Discovery, Statistics

EVERYTHING = Span()

# A search by name ends after so many conversations; at most so many bytes are read for it.
MOST_LOOKED_AT = 10_000
MOST_READ = 32 * 1024 * 1024
_STEP = 1000
_ATTEMPTS = 3


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
        return stats.statistics(self._layout.keys, edges)

    statistics, astatistics = twins(_statistics)

    def _discover(self) -> Operation[Discovery]:
        """The further indexes that INDEXES of the alias names."""
        return stats.discover(self.settings)

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
        for summary, field in zip(doubtful, (yield reads) if reads else [], strict=True):
            try:
                if field is not None:
                    read(field)
            except Damaged:
                found.append(summary)
        return found
