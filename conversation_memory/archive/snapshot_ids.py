"""The ids of a dump in the order of their last write, whatever the order they were found in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

from ..collection.listing import Listing
from ..collection.selection import BATCH, Selection
from ..keys import encode
from ..layouts import Layout
from ..layouts.refs import Place
from ..redis_io.operations import Command, Operation, single
from .bulk_read import now, sizes


class Ids:
    """Ids in a temporary file, each once, in the order of time and bytes; in constant memory.

    Nothing is missed beside writers, as a walk through the order of the index would miss what is
    moved in it meanwhile, and what has no place there yet. And equal indexes have equal dumps.
    """

    def __init__(self) -> None:
        # The file has no name, and is gone with the connection. A response is not always sent by
        # the thread that made it.
        self._db = sqlite3.connect("", check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE ids (id BLOB PRIMARY KEY, time INTEGER) WITHOUT ROWID")

    def add(self, ids: Iterable[tuple[bytes, int]]) -> None:
        self._db.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?)", ids)

    def add_new(self, id: bytes) -> bool:
        """Whether it was not there yet."""
        return self._db.execute("INSERT OR IGNORE INTO ids VALUES (?, 0)", (id,)).rowcount == 1

    def batches(self, size: int) -> Iterator[list[bytes]]:
        with closing(self._db.execute("SELECT id FROM ids ORDER BY time, id")) as rows:
            while batch := [id for (id,) in rows.fetchmany(size)]:
                yield batch

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM ids").fetchone()[0])

    def close(self) -> None:
        self._db.close()


def select(layout: Layout, listing: Listing, selection: Selection, ids: Ids) -> Operation[None]:
    """Put into `ids` what is chosen. Raises `ConversationNotFound` for a name that is none."""
    if selection.ids is not None:
        yield from _named(layout, selection, ids)
        return
    cursor = b"0"
    while True:
        cursor, found = yield from _scan(layout, listing, selection, cursor)
        if found:
            ids.add((yield from _chosen(layout, selection, found)))
        if cursor == b"0":
            return


def _scan(
    layout: Layout, listing: Listing, selection: Selection, cursor: bytes
) -> Operation[tuple[bytes, list[bytes]]]:
    if selection.owner_key is None:
        return (yield from listing.scan(cursor))
    order = layout.keys.order(selection.owner_key)
    cursor, pairs = yield single("ZSCAN", order, cursor, "COUNT", BATCH)
    return cursor, pairs[::2]


def _chosen(
    layout: Layout, selection: Selection, found: list[bytes]
) -> Operation[list[tuple[bytes, int]]]:
    """Those of `found` that are chosen, each with its time; in one round trip."""
    owner = selection.owner_key
    asked: list[Command[Any]] = []
    if owner is not None:
        asked = [single("HGET", layout.keys.record(id), "owner", otherwise=None) for id in found]
    present, times, *owners = yield [now(), _scores(layout, found), *asked]
    return [
        (id, time)
        for id, time, owned_by in zip(found, times, owners or [owner] * len(found), strict=True)
        # What is not listed yet counts from when it is.
        if owned_by == owner and selection.has(present if time < 0 else time)
    ]


def _named(layout: Layout, selection: Selection, ids: Ids) -> Operation[None]:
    chosen = list(dict.fromkeys(map(encode, selection.ids or ())))
    for start in range(0, len(chosen), BATCH):
        names = chosen[start : start + BATCH]
        found, scores = yield [sizes(layout, names), _scores(layout, names)]
        for name, size in zip(names, found, strict=True):
            if size.field < 0:
                raise layout.not_found(Place(name))
        ids.add(zip(names, scores, strict=True))


def _scores(layout: Layout, ids: list[bytes]) -> Command[list[int]]:
    """The time of the last write of each, -1 for what is not listed yet."""

    def decoded(scores: list[bytes | None]) -> list[int]:
        return [-1 if score is None else int(float(score)) for score in scores]

    return single("ZMSCORE", layout.keys.order(), *ids, decode=decoded)
