"""The check of conversations: document, record, and scores in the orders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..collection.listing import forgetting
from ..collection.summaries import Summary, summaries
from ..documents import canonical, decoded, joined
from ..exceptions import Damaged
from ..keys import NO_CALL, Keys
from ..layouts.hash import derived_fields
from ..layouts.list import derived_list_fields
from ..layouts.refs import Snapshot, milliseconds_of, owner_of
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from . import findings
from .findings import Finding

MEND = Script("mend")

_MOST_BYTES = 4 * 1024 * 1024

# In the index, of the deadline, and in the order of the owner (of all, without an owner; None if
# that order has another type): milliseconds, "" without one.
Scores = tuple[int | str, int | str, int | str | None]


def inspect_conversations(keys: Keys, ids: Sequence[bytes]) -> Operation[list[Finding]]:
    """Faults of the conversations of `ids`, which are read 4 MB at a time."""
    known: list[Summary] = [it for it in (yield summaries(keys, ids)) if it.has_right_types]
    found = [
        Finding(findings.EXPIRED, it.id, forgetting(keys, it.id, it.owner))
        for it in known
        if it.is_expired and it.size >= 0
    ]
    for part in _parts([it for it in known if not it.is_expired]):
        owners = yield from _usable_owners(keys, part)
        read = yield [_read(keys, it, owners) for it in part]
        for it, (snapshot, scores) in zip(part, read, strict=True):
            found += _examine(keys, it.id, snapshot, scores)
    return found


def _parts(known: Sequence[Summary]) -> Iterator[list[Summary]]:
    part: list[Summary] = []
    size = 0
    for it in known:
        if part and size + it.bytes > _MOST_BYTES:
            yield part
            part, size = [], 0
        part.append(it)
        size += it.bytes
    if part:
        yield part


def _usable_owners(keys: Keys, known: Sequence[Summary]) -> Operation[set[bytes | None]]:
    """The owners whose order has the right type: another one is reported elsewhere."""
    owners = sorted({it.owner for it in known if it.owner is not None})
    types = (yield [single("TYPE", keys.recency(owner)) for owner in owners]) if owners else []
    pairs = zip(owners, types, strict=True)
    return {None, *(owner for owner, type in pairs if type in (b"zset", b"none"))}


def _read(keys: Keys, it: Summary, owners: set[bytes | None]) -> Command[tuple[Snapshot, Scores]]:
    is_usable = it.owner in owners
    order = keys.recency(it.owner if is_usable else None)
    calls = (
        ("HMGET", keys.record(it.id), *Snapshot.FIELDS),
        ("HGET", keys.content(it.id), it.id),
        ("LRANGE", keys.runs(it.id), 0, -1),
        *(("ZSCORE", key, it.id) for key in (keys.recency(), keys.expiry(), order)),
    )

    def decoded(replies: list[Any]) -> tuple[Snapshot, Scores]:
        score, deadline, owned = (
            "" if reply is None else round(float(reply)) for reply in replies[3:]
        )
        snapshot = Snapshot.from_replies(it.id, *replies[:3])
        return snapshot, (score, deadline, owned if is_usable else None)

    return Command(calls, decoded)


def _examine(keys: Keys, id: bytes, snapshot: Snapshot, scores: Scores) -> Iterator[Finding]:
    if snapshot.field is None:  # deleted meanwhile
        return
    if snapshot.texts and snapshot.record.layout == "hash":
        yield Finding(findings.STRAY_RUNS, keys.runs(id))
        return
    if snapshot.lost:
        # Cannot be repaired: only the record still says how many there were.
        yield Finding(findings.LOST_RUNS, id)
        return
    try:
        derived = _derive(snapshot)
    except Damaged:
        yield Finding(findings.UNREADABLE, id)
        return
    mend = None if scores[2] is None else _mending(keys, id, snapshot, derived)
    for kind in _faults(snapshot, scores, derived):
        yield Finding(kind, id, mend)


def _faults(snapshot: Snapshot, scores: Scores, derived: dict[str, Any]) -> Iterator[str]:
    record, (score, deadline, owned) = snapshot.record, scores
    if record.runs is None:
        yield findings.NO_RECORD
    elif record.runs != derived["runs"]:
        yield findings.WRONG_COUNT
    form = {"layout": record.layout, "length": record.length, "crc": record.crc, "end": record.end}
    stated = {name: "" if value is None else value for name, value in form.items()}
    if record.layout and any(stated.get(name, value) != value for name, value in derived.items()):
        yield findings.WRONG_FINGERPRINT
    if score == "" or milliseconds_of(record.updated) not in ("", score):
        yield findings.NO_SCORE
    elif owned not in (None, score):
        yield findings.WRONG_OWNER
    if milliseconds_of(record.expires) != deadline:
        yield findings.WRONG_DEADLINE


def _derive(snapshot: Snapshot) -> dict[str, Any]:
    """The fields of the record that follow from the document, which is parsed in any case."""
    field = canonical(snapshot.field or b"")
    if not snapshot.is_list:
        return derived_fields(field)
    texts = snapshot.texts or []
    decoded(texts)
    if field.count:  # of another program: the next write adopts them, and knows by the length
        return {"runs": joined(texts, field).count}
    return derived_list_fields(texts, field)


def _mending(keys: Keys, id: bytes, snapshot: Snapshot, derived: dict[str, Any]) -> Command[int]:
    owner = owner_of(snapshot.record)
    pairs = [part for pair in derived.items() for part in pair]
    args = [*snapshot.digested().expectation, len(snapshot.texts or ()), *pairs]
    return Command((MEND.call(keys.of(id, owner, NO_CALL), [id, owner or b"", *args]),))
