"""Writing missing search documents: after other programs wrote, or SEARCH was set or changed."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..collection.listing import Listing
from ..collection.selection import ScanCursor
from ..exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationMemoryError,
    ConversationUndecryptable,
    RedisMisconfigured,
)
from ..layouts import ConversationRef, Layout
from ..layouts.long_lists import split_by_bytes
from ..layouts.proof import proven
from ..layouts.refs import Indexed, Snapshot, owner_of
from ..redis_io.operations import Command, Operation, single
from ..redis_io.step_kinds import Ahead
from ..search_index.reasons import explained
from ..search_index.run_documents import Change, Steps
from ..search_index.sweep import sweep

# The limits of a batch: enough for a good pipeline, little to keep in memory.
_CONVERSATIONS = 100
_BYTES = 1024 * 1024

Failure = Callable[[ConversationMemoryError], object]
# A conversation, its content, its documents, and its score in the recency index.
Read = tuple[ConversationRef, Snapshot, Indexed, Any]
# The conversations of a batch, None for those that cannot be read, and the write of each. Without a
# readable content it gets no documents, and counts as indexed until the next write to it.
Writes = tuple[list[ConversationRef | None], list[Command[Any]]]


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
        why = explained([state.reason])
        raise RedisMisconfigured(f"Index {layout.keys.name!r} cannot be searched: {why}")
    yield from proven(layout.keys, layout.alias)
    indexer, cursor = _Indexer(layout, failure), ScanCursor(listing.scan)
    refs, commands = indexer.prepare([])
    while cursor.goes_on:
        ids = yield from cursor.next()
        for batch in batches((yield from unindexed(layout, ids))):
            read = yield from indexer.read(batch)
            # The server writes the previous batch while this one is being prepared.
            pending = yield Ahead(commands)
            prepared = indexer.prepare(read)
            yield from indexer.settle(refs, (yield pending))
            progress(indexer.done)
            refs, commands = prepared
        indexer.counts["seen"] += len(ids)
        progress(indexer.done)
    yield from indexer.settle(refs, (yield commands))
    indexer.counts["swept"] = yield from sweep(layout.keys)
    progress(indexer.done)
    yield from index_state.built()
    yield from index_state.finish()
    return indexer.done


def catch_up(layout: Layout, ids: Sequence[bytes], failure: Failure) -> Operation[None]:
    """Write the documents of some conversations, after a write without them."""
    if (yield from layout.indexer()) is None:
        return
    indexer = _Indexer(layout, failure)
    for batch in batches((yield from unindexed(layout, ids))):
        refs, commands = indexer.prepare((yield from indexer.read(batch)))
        yield from indexer.settle(refs, (yield commands))


def complete_stale(layout: Layout) -> Operation[None]:
    """Write what is missing of the documents of conversations, as after an interruption."""
    cursor, keys = None, layout.keys
    while cursor != b"0" and (yield from layout.indexer()) is not None:
        call = ("SSCAN", keys.stale(), cursor or b"0", "COUNT", _CONVERSATIONS)
        cursor, tokens = yield single(*call)
        if tokens:
            yield from proven(keys, layout.alias)
            ids = yield single("HMGET", keys.tokens(), *tokens)
            yield from catch_up(layout, [*{id for id in ids if id is not None}], bool)


def unindexed(layout: Layout, ids: Sequence[bytes]) -> Operation[list[tuple[bytes, int]]]:
    """Those of `ids` that lack documents according to their records, with their size in bytes.

    This misses a program that keeps no records and overwrites a field with as many bytes.
    """
    if not ids or layout.schema is None:
        return []
    replies = yield from layout.seen_documents([ConversationRef(id) for id in ids])
    found = zip(ids, replies, strict=True)
    return [(id, it.length) for id, it in found if it.size and not it.is_current]


def batches(found: list[tuple[bytes, int]]) -> Iterator[list[bytes]]:
    for batch in split_by_bytes(found, lambda pair: pair[1], _BYTES, _CONVERSATIONS):
        yield [id for id, _ in batch]


class _Indexer:
    """Writes the documents of batches, and counts. `failure` gets what cannot be read."""

    def __init__(self, layout: Layout, failure: Failure):
        self._layout = layout
        self._failure = failure
        self.counts: Counter[str] = Counter()

    @property
    def done(self) -> Reindexing:
        return Reindexing(**self.counts)

    def read(self, ids: list[bytes]) -> Operation[list[Read]]:
        layout, refs = self._layout, [ConversationRef(id) for id in ids]
        snapshots = yield from layout.snapshots(refs)
        known = yield from layout.seen_documents(refs)
        scores = yield single("ZMSCORE", layout.keys.recency(), *ids)
        read: list[Read] = []
        for ref, snapshot, *rest in zip(refs, snapshots, known, scores, strict=True):
            if snapshot is not None:
                read.append((ref, snapshot, *rest))
                continue
            self.counts["failed"] += 1
            if error := (yield from layout.mistyped(ref)):
                self._failure(error)
        return read

    def prepare(self, read: list[Read]) -> Writes:
        layout, documents = self._layout, self._layout.documents
        assert documents is not None
        refs: list[ConversationRef | None] = []
        commands: list[Command[Any]] = []
        for ref, snapshot, known, score in read:
            ref = ref.owned_by(owner_of(snapshot.record))
            try:
                document = layout.document(ref, snapshot)
                change = layout.change_from(known, document)
                refs.append(ref)
            except ConversationUndecryptable as error:  # with its key, it has its documents again
                self._failure(error)
                self.counts["failed"] += 1
                continue
            except ConversationCorrupt as error:
                self._failure(error)
                change = documents.none()
                refs.append(None)
            commands.append(self._command(ref, snapshot, change, int(float(score or 0))))
        return refs, commands

    def _command(
        self, ref: ConversationRef, snapshot: Snapshot, change: Change, time: int
    ) -> Command[Any]:
        if isinstance(change, Steps):  # settle() goes on with the others
            return self._layout.step_command(ref, change.begun, time)
        return self._layout.index_command(ref, snapshot, change, time)

    def settle(self, refs: list[ConversationRef | None], replies: list[Any]) -> Operation[None]:
        """Count the documents, and retry the conversations that changed meanwhile."""
        for ref, reply in zip(refs, replies, strict=True):
            try:
                if ref is not None and not isinstance(reply, int):
                    index = self._layout.index(ConversationRef(ref.id))
                    reply = yield from self._layout.guarded(ref, index)
            except (ConversationCorrupt, ConversationConflict) as error:
                self._failure(error)
                ref = None
            if ref is None:
                self.counts["failed"] += 1
            else:
                self.counts["indexed"] += 1
                self.counts["documents"] += reply
