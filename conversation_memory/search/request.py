"""What is asked of a search, and where a page of it goes on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from ..conf import IndexSettings
from ..keys import Id
from ..search_index.schema import Schema
from ..search_index.tokens import Words
from .filters import Filters
from .query import Query

ORDERS = ("relevance", "-time", "time")
MOST = 1000

_CURSOR = re.compile(r"([is])(\d{1,9})-(\d{0,15})-([\w.-]{0,1500})", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Cursor:
    """Behind how many hits a page begins.

    Of RediSearch, `mark` is the time in ms of the newest hit, where the order is that of time: what
    came later would move the others, as does what comes within that same ms. Of a scan, it is how
    many conversations the part has in which the hits are, 0 if nobody knows yet; that part begins
    at `place`, a cursor of `recent()`.
    """

    offset: int = 0
    mark: int = 0
    place: str = ""
    is_scan: bool = False

    def __str__(self) -> str:
        return f"{'s' if self.is_scan else 'i'}{self.offset}-{self.mark}-{self.place}"

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """Raises ValueError for what is no `next` of a search."""
        if text is None:
            return cls()
        parts = _CURSOR(text)
        if not parts:
            raise ValueError(f"{text[:100]!r} is not a cursor of a search.")
        return cls(int(parts[2]), int(parts[3] or 0), parts[4], parts[1] == "s")


@dataclass(frozen=True, slots=True)
class Request:
    """One search."""

    query: Query
    filters: Filters
    order_by: str = "relevance"
    limit: int = 20
    cursor: Cursor = Cursor()
    vector: bytes | None = None

    @classmethod
    def of(
        cls,
        settings: IndexSettings,
        schema: Schema | None,
        text: str,
        *,
        owner: Id | None = None,
        since: date | None = None,
        until: date | None = None,
        where: Mapping[str, Any] | None = None,
        conversation: Id | None = None,
        order_by: str = "relevance",
        limit: int = 20,
        after: str | None = None,
        vector: bytes | None = None,
    ) -> Request:
        """What a caller asks for. Raises ValueError for what cannot be asked."""
        filters = Filters.of(
            settings,
            schema,
            owner=owner,
            conversation=conversation,
            since=since,
            until=until,
            where=where,
        )
        query = Query.parse(text, schema.words if schema else Words())
        return cls(query, filters, order_by, limit, Cursor.parse(after), vector)

    def __post_init__(self) -> None:
        if self.order_by not in ORDERS:
            raise ValueError(f"order_by is one of {', '.join(ORDERS)}.")
        if not 1 <= self.limit <= MOST:
            raise ValueError(f"The limit of a search is from 1 to {MOST:,}.")

    @property
    def is_exact(self) -> bool:
        """Whether RediSearch finds no more than what is asked for."""
        return self.query.is_exact and self.filters.is_exact

    @property
    def is_hopeless(self) -> bool:
        """Whether nothing can be found."""
        without_like = self.query.is_hopeless and self.vector is None
        return without_like or self.filters.is_hopeless

    @property
    def by_relevance(self) -> bool:
        return self.order_by == "relevance" and not self.query.is_blank
