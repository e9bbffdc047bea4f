"""Every way to search an index, as operations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, tzinfo
from typing import Any

from ..collection.listing import Listing
from ..conf import IndexSettings
from ..keys import Id
from ..layouts import Layout
from ..redis_io.operations import Operation
from .counting import Counting
from .engine import Engine
from .request import Request
from .results import Activity, Facets, SearchResults
from .scan import Scan


class Searches:
    """The searches of one index. Each takes the vector of what the hits should be like, if any."""

    def __init__(self, settings: IndexSettings, layout: Layout, listing: Listing):
        self._settings = settings
        self._schema = layout.schema
        scan = Scan(layout, listing)
        self._engine = Engine(layout, listing, scan)
        self._counting = Counting(self._engine, scan, layout.schema)

    def search(
        self, text: str, vector: bytes | None = None, **options: Any
    ) -> Operation[SearchResults]:
        return self._engine.search(self._request(text, vector=vector, **options))

    def facets(self, name: str, text: str, limit: int, **filters: Any) -> Operation[Facets]:
        return self._counting.facets(self._request(text, **filters), name, limit)

    def activity(
        self, by: str, text: str, zone: tzinfo | None, **filters: Any
    ) -> Operation[Activity]:
        return self._counting.activity(self._request(text, **filters), by, zone)

    def _request(self, text: str, **options: Any) -> Request:
        return Request.of(self._settings, self._schema, text, **options)


def filters(
    owner: Id | None,
    since: date | None,
    until: date | None,
    where: Mapping[str, Any] | None,
    conversation: Id | None,
) -> dict[str, Any]:
    """The options that every search has."""
    return {
        "owner": owner,
        "since": since,
        "until": until,
        "where": where,
        "conversation": conversation,
    }
