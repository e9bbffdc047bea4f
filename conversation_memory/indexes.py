"""The indexes of settings by alias: `indexes`, and all that can be done with one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from . import conf
from .browse import Browsable
from .collection import bulk
from .collection.listing import Listing, counting
from .collection.rotation import RotatingIndex
from .collection.selection import EVERYTHING, Selection
from .collection.summaries import Summary
from .drivers import RedisConversationMemoryDriver, new_ref
from .erasing import ErasingIndex
from .exceptions import InvalidIndexError
from .exports import Exportable
from .keys import Id, decode, encode
from .layouts import layout
from .maintenance import Maintainable
from .records import ConversationState, Page
from .redis_io import connections
from .redis_io.operations import Operation, T, aperform, perform, twins
from .redis_io.replicas import read_only, replicated
from .replies import ReplyingIndex
from .search.api import Searchable
from .search.engine import Engine
from .search.reindex import complete_stale

# With READ_FROM, replicas are asked for these.
MAY_LAG = frozenset("count recent select search facets activity".split())


class ConversationIndex(
    Searchable, Browsable, Exportable, ErasingIndex, ReplyingIndex, RotatingIndex, Maintainable
):
    """A named collection of conversations.

    `alias` is its name in settings, `name` its key in Redis. Opening one costs no round trip.

    Every method that changes many conversations may run while others write, in either layout, and
    be called again after an interruption. `progress` is called with the counts so far.
    """

    def __init__(self, settings: conf.IndexSettings):
        self.settings = settings
        self.alias = settings.alias
        self.name = settings.index
        self._layout = layout(settings)
        self._listing = Listing(self._layout)
        self._engine = Engine(self._layout, self._listing)
        self._connection = connections.connect(settings)

    def driver(
        self,
        conversation_id: Id | None = None,
        *,
        owner: Id | None = None,
        ttl: float | timedelta | None = None,
        read_from: str = "primary",
        wait: Mapping[str, int] | None = None,
    ) -> RedisConversationMemoryDriver:
        """The memory of one conversation; of a new one if no id is given.

        With `owner`, it sees and changes only conversations of that owner. `ttl` is how long the
        conversation is kept after its last write, instead of the TTL of the index. With
        `read_from="replica"`, reads may be a moment old. `wait` is for this driver what WAIT is for
        its alias.
        """
        ref = new_ref(conversation_id, owner, ttl)
        waits = self.settings.wait
        if wait is not None:
            waits = conf.wait_settings(wait, dict(self.settings.options))
        return RedisConversationMemoryDriver.of(
            self._connection, self._layout, ref, wait=waits, on_replica=self._is_replica(read_from)
        )

    def _count(self, owner: Id | None = None) -> Operation[int]:
        """The number of conversations, of all or of one owner."""
        return int((yield counting(self._layout.keys, None if owner is None else encode(owner))))

    count, acount = twins(_count)

    def _recent(
        self, limit: int = 50, *, owner: Id | None = None, before: str | None = None
    ) -> Operation[Page]:
        """At most `limit` records, last written first; `before` is the `next` of the previous page.

        A page costs a fixed number of round trips, whatever the size of the index.
        """
        return self._listing.recent(limit, None if owner is None else encode(owner), before)

    recent, arecent = twins(_recent)

    def select(
        self, selection: Selection = EVERYTHING, *, oldest_first: bool = False
    ) -> Iterator[Summary]:
        """The conversations that `selection` chooses, newest first, in constant memory.

        A conversation that is written to meanwhile moves to the front and may be missed; with
        `oldest_first` it moves to the end and appears again.
        """
        cursor = None
        while True:
            batch = self._listing.batch(selection, cursor, oldest_first=oldest_first)
            listed, cursor = self._run(batch, "select")
            yield from listed
            if cursor is None:
                return

    async def aselect(
        self, selection: Selection = EVERYTHING, *, oldest_first: bool = False
    ) -> AsyncIterator[Summary]:
        """See select()."""
        cursor = None
        while True:
            batch = self._listing.batch(selection, cursor, oldest_first=oldest_first)
            listed, cursor = await self._arun(batch, "select")
            for summary in listed:
                yield summary
            if cursor is None:
                return

    def _inspect(self, conversation_id: Id) -> Operation[ConversationState]:
        """Read a conversation without moving its deadline.

        Raises `ConversationNotFound`, or `ConversationCorrupt` with the stored bytes in `raw`.
        """
        return self._listing.inspect(encode(conversation_id))

    inspect, ainspect = twins(_inspect)

    def _raw(self, conversation_id: Id) -> Operation[list[bytes]]:
        """The stored bytes, even if damaged or expired: the field and the runs of a list; or []."""
        return self._listing.raw(encode(conversation_id))

    raw, araw = twins(_raw)

    def _adopt(self) -> Operation[int]:
        """List conversations of other programs, as `recent()` does in part. Returns how many."""
        return self._listing.adopt()

    adopt, aadopt = twins(_adopt)

    def _delete(self, *conversation_ids: Id) -> Operation[int]:
        """Delete conversations and all their data. Returns how many existed."""
        return bulk.delete(self._layout, [encode(id) for id in conversation_ids])

    delete, adelete = twins(_delete)

    def _prune(
        self,
        selection: Selection,
        *,
        dry_run: bool = False,
        progress: Callable[[bulk.Pruning], object] = bool,
    ) -> Operation[bulk.Pruning]:
        """Delete the selected conversations, 500 at a time; `Selection()` selects all.

        By age, deletes only those that are certainly as old; see `Pruning`. `dry_run` only counts.
        """
        return bulk.prune(self._layout, self._listing, selection, progress, dry_run=dry_run)

    prune, aprune = twins(_prune)

    def _reap(self) -> Operation[int]:
        """Delete expired conversations, 500 at a time. Returns how many.

        No reader sees one; this frees its memory, and removes it from the recency indexes. Search
        documents that an interrupted write has left out are written.
        """
        reaped = yield from bulk.reap(self._layout, self._listing)
        yield from complete_stale(self._layout)
        return reaped

    reap, areap = twins(_reap)

    def __iter__(self) -> Iterator[str]:
        """Every conversation id, in no order, in constant memory.

        An id that exists from start to end comes at least once; it may come twice if the index
        grows meanwhile.
        """
        cursor = self._listing.ids()
        while cursor.goes_on:
            yield from map(decode, self._run(cursor.next(), "ids"))

    async def __aiter__(self) -> AsyncIterator[str]:
        cursor = self._listing.ids()
        while cursor.goes_on:
            for id in await self._arun(cursor.next(), "ids"):
                yield decode(id)

    def _each(
        self,
        ask: Callable[[ConversationIndex], Operation[T]],
        shards: Sequence[ConversationIndex] | None = None,
        *,
        is_read: bool = False,
    ) -> Operation[list[T]]:
        """The results of an operation on some of the shards, by default on all."""
        results: list[T] = []
        for shard in self.shards if shards is None else shards:
            results.append((yield from ask(shard)))
        return results

    def _split(self, ids: Iterable[bytes]) -> dict[ConversationIndex, list[bytes]]:
        """Conversation ids by the shard that has them."""
        found = [*ids]
        return {self: found} if found else {}

    def _is_replica(self, read_from: str) -> bool:
        if read_from not in ("primary", "replica"):
            raise ValueError("read_from must be 'primary' or 'replica'.")
        if read_from == "replica" and not (self.settings.cluster or self.settings.sentinels):
            raise InvalidIndexError(
                f"Reading from a replica requires CLUSTER or SENTINELS of alias {self.alias!r}."
            )
        # A read that moves the deadline is a write.
        return read_from == "replica" and not self.settings.ttl_on_read

    def _run(self, operation: Operation[T], name: str = "other") -> T:
        client = self._client(name)
        with self._layout.telemetry.observe(name, client) as seen:
            return seen.result(self._perform(client, operation, name))

    async def _arun(self, operation: Operation[T], name: str = "other") -> T:
        client = self._async_client(name)
        with self._layout.telemetry.observe(name, client) as seen:
            return seen.result(await self._aperform(client, operation, name))

    def _perform(self, client: Any, operation: Operation[T], name: str) -> T:
        asked = self._asked(operation, may_lag=self._may_lag(name))
        return perform(client, asked, self.alias)

    async def _aperform(self, client: Any, operation: Operation[T], name: str) -> T:
        asked = self._asked(operation, may_lag=self._may_lag(name))
        return await aperform(client, asked, self.alias)

    def _client(self, name: str) -> Any:
        return self._connection.replica if self._may_lag(name) else self._connection.client

    def _async_client(self, name: str) -> Any:
        connection = self._connection
        return connection.async_replica if self._may_lag(name) else connection.async_client

    def _asked(self, operation: Operation[T], *, may_lag: bool) -> Operation[T]:
        if may_lag:
            return read_only(operation)
        return replicated(operation, self.settings.wait, self.alias)

    def _may_lag(self, name: str) -> bool:
        return self.settings.read_from == "replica" and name in MAY_LAG

    @property
    def shards(self) -> Sequence[ConversationIndex]:
        """The indexes that hold the conversations: this one alone, unless it has SHARDS."""
        return (self,)

    def shard_of(self, conversation_id: Id) -> ConversationIndex:
        """The index that holds a conversation: this one, unless it has SHARDS."""
        return self

    @property
    def server(self) -> str:
        """The address of the server, without its credentials."""
        return self._connection.address

    def __repr__(self) -> str:
        return f"<ConversationIndex {self.name!r} of {self.alias!r}>"


class IndexHandler:
    """The indexes of settings.REDIS and settings.CACHES, by alias."""

    def __init__(self) -> None:
        self._indexes: dict[str | tuple[str, str], ConversationIndex] = {}

    def __getitem__(self, alias: str) -> ConversationIndex:
        """Raises `InvalidIndexError` for an alias that does not exist or cannot be used."""
        if alias not in self._indexes:
            self._indexes[alias] = _opened(conf.get(alias))
        return self._indexes[alias]

    def open(self, alias: str, name: str) -> ConversationIndex:
        """An index on the server of `alias`. Raises `InvalidIndexError` unless INDEXES name it."""
        index = self[alias]
        if name == index.name:
            return index
        if not index.settings.covers(name):
            raise InvalidIndexError(f"INDEXES of alias {alias!r} are not about index {name!r}.")
        if (alias, name) not in self._indexes:
            self._indexes[alias, name] = ConversationIndex(replace(index.settings, index=name))
        return self._indexes[alias, name]

    def __contains__(self, alias: object) -> bool:
        return alias in conf.aliases()

    def __iter__(self) -> Iterator[str]:
        return iter(conf.aliases())

    @property
    def default(self) -> ConversationIndex:
        return self["default"]

    def close(self) -> None:
        """Close our clients, async ones when their loops run next; settings are read again."""
        self._indexes.clear()
        connections.close_all()

    async def aclose(self) -> None:
        """Close the async clients of the running event loop."""
        await connections.aclose_all()


indexes = IndexHandler()


def _opened(settings: conf.IndexSettings) -> ConversationIndex:
    if settings.shards == 1:
        return ConversationIndex(settings)
    from .sharding import ShardedIndex  # which is one of several of these

    return ShardedIndex(settings)
