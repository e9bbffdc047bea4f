"""Writing the search documents of what is stored: of conversations that others wrote, or after
SEARCH was switched on or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..commands import Command, Operation, Script, single
from ..exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationMemoryError,
    ConversationNotFound,
    RedisMisconfigured,
)
from ..layouts.places import Place, Snapshot, owner_of

if TYPE_CHECKING:
    from ..layouts import Layout
    from ..listing import Listing

SWEEP = Script("prelude.lua", "sweep.lua")

# What is read and written at a time: enough for a good pipeline, little to keep in memory.
_CONVERSATIONS = 100
_BYTES = 1024 * 1024

Failure = Callable[[ConversationMemoryError], object]


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
    if not (yield from lifecycle.wants_documents()) or state.kind == "denied":
        raise RedisMisconfigured(f"Index {layout.keys.name!r} cannot be searched: {state.reason}")
    total, cursor = Reindexing(), b"0"
    while True:
        cursor, ids = yield from listing.scan(cursor)
        for batch in _batches((yield from unindexed(layout, ids))):
            total += yield from _batch(layout, batch, failure)
            progress(total)
        total += Reindexing(seen=len(ids))
        progress(total)
        if cursor == b"0":
            break
    total += Reindexing(swept=(yield from _sweep(layout)))
    yield from lifecycle.finish()
    yield from lifecycle.build()
    return total


def unindexed(layout: Layout, ids: Sequence[bytes]) -> Operation[list[tuple[bytes, int]]]:
    """Those of `ids` whose documents are not known to be those of all their runs, with their size.

    A program that knows no record and overwrites as many bytes as were there is not noticed.
    """
    if not ids or layout.schema is None:
        return []
    keys = layout.keys
    records: list[Command[Any]] = [
        single("HMGET", keys.record(id), "version", "indexed", "bytes") for id in ids
    ]
    sizes: list[Command[Any]] = [single("HSTRLEN", keys.content(id), id) for id in ids]
    replies = yield [*records, *sizes]
    found, digest = [], layout.schema.digest
    for id, record, size in zip(ids, replies, replies[len(ids) :], strict=False):
        version, indexed, runs = ((part or b"0").decode("ascii", "replace") for part in record)
        if size and indexed != f"{digest}-{version}-{size}":
            found.append((id, max(size, int(runs) if runs.isdigit() else 0)))
    return found


def _batches(found: list[tuple[bytes, int]]) -> Iterator[list[bytes]]:
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


def _batch(layout: Layout, ids: list[bytes], failure: Failure) -> Operation[Reindexing]:
    """Read some conversations in one round trip and write their documents in another."""
    places = [Place(id) for id in ids]
    snapshots = yield [layout.snapshot(place) for place in places]
    scores = yield single("ZMSCORE", layout.keys.order(), *ids)
    known = yield [layout.indexed_command(place) for place in places]
    commands: list[Command[Any]] = []
    changed = []
    failed = 0
    for place, snapshot, score, there in zip(places, snapshots, scores, known, strict=True):
        try:
            commands.append(_command(layout, place, snapshot, score, there))
            changed.append(place)
        except ConversationCorrupt as error:
            failed += 1
            failure(error)
    written = (yield commands) if commands else []
    documents = indexed = 0
    for place, count in zip(changed, written, strict=True):
        if not isinstance(count, int):  # somebody was at it: once more, with patience
            try:
                count = yield from layout.index(place)
            except (ConversationCorrupt, ConversationConflict, ConversationNotFound) as error:
                failed += 1
                failure(error)
                continue
        indexed += 1
        documents += count
    return Reindexing(indexed=indexed, documents=documents, failed=failed)


def _command(
    layout: Layout, place: Place, snapshot: Snapshot, score: Any, there: Any
) -> Command[Any]:
    assert layout.documents is not None
    change = layout.documents.whole_after(layout.document(place, snapshot), *there)
    place = place.owned_by(owner_of(snapshot.record))
    return layout.index_command(place, snapshot, change, int(float(score or 0)))


def _sweep(layout: Layout) -> Operation[int]:
    """Delete the documents whose conversation another program has deleted."""
    keys, cursor, swept = layout.keys, b"0", 0
    while True:
        cursor, flat = yield single("HSCAN", keys.tokens(), cursor, "COUNT", 500)
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
        current = yield [single("HGET", keys.record(id), "token") for _, id in pairs]
        there = yield [single("HEXISTS", keys.content(id), id) for _, id in pairs]
        stale = [
            SWEEP.call(keys.of(id), [id, b"", token])
            for (token, id), now, exists in zip(pairs, current, there, strict=True)
            if now != token or not exists
        ]
        if stale:
            swept += sum((yield [Command((call,)) for call in stale]))
        if cursor == b"0":
            return swept
