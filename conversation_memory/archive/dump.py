"""Dumping conversations of an index, in constant memory, while writers go on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256

from ..collection.erase import info
from ..collection.selection import EVERYTHING, Selection
from ..indexes import ConversationIndex
from ..redis_io.operations import Operation
from . import bulk_read as stored
from . import format
from . import snapshot_ids as selecting
from .format import Entry, Header
from .prefetch import ahead

_BATCH = 200


class Dump:
    """The archive of some conversations of an index, as an iterator of bytes, sync or async.

    Each conversation is whole; one that goes meanwhile is left out, and what is begun meanwhile may
    be. `total` is how many were chosen, `count` how many are written so far, of which `unreadable`
    are no conversations, and dumped as the bytes that they are.
    """

    def __init__(self, index: ConversationIndex, selection: Selection = EVERYTHING):
        self.index = index
        self.selection = selection
        self.total = self.count = self.unreadable = self._size = 0
        self._digest = sha256()

    def __iter__(self) -> Iterator[bytes]:
        with closing(selecting.Ids()) as ids:
            yield self._opening(self.index._run(self._select(ids)))
            for entries in ahead(self._batches(ids)):
                yield self._lines(entries)
            yield self._closing()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with closing(selecting.Ids()) as ids:
            yield self._opening(await self.index._arun(self._select(ids)))
            for batch in ids.batches(_BATCH):
                for portion in await self.index._arun(self._portions(batch)):
                    entries = await self.index._arun(self._entries(portion))
                    yield self._lines(entries)
            yield self._closing()

    def _batches(self, ids: selecting.Ids) -> Iterator[list[Entry]]:
        for batch in ids.batches(_BATCH):
            for portion in self.index._run(self._portions(batch)):
                yield self.index._run(self._entries(portion))

    def _select(self, ids: selecting.Ids) -> Operation[str]:
        """Choose; returns the version of the server."""
        layout, listing = self.index._layout, self.index._listing
        yield from selecting.select(layout, listing, self.selection, ids)
        self.total = len(ids)
        return (yield from info("server")).get("redis_version", "")

    def _portions(self, ids: Sequence[bytes]) -> Operation[list[stored.Portion]]:
        sizes = yield stored.sizes(self.index._layout, ids)
        return list(stored.portions(ids, sizes))

    def _entries(self, portion: stored.Portion) -> Operation[list[Entry]]:
        found = yield from stored.read(self.index._layout, portion)
        return [one.entry for one in found if one.entry is not None]

    def _opening(self, server: str) -> bytes:
        self.count = self.unreadable = self._size = 0
        self._digest = sha256()
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return format.header_line(
            Header(index=self.index.name, conversations=self.total, server=server, created=now)
        )

    def _lines(self, entries: Sequence[Entry]) -> bytes:
        self.count += len(entries)
        self.unreadable += sum(entry.runs is None for entry in entries)
        lines = b"".join(map(format.entry_line, entries))
        self._digest.update(lines)
        self._size += len(lines)
        return lines

    def _closing(self) -> bytes:
        return format.footer_line(self.count, self._size, self._digest.hexdigest())
