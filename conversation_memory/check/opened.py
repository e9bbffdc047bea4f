"""The check of open runs and checkpoints: a conversation for each, and open runs are listed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..keys import Keys
from ..redis_io.operations import Command, Operation, single
from ..replies.open_runs import ReplyState
from . import findings
from .conversations import inspect_types
from .findings import Finding

_TYPES = {
    b"open": b"hash",
    b"chunks": b"stream",
    b"checkpoints": b"hash",
    b"items": b"hash",
    b"times": b"zset",
}


def inspect_replies(keys: Keys, names: Sequence[bytes]) -> Operation[list[Finding]]:
    """Find faults of open runs, their chunks, checkpoints and items among the keys `names`."""
    own = {name: keys.family(name) for name in names}
    own = {name: family for name, family in own.items() if family[0] in _TYPES}
    found = yield from inspect_types({name: _TYPES[kind] for name, (kind, _) in own.items()})
    wrong = {finding.name for finding in found}
    for name, (kind, rest) in own.items():
        if name not in wrong and kind in _INSPECTIONS:
            found += yield from _INSPECTIONS[kind](keys, name, rest)
    return found


def _inspect_open(keys: Keys, name: bytes, id: bytes) -> Operation[list[Finding]]:
    exists, flat = yield [
        single("HEXISTS", keys.content(id), id),
        single("HGETALL", name, otherwise=[]),
    ]
    fields = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
    runs = [field[9:] for field in fields if field.startswith(b"question:")]
    if runs and not exists:
        return [Finding(findings.STRAY_REPLY, name)]
    if not runs:
        return []
    scores = yield single("ZMSCORE", keys.opened(), *(keys.reply(id, run) for run in runs))
    return [*_unlisted(keys, name, id, fields, dict(zip(runs, scores, strict=True)))]


def _unlisted(
    keys: Keys, name: bytes, id: bytes, fields: Mapping[bytes, bytes], scores: Mapping[bytes, Any]
) -> Iterator[Finding]:
    for run, score in scores.items():
        state = ReplyState.read(fields.get(b"state:" + run))
        fix: Command[Any] | None = None
        if state is not None:  # without it, nobody can claim the run
            fix = single("ZADD", keys.opened(), "NX", state.begun, keys.reply(id, run))
        if state is None or score is None:
            yield Finding(findings.STRAY_REPLY, name, fix)


def _inspect_chunks(keys: Keys, name: bytes, reply: bytes) -> Operation[list[Finding]]:
    ids = keys.read_reply(reply)
    if ids is None:
        return [Finding(findings.STRAY_REPLY, name)]
    id, run = ids
    # Those of a run that is settled expire within minutes.
    state, ttl = yield [
        single("HEXISTS", keys.open(id), b"state:" + run, otherwise=1),
        single("PTTL", name),
    ]
    return [] if state or ttl != -1 else [Finding(findings.STRAY_REPLY, name)]


def _inspect_checkpoints(keys: Keys, name: bytes, id: bytes) -> Operation[list[Finding]]:
    exists = yield single("HEXISTS", keys.content(id), id)
    return [] if exists else [Finding(findings.STRAY_CHECKPOINTS, name)]


_INSPECTIONS = {
    b"open": _inspect_open,
    b"chunks": _inspect_chunks,
    b"checkpoints": _inspect_checkpoints,
}
