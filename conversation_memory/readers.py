"""Reading one conversation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .collection.listing import Listing
from .conf import WaitSettings
from .exceptions import sensitive
from .keys import decode
from .layouts import ConversationRef, Layout
from .records import LARGEST, ConversationState, Excerpt, Record, RunPage, page_limit
from .redis_io.connections import Connection
from .redis_io.operations import Operation, T, aperform, perform, twins
from .redis_io.replicas import read_only, replicated
from .runs import Run, estimate_tokens
from .search import embeddings as embedding
from .search.engine import Engine
from .search.request import Request
from .search.results import SearchResults

# What a driver with read_from="replica" asks a replica for. Not read(): of its revision, writes
# are made.
MAY_LAG = frozenset("load tail page excerpt find window record exists".split())


class ConversationReader:
    """Reads one conversation. `RedisConversationMemoryDriver` adds the writes."""

    _connection: Connection
    _layout: Layout
    _seen: ConversationRef
    _wait: WaitSettings | None = None
    _reads_from_replica = False

    @property
    def _ref(self) -> ConversationRef:
        # For a write: with a fresh token, by which the server knows one that redis-py sends again.
        return self._seen.for_a_call()

    @property
    def alias(self) -> str:
        """The alias of the index in settings."""
        return self._layout.alias

    @property
    def index(self) -> str:
        """The key of the hash."""
        return self._layout.keys.name

    @property
    def conversation_id(self) -> str:
        """The field of the hash."""
        return decode(self._seen.id)

    @property
    def owner(self) -> str | None:
        """The owner to whom this driver is limited, as text; None for a driver without limit."""
        return decode(self._seen.owner) if self._seen.owner is not None else None

    @property
    def ttl(self) -> float | None:
        """The `ttl` with which this driver was opened, in seconds."""
        return None if self._seen.lifetime is None else self._seen.lifetime / 1000

    @property
    def client(self) -> Any:
        """The sync redis-py client."""
        return self._connection.client

    def _load(self) -> Operation[tuple[list[Run], dict[str, Any]]]:
        """The runs, oldest first, and the metadata; `([], {})` if nothing was stored yet.

        Raises `ConversationCorrupt` if the stored value is not a conversation.
        """
        return self._reading(self._layout.load(self._seen))

    load, aload = twins(_load)

    def _read(self) -> Operation[ConversationState]:
        """Runs, metadata, record and revision as they stood at one moment."""
        return self._reading(self._layout.read(self._seen))

    read, aread = twins(_read)

    def _tail(self, count: int) -> Operation[list[Run]]:
        """The last `count` runs, oldest first; fewer if there are fewer."""
        return self._reading(self._layout.tail(self._seen, min(count, LARGEST)))

    tail, atail = twins(_tail)

    def _page(self, *, before: int | None = None, limit: int = 50) -> Operation[RunPage]:
        """At most `limit` runs before position `before` or the end, oldest first.

        The `start` of a page is the `before` of the preceding page. A `before` beyond the end means
        the end. Raises ValueError for a negative one.
        """
        page = self._layout.page(self._seen, _in_front(before), page_limit(limit))
        return self._reading(page)

    page, apage = twins(_page)

    def _excerpt(
        self, *, before: int | None = None, limit: int = 50, strict: bool = True
    ) -> Operation[Excerpt]:
        """A `page()` with metadata, record and the number of all runs.

        Unless `strict`, a damaged run of a list raises `ConversationCorrupt` only when accessed, so
        that the others can be shown.
        """
        before, limit = _in_front(before), page_limit(limit)
        return self._reading(self._layout.excerpt(self._seen, before, limit, strict=strict))

    excerpt, aexcerpt = twins(_excerpt)

    def _raw(self) -> Operation[bytes | None]:
        """The JSON document as it is stored, even if damaged; None if nothing is stored."""
        return self._layout.raw(self._seen)

    raw, araw = twins(_raw)

    def _find(self, wanted: Callable[[Run], bool], *, limit: int = 10_000) -> Operation[int | None]:
        """The position of the last run that is `wanted`, None if the last `limit` have none."""
        return self._reading(self._layout.find(self._seen, wanted, page_limit(limit)))

    find, afind = twins(_find)

    def _window(
        self,
        *,
        max_runs: int | None = None,
        max_tokens: int | None = None,
        count: Callable[[Run], int] = estimate_tokens,
        strict: bool = False,
    ) -> Operation[list[Run]]:
        """The last whole runs that fit into a prompt, oldest first; changes nothing stored.

        `max_tokens` limits the sum of `count(run)`, which by default counts four characters of
        input and output as a token. If the last run alone exceeds it, the window is that run; if
        `strict`, raises `ConversationTooLarge`.
        """
        window = self._layout.window(self._seen, max_runs, max_tokens, count, strict=strict)
        return self._reading(window)

    window, awindow = twins(_window)

    @sensitive
    def recall(self, text: str, k: int = 5, *, of: str = "conversation") -> list[Run]:
        """The `k` runs of the conversation that are most related to `text`, the closest first.

        With `of="owner"`, of all conversations of the driver's owner. Requires EMBED in SEARCH;
        runs that the task `embed_conversations` has not embedded yet are not recalled. Without
        RediSearch, the runs of a short conversation are compared one by one; a longer one raises
        `RedisMisconfigured`.
        """
        schema, request = self._layout.schema, embedding.recall_request(self._seen, k, of)
        [vector] = embedding.vectors(schema, [text])
        asked = replace(request, vector=vector)
        runs, are_ranked = self._run(self._candidates(asked, of), "recall")
        if are_ranked:
            return runs
        vectors = embedding.vectors(schema, [embedding.text_to_embed(run) for run in runs])
        return embedding.nearest(runs, vectors, vector, k)

    @sensitive
    async def arecall(self, text: str, k: int = 5, *, of: str = "conversation") -> list[Run]:
        """See recall()."""
        schema, request = self._layout.schema, embedding.recall_request(self._seen, k, of)
        [vector] = await embedding.avectors(schema, [text])
        asked = replace(request, vector=vector)
        runs, are_ranked = await self._arun(self._candidates(asked, of), "recall")
        if are_ranked:
            return runs
        vectors = await embedding.avectors(schema, [embedding.text_to_embed(run) for run in runs])
        return embedding.nearest(runs, vectors, vector, k)

    def _record(self) -> Operation[Record | None]:
        """Owner, title, times and run count; None if the conversation does not exist."""
        return self._layout.record(self._seen)

    record, arecord = twins(_record)

    def _exists(self) -> Operation[bool]:
        """True if anything is stored for the conversation."""
        return (yield from self._record()) is not None

    exists, aexists = twins(_exists)

    def _candidates(self, request: Request, of: str) -> Operation[tuple[list[Run], bool]]:
        """The runs that RediSearch ranks, or without it the few runs to rank."""
        found = yield from self._searched(request)
        if not found.scanned:
            return [hit.run for hit in found], True
        runs = (yield from self._tail(embedding.FEW + 1)) if of == "conversation" else []
        if of == "owner" or len(runs) > embedding.FEW:
            raise embedding.too_many(self._layout.alias, found.reasons, of)
        return runs, False

    def _searched(self, request: Request) -> Operation[SearchResults]:
        return Engine(self._layout, Listing(self._layout)).search(request)

    def _reading(self, operation: Operation[T]) -> Operation[T]:
        return self._layout.reading(self._seen, operation)

    def _run(self, operation: Operation[T], name: str = "other") -> T:
        connection, may_lag = self._connection, self._may_lag(name)
        client = connection.replica if may_lag else connection.client
        asked = self._asked(operation, may_lag=may_lag)
        with self._layout.telemetry.observe(name, client, self._seen.id) as seen:
            return seen.result(perform(client, asked, self._layout.alias))

    async def _arun(self, operation: Operation[T], name: str = "other") -> T:
        connection, may_lag = self._connection, self._may_lag(name)
        client = connection.async_replica if may_lag else connection.async_client
        asked = self._asked(operation, may_lag=may_lag)
        with self._layout.telemetry.observe(name, client, self._seen.id) as seen:
            return seen.result(await aperform(client, asked, self._layout.alias))

    def _asked(self, operation: Operation[T], *, may_lag: bool) -> Operation[T]:
        guarded = self._layout.guarded(self._seen, operation)
        if may_lag:
            return read_only(guarded)
        return replicated(guarded, self._wait, self._layout.alias)

    def _may_lag(self, name: str) -> bool:
        return self._reads_from_replica and name in MAY_LAG


def _in_front(before: int | None) -> int | None:
    if before is not None and before < 0:
        raise ValueError("The position before which a page ends must be 0 or more.")
    return None if before is None else min(before, LARGEST)
