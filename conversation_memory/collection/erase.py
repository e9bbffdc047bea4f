"""Erasing the conversations of an owner, and where copies of them may remain."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Self

from ..clock import moment
from ..keys import Keys
from ..layouts import Layout
from ..layouts.base import ERASE, erasing
from ..layouts.declared import declared, names_keys
from ..redis_io.operations import Operation, allowed, info, single
from ..search_index.sweep import SWEEPS, sweep, sweep_orphans
from .selection import BATCH, members

# An owner who keeps writing must not prevent an erasure from ending.
_LAST_LOOKS = 10


@dataclass(frozen=True, slots=True)
class Erasure:
    """Counts of an erasure, or of its dry run.

    `runs` are those that the records count, which do not include runs written by other programs;
    `bytes` are those of the stored JSON, without the overhead of Redis.
    """

    conversations: int = 0
    runs: int = 0
    bytes: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(*map(sum, zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Copies:
    """Where copies of erased conversations may remain; None where the server does not tell."""

    append_only_file: bool | None = None
    saved: datetime | None = None  # the last RDB snapshot, or else the start of the server
    replicas: int | None = None


def erase(layout: Layout, owner: bytes) -> Operation[Erasure]:
    """Erase all conversations of an owner, also those written meanwhile."""
    yield single("HLEN", layout.keys.index)  # fails if the conversations are elsewhere, in shards
    has_documents = layout.schema is not None or (yield single("EXISTS", layout.keys.search()))
    if has_documents:
        yield allowed([layout.keys.index, layout.keys.root], [*ERASE.commands, *SWEEPS])
    # This can be repeated: a conversation leaves the recency index of its owner last.
    order, total, looks = layout.keys.recency(owner), Erasure(), 0
    while looks < _LAST_LOOKS and (ids := (yield single("ZRANGE", order, 0, BATCH - 1))):
        total += yield from _batch(layout.keys, owner, ids, erases=True)
        looks = looks + 1 if len(ids) < BATCH else 0
    yield from erase_items(layout.keys, owner)
    if has_documents:
        # Those without a conversation too: their owner is no longer known, but they contain text.
        yield from sweep(layout.keys)
        yield from sweep_orphans(layout.keys)
    return total


def erase_items(keys: Keys, owner: bytes) -> Operation[int]:
    """Delete what an owner has in a store of LangGraph. Returns how many items there were."""
    namespaces, deleted = keys.namespaces(owner), 0
    while names := (yield single("ZRANGE", namespaces, 0, BATCH - 1)):
        items = [keys.items(owner, name) for name in names]
        deleted += sum((yield [single("HLEN", key) for key in items]))
        times = [keys.times(owner, name) for name in names]
        yield [single("UNLINK", *items, *times), single("ZREM", namespaces, *names)]
    return deleted


def foresee(layout: Layout, owner: bytes) -> Operation[Erasure]:
    """Count what `erase` would delete."""
    yield single("HLEN", layout.keys.index)
    total, cursor = Erasure(), members(layout.keys.recency(owner))
    while cursor.goes_on:
        ids = yield from cursor.next()
        total += yield from _batch(layout.keys, owner, ids, erases=False)
    return total


def _batch(keys: Keys, owner: bytes, ids: Sequence[bytes], *, erases: bool) -> Operation[Erasure]:
    counts = yield from declared([erasing(keys, id, owner, erases=erases) for id in ids])
    # Where runs are begun all the time, a conversation stays in the order, and is looked at again.
    return sum((Erasure(*count) for count in counts if not names_keys(count)), Erasure())


def copies() -> Operation[Copies]:
    persistence = yield from info("persistence")
    append_only, saved = persistence.get("aof_enabled"), persistence.get("rdb_last_save_time")
    replicas = (yield from info("replication")).get("connected_slaves")
    return Copies(
        None if append_only is None else append_only == "1",
        None if saved is None else moment(int(saved) * 1000),
        None if replicas is None else int(replicas),
    )
