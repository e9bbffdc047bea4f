"""The checkpoints of several threads: listed a page at a time, and chosen for deletion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...collection.listing import Listing
from ...collection.selection import PageKey, Selection
from ...keys import encode
from ...layouts import ConversationRef
from ...redis_io.operations import Operation
from .checkpoints import CheckpointName, Checkpoints, KeptCheckpoint, Typed, names_of

_PAGE = 20
_LOOKED_AT = 200


class Threads:
    """Some threads at a time: the given ones, or all conversations that a caller sees."""

    def __init__(
        self,
        listing: Listing,
        ref: ConversationRef,
        open: Callable[[ConversationRef], Checkpoints],
        ids: Sequence[bytes] | None = None,
    ):
        self._listing = listing
        self._open = open
        self._ref = ref
        self._ids = ids
        self._after: PageKey | None = None
        self.are_left = True

    def next(self) -> Operation[list[Checkpoints]]:
        if self._ids is None:
            owner = self._ref.owner if self._ref.scoped else None
            batch = self._listing.batch(Selection(owner=owner), self._after)
            found, self._after = yield from batch
            ids = [one.id for one in found]
        else:
            ids = [*self._ids]
        self.are_left = self._after is not None
        return [self._open(self._ref.at(id)) for id in ids]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which checkpoints are to be listed; `matches` looks at metadata, None for no such filter."""

    namespace: bytes | None = None
    id: bytes = b""
    before: bytes = b""
    matches: Callable[[Typed], bool] | None = None

    def has(self, name: CheckpointName) -> bool:
        return (
            self.namespace in (None, name.namespace)
            and self.id in (b"", name.id)
            and (not self.before or name.id < self.before)
        )


class History:
    """Pages of checkpoints, those of each thread newest first."""

    def __init__(self, threads: Threads, wanted: Wanted, limit: int | None):
        self._threads = threads
        self._wanted = wanted
        self._limit = limit
        self._names: list[tuple[Checkpoints, list[CheckpointName]]] = []

    def next(self) -> Operation[list[tuple[Checkpoints, KeptCheckpoint]]]:
        """The next page; empty at the end."""
        while self._limit is None or self._limit > 0:
            if self._names:
                thread, names = self._names[0]
                part, self._names[0] = names[:_LOOKED_AT], (thread, names[_LOOKED_AT:])
                if not part:
                    self._names.pop(0)
                elif found := (yield from self._page(thread, part)):
                    return found
            elif self._threads.are_left:
                threads = yield from self._threads.next()
                listed = yield from names_of(threads)
                chosen = [[*filter(self._wanted.has, names)] for names in listed]
                self._names = [*zip(threads, chosen, strict=True)]
            else:
                break
        return []

    def _page(
        self, thread: Checkpoints, names: list[CheckpointName]
    ) -> Operation[list[tuple[Checkpoints, KeptCheckpoint]]]:
        if self._wanted.matches is not None:
            names = yield from matching(thread, names, self._wanted.matches)
        room = _PAGE if self._limit is None else min(_PAGE, self._limit)
        # What does not fit on the page comes with the next one, and is found to match again.
        self._names[0] = (thread, [*names[room:], *self._names[0][1]])
        found = [kept for kept in (yield from thread.get_all(names[:room])) if kept]
        if self._limit is not None:
            self._limit -= len(found)
        return [(thread, kept) for kept in found]


def matching(
    thread: Checkpoints, names: Sequence[CheckpointName], matches: Callable[[Typed], bool]
) -> Operation[list[CheckpointName]]:
    """Those whose metadata match."""
    found = yield from thread.metadata(names)
    pairs = zip(names, found, strict=True)
    return [name for name, metadata in pairs if metadata is not None and matches(metadata)]


def superseded(
    thread: Checkpoints, deltas: Callable[[Typed], Sequence[str]]
) -> Operation[list[CheckpointName]]:
    """All but the newest of each namespace, and those that it is put together from.

    `deltas` are the channels of which a checkpoint may hold only what has changed.
    """
    names = yield from thread.names()
    newest: dict[bytes, CheckpointName] = {}
    for name in names:
        newest.setdefault(name.namespace, name)
    needed = {*newest.values()}
    for name in newest.values():
        needed |= yield from _origins(thread, name, deltas)
    return [name for name in names if name not in needed]


def _origins(
    thread: Checkpoints, name: CheckpointName, deltas: Callable[[Typed], Sequence[str]]
) -> Operation[set[CheckpointName]]:
    """Those before it, back to where each of its channels has a value."""
    found: set[CheckpointName] = set()
    kept = yield from thread.get(name)
    missing = {*map(encode, deltas(kept.metadata))} if kept else set()
    while kept and (missing := missing - {*kept.values}) and kept.parent:
        name = CheckpointName(name.namespace, kept.parent)
        found.add(name)
        kept = yield from thread.get(name)
    return found
