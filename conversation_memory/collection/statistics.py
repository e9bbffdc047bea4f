"""Size and activity of an index, and the further indexes of its server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..clock import moment
from ..conf import IndexSettings
from ..exceptions import RedisDenied, RedisMisconfigured
from ..keys import Keys, decode
from ..redis_io.operations import Command, Operation, info, single
from .listing import counting, score
from .summaries import Summary, shown

# The number of random conversations that are measured, and of those whose keys are weighed.
SAMPLE = 500
_WEIGHED = 50
# MEMORY USAGE extrapolates the size of a hash from so many fields.
_FIELDS_WEIGHED = 50

# 10,000 keys are about 2 ms of server time for a SCAN.
_KEYS_A_STEP = 10_000
_MOST_STEPS = 100

_shard = re.compile(r"(.+):\d+(?:\.\d+)?:\d{2,3}", re.DOTALL | re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Statistics:
    """The size and activity of an index."""

    conversations: int
    newest: datetime | None = None  # the last write to any of them
    active: list[int] = field(default_factory=list)  # last written to in each requested span
    sizes: list[int] = field(default_factory=list)  # of a sample, in bytes
    # None where the Redis user may not ask.
    memory: int | None = None  # an estimate in bytes
    version: str | None = None  # like "Redis 7.4.1"
    open_runs: int = 0  # waiting, being written, failed or cancelled


@dataclass(frozen=True, slots=True)
class Discovery:
    """Names of hashes that INDEXES matches, sorted; incomplete if the server has too many keys."""

    names: list[str]
    is_complete: bool = True


def statistics(keys: Keys, edges: Sequence[int], sampled: int = SAMPLE) -> Operation[Statistics]:
    order = keys.recency()
    spans: list[Command[int]] = [
        single("ZCOUNT", order, start, f"({end}")
        for start, end in zip(edges, edges[1:], strict=False)
    ]
    newest = single("ZREVRANGE", order, 0, 0, "WITHSCORES", decode=score)
    random: Command[list[bytes]] = single("HRANDFIELD", keys.index, sampled)
    opened: Command[int] = single("ZCARD", keys.opened(), otherwise=0)
    asked: list[Command[Any]] = [counting(keys), newest, random, opened, *spans]
    conversations, last, ids, open_runs, *active = yield asked
    sample = yield from shown(keys, ids, glances=False)
    memory = None
    with suppress(RedisDenied, RedisMisconfigured):  # the server may refuse MEMORY USAGE
        memory = yield from _memory(keys, sample[:_WEIGHED], conversations)
    sizes, version = [summary.bytes for summary in sample], (yield from _version())
    return Statistics(conversations, moment(last), active, sizes, memory, version, open_runs)


def discover(settings: IndexSettings) -> Operation[Discovery]:
    """The hashes that INDEXES of `settings` matches, among a million keys at most."""
    exact = [name for name in settings.indexes if not set(name) & set("*?")]
    if settings.cluster:  # each may be on another node
        return Discovery(sorted({*exact}))
    patterns = [pattern for pattern in settings.indexes if set(pattern) & set("*?")]
    types = (yield [single("TYPE", Keys(name).index) for name in exact]) if exact else []
    names = {name for name, type in zip(exact, types, strict=True) if type == b"hash"}
    cursors = dict.fromkeys(patterns, b"0")
    for _ in range(_MOST_STEPS):
        if not cursors:
            break
        replies = yield [
            single("SCAN", cursor, "MATCH", pattern, "COUNT", _KEYS_A_STEP, "TYPE", "hash")
            for pattern, cursor in cursors.items()
        ]
        for pattern, (cursor, found) in zip(list(cursors), replies, strict=True):
            names |= {decode(name) for name in found}
            cursors[pattern] = cursor
        cursors = {pattern: cursor for pattern, cursor in cursors.items() if cursor != b"0"}
    ours = {name for name in names if settings.covers(name) and not set(name) & set("{}")}
    return Discovery(sorted(ours - (yield from _shards(ours))), not cursors)


def _shards(names: Iterable[str]) -> Operation[set[str]]:
    """Those that are shards of an index, which has their number where its hash would be."""
    wholes = {name: match[1] for name in names if (match := _shard(name))}
    known = [*{*wholes.values()}]
    if not known:
        return set()
    numbers = yield [single("GET", Keys(name).shards(), otherwise=None) for name in known]
    sharded = {name for name, number in zip(known, numbers, strict=True) if number}
    return {name for name, whole in wholes.items() if whole in sharded}


def _memory(keys: Keys, sample: Sequence[Summary], conversations: int) -> Operation[int]:
    """Estimated bytes: the shared keys, and all conversations as those of a sample."""
    shared: list[Command[int | None]] = [
        single("MEMORY", "USAGE", keys.index, "SAMPLES", _FIELDS_WEIGHED),
        single("MEMORY", "USAGE", keys.recency()),
        single("MEMORY", "USAGE", keys.expiry()),
    ]
    own: list[Command[int | None]] = [
        single("MEMORY", "USAGE", key, "SAMPLES", _FIELDS_WEIGHED)
        for summary in sample
        for key in (keys.record(summary.id), keys.runs(summary.id))
    ]
    index, order, expiry, *each = [size or 0 for size in (yield [*shared, *own])]
    owned = sum(summary.owner is not None for summary in sample)
    share = conversations / len(sample) if sample else 0
    # Each owned conversation is in a second recency index, that of its owner.
    return int(index + order + expiry + share * sum(each) + order * owned / max(1, len(sample)))


def _version() -> Operation[str | None]:
    lines = yield from info("server")
    for name in ("valkey", "dragonfly", "redis"):
        if version := lines.get(f"{name}_version"):
            return f"{name.capitalize()} {version}"
    return "" if lines else None
