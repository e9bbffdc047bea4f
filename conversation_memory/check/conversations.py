"""The check of conversations: document, record and scores, and a conversation for each key."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from ..collection.listing import forgetting
from ..collection.summaries import Summary, summaries
from ..documents import joined, read
from ..encryption.sealing import is_sealed
from ..exceptions import Damaged
from ..keys import NO_CALL, Keys
from ..layouts.hash import derived_fields
from ..layouts.list import derived_list_fields
from ..layouts.long_lists import last_of_first, may_go_on, split_by_bytes, whole
from ..layouts.refs import Snapshot, milliseconds_of, owner_of, sealed_fields
from ..records import SEALED
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from ..runs import decoded_runs
from . import findings
from .findings import Finding

DERIVE = Script("derive").without_documents

_MOST_BYTES = 4 * 1024 * 1024

# Milliseconds, "" without a score, in the recency index, the expiry index, and the recency index of
# the owner, if there is one; None if that key has another type.
Scores = tuple[int | str, int | str, int | str | None]


def inspect_types(expected: Mapping[bytes, bytes]) -> Operation[list[Finding]]:
    """Find keys that exist with another type than `expected`."""
    types = (yield [single("TYPE", key) for key in expected]) if expected else []
    return [
        Finding(findings.WRONG_TYPE, key)
        for (key, type), found in zip(expected.items(), types, strict=True)
        if found not in (type, b"none")
    ]


def inspect_conversations(keys: Keys, ids: Sequence[bytes]) -> Operation[list[Finding]]:
    """Find faults of conversations, which are read 4 MB at a time."""
    known = [it for it in (yield from summaries(keys, ids)) if it.has_right_types]
    found = [
        Finding(findings.EXPIRED, it.id, forgetting(keys, it.id, it.owner))
        for it in known
        if it.is_expired and it.size >= 0
    ]
    alive = [it for it in known if not it.is_expired]
    for part in split_by_bytes(alive, lambda it: it.bytes, _MOST_BYTES):
        owners = sorted({it.owner for it in part if it.owner is not None})
        # An order of another type is reported elsewhere.
        broken = yield from inspect_types({keys.recency(owner): b"zset" for owner in owners})
        unusable = {finding.name for finding in broken}
        read = yield [_read(keys, it, unusable) for it in part]
        for it, (snapshot, scores) in zip(part, read, strict=True):
            if may_go_on(snapshot.texts):
                snapshot, scores = yield from _read_long(keys, it, unusable)
            found += _examine(keys, it.id, snapshot, scores)
    return found


def _read_long(keys: Keys, it: Summary, unusable: set[bytes]) -> Operation[tuple[Snapshot, Scores]]:
    def one(last: int) -> Operation[tuple[Snapshot, Scores]]:
        return (yield _read(keys, it, unusable, last))  # type: ignore[no-any-return]

    def parts_of(found: tuple[Snapshot, Scores]) -> tuple[Any, list[bytes]]:
        snapshot, _ = found
        return b"%d" % snapshot.record.version, cast("list[bytes]", snapshot.texts)

    return whole(keys, it.id, one, parts_of)


def _read(
    keys: Keys, it: Summary, unusable: set[bytes], last: int | None = None
) -> Command[tuple[Snapshot, Scores]]:
    order = keys.recency(it.owner)
    is_usable = order not in unusable
    orders = (keys.recency(), keys.expiry(), order if is_usable else keys.recency())
    calls = (
        ("HMGET", keys.record(it.id), *Snapshot.FIELDS),
        ("HGET", keys.content(it.id), it.id),
        ("LRANGE", keys.runs(it.id), 0, last_of_first() if last is None else last),
        *(("ZSCORE", key, it.id) for key in orders),
    )

    def decoded(replies: list[Any]) -> tuple[Snapshot, Scores]:
        score, deadline, owned = (
            "" if reply is None else round(float(reply)) for reply in replies[3:]
        )
        snapshot = Snapshot.from_replies(keys, it.id, *replies[:3])
        return snapshot, (score, deadline, owned if is_usable else None)

    return Command(calls, decoded)


def _examine(keys: Keys, id: bytes, snapshot: Snapshot, scores: Scores) -> Iterator[Finding]:
    if snapshot.field is None:  # deleted meanwhile
        return
    if snapshot.texts and snapshot.record.layout in ("hash", "hash" + SEALED):
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
    if not record.crc:  # of a document that a script has changed
        stated.pop("crc")
    if record.layout and any(stated.get(name, value) != value for name, value in derived.items()):
        yield findings.WRONG_FINGERPRINT
    if score == "" or milliseconds_of(record.updated) not in ("", score):
        yield findings.NO_SCORE
    elif owned not in (None, score):
        yield findings.WRONG_OWNER
    if milliseconds_of(record.expires) != deadline:
        yield findings.WRONG_DEADLINE


def _derive(snapshot: Snapshot) -> dict[str, Any]:
    # Parsed in any case: a fingerprint that matches does not prove that the runs are readable.
    opened = snapshot.opened
    field = read(opened.field or b"")
    texts = opened.texts or []
    if not snapshot.is_list:
        derived = derived_fields(field)
    else:
        decoded_runs(texts)
        if field.count:  # of another program: the next write adopts them, and knows by the length
            return {"runs": joined(texts, field).count}
        derived = derived_list_fields(texts, field)
    stored = snapshot.field or b""
    return sealed_fields(derived, stored, snapshot.texts) if is_sealed(stored) else derived


def _mending(keys: Keys, id: bytes, snapshot: Snapshot, derived: dict[str, Any]) -> Command[int]:
    owner = owner_of(snapshot.record)
    pairs = [part for pair in derived.items() for part in pair]
    args = [*snapshot.digested().expectation, "", "", len(snapshot.texts or ()), *pairs]
    call = DERIVE.call(keys.of(id, owner, NO_CALL), [id, owner or b"", *args])
    return Command((call,), lambda reply: int(reply == 1))


def inspect_scores(
    keys: Keys, order: bytes, owner: bytes | None, ids: Sequence[bytes]
) -> Operation[list[Finding]]:
    """Find faults of the scores of `ids` in `order`, which may belong to an `owner`."""
    return [
        finding
        for it in (yield from summaries(keys, ids, order=order))
        for finding in _examine_score(keys, it, owner)
    ]


def _examine_score(keys: Keys, it: Summary, owner: bytes | None) -> Iterator[Finding]:
    if it.score is None or not it.has_right_types or it.is_expired or it.has_stray_runs:
        return  # removed meanwhile, or reported elsewhere
    fix = forgetting(keys, it.id, it.owner, owner)
    if not it.exists:
        yield Finding(findings.STRAY_SCORE, it.id, fix)
    elif owner is not None and it.values.get("version") is None:  # nothing else may tell its owner
        yield Finding(findings.LOST_OWNER, it.id)
    elif owner is not None and it.owner != owner:
        yield Finding(findings.WRONG_OWNER, it.id, fix)


def inspect_keys(keys: Keys, names: Sequence[bytes]) -> Operation[list[Finding]]:
    """Find faults of the records and lists of runs among the keys `names`."""
    families = [(name, *keys.family(name)) for name in names]
    own = [key for key in families if key[1] in (b"record", b"runs")]
    known = yield from summaries(keys, [id for *_, id in own])
    return [
        finding
        for (name, family, _), it in zip(own, known, strict=True)
        for finding in _examine_key(keys, name, family, it)
    ]


def _examine_key(keys: Keys, name: bytes, family: bytes, it: Summary) -> Iterator[Finding]:
    is_record = family == b"record"
    type, right = (it.record_type, b"hash") if is_record else (it.runs_type, b"list")
    if type not in (right, b"none"):
        yield Finding(findings.WRONG_TYPE, name)
    elif it.has_stray_runs:
        if not is_record:
            yield Finding(findings.STRAY_RUNS, name)
    elif is_record and type == right and it.size < 0:
        kind = findings.EXPIRED if it.is_expired else findings.STRAY_RECORD
        fix = forgetting(keys, it.id, it.owner) if it.has_right_types else None
        yield Finding(kind, it.id, fix)
