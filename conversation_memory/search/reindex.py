"""Writing missing search documents: of conversations that other programs wrote, or after SEARCH
was set or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from operator import add
from typing import TYPE_CHECKING, Any

from ..collection.selection import split_by_bytes
from ..exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationMemoryError,
    RedisMisconfigured,
)
from ..layouts.refs import ConversationRef, Indexed, Snapshot, owner_of
from ..redis_io.operations import Ahead, Command, Operation, single
from ..search_index.sweep import sweep

if TYPE_CHECKING:
    from ..collection.listing import Listing
    from ..layouts import Layout

# The limits of a batch: enough for a good pipeline, little to keep in memory.
_CONVERSATIONS = 100
_BYTES = 1024 * 1024

Failure = Callable[[ConversationMemoryError], object]
# A conversation, its content, its documents, and its score in the recency index.
Read = tuple[ConversationRef, Snapshot, Indexed, Any]
# The writes of a batch, each with its conversation; None if that cannot be read. Then it has no
# documents, and counts as indexed until the next write to it.
Writes = list[tuple[ConversationRef | None, Command[Any]]]


@dataclass(frozen=True, slots=True)
class Reindexing:
    """How many conversations were seen, indexed, and could not be read (`failed`).

    `documents` counts the documents written, `swept` the deleted conversations whose documents
    were removed.
    """

    seen: int = 0
    indexed: int = 0
    documents: int = 0
    failed: int = 0
    swept: int = 0

    def __add__(self, other: Reindexing) -> Reindexing:
        return Reindexing(*map(add, astuple(self), astuple(other)))


def reindex(
    layout: Layout,
    listing: Listing,
    progress: Callable[[Reindexing], object],
    failure: Failure,
) -> Operation[Reindexing]:
    """Give every run its document, then drop the indexes of other definitions.

    Each conversation is written in a compare-and-set step of its own, and skipped if it has its
    documents already. So this may run during writes, and again after an interruption.
    """
    index_state = layout.index_state
    if index_state is None:
        raise RedisMisconfigured(f"SEARCH of alias {layout.alias!r} is not switched on.")
    index_state.forget()
    state = yield from index_state.ready()
    if not state.answers:
        raise RedisMisconfigured(f"Index {layout.keys.name!r} cannot be searched: {state.reason}")
    ready: Writes = []
    total, cursor = Reindexing(), b"0"
    while True:
        cursor, ids = yield from listing.scan(cursor)
        for batch in batches((yield from unindexed(layout, ids))):
            read, failed = yield from _read(layout, batch, failure)
            total += Reindexing(failed=failed)
            # The server writes the previous batch while this one is being prepared.
            pending = yield Ahead(_commands(ready))
            made = _make(layout, read, failure)
            total += yield from _settle(layout, ready, (yield pending), failure)
            progress(total)
            ready = made
        total += Reindexing(seen=len(ids))
        if cursor == b"0":
            break
        progress(total)
    total += yield from _settle(layout, ready, (yield _commands(ready)), failure)
    total += Reindexing(swept=(yield from sweep(layout.keys)))
    progress(total)
    yield from index_state.built()
    yield from index_state.finish()
    return total


def catch_up(layout: Layout, ids: Sequence[bytes], failure: Failure) -> Operation[None]:
    """Write the documents of some conversations, after a write without them."""
    if (yield from layout.indexer()) is None:
        return
    for batch in batches((yield from unindexed(layout, ids))):
        read, _ = yield from _read(layout, batch, failure)
        made = _make(layout, read, failure)
        if made:
            yield from _settle(layout, made, (yield _commands(made)), failure)


def _commands(writes: Writes) -> list[Command[Any]]:
    return [command for _, command in writes]


def unindexed(layout: Layout, ids: Sequence[bytes]) -> Operation[list[tuple[bytes, int]]]:
    """Those of `ids` that lack documents according to their records, with their size in bytes.

    This misses a program that keeps no records and overwrites a field with as many bytes.
    """
    if not ids or layout.schema is None:
        return []
    replies: list[Indexed] = yield [layout.indexed_command(ConversationRef(id)) for id in ids]
    found = zip(ids, replies, strict=True)
    return [(id, it.length) for id, it in found if it.size and not it.is_current]


def batches(found: list[tuple[bytes, int]]) -> Iterator[list[bytes]]:
    for batch in split_by_bytes(found, lambda pair: pair[1], _BYTES, _CONVERSATIONS):
        yield [id for id, _ in batch]


def _read(layout: Layout, ids: list[bytes], failure: Failure) -> Operation[tuple[list[Read], int]]:
    """Some conversations, and how many cannot be read because a key has another type."""
    places = [ConversationRef(id) for id in ids]
    snapshots = yield [layout.snapshot(ref) for ref in places]
    known = yield [layout.indexed_command(ref) for ref in places]
    scores = yield single("ZMSCORE", layout.keys.recency(), *ids)
    read: list[Read] = []
    for ref, snapshot, *rest in zip(places, snapshots, known, scores, strict=True):
        if snapshot is not None:
            read.append((ref, snapshot, *rest))
        elif error := (yield from layout.mistyped(ref)):
            failure(error)
    return read, len(places) - len(read)


def _make(layout: Layout, read: list[Read], failure: Failure) -> Writes:
    assert layout.documents is not None
    writes: Writes = []
    for ref, snapshot, known, score in read:
        try:
            document = layout.document(ref, snapshot)
            change = layout.documents.whole_after(
                document, known.indexed, known.facets, known.suffixes
            )
            is_readable = True
        except ConversationCorrupt as error:
            failure(error)
            change, is_readable = layout.documents.none(), False
        ref = ref.owned_by(owner_of(snapshot.record))
        time = int(float(score or 0))
        command = layout.index_command(ref, snapshot, change, time)
        writes.append((ref if is_readable else None, command))
    return writes


def _settle(
    layout: Layout, writes: Writes, written: list[Any], failure: Failure
) -> Operation[Reindexing]:
    """Count the documents, and retry the conversations that changed meanwhile."""
    documents, failed = 0, 0
    for (ref, _), count in zip(writes, written, strict=True):
        if ref is None:
            failed += 1
        elif isinstance(count, int):
            documents += count
        else:
            try:
                documents += yield from layout.guarded(ref, layout.index(ConversationRef(ref.id)))
            except (ConversationCorrupt, ConversationConflict) as error:
                failed += 1
                failure(error)
    return Reindexing(indexed=len(writes) - failed, documents=documents, failed=failed)
