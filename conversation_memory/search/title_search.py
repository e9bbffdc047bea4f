"""Searching the titles of conversations, which are in their records and have no document."""

from __future__ import annotations

from ..collection.listing import Listing
from ..layouts import Layout
from ..records import Page, Record
from ..redis_io.operations import Operation
from ..search_index.tokens import Words
from .query import Query

BATCH = 500
MOST_BATCHES = 10


def titled(
    layout: Layout, listing: Listing, text: str, owner: bytes | None, before: str | None
) -> Operation[Page]:
    """The conversations of a few batches of `recent()` whose titles match `text`."""
    words = layout.schema.words if layout.schema else Words()
    query = Query.parse(text, words)
    found: list[Record] = []
    missing: tuple[str, ...] = ()
    for _ in range(MOST_BATCHES if query.wanted else 0):
        page = yield from listing.recent(BATCH, owner, before)
        found += [record for record in page if query.matches(words.stream(record.title))]
        before, missing = page.next, page.missing
        if before is None:
            return Page(found, None, missing=missing)
    return Page(found, before if query.wanted else None, missing=missing)
