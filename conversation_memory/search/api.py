"""The methods of an index that search it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import date, tzinfo
from typing import Any, Concatenate, ParamSpec

from ..collection.listing import Listing
from ..exceptions import sensitive
from ..keys import Id, encode
from ..layouts import Layout
from ..records import Page
from ..redis_io.operations import Operation, Performing, describe, twins
from . import embeddings
from .engine import Engine
from .request import Request
from .results import Activity, Facets, SearchResults
from .title_search import titled

P = ParamSpec("P")


def _searches(
    asked: Callable[Concatenate[Searchable, P], tuple[Request, str]],
) -> tuple[
    Callable[Concatenate[Searchable, P], SearchResults],
    Callable[Concatenate[Searchable, P], Coroutine[Any, Any, SearchResults]],
]:
    """See twins(). The callable of EMBED is not part of an operation: it is the project's own."""

    @sensitive
    def search(self: Searchable, /, *args: P.args, **kwargs: P.kwargs) -> SearchResults:
        request, like = asked(self, *args, **kwargs)
        if like:
            [vector] = embeddings.vectors(self._layout.schema, [like])
            request = replace(request, vector=vector)
        return self._run(self._engine.search(request), "search")

    @sensitive
    async def asearch(self: Searchable, /, *args: P.args, **kwargs: P.kwargs) -> SearchResults:
        request, like = asked(self, *args, **kwargs)
        if like:
            [vector] = await embeddings.avectors(self._layout.schema, [like])
            request = replace(request, vector=vector)
        return await self._arun(self._engine.search(request), "search")

    describe(search, asked, "search", asked.__doc__, "SearchResults")
    describe(asearch, asked, "asearch", "See search().", "SearchResults")
    return search, asearch


class Searchable(Performing):
    """The methods of an index that search it, each with its async twin."""

    _layout: Layout
    _listing: Listing
    _engine: Engine

    def _search(
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
    ) -> tuple[Request, str]:
        """The runs that have all words of `text` in their input or output.

        `text` is as users type it: words, "a phrase", -without, prefix*; other characters have no
        meaning. Case and accents are ignored. An empty text matches every run that satisfies the
        other conditions.

        `since` and `until` (exclusive) are datetimes or dates. `where` maps names among the FIELDS
        of SEARCH to values; add `__in` to the name of a tag, `__gt`, `__gte`, `__lt` or `__lte` to
        that of a number. `order_by` is "relevance", "-time" (newest first) or "time". `limit` is at
        most 1,000, `after` the `next` of a page.

        `like` is a text of similar meaning, which needs EMBED in SEARCH. Given `text` too, runs
        with similar meaning and runs with the words are ranked together.

        Without RediSearch, conversations are read one by one, up to a limit; see `complete` of the
        results. Raises ValueError for invalid arguments.
        """
        request = Request.of(
            self._layout, text, owner, since, until, where, conversation, order_by, limit, after
        )
        return request, like

    search, asearch = _searches(_search)

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
        request = Request.of(self._layout, text, owner, since, until, where, conversation)
        return self._engine.facets(request, name, limit)

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
        request = Request.of(self._layout, text, owner, since, until, where, conversation)
        return self._engine.activity(request, by, zone)

    activity, aactivity = twins(_activity)

    @property
    def embeds(self) -> bool:
        """True if SEARCH has EMBED, so that runs get vectors."""
        return self._layout.schema is not None and self._layout.schema.embed is not None

    @sensitive
    def embed(self) -> int:
        """Embed the runs that have no vector yet, 64 at a time. Returns how many.

        The task `embed_conversations` does this. An exception of the callable of EMBED ends it; the
        remaining runs are embedded the next time.
        """
        schema, keys, embedded = self._layout.schema, self._layout.keys, 0
        while batch := self._run(embeddings.waiting(self._layout, embeddings.BATCH), "embed"):
            vectors = embeddings.vectors(schema, [text for _, text in batch])
            put = embeddings.put(keys, [name for name, _ in batch], vectors)
            embedded += self._run(put, "embed")
        return embedded

    @sensitive
    async def aembed(self) -> int:
        """See embed()."""
        schema, keys, embedded = self._layout.schema, self._layout.keys, 0
        while batch := await self._arun(
            embeddings.waiting(self._layout, embeddings.BATCH), "embed"
        ):
            vectors = await embeddings.avectors(schema, [text for _, text in batch])
            put = embeddings.put(keys, [name for name, _ in batch], vectors)
            embedded += await self._arun(put, "embed")
        return embedded

    def _titled(
        self, text: str, *, owner: Id | None = None, before: str | None = None
    ) -> Operation[Page]:
        """The records whose title has the words of `text`, which is as `search()` takes it.

        Looks at the 5,000 conversations last written to; `next` of the page, as `before`, goes on
        to older ones. An empty text, or one that only excludes words, finds nothing.
        """
        key = None if owner is None else encode(owner)
        return titled(self._layout, self._listing, text, key, before)

    titled, atitled = twins(_titled)
