"""The check of conversations: document, record, and places in the orders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..collection.listing import forgetting
from ..documents import canonical, decoded, joined
from ..exceptions import Damaged
from ..keys import NO_CALL, Keys
from ..layouts.hash import traces
from ..layouts.list import list_traces
from ..layouts.refs import Snapshot, milliseconds_of, owner_of
from ..records import FIELDS, Record
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from . import findings
from .findings import Finding
from .survey import Survey, survey

MEND = Script("mend")

_MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """A conversation as it stood at one moment; times in milliseconds, "" if there is none.

    `owned` is its place in the order of its owner, or in the one of all without an owner; None if
    that order is none.
    """

    id: bytes
    snapshot: Snapshot
    place: int | str
    deadline: int | str
    owned: int | str | None = None

    @property
    def owner(self) -> bytes | None:
        return owner_of(self.snapshot.record)


def inspect_conversations(keys: Keys, ids: Sequence[bytes]) -> Operation[list[Finding]]:
    """What is wrong with the conversations of `ids`, which are read 4 MB at a time."""
    found: list[Finding] = []
    surveys = yield survey(keys, keys.order(), ids)
    for it in surveys:
        if it.exists and it.is_past and it.has_right_types:
            fix = forgetting(keys, it.id, it.owner)
            found.append(Finding(findings.EXPIRED, it.id, fix))
    for part in _parts([it for it in surveys if it.has_right_types and not it.is_past]):
        orders = yield from _usable_orders(keys, part)
        for seen in (yield [_read(keys, it, orders) for it in part]):
            found += _examine(keys, seen)
    return found


def _parts(surveys: Sequence[Survey]) -> Iterator[list[Survey]]:
    part: list[Survey] = []
    for it in surveys:
        if part and sum(other.size for other in part) + it.size > _MOST_BYTES:
            yield part
            part = []
        part.append(it)
    if part:
        yield part


def _usable_orders(keys: Keys, surveys: Sequence[Survey]) -> Operation[set[bytes | None]]:
    """The owners whose order can be asked: another type than the right one is no reason to stop."""
    owners = sorted({it.owner for it in surveys if it.owner is not None})
    types = (yield [single("TYPE", keys.order(owner)) for owner in owners]) if owners else []
    pairs = zip(owners, types, strict=True)
    return {None, *(owner for owner, type in pairs if type in (b"zset", b"none"))}


def _read(keys: Keys, it: Survey, orders: set[bytes | None]) -> Command[Seen]:
    order = keys.order(it.owner if it.owner in orders else None)
    calls = (
        ("HMGET", keys.record(it.id), *FIELDS),
        ("HGET", keys.content(it.id), it.id),
        ("LRANGE", keys.runs(it.id), 0, -1),
        *(("ZSCORE", key, it.id) for key in (keys.order(), keys.expiry(), order)),
    )

    def decoded(replies: list[Any]) -> Seen:
        fields, field, texts, *scores = replies
        place, deadline, owned = map(_milliseconds, scores)
        snapshot = Snapshot(field, Record.from_reply(it.id, fields), texts)
        return Seen(it.id, snapshot, place, deadline, owned if it.owner in orders else None)

    return Command(calls, decoded)


def _examine(keys: Keys, seen: Seen) -> Iterator[Finding]:
    snapshot = seen.snapshot
    if snapshot.field is None:  # gone since it was surveyed
        return
    if snapshot.texts and snapshot.record.seal[:1].isdigit():
        yield Finding(findings.STRAY_RUNS, keys.runs(seen.id))
        return
    if snapshot.lost:
        # Not to be repaired: what the record says is all that is left of them.
        yield Finding(findings.LOST_RUNS, seen.id)
        return
    try:
        derived = _derive(snapshot)
    except Damaged:
        yield Finding(findings.UNREADABLE, seen.id)
        return
    mend = None if seen.owned is None else _mending(keys, seen, derived)
    for kind in _faults(seen, derived):
        yield Finding(kind, seen.id, mend)


def _faults(seen: Seen, derived: dict[str, Any]) -> Iterator[str]:
    record = seen.snapshot.record
    if record.runs is None:
        yield findings.NO_RECORD
    elif record.runs != derived["runs"]:
        yield findings.WRONG_COUNT
    if record.seal and record.seal != derived.get("seal", record.seal):
        yield findings.WRONG_SEAL
    if seen.place == "" or milliseconds_of(record.updated) not in ("", seen.place):
        yield findings.NO_PLACE
    elif seen.owned not in (None, seen.place):
        yield findings.WRONG_OWNER
    if milliseconds_of(record.expires) != seen.deadline:
        yield findings.WRONG_DEADLINE


def _derive(snapshot: Snapshot) -> dict[str, Any]:
    """What the record must say of the document, which is parsed whatever its seal says."""
    field = canonical(snapshot.field or b"")
    if not snapshot.is_list:
        return traces(field)
    texts = snapshot.texts or []
    decoded(texts)
    if field.count:  # of another program: the next write takes them over, and knows by the seal
        return {"runs": joined(texts, field).count}
    return list_traces(texts, field)


def _mending(keys: Keys, seen: Seen, derived: dict[str, Any]) -> Command[int]:
    snapshot = seen.snapshot
    pairs = [part for pair in derived.items() for part in pair]
    args = [*snapshot.digested().expectation, len(snapshot.texts or ()), *pairs]
    call = MEND.call(keys.of(seen.id, seen.owner, NO_CALL), [seen.id, seen.owner or b"", *args])
    return Command((call,))


def _milliseconds(score: bytes | float | None) -> int | str:
    return "" if score is None else round(float(score))
