"""Reading several conversations in one round trip, the damaged ones among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..commands import Command, Operation, single
from ..documents import Damaged, Document
from ..keys import encode
from ..layouts import Layout
from ..layouts.places import Snapshot
from ..records import Record


def sizes(layout: Layout, records: Sequence[Record]) -> Operation[list[int]]:
    """About how many bytes each conversation has."""
    ids = [encode(record.conversation_id) for record in records]
    fields: list[Command[Any]] = [single("HSTRLEN", layout.keys.content(id), id) for id in ids]
    lists: list[Command[Any]] = [single("HGET", layout.keys.record(id), "bytes") for id in ids]
    replies = yield [*fields, *lists]
    pairs = zip(replies[: len(ids)], replies[len(ids) :], strict=True)
    return [size + _number(others) for size, others in pairs]


def documents(layout: Layout, records: Sequence[Record]) -> Operation[list[Document | None]]:
    """The document of each conversation, None for one that cannot be read."""
    found = yield [_snapshot(layout, record) for record in records]
    return [_document(snapshot) for snapshot in found]


def _snapshot(layout: Layout, record: Record) -> Command[Snapshot]:
    id = encode(record.conversation_id)
    content, runs = layout.keys.content(id), layout.keys.runs(id)
    calls = (("HGET", content, id), ("LRANGE", runs, 0, -1))
    return Command(calls, lambda reply: Snapshot(reply[0], record, reply[1]))


def _document(snapshot: Snapshot) -> Document | None:
    try:
        return snapshot.document
    except Damaged:
        return None


def _number(value: bytes | None) -> int:
    return int(value) if value and value.isdigit() else 0
