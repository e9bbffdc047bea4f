"""What an index has for searching."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, tzinfo
from typing import Any

from django.views.decorators.debug import sensitive_variables

from ..keys import Id
from ..layouts import Layout
from ..redis_io.operations import Operation, T
from . import embeddings as embedding
from .results import Activity, Facets, SearchResults
from .searches import Searches, filters


class Searchable:
    """The methods of an index that search it, each with its async twin."""

    _layout: Layout
    _searches: Searches

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
        options = filters(owner, since, until, where, conversation)
        page = {"order_by": order_by, "limit": limit, "after": after}
        vector = embedding.vectors(self._layout.schema, [like])[0] if like else None
        return self._run(self._searches.search(text, vector, **options, **page))

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
        options = filters(owner, since, until, where, conversation)
        page = {"order_by": order_by, "limit": limit, "after": after}
        vector = (await embedding.avectors(self._layout.schema, [like]))[0] if like else None
        return await self._arun(self._searches.search(text, vector, **options, **page))

    @sensitive_variables()
    def facets(
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
    ) -> Facets:
        """How many runs have each value of a field, of those that `search()` would find.

        `name` is a tag or a number among the FIELDS of SEARCH. The `limit` values of most runs.
        """
        options = filters(owner, since, until, where, conversation)
        return self._run(self._searches.facets(name, text, limit, **options))

    @sensitive_variables()
    async def afacets(
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
    ) -> Facets:
        """See facets()."""
        options = filters(owner, since, until, where, conversation)
        return await self._arun(self._searches.facets(name, text, limit, **options))

    @sensitive_variables()
    def activity(
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
    ) -> Activity:
        """How many runs came in each hour, day, week or month, of those `search()` would find.

        In the time zone `zone`, or the current one. Periods between two others are there with 0.
        """
        options = filters(owner, since, until, where, conversation)
        return self._run(self._searches.activity(by, text, zone, **options))

    @sensitive_variables()
    async def aactivity(
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
    ) -> Activity:
        """See activity()."""
        options = filters(owner, since, until, where, conversation)
        return await self._arun(self._searches.activity(by, text, zone, **options))

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
        while batch := self._run(embedding.waiting(keys, embedding.BATCH)):
            vectors = embedding.vectors(schema, [text for _, text in batch])
            embedded += self._run(embedding.put(keys, [name for name, _ in batch], vectors))
        return embedded

    @sensitive_variables()
    async def aembed(self) -> int:
        """See embed()."""
        schema, keys, embedded = self._layout.schema, self._layout.keys, 0
        while batch := await self._arun(embedding.waiting(keys, embedding.BATCH)):
            vectors = await embedding.avectors(schema, [text for _, text in batch])
            embedded += await self._arun(embedding.put(keys, [name for name, _ in batch], vectors))
        return embedded

    def _run(self, operation: Operation[T]) -> T:
        raise NotImplementedError

    async def _arun(self, operation: Operation[T]) -> T:
        raise NotImplementedError
