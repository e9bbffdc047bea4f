"""The methods of an index that search it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, tzinfo
from typing import Any

from django.views.decorators.debug import sensitive_variables

from ..keys import Id
from ..layouts import Layout
from ..redis_io.operations import Operation, T
from ..redis_io.twins import twins
from . import embeddings
from .engine import Engine
from .filters import SearchFilters
from .request import Request
from .results import Activity, Facets, SearchResults


class Searchable:
    """The methods of an index that search it, each with its async twin."""

    _layout: Layout
    _engine: Engine

    @sensitive_variables()
    def search(
        self,
        text: str = "",
        *,
        owner: Id | None = None,
        since: date | None = None,
        until: date | None = None,
        where: Mapping[str, Any] | None = None,
        conversation: Id | None = None,
        order_by: str = "relevance",
        limit: int = 20,
        after: str | None = None,
        like: str = "",
    ) -> SearchResults:
        """The runs that have all words of `text`, in their input or in their output.

        `text` is as users write it: words, "a phrase", -without, prefix*; everything else is text.
        Case and accents do not matter. An empty text finds every run that the rest allows.

        `since` and `until` (the first moment that is not wanted) are datetimes or days. `where` is
        name -> value of what SEARCH has in FIELDS, with `__in` behind the name of a tag and
        `__gt`, `__gte`, `__lt`, `__lte` behind that of a number. `order_by` is "relevance",
        "-time" (newest first) or "time". `limit` is 1,000 at most, `after` the `next` of a page.

        `like` is a text whose meaning the runs should be near, which needs EMBED in SEARCH; with
        `text` as well, what is near and what has the words are ranked together.

        Without RediSearch, conversations are read one after the other, up to a limit: see
        `complete` of the results. Raises ValueError for what cannot be asked.
        """
        filters = SearchFilters.of(self._layout, owner, since, until, where, conversation)
        request = Request.of(self._layout, text, filters, order_by, limit, after)
        if like:
            [vector] = embeddings.vectors(self._layout.schema, [like])
            request = replace(request, vector=vector)
        return self._run(self._engine.search(request))

    @sensitive_variables()
    async def asearch(
        self,
        text: str = "",
        *,
        owner: Id | None = None,
        since: date | None = None,
        until: date | None = None,
        where: Mapping[str, Any] | None = None,
        conversation: Id | None = None,
        order_by: str = "relevance",
        limit: int = 20,
        after: str | None = None,
        like: str = "",
    ) -> SearchResults:
        """See search()."""
        filters = SearchFilters.of(self._layout, owner, since, until, where, conversation)
        request = Request.of(self._layout, text, filters, order_by, limit, after)
        if like:
            [vector] = await embeddings.avectors(self._layout.schema, [like])
            request = replace(request, vector=vector)
        return await self._arun(self._engine.search(request))

    def _facets(
        self,
        name: str,
        text: str = "",
        *,
        owner: Id | None = None,
        since: date | None = None,
        until: date | None = None,
        where: Mapping[str, Any] | None = None,
        conversation: Id | None = None,
        limit: int = 50,
    ) -> Operation[Facets]:
        """How many of the runs that `search()` would find have each value of a field.

        `name` is a tag or a number among the FIELDS of SEARCH. Returns the `limit` values with the
        most runs.
        """
        filters = SearchFilters.of(self._layout, owner, since, until, where, conversation)
        return self._engine.facets(Request.of(self._layout, text, filters), name, limit)

    facets, afacets = twins(_facets)

    def _activity(
        self,
        by: str = "day",
        text: str = "",
        *,
        owner: Id | None = None,
        since: date | None = None,
        until: date | None = None,
        where: Mapping[str, Any] | None = None,
        conversation: Id | None = None,
        zone: tzinfo | None = None,
    ) -> Operation[Activity]:
        """How many of the runs that `search()` would find came in each hour, day, week or month.

        Periods are those of the time zone `zone`, or of the current one. Periods without runs
        between two others are included with 0.
        """
        filters = SearchFilters.of(self._layout, owner, since, until, where, conversation)
        return self._engine.activity(Request.of(self._layout, text, filters), by, zone)

    activity, aactivity = twins(_activity)

    @property
    def embeds(self) -> bool:
        """Whether SEARCH has EMBED, so that runs get vectors."""
        return self._layout.schema is not None and self._layout.schema.embed is not None

    @sensitive_variables()
    def embed(self) -> int:
        """Make the vectors of the runs that have none yet, 64 at a time. Returns how many.

        The task `embed_conversations` does this. What the callable of EMBED raises ends it; the
        runs wait for the next time.
        """
        schema, keys, embedded = self._layout.schema, self._layout.keys, 0
        while batch := self._run(embeddings.waiting(keys, embeddings.BATCH)):
            vectors = embeddings.vectors(schema, [text for _, text in batch])
            embedded += self._run(embeddings.put(keys, [name for name, _ in batch], vectors))
        return embedded

    @sensitive_variables()
    async def aembed(self) -> int:
        """See embed()."""
        schema, keys, embedded = self._layout.schema, self._layout.keys, 0
        while batch := await self._arun(embeddings.waiting(keys, embeddings.BATCH)):
            vectors = await embeddings.avectors(schema, [text for _, text in batch])
            embedded += await self._arun(embeddings.put(keys, [name for name, _ in batch], vectors))
        return embedded

    def _run(self, operation: Operation[T]) -> T:
        raise NotImplementedError

    async def _arun(self, operation: Operation[T]) -> T:
        raise NotImplementedError
