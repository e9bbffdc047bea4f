"""Writing the search documents of what is stored: of conversations that others wrote, or after
SEARCH was switched on or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationMemoryError,
    RedisMisconfigured,
)
from ..layouts.indexing import Indexed
from ..layouts.refs import Place, Snapshot, owner_of
from ..redis_io.operations import Ahead, Command, Operation, single
from ..search_index.sweep import sweep

if TYPE_CHECKING:
    from ..collection.listing import Listing
    from ..layouts import Layout

# What is read and written at a time: enough for a good pipeline, little to keep in memory.
_CONVERSATIONS = 100
_BYTES = 1024 * 1024

Failure = Callable[[ConversationMemoryError], object]
# Conversation, what was stored, which documents it has, its place in the order of writes.
Read = tuple[Place, Snapshot, Indexed, Any]


@dataclass(slots=True)
class Batch:
    """What is to be written for some conversations, with None for one that cannot be read.

    It has no documents then, and is known to need none until somebody writes to it.
    """

    places: list[Place | None] = field(default_factory=list)
    commands: list[Command[Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reindexing:
    """How many conversations were looked at, got documents, and could not be read.

    `documents` are those of runs that were written; `swept` tokens whose conversation was gone.
    """

    seen: int = 0
    indexed: int = 0
    documents: int = 0
    failed: int = 0
    swept: int = 0

    def __add__(self, other: Reindexing) -> Reindexing:
        return Reindexing(
            self.seen + other.seen,
            self.indexed + other.indexed,
            self.documents + other.documents,
            self.failed + other.failed,
            self.swept + other.swept,
        )


def reindex(
    layout: Layout,
    listing: Listing,
    progress: Callable[[Reindexing], object],
    failure: Failure,
) -> Operation[Reindexing]:
    """Give every run its document, then let go of the indexes of other definitions.

    Each conversation is a step of its own that gives way to every writer, and is skipped if its
    documents are there already: so it may run beside writers, and again after an interruption.
    """
    lifecycle = layout.lifecycle
    if lifecycle is None:
        raise RedisMisconfigured(f"SEARCH of alias {layout.alias!r} is not switched on.")
    lifecycle.forget()
    state = yield from lifecycle.ready()
    if not state.answers:
        raise RedisMisconfigured(f"Index {layout.keys.name!r} cannot be searched: {state.reason}")
    total, cursor, ready = Reindexing(), b"0", Batch()
    while True:
        cursor, ids = yield from listing.scan(cursor)
        for batch in batches((yield from unindexed(layout, ids))):
            read, failed = yield from _read(layout, batch, failure)
            total += Reindexing(failed=failed)
            # RediSearch works at the last batch while this one is being made.
            pending = yield Ahead(ready.commands)
            made = _make(layout, read, failure)
            total += yield from _settle(layout, ready, (yield pending), failure)
            progress(total)
            ready = made
        total += Reindexing(seen=len(ids))
        if cursor == b"0":
            break
        progress(total)
    total += yield from _settle(layout, ready, (yield ready.commands), failure)
    total += Reindexing(swept=(yield from sweep(layout.keys)))
    progress(total)
    yield from lifecycle.built()
    yield from lifecycle.finish()
    return total


def catch_up(layout: Layout, ids: Sequence[bytes], failure: Failure) -> Operation[None]:
    """Give the runs of some conversations their documents, after a write that made none."""
    if (yield from layout.indexer()) is None:
        return
    for batch in batches((yield from unindexed(layout, ids))):
        read, _ = yield from _read(layout, batch, failure)
        made = _make(layout, read, failure)
        if made.commands:
            yield from _settle(layout, made, (yield made.commands), failure)


def unindexed(layout: Layout, ids: Sequence[bytes]) -> Operation[list[tuple[bytes, int]]]:
    """Those of `ids` that lack documents as far as Redis can tell, with their size in bytes.

    A program that knows no record and overwrites as many bytes as were there is not noticed.
    """
    if not ids or layout.schema is None:
        return []
    replies: list[Indexed] = yield [layout.indexed_command(Place(id)) for id in ids]
    found = zip(ids, replies, strict=True)
    return [(id, it.length) for id, it in found if it.size and not it.is_current]


def batches(found: list[tuple[bytes, int]]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    room = _BYTES
    for id, size in found:
        if batch and (len(batch) == _CONVERSATIONS or size > room):
            yield batch
            batch, room = [], _BYTES
        batch.append(id)
        room -= size
    if batch:
        yield batch


def _read(layout: Layout, ids: list[bytes], failure: Failure) -> Operation[tuple[list[Read], int]]:
    """Some conversations, in two round trips; and how many have a key of another type."""
    places = [Place(id) for id in ids]
    snapshots = yield [layout.snapshot(place) for place in places]
    known = yield [layout.indexed_command(place) for place in places]
    scores = yield single("ZMSCORE", layout.keys.order(), *ids)
    read: list[Read] = []
    for place, snapshot, *rest in zip(places, snapshots, known, scores, strict=True):
        if snapshot is not None:
            read.append((place, snapshot, *rest))
        elif error := (yield from layout.mistyped(place)):
            failure(error)
    return read, len(places) - len(read)


def _make(layout: Layout, read: list[Read], failure: Failure) -> Batch:
    """What writes the documents of conversations that were read."""
    assert layout.documents is not None
    batch = Batch()
    for place, snapshot, known, score in read:
        try:
            document = layout.document(place, snapshot)
            change = layout.documents.whole_after(
                document, known.indexed, known.facets, known.suffixes
            )
            is_readable = True
        except ConversationCorrupt as error:
            failure(error)
            change, is_readable = layout.documents.none(), False
        place = place.owned_by(owner_of(snapshot.record))
        time = int(float(score or 0))
        batch.places.append(place if is_readable else None)
        batch.commands.append(layout.index_command(place, snapshot, change, time))
    return batch


def _settle(
    layout: Layout, batch: Batch, written: list[Any], failure: Failure
) -> Operation[Reindexing]:
    """Count what was written, and write with patience what somebody was at."""
    documents, failed = 0, 0
    for place, count in zip(batch.places, written, strict=True):
        if place is None:
            failed += 1
        elif isinstance(count, int):
            documents += count
        else:
            try:
                documents += yield from layout.guarded(place, layout.index(Place(place.id)))
            except (ConversationCorrupt, ConversationConflict) as error:
                failed += 1
                failure(error)
    indexed = len(batch.places) - failed
    return Reindexing(indexed=indexed, documents=documents, failed=failed)
