"""Bringing every conversation of an index into the form of its layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationMemoryError,
    ConversationTooLarge,
)
from ..layouts import Layout, Place
from ..redis_io.operations import Operation
from .listing import Listing


@dataclass(frozen=True, slots=True)
class Conversion:
    """How many conversations were looked at, got another form, and could not be read or written."""

    seen: int = 0
    converted: int = 0
    failed: int = 0


def convert(
    layout: Layout,
    listing: Listing,
    progress: Callable[[Conversion], object],
    failure: Callable[[ConversationMemoryError], object],
) -> Operation[Conversion]:
    """Convert one after the other, each by a write that gives way to every other writer."""
    total, cursor = Conversion(), b"0"
    while True:
        cursor, ids = yield from listing.scan(cursor)
        converted = failed = 0
        for id in (yield from layout.foreign(ids)) if ids else ():
            try:
                place = Place(id)
                converted += yield from layout.guarded(place, layout.adapt(place))
            except (ConversationCorrupt, ConversationTooLarge, ConversationConflict) as error:
                failed += 1
                failure(error)
        total = Conversion(
            total.seen + len(ids), total.converted + converted, total.failed + failed
        )
        progress(total)
        if cursor == b"0":
            return total
