"""The conversations of one alias."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

from .browse.browsable import Browsable
from .check import Check, Report
from .collection import bulk
from .collection import erase as erasure
from .collection.bulk import Conversion, Pruning
from .collection.erase import Copies, Erasure
from .collection.listing import Listing
from .collection.selection import EVERYTHING, ScanCursor, Selection
from .collection.summaries import Summary
from .conf import IndexSettings
from .drivers import RedisConversationMemoryDriver
from .exceptions import ConversationMemoryError
from .keys import Id, decode, encode
from .layouts import layout
from .records import Conversation, Page
from .redis_io import connections
from .redis_io.operations import Operation, T
from .redis_io.twins import twins
from .search.api import Searchable
from .search.engine import Engine
from .search.reindex import Reindexing, reindex
from .search_index.index_state import State
from .signals import conversations_anonymised, conversations_erased

logger = logging.getLogger("conversation_memory")


class ConversationIndex(Searchable, Browsable):
    """A named collection of conversations.

    `alias` is its name in settings, `name` its key in Redis. Opening one costs no round trip.
    """

    def __init__(self, settings: IndexSettings):
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
    ) -> RedisConversationMemoryDriver:
        """The memory of one conversation; of a new one if no id is given.

        With `owner`, it loads and changes only what belongs to that owner. `ttl` is how long the
        conversation is kept after its last write, instead of the TTL of the index.
        """
        return RedisConversationMemoryDriver.of(
            self._connection, self._layout, conversation_id, owner, ttl
        )

    def _count(self, owner: Id | None = None) -> Operation[int]:
        """How many conversations there are, of all or of one owner."""
        return self._listing.count(_owner(owner))

    count, acount = twins(_count)

    def _recent(
        self, limit: int = 50, *, owner: Id | None = None, before: str | None = None
    ) -> Operation[Page]:
        """At most `limit` records, those written to last first; the next page with `before`.

        `before` is the `next` of a page. A page costs a fixed number of round trips, whatever the
        size of the index.
        """
        return self._listing.recent(limit, _owner(owner), before)

    recent, arecent = twins(_recent)

    def select(
        self, selection: Selection = EVERYTHING, *, oldest_first: bool = False
    ) -> Iterator[Summary]:
        """The conversations that `selection` chooses, newest first, in constant memory.

        What is written to meanwhile moves to the front and may be missed; with `oldest_first` it
        moves to the end, and comes again.
        """
        mark = None
        while True:
            batch = self._listing.batch(selection, mark, oldest_first=oldest_first)
            listed, mark = self._run(batch)
            yield from listed
            if mark is None:
                return

    async def aselect(
        self, selection: Selection = EVERYTHING, *, oldest_first: bool = False
    ) -> AsyncIterator[Summary]:
        """See select()."""
        mark = None
        while True:
            batch = self._listing.batch(selection, mark, oldest_first=oldest_first)
            listed, mark = await self._arun(batch)
            for one in listed:
                yield one
            if mark is None:
                return

    def _inspect(self, conversation_id: Id) -> Operation[Conversation]:
        """Read a conversation as an operator does: no deadline slides.

        Raises `ConversationNotFound`, or `ConversationCorrupt`, whose `raw` is what `raw()` has.
        """
        return self._listing.inspect(encode(conversation_id))

    inspect, ainspect = twins(_inspect)

    def _raw(self, conversation_id: Id) -> Operation[list[bytes]]:
        """The stored bytes of a conversation: the field, then the runs of a list; empty if none.

        Unreadable conversations, and expired ones that were not reaped yet, are included.
        """
        return self._listing.raw(encode(conversation_id))

    raw, araw = twins(_raw)

    def _adopt(self) -> Operation[int]:
        """List conversations of other programs in `recent()`. Returns how many were new.

        `recent()` does this by itself, for a part of the index at each call.
        """
        return self._listing.adopt()

    adopt, aadopt = twins(_adopt)

    def _delete(self, *conversation_ids: Id) -> Operation[int]:
        """Delete conversations and all that belongs to them. Returns how many there were."""
        return bulk.delete(self._layout, [encode(id) for id in conversation_ids])

    delete, adelete = twins(_delete)

    def _prune(
        self,
        selection: Selection,
        *,
        dry_run: bool = False,
        progress: Callable[[Pruning], object] = bool,
    ) -> Operation[Pruning]:
        """Delete the selected conversations, 500 at a time; `Selection()` selects all.

        By age, only what is certain to be as old is deleted, beside writers too: see `Pruning`.
        With `dry_run`, nothing is, and what would be is counted. `progress` is called with the
        counts so far. After an interruption, call it again.
        """
        return bulk.prune(self._layout, self._listing, selection, progress, dry_run=dry_run)

    prune, aprune = twins(_prune)

    def _reap(self) -> Operation[int]:
        """Delete expired conversations, 500 at a time. Returns how many.

        Past its deadline a conversation is gone to every reader at once; this frees its memory on
        servers whose hash fields cannot expire, and its place in the orders on all.
        """
        return bulk.reap(self._layout, self._listing)

    reap, areap = twins(_reap)

    def erase(self, *, owner: Id, dry_run: bool = False) -> Erasure:
        """Delete everything of an owner, 500 conversations at a time, past their deadline or not.

        Returns how much that was; with `dry_run`, how much it would be. Sends the signal
        `conversations_erased`. It may run beside writers, and again after an interruption; what
        the owner writes when it has ended stays.
        """
        erased = self._run(self._erasing(owner, dry_run))
        if not dry_run:
            self._log_erasure(owner, erased)
            conversations_erased.send_robust(**self._event(owner, erasure=erased))
        return erased

    async def aerase(self, *, owner: Id, dry_run: bool = False) -> Erasure:
        """See erase()."""
        erased = await self._arun(self._erasing(owner, dry_run))
        if not dry_run:
            self._log_erasure(owner, erased)
            await conversations_erased.asend_robust(**self._event(owner, erasure=erased))
        return erased

    def anonymise(self, *, owner: Id) -> int:
        """Give every conversation of an owner to nobody. Returns how many there were.

        Texts, metadata and titles stay as they are. Sends `conversations_anonymised`.
        """
        count = self._run(bulk.anonymise(self._layout, self._listing, _someone(owner)))
        self._log_anonymisation(owner, count)
        conversations_anonymised.send_robust(**self._event(owner, conversations=count))
        return count

    async def aanonymise(self, *, owner: Id) -> int:
        """See anonymise()."""
        count = await self._arun(bulk.anonymise(self._layout, self._listing, _someone(owner)))
        self._log_anonymisation(owner, count)
        await conversations_anonymised.asend_robust(**self._event(owner, conversations=count))
        return count

    def _copies(self) -> Operation[Copies]:
        """Where copies of erased data may remain: append-only file, RDB snapshot, replicas."""
        return erasure.copies()

    copies, acopies = twins(_copies)

    def _convert(
        self,
        *,
        progress: Callable[[Conversion], object] = bool,
        failure: Callable[[ConversationMemoryError], object] = logger.warning,
    ) -> Operation[Conversion]:
        """Bring every conversation into the layout that the index has in settings.

        It may run beside writers of both layouts, and again after an interruption: what has the
        form already is skipped. Owner, times and deadline stay as they are. `progress` is called
        with the counts so far, about every 1,000 conversations; `failure` with the error of each
        that cannot be read or written, which is left as it is. Returns the counts.
        """
        return bulk.convert(self._layout, self._listing, progress, failure)

    convert, aconvert = twins(_convert)

    def _check(
        self,
        *,
        fix: bool = False,
        examples: int = 5,
        progress: Callable[[Report], object] = bool,
    ) -> Operation[Report]:
        """Compare documents, records, recency indexes and keys, in constant memory.

        With `fix`, what is derived is repaired: orders, what records say of their documents, and
        search documents. Documents, runs, owners, titles and times stay as they are. It may run
        beside writers, and again after an interruption. `progress` is called with the report so
        far, which has at most `examples` names of each kind.
        """
        check = Check(self._layout, self._listing, fix=fix, examples=examples, progress=progress)
        return check.run()

    check, acheck = twins(_check)

    def _reindex(
        self,
        *,
        progress: Callable[[Reindexing], object] = bool,
        failure: Callable[[ConversationMemoryError], object] = logger.warning,
    ) -> Operation[Reindexing]:
        """Give every run its search document, in the form that SEARCH in settings asks for.

        It may run beside writers, and again after an interruption: what has its documents already
        is skipped. Indexes of an older definition, which answered until now, are dropped at the
        end. `progress` is called with the counts so far, at most every 100 conversations; `failure`
        with the error of each that cannot be read. Returns the counts.
        """
        return reindex(self._layout, self._listing, progress, failure)

    reindex, areindex = twins(_reindex)

    def _search_state(self) -> Operation[State]:
        """The state of the search: if RediSearch answers, if completely, and if not, the reason."""
        return self._layout.search_state()

    search_state, asearch_state = twins(_search_state)

    def __iter__(self) -> Iterator[str]:
        """Every conversation id, in no order, in constant memory.

        What is there from start to end comes at least once; an id may come twice if the index
        grows meanwhile.
        """
        cursor = ScanCursor(self._listing.scan)
        while cursor.goes_on:
            yield from map(decode, self._run(cursor.next()))

    async def __aiter__(self) -> AsyncIterator[str]:
        cursor = ScanCursor(self._listing.scan)
        while cursor.goes_on:
            for id in await self._arun(cursor.next()):
                yield decode(id)

    def _erasing(self, owner: Id, dry_run: bool) -> Operation[Erasure]:
        erases = erasure.foresee if dry_run else erasure.erase
        return erases(self._layout, _someone(owner))

    def _event(self, owner: Id, **counts: object) -> dict[str, Any]:
        return {"sender": type(self), "index": self, "owner": decode(encode(owner)), **counts}

    def _log_erasure(self, owner: Id, erased: Erasure) -> None:
        logger.info(
            "Erased %d conversations (%d runs, %d bytes) of owner %r from index %r (alias %r).",
            erased.conversations,
            erased.runs,
            erased.bytes,
            decode(encode(owner)),
            self.name,
            self.alias,
        )

    def _log_anonymisation(self, owner: Id, count: int) -> None:
        logger.info(
            "Gave %d conversations of owner %r to nobody in index %r (alias %r).",
            count,
            decode(encode(owner)),
            self.name,
            self.alias,
        )

    def _run(self, operation: Operation[T]) -> T:
        return self._connection.run(operation, self.alias)

    async def _arun(self, operation: Operation[T]) -> T:
        return await self._connection.arun(operation, self.alias)

    @property
    def server(self) -> str:
        """The address of the server, without its credentials."""
        return self._connection.address

    def __repr__(self) -> str:
        return f"<ConversationIndex {self.name!r} of {self.alias!r}>"


def _owner(owner: Id | None) -> bytes | None:
    return None if owner is None else encode(owner)


def _someone(owner: Id) -> bytes:
    if owner in (None, "", b""):
        raise ValueError("`owner` is required.")
    return encode(owner)
