"""Dumping conversations of an index, in constant memory and during writes."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from itertools import takewhile
from threading import Lock
from typing import Any, TypeVar

from ..clock import iso, now
from ..collection.listing import owners_of
from ..collection.selection import BATCH, EVERYTHING, ScanCursor, Selection, members
from ..collection.summaries import SIZE_FIELDS, summaries
from ..encryption.keyring import Keyring
from ..indexes import ConversationIndex
from ..keys import encode
from ..layouts import ConversationRef
from ..redis_io.operations import Command, Operation, begun, info, single
from . import format
from .entries import Stored, read
from .format import Entry, Header
from .sealed_lines import SealedLines

_BATCH = 200

T = TypeVar("T")


class Dump:
    """An archive of the selected conversations, as an iterator of bytes, sync or async.

    The conversations of an index with ENCRYPTION are encrypted with its newest key, unless `plain`;
    with a `keyring`, those of any index are, with the newest key of that.

    Each conversation is complete. Those deleted during the dump are omitted, and those begun during
    it may be. `total` conversations were selected and `count` are written so far; `unreadable` of
    them are damaged, and dumped as their stored bytes.
    """

    def __init__(
        self,
        index: ConversationIndex,
        selection: Selection = EVERYTHING,
        *,
        keyring: Keyring | None = None,
        plain: bool = False,
    ):
        sealing = index._layout.sealing
        own = None if plain or sealing is None else sealing.keyring
        self._keyring = keyring or own
        self._sealed: SealedLines | None = None
        self.index = index
        self.selection = selection
        self.total = self.count = self.unreadable = 0

    def __iter__(self) -> Iterator[bytes]:
        with closing(Ids()) as ids:
            yield self._opening(self.index._run(self._select(ids), "dump"))
            for found in _ahead(self._batches(ids)):
                yield self._lines(self._entries_of(found))
            yield self._closing()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with closing(Ids()) as ids:
            yield self._opening(await self.index._arun(self._select(ids), "dump"))
            for batch in ids.batches(_BATCH):
                while batch:
                    found = await self.index._arun(self._read(batch), "dump")
                    yield self._lines(self._entries_of(found))
                    batch = batch[len(found) :]
            yield self._closing()

    def _batches(self, ids: Ids) -> Iterator[list[Stored]]:
        for batch in ids.batches(_BATCH):
            while batch:
                found = self.index._run(self._read(batch), "dump")
                yield found
                batch = batch[len(found) :]

    def _entries_of(self, found: Sequence[Stored]) -> list[Entry]:
        """Those that still are the selected owner's; if their record is lost, as listed."""
        owner = self.selection.owner_key
        return [
            entry
            for it in found
            if owner is None or it.values.owner == owner or it.values.version is None
            if (entry := it.entry) is not None
        ]

    def _read(self, ids: Sequence[bytes]) -> Operation[list[Stored]]:
        """The first of some conversations; see read()."""
        self.index._check_moved()
        parts = self.index._split(ids)
        found = yield from self.index._each(
            lambda shard: read(shard._layout.keys, parts[shard]), [*parts], is_read=True
        )
        known = {it.id: it for several in found for it in several}
        return [known[id] for id in takewhile(known.__contains__, ids)]

    def _select(self, ids: Ids) -> Operation[str]:
        """Put the selected ids into `ids`. Returns the version of the server."""
        self.index._check_moved()
        parts = self.index._split(map(encode, self.selection.ids or ()))
        shards = None if self.selection.ids is None else [*parts]
        yield from self.index._each(
            lambda shard: self._select_in(shard, parts.get(shard), ids), shards
        )
        self.total = len(ids)
        return (yield from info("server")).get("redis_version", "")

    def _select_in(
        self, shard: ConversationIndex, named: Sequence[bytes] | None, ids: Ids
    ) -> Operation[None]:
        if named is not None:
            yield from self._select_named(shard, named, ids)
            return
        owner = self.selection.owner_key
        order = shard._layout.keys.recency(owner)
        cursor = shard._listing.ids() if owner is None else members(order)
        yield from self._select_listed(shard, ids, cursor)

    def _select_named(
        self, shard: ConversationIndex, named: Sequence[bytes], ids: Ids
    ) -> Operation[None]:
        """Raises `ConversationNotFound` for an unknown id."""
        layout = shard._layout
        chosen = list(dict.fromkeys(named))
        for start in range(0, len(chosen), BATCH):
            batch = chosen[start : start + BATCH]
            found = yield from summaries(layout.keys, batch, SIZE_FIELDS)
            for it in found:
                if it.size < 0:
                    raise layout.not_found(ConversationRef(it.id))
            ids.add((it.id, -1 if it.score is None else it.score) for it in found)

    def _select_listed(
        self, shard: ConversationIndex, ids: Ids, cursor: ScanCursor[list[bytes]]
    ) -> Operation[None]:
        keys, owner = shard._layout.keys, self.selection.owner_key
        while cursor.goes_on:
            found = yield from cursor.next()
            if not found:
                continue
            asked = [] if owner is None else owners_of(keys, found)
            in_order: Command[Any] = single("ZMSCORE", keys.recency(), *found)
            present, scores, *owners = yield [now(), in_order, *asked]
            times = [-1 if score is None else int(float(score)) for score in scores]
            if self.selection == EVERYTHING:
                ids.add(zip(found, times, strict=True))
                continue
            rows = zip(found, times, owners or [None] * len(found), strict=True)
            ids.add(
                (id, time)
                for id, time, owned_by in rows
                # A conversation that is not listed yet counts as written now.
                if owned_by == owner and self.selection.has(present if time < 0 else time)
            )

    def _opening(self, server: str) -> bytes:
        self.count = self.unreadable = self._size = 0
        self._digest = sha256()
        created = iso(datetime.now(UTC)) or ""
        header = Header(
            index=self.index.name,
            conversations=self.total,
            server=server,
            created=created,
            key=None if self._keyring is None else self._keyring.newest.id.decode(),
        )
        line = format.header_line(header)
        self._sealed = None if self._keyring is None else SealedLines(self._keyring, line)
        return line

    def _lines(self, entries: Sequence[Entry]) -> bytes:
        self.count += len(entries)
        self.unreadable += sum(entry.runs is None for entry in entries)
        written = map(format.entry_line, entries)
        lines = b"".join(written if self._sealed is None else map(self._sealed.seal, written))
        self._digest.update(lines)
        self._size += len(lines)
        return lines

    def _closing(self) -> bytes:
        return format.footer_line(self.count, self._size, self._digest.hexdigest())


class Ids:
    """Distinct ids in the order of time and bytes, kept in a temporary file.

    The order makes dumps of equal indexes equal.
    """

    # Not a scan of the recency index, which would miss conversations that are written to meanwhile
    # and move to its end, and those not listed yet.

    def __init__(self) -> None:
        # SQLite deletes the file of an empty name with the connection. Django may send a response
        # from another thread than the one that made it.
        self._db = sqlite3.connect("", check_same_thread=False)
        self._lock = Lock()  # the shards of an index are read at the same time
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE ids (id BLOB PRIMARY KEY, time INTEGER) WITHOUT ROWID")

    def add(self, ids: Iterable[tuple[bytes, int]]) -> None:
        with self._lock:
            self._db.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?)", ids)

    def add_new(self, id: bytes) -> bool:
        """Returns False if it is known already."""
        return self._db.execute("INSERT OR IGNORE INTO ids VALUES (?, 0)", (id,)).rowcount == 1

    def batches(self, size: int) -> Iterator[list[bytes]]:
        with closing(self._db.execute("SELECT id FROM ids ORDER BY time, id")) as rows:
            while batch := [id for (id,) in rows.fetchmany(size)]:
                yield batch

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM ids").fetchone()[0])

    def close(self) -> None:
        self._db.close()


def _ahead(items: Iterator[T]) -> Iterator[T]:
    # The next item is made in a thread while the caller uses the previous one.
    with ThreadPoolExecutor(1) as thread:
        coming = begun(thread, partial(next, items, None))
        while (item := coming.result()) is not None:
            coming = begun(thread, partial(next, items, None))
            yield item
