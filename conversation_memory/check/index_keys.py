"""The check of the keys of an index: their types, and a conversation for each key and score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..collection.listing import forgetting
from ..collection.selection import ScanCursor
from ..collection.summaries import Summary, summaries
from ..keys import Keys
from ..redis_io.operations import Operation, single
from . import findings
from .findings import Finding

_SCAN_COUNT = 1000


def keys_of_index(keys: Keys) -> ScanCursor[list[bytes]]:
    def scan(cursor: bytes) -> Operation[tuple[bytes, list[bytes]]]:
        call = ("SCAN", cursor, "MATCH", keys.pattern(), "COUNT", _SCAN_COUNT)
        cursor, found = yield single(*call)
        return cursor, found

    return ScanCursor(scan)


def inspect_fixed_keys(keys: Keys, *, searches: bool) -> Operation[list[Finding]]:
    """Wrong types of the keys that an index needs, and those that a search of it needs."""
    expected = {keys.index: b"hash", keys.recency(): b"zset", keys.expiry(): b"zset"}
    if searches:
        expected |= dict.fromkeys((keys.tokens(), keys.owners(), keys.search()), b"hash")
        expected |= {keys.stale(): b"set", keys.unembedded(): b"zset"}
    return (yield from _inspect_types(expected))


def inspect_owner_orders(keys: Keys, names: Sequence[bytes]) -> Operation[list[Finding]]:
    """Wrong types of the orders of owners."""
    return (yield from _inspect_types(dict.fromkeys(names, b"zset"))) if names else []


def _inspect_types(expected: dict[bytes, bytes]) -> Operation[list[Finding]]:
    types = yield [single("TYPE", key) for key in expected]
    return [
        Finding(findings.WRONG_TYPE, key)
        for (key, type), found in zip(expected.items(), types, strict=True)
        if found not in (type, b"none")
    ]


def inspect_scores(
    keys: Keys, order: bytes, owner: bytes | None, ids: Sequence[bytes]
) -> Operation[list[Finding]]:
    """Faults of the scores of `ids` in `order`, which may be that of an `owner`."""
    return [
        finding
        for it in (yield summaries(keys, ids, order=order))
        for finding in _examine_score(keys, it, owner)
    ]


def _examine_score(keys: Keys, it: Summary, owner: bytes | None) -> Iterator[Finding]:
    if not it.is_listed or not it.has_right_types or it.is_expired or it.has_stray_runs:
        return  # removed meanwhile, or reported elsewhere
    fix = forgetting(keys, it.id, it.owner, owner)
    if not it.exists:
        yield Finding(findings.STRAY_SCORE, it.id, fix)
    elif owner is not None and not it.is_recorded:  # nothing else may tell its owner
        yield Finding(findings.LOST_OWNER, it.id)
    elif owner is not None and it.owner != owner:
        yield Finding(findings.WRONG_OWNER, it.id, fix)


def inspect_keys(keys: Keys, names: Sequence[bytes]) -> Operation[list[Finding]]:
    """Faults of records and lists of runs; other keys are not looked at."""
    families = [(name, *keys.family(name)) for name in names]
    ids = [id for _, family, id in families if family in (b"record", b"runs")]
    known = {it.id: it for it in ((yield summaries(keys, ids)) if ids else [])}
    found: list[Finding] = []
    for name, family, id in families:
        if family == b"record":
            found += _examine_record(keys, name, known[id])
        elif family == b"runs":
            found += _examine_runs(name, known[id])
    return found


def _examine_record(keys: Keys, name: bytes, it: Summary) -> Iterator[Finding]:
    if it.record_type not in (b"hash", b"none"):
        yield Finding(findings.WRONG_TYPE, name)
    elif it.record_type == b"hash" and it.size < 0 and not it.has_stray_runs:
        kind = findings.EXPIRED if it.is_expired else findings.STRAY_RECORD
        fix = forgetting(keys, it.id, it.owner) if it.has_right_types else None
        yield Finding(kind, it.id, fix)


def _examine_runs(name: bytes, it: Summary) -> Iterator[Finding]:
    if it.runs_type not in (b"list", b"none"):
        yield Finding(findings.WRONG_TYPE, name)
    elif it.has_stray_runs:
        yield Finding(findings.STRAY_RUNS, name)
