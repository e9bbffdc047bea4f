"""An index as staff browse it: numbered pages, searches by name, statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..collection.listing import Listing
from ..collection.summaries import Summary
from ..conf import IndexSettings
from ..exceptions import RedisDenied, RedisReadOnly
from ..keys import Id, encode
from ..layouts import Layout
from ..layouts.refs import owner_of
from ..redis_io.operations import Command, Operation, T, single, twins
from . import stats
from .queries import (
    Extent,
    Finds,
    Span,
    is_unreadable,
    numbered,
    shown,
    total,
)
from .stats import Discovery, Statistics

EVERYTHING = Span()

# A search by name ends after so many conversations, or so many bytes that had to be read.
MOST_LOOKED_AT = 10_000
MOST_READ = 32 * 1024 * 1024
_STEP = 1000
_ATTEMPTS = 3


class Browsable:
    """The methods of an index that the admin uses, each with its async twin."""

    settings: IndexSettings
    _layout: Layout
    _listing: Listing

    if TYPE_CHECKING:

        def _run(self, operation: Operation[T]) -> T: ...

        async def _arun(self, operation: Operation[T]) -> T: ...

    def _extent(self, span: Span = EVERYTHING) -> Operation[Extent]:
        """Count the conversations in a span, and adopt some that other programs wrote."""
        counted, unlisted = yield from self._listing.with_adoption(total(self._layout.keys, span))
        return Extent(counted, unlisted)

    extent, aextent = twins(_extent)

    def _browse(self, span: Span, offset: int, limit: int) -> Operation[list[Summary]]:
        """The conversations of a span from number `offset` on, newest first.

        Any page costs the same few round trips, and no document is fetched.
        """
        found: list[Summary] = []
        for _ in range(_ATTEMPTS):
            _, ids = yield numbered(self._layout.keys, span, offset, limit)
            listed = yield from shown(self._layout.keys, ids)
            found = [one for one in listed if span.owner in (None, owner_of(one.record))]
            stale = {*ids} - {one.id for one in found}
            if not stale:
                break
            try:  # deleted conversations leave the recency index, and others move up
                yield from self._listing.forget([*stale], span.owner)
            except (RedisReadOnly, RedisDenied):
                break
        return found

    browse, abrowse = twins(_browse)

    def _glance(self, *conversation_ids: Id) -> Operation[list[Summary]]:
        """The summaries of these conversations, without those that do not exist."""
        ids = [encode(id) for id in conversation_ids]
        return shown(self._layout.keys, ids)

    glance, aglance = twins(_glance)

    def _find_named(
        self, text: str, span: Span = EVERYTHING, *, start: int = 0
    ) -> Operation[Finds]:
        """Those of 10,000 conversations with `text` in the id or title, from number `start` on."""
        return self._walk(span, start, lambda it: it.is_named(text))

    find_named, afind_named = twins(_find_named)

    def _find_unreadable(self, span: Span = EVERYTHING, *, start: int = 0) -> Operation[Finds]:
        """Those of 10,000 conversations that cannot be read, from number `start` on."""
        return self._walk(span, start, lambda it: not it.is_as_written, must_be_unreadable=True)

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
        self,
        span: Span,
        start: int,
        is_wanted: Callable[[Summary], bool],
        *,
        must_be_unreadable: bool = False,
    ) -> Operation[Finds]:
        found: list[bytes] = []
        skipped, looked_at, room = 0, 0, MOST_READ
        for offset in range(start, start + MOST_LOOKED_AT, _STEP):
            count, ids = yield numbered(self._layout.keys, span, offset, _STEP)
            listed = yield from shown(self._layout.keys, ids, glances=False)
            wanted = [it for it in listed if is_wanted(it)]
            if must_be_unreadable:
                small = []
                for one in wanted:
                    if one.bytes <= room:
                        small.append(one)
                        room -= one.bytes
                skipped += len(wanted) - len(small)
                wanted = yield from self._unreadable(small)
            found += [one.id for one in wanted]
            looked_at += len(ids)
            if offset + _STEP >= count:
                return Finds(found, None, skipped, looked_at)
        return Finds(found, start + MOST_LOOKED_AT, skipped, looked_at)

    def _unreadable(self, doubtful: list[Summary]) -> Operation[list[Summary]]:
        content = self._layout.keys.content
        reads: list[Command[Any]] = [single("HGET", content(it.id), it.id) for it in doubtful]
        fields = (yield reads) if reads else []
        pairs = zip(doubtful, fields, strict=True)
        return [one for one, field in pairs if field is not None and is_unreadable(field)]
