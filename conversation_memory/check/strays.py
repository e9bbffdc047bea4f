"""The check of the keys of an index: their types, and whether a conversation is there for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..collection.listing import forgetting
from ..keys import Keys
from ..redis_io.operations import Operation, single
from . import findings
from .findings import Finding
from .survey import Survey, survey

_SCAN_COUNT = 1000


def keys_of_index(keys: Keys, cursor: bytes) -> Operation[tuple[bytes, list[bytes]]]:
    """The next cursor, `b"0"` at the end, and some keys of ours."""
    call = ("SCAN", cursor, "MATCH", keys.pattern(), "COUNT", _SCAN_COUNT)
    cursor, found = yield single(*call)
    return cursor, found


def inspect_fixed_keys(keys: Keys, *, searches: bool) -> Operation[list[Finding]]:
    """What is wrong with the keys without which there is no index, or no search of it."""
    expected = {keys.index: b"hash", keys.order(): b"zset", keys.expiry(): b"zset"}
    if searches:
        expected |= dict.fromkeys((keys.tokens(), keys.owners(), keys.search()), b"hash")
        expected |= {keys.stale(): b"set", keys.unembedded(): b"zset"}
    types = yield [single("TYPE", key) for key in expected]
    return [
        Finding(findings.WRONG_TYPE, key)
        for (key, type), found in zip(expected.items(), types, strict=True)
        if found not in (type, b"none")
    ]


def inspect_keys(keys: Keys, names: Sequence[bytes]) -> Operation[list[Finding]]:
    """What is wrong with some keys of ours; those of other features are left to them."""
    families = [(name, *keys.family(name)) for name in names]
    ids = [id for _, family, id in families if family in (b"record", b"runs")]
    surveys = (yield survey(keys, keys.order(), ids)) if ids else []
    known = {it.id: it for it in surveys}
    found: list[Finding] = []
    for name, family, id in families:
        if family == b"record":
            found += _examine_record(keys, name, known[id])
        elif family == b"runs":
            found += _examine_runs(name, known[id])
    return found


def inspect_owner_orders(keys: Keys, names: Sequence[bytes]) -> Operation[list[Finding]]:
    """Those of the orders of owners that are none."""
    types = (yield [single("TYPE", name) for name in names]) if names else []
    pairs = zip(names, types, strict=True)
    return [
        Finding(findings.WRONG_TYPE, name) for name, type in pairs if type not in (b"zset", b"none")
    ]


def _examine_record(keys: Keys, name: bytes, it: Survey) -> Iterator[Finding]:
    if it.record not in (b"hash", b"none"):
        yield Finding(findings.WRONG_TYPE, name)
    elif it.record == b"hash" and not it.exists and not it.has_stray_runs:
        kind = findings.EXPIRED if it.is_past else findings.STRAY_RECORD
        fix = forgetting(keys, it.id, it.owner) if it.has_right_types else None
        yield Finding(kind, it.id, fix)


def _examine_runs(name: bytes, it: Survey) -> Iterator[Finding]:
    if it.runs not in (b"list", b"none"):
        yield Finding(findings.WRONG_TYPE, name)
    elif it.has_stray_runs:
        yield Finding(findings.STRAY_RUNS, name)
