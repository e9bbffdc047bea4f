"""Deleting the conversations that a selection chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..keys import encode
from ..layouts import Layout, Place
from ..layouts.refs import owner_of
from ..layouts.writes import DELETE
from ..records import Listed
from ..redis_io.operations import Command, Operation
from ..search_index.documents import fresh_token
from .listing import Listing
from .selection import Selection


@dataclass(frozen=True, slots=True)
class Pruning:
    """What was deleted, or would be.

    `runs` are those that the records count, which know nothing of what other programs wrote;
    `bytes` are those of the stored JSON. `kept` conversations were chosen by their age and may be
    younger, as another program wrote to them, or somebody did meanwhile.
    """

    conversations: int = 0
    runs: int = 0
    bytes: int = 0
    kept: int = 0

    def __add__(self, other: Pruning) -> Pruning:
        return Pruning(
            self.conversations + other.conversations,
            self.runs + other.runs,
            self.bytes + other.bytes,
            self.kept + other.kept,
        )


def prune(
    layout: Layout,
    listing: Listing,
    selection: Selection,
    progress: Callable[[Pruning], object],
    *,
    dry_run: bool,
) -> Operation[Pruning]:
    """Delete what is chosen, a batch at a time, or only count it.

    A conversation that somebody writes to meanwhile is not chosen by its age any more.
    """
    total, mark = Pruning(), None
    while True:
        listed, mark = yield from listing.batch(selection, mark, oldest_first=True)
        total += yield from _delete(layout, selection, listed, "ask" if dry_run else "")
        progress(total)
        if mark is None:
            break
    if selection.ids is not None and not dry_run:  # also what is left of those that are gone
        yield from listing.delete([encode(id) for id in selection.ids])
    return total


def _delete(
    layout: Layout, selection: Selection, listed: Sequence[Listed], ask: str
) -> Operation[Pruning]:
    until = "" if selection.end is None else selection.end
    names = [(encode(it.conversation_id), owner_of(it.record)) for it in listed]
    calls = [
        DELETE.call(layout.keys.of(id, owner, fresh_token()), [id, owner or b"", until, ask])
        for id, owner in names
    ]
    replies = (yield [Command((call,), otherwise=None) for call in calls]) if calls else []
    for n, reply in enumerate(replies):
        if reply is None:  # it cannot be read: by its age alone it does not go
            replies[n] = -1 if until != "" else 1
            if until == "" and not ask:
                replies[n] = int((yield from layout.delete(Place(names[n][0]))))
    # A refusal: it went to another owner, or was written anew.
    return _sum(listed, [reply if isinstance(reply, int) else 0 for reply in replies])


def _sum(listed: Sequence[Listed], replies: Sequence[int]) -> Pruning:
    deleted = [it for it, reply in zip(listed, replies, strict=True) if reply == 1]
    return Pruning(
        len(deleted),
        sum(it.record.runs or 0 for it in deleted),
        sum(it.bytes for it in deleted),
        sum(reply == -1 for reply in replies),
    )
