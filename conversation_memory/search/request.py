"""One search, and the cursor of its next page."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..layouts import Layout
from ..search_index.tokens import Words
from .filters import SearchFilters
from .query import Query

ORDERS = ("relevance", "-time", "time")
MOST = 1000

_CURSOR = re.compile(r"([is])(\d{1,9})-(\d{0,15})-([\w.-]{0,1500})", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Cursor:
    """The number of hits before a page.

    With RediSearch and `-time`, `mark` is the time in ms of the newest hit: a later run would shift
    the pages, and so does one that arrives within the same ms. In a scan, it is how many
    conversations the part with the hits has, 0 if unknown; that part begins at `place`, a cursor
    of `recent()`.
    """

    offset: int = 0
    mark: int = 0
    place: str = ""
    is_scan: bool = False

    def __str__(self) -> str:
        return f"{'s' if self.is_scan else 'i'}{self.offset}-{self.mark}-{self.place}"

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """Raises ValueError for a text that is not the `next` of a search."""
        if text is None:
            return cls()
        parts = _CURSOR(text)
        if not parts:
            raise ValueError(f"{text[:100]!r} is not a cursor of a search.")
        return cls(int(parts[2]), int(parts[3] or 0), parts[4], parts[1] == "s")


@dataclass(frozen=True, slots=True)
class Request:
    """A valid search. Raises ValueError for an invalid one."""

    query: Query
    filters: SearchFilters
    order_by: str = "relevance"
    limit: int = 20
    cursor: Cursor = Cursor()
    vector: bytes | None = None

    @classmethod
    def of(
        cls,
        layout: Layout,
        text: str,
        filters: SearchFilters,
        order_by: str = "relevance",
        limit: int = 20,
        after: str | None = None,
    ) -> Request:
        query = Query.parse(text, layout.schema.words if layout.schema else Words())
        return cls(query, filters, order_by, limit, Cursor.parse(after))

    def __post_init__(self) -> None:
        if self.order_by not in ORDERS:
            raise ValueError(f"order_by must be one of {', '.join(ORDERS)}.")
        if not 1 <= self.limit <= MOST:
            raise ValueError(f"limit must be from 1 to {MOST:,}.")

    @property
    def is_exact(self) -> bool:
        """True if everything that RediSearch finds matches."""
        return self.query.is_exact and self.filters.is_exact

    @property
    def is_hopeless(self) -> bool:
        """True if nothing can match."""
        without_like = self.query.is_hopeless and self.vector is None
        return without_like or self.filters.is_hopeless

    @property
    def by_relevance(self) -> bool:
        return self.order_by == "relevance" and not self.query.is_blank
