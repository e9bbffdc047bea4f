"""Deleting, reaping, anonymising and converting many conversations, as operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..clock import now
from ..exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationMemoryError,
    ConversationTooLarge,
)
from ..keys import encode
from ..layouts import ConversationRef, Layout
from ..layouts.writes import DELETE, OWNER, erasing
from ..redis_io.operations import Command, Operation, single
from ..search_index.documents import fresh_token
from .erase import Erasure
from .listing import Listing, owners_of
from .selection import BATCH, ScanCursor, Selection
from .summaries import Summary


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
    keys, deleted = layout.keys, 0
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        owners = yield owners_of(keys, batch)
        places = [ConversationRef(id, owner) for id, owner in zip(batch, owners, strict=True)]
        calls = [
            DELETE.call(keys.of(it.id, it.owner, it.call), [it.id, it.owner or b""])
            for it in places
        ]
        replies = yield [Command((call,), otherwise=[]) for call in calls]
        for place, reply in zip(places, replies, strict=True):
            if isinstance(reply, list):  # its owner has changed, or it cannot be read
                reply = yield from layout.delete(place)
            deleted += reply
    return deleted


def prune(
    layout: Layout,
    listing: Listing,
    selection: Selection,
    progress: Callable[[Pruning], object],
    *,
    dry_run: bool,
) -> Operation[Pruning]:
    """Delete what is selected, a batch at a time, or only count it.

    A conversation that is written to meanwhile is no longer selected by its age.
    """
    total, mark = Pruning(), None
    while True:
        listed, mark = yield from listing.batch(selection, mark, oldest_first=True)
        total += yield from _prune(layout, selection, listed, "ask" if dry_run else "")
        progress(total)
        if mark is None:
            break
    if selection.ids is not None and not dry_run:  # also remains of those without a document
        yield from delete(layout, [encode(id) for id in selection.ids])
    return total


def _prune(
    layout: Layout, selection: Selection, listed: Sequence[Summary], ask: str
) -> Operation[Pruning]:
    until = "" if selection.end is None else selection.end
    calls = [
        DELETE.call(
            layout.keys.of(it.id, it.owner, fresh_token()), [it.id, it.owner or b"", until, ask]
        )
        for it in listed
    ]
    total = Pruning()
    replies = (yield [Command((call,), otherwise=None) for call in calls]) if calls else []
    for it, reply in zip(listed, replies, strict=True):
        if reply is None:  # it cannot be read, and is not deleted by its age alone
            reply = -1 if until != "" else 1
            if until == "" and not ask:
                reply = int((yield from layout.delete(ConversationRef(it.id))))
        if reply == 1:
            total += Pruning(1, it.record.runs or 0, it.bytes)
        elif reply == -1:
            total += Pruning(kept=1)
        # Any other reply is a refusal: its owner has changed, or it was written anew.
    return total


def reap(layout: Layout, listing: Listing, batches: int | None = None) -> Operation[int]:
    """Delete expired conversations, a batch at a time. Returns how many there were."""
    time, reaped = (yield now()), 0
    due = ("ZRANGEBYSCORE", layout.keys.expiry(), "-inf", time, "LIMIT", 0, BATCH)
    while ids := (yield single(*due)):
        reaped += yield from listing.forget(ids)
        if batches is not None and reaped >= batches * BATCH:
            break
    return reaped


def anonymise(layout: Layout, listing: Listing, owner: bytes) -> Operation[int]:
    """Remove the owner from their conversations. Returns how many there were."""
    keys, moved = layout.keys, 0
    order, nobody = keys.recency(owner), keys.recency(b"")
    while ids := (yield single("ZRANGE", order, 0, BATCH - 1)):
        calls = [
            OWNER.call([*keys.of(id, owner, fresh_token()), nobody], [id, owner, b"", b""])
            for id in ids
        ]
        replies = yield [Command((call,), otherwise=None) for call in calls]
        pairs = list(zip(ids, replies, strict=True))
        moved += sum(reply == 1 for _, reply in pairs)
        # If it cannot be read, only the order says that it belongs to the owner.
        if mistyped := [id for id, reply in pairs if reply is None]:
            yield [erasing(keys, id, owner, "none") for id in mistyped]
        if stale := [id for id, reply in pairs if reply not in (1, None)]:
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
        for id in (yield from layout.foreign(ids)) if ids else ():
            try:
                place = ConversationRef(id)
                converted += yield from layout.guarded(place, layout.adapt(place))
            except (ConversationCorrupt, ConversationTooLarge, ConversationConflict) as error:
                failed += 1
                failure(error)
        seen += len(ids)
        progress(Conversion(seen, converted, failed))
    return Conversion(seen, converted, failed)
