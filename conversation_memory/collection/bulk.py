"""Deleting, reaping, anonymising and converting many conversations, as operations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..clock import now
from ..exceptions import ConversationError, ConversationMemoryError
from ..keys import Keys, encode
from ..layouts import ConversationRef, Layout
from ..layouts.base import DELETE, OWNER, erasing
from ..layouts.declared import declared
from ..layouts.retagging import retag
from ..redis_io.operations import Command, Operation, single
from ..search_index.run_documents import fresh_token
from ..search_index.sweep import finished, sweep_stale
from .erase import Erasure
from .listing import Listing, owners_of
from .selection import BATCH, ScanCursor, Selection
from .summaries import Summary, summaries


@dataclass(frozen=True, slots=True)
class Pruning(Erasure):
    """Counts of a deletion, or of its dry run.

    `kept` conversations were selected by age and may be younger, because another program wrote to
    them, or because they were written to meanwhile.
    """

    kept: int = 0


@dataclass(frozen=True, slots=True)
class Conversion:
    """How many conversations were looked at, were converted, and could not be read or written."""

    seen: int = 0
    converted: int = 0
    failed: int = 0


def delete(layout: Layout, ids: Sequence[bytes]) -> Operation[int]:
    """Returns how many there were."""
    deleted = 0
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        owners = yield owners_of(layout.keys, batch)
        refs = [ConversationRef(id, owner) for id, owner in zip(batch, owners, strict=True)]
        calls = [_deleting(layout.keys, ref.id, ref.owner) for ref in refs]
        replies = yield from declared(calls)
        replies = yield from finished(layout.keys, batch, replies)
        for ref, reply in zip(refs, replies, strict=True):
            if not isinstance(reply, int):  # its owner has changed, or it cannot be read
                reply = yield from layout.delete(ref)
            deleted += reply
    return deleted


def _deleting(keys: Keys, id: bytes, owner: bytes | None, *args: Any) -> Command[Any]:
    call = DELETE.call(keys.forgetting(id, owner, fresh_token()), [id, owner or b"", *args])
    return Command((call,), otherwise=None)


def prune(
    layout: Layout,
    listing: Listing,
    selection: Selection,
    progress: Callable[[Pruning], object],
    *,
    dry_run: bool,
) -> Operation[Pruning]:
    """Delete what is selected, a batch at a time, or only count it."""
    total, cursor = Pruning(), None
    while True:
        listed, cursor = yield from listing.batch(selection, cursor, oldest_first=True)
        total += yield from _prune(layout, selection, listed, "ask" if dry_run else "")
        progress(total)
        if cursor is None:
            break
    if selection.ids is not None and not dry_run:  # also remains of those without a document
        yield from delete(layout, [encode(id) for id in selection.ids])
    return total


def _prune(
    layout: Layout, selection: Selection, listed: Sequence[Summary], ask: str
) -> Operation[Pruning]:
    until = "" if selection.end is None else selection.end
    calls = [_deleting(layout.keys, summary.id, summary.owner, until, ask) for summary in listed]
    total = Pruning()
    replies = yield from declared(calls)
    replies = yield from finished(layout.keys, [summary.id for summary in listed], replies)
    for summary, reply in zip(listed, replies, strict=True):
        if reply is None and until != "":  # it cannot be read, and may be younger
            reply = -1
        elif reply is None:
            reply = 1 if ask else int((yield from layout.delete(ConversationRef(summary.id))))
        if reply == 1:
            total += Pruning(1, summary.record.runs or 0, summary.bytes)
        elif reply == -1:
            total += Pruning(kept=1)
        # Any other reply is a refusal: its owner has changed, or it was written to meanwhile.
    return total


def reap(layout: Layout, listing: Listing, batches: int | None = None) -> Operation[int]:
    """Delete expired conversations, a batch at a time. Returns how many there were."""
    time, reaped = (yield now()), 0
    due = ("ZRANGEBYSCORE", layout.keys.expiry(), "-inf", time, "LIMIT", 0, BATCH)
    while ids := (yield single(*due)):
        reaped += yield from listing.forget(ids)
        if batches is not None and reaped >= batches * BATCH:
            return reaped
    if batches is None and layout.schema is not None:
        yield from sweep_stale(layout.keys)
    return reaped


def anonymise(layout: Layout, listing: Listing, owner: bytes) -> Operation[int]:
    """Remove the owner from their conversations. Returns how many there were."""
    yield single("HLEN", layout.keys.index)  # see erase()
    keys, moved = layout.keys, 0
    order, nobody = keys.recency(owner), keys.recency(b"")
    while ids := (yield single("ZRANGE", order, 0, BATCH - 1)):
        calls = [
            OWNER.call([*keys.forgetting(id, owner, fresh_token()), nobody], [id, owner, b"", b""])
            for id in ids
        ]
        replies = yield [Command((call,), otherwise=None) for call in calls]
        yield from retag(keys, [(id, None, reply) for id, reply in zip(ids, replies, strict=True)])
        moved += sum(reply == 1 or isinstance(reply, bytes) for reply in replies)
        pairs = list(zip(ids, replies, strict=True))
        # If it cannot be read, only the recency index says that it belongs to the owner.
        if mistyped := [id for id, reply in pairs if reply is None]:
            yield [erasing(keys, id, owner, "none") for id in mistyped]
        if stale := [id for id, reply in pairs if reply == 0 or isinstance(reply, list)]:
            yield from listing.forget(stale, owner)
    return moved


def convert(
    layout: Layout,
    listing: Listing,
    progress: Callable[[Conversion], object],
    failure: Callable[[ConversationMemoryError], object],
) -> Operation[Conversion]:
    """Convert one after the other; concurrent writes take precedence."""
    seen = converted = failed = 0
    cursor = ScanCursor(listing.scan)
    while cursor.goes_on:
        ids = yield from cursor.next()
        for summary in (yield from summaries(layout.keys, ids)):
            is_own = layout.is_own(summary.record, summary.size, summary.length)
            if is_own and summary.has_right_types:
                continue
            ref = ConversationRef(summary.id)
            try:
                converted += yield from layout.guarded(ref, layout.adapt(ref))
            except ConversationError as error:
                failed += 1
                failure(error)
        seen += len(ids)
        progress(Conversion(seen, converted, failed))
    return Conversion(seen, converted, failed)
