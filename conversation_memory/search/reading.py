"""Reading several conversations in one round trip, the damaged ones among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..documents import Document
from ..exceptions import Damaged
from ..keys import encode
from ..layouts import Layout
from ..layouts.refs import Snapshot
from ..records import Record, number
from ..redis_io.operations import Command, Operation, single


def sizes(layout: Layout, records: Sequence[Record]) -> Operation[list[int]]:
    """About how many bytes each conversation has."""
    ids = [encode(record.conversation_id) for record in records]
    fields: list[Command[Any]] = [single("HSTRLEN", layout.keys.content(id), id) for id in ids]
    lists: list[Command[Any]] = [
        single("HGET", layout.keys.record(id), "bytes", otherwise=None) for id in ids
    ]
    replies = yield [*fields, *lists]
    pairs = zip(replies[: len(ids)], replies[len(ids) :], strict=True)
    return [size + (number(others) or 0) for size, others in pairs]


def documents(layout: Layout, records: Sequence[Record]) -> Operation[list[Document | None]]:
    """The document of each conversation, its list read; None for one that cannot be read."""
    found = yield [_snapshot(layout, record) for record in records]
    return [_document(snapshot) for snapshot in found]


def _snapshot(layout: Layout, record: Record) -> Command[Snapshot | None]:
    id = encode(record.conversation_id)
    content, runs = layout.keys.content(id), layout.keys.runs(id)
    calls = (("HGET", content, id), ("LRANGE", runs, 0, -1))
    return Command(calls, lambda reply: Snapshot(reply[0], record, reply[1]), otherwise=None)


def _document(snapshot: Snapshot | None) -> Document | None:
    try:
        return None if snapshot is None else snapshot.document
    except Damaged:
        return None
