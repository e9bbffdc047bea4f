"""What leaves a shard that is closed: nobody writes it any more, so it can be read in parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..exceptions import RedisMisconfigured, is_wrong_type
from ..keys import Keys
from ..layouts.resealing import as_dict
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script

LEAVING = Script("leaving")

_PART = 500
_PART_BYTES = 512 * 1024
_DERIVED = (b"token", b"tag", b"facets", b"indexed")


@dataclass(slots=True)
class Leaving:
    """A conversation as its old shard has it; times in milliseconds, 0 for never.

    `streams` are the entries of each open run and when they expire, `opened` the times of the open
    runs and their names in the list of them. `documents` are the times and vectors of its search
    documents by suffix.
    """

    id: bytes
    value: bytes | None
    score: bytes | None
    deadline: bytes | None
    record: dict[bytes, bytes]
    told: bytes | None
    open: dict[bytes, bytes]
    deadlines: Sequence[int]
    runs: list[bytes]
    checkpoints: dict[bytes, bytes]
    streams: dict[bytes, tuple[list[Any], int]] = field(default_factory=dict)
    opened: list[bytes] = field(default_factory=list)
    documents: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)

    @property
    def owner(self) -> bytes:
        return self.record.get(b"owner", b"")

    @property
    def facts(self) -> dict[bytes, bytes]:
        """The record without what belongs to search documents, which are made anew."""
        return {name: value for name, value in self.record.items() if name not in _DERIVED}


def is_left(keys: Keys, id: bytes) -> list[Command[int]]:
    """Two questions; the answer to one is above 0 if something of a conversation is left."""
    others = keys.record(id), keys.runs(id), keys.open(id), keys.checkpoints(id)
    return [single("HEXISTS", keys.index, id), single("EXISTS", *others)]


def read_leaving(keys: Keys, ids: Sequence[bytes]) -> Operation[list[Leaving | None]]:
    """Those conversations; None for one of which a key has another type."""
    replies = yield [command for id in ids for command in _reads(keys, id)]
    found: list[Leaving | None] = []
    for id, *parts in zip(ids, replies[::3], replies[1::3], replies[2::3], strict=True):
        found.append(None if None in parts else (yield from _readable(keys, id, *parts)))
    return found


def _readable(keys: Keys, id: bytes, *parts: Any) -> Operation[Leaving | None]:
    try:
        return (yield from _whole(keys, id, *parts))
    except RedisMisconfigured as error:
        if not is_wrong_type(error):
            raise
    return None


def _reads(keys: Keys, id: bytes) -> Iterator[Command[Any]]:
    own = [keys.index, keys.record(id), keys.recency(), keys.expiry(), keys.runs(id)]
    own += [keys.ids(id), keys.checkpoints(id), keys.open(id)]
    yield Command((LEAVING.call(own, [id]),), otherwise=None)
    yield single("LRANGE", keys.runs(id), 0, _PART - 1, otherwise=None)
    yield single("HSCAN", keys.checkpoints(id), 0, "COUNT", _PART, otherwise=None)


def _whole(keys: Keys, id: bytes, short: Any, runs: list[bytes], scan: Any) -> Operation[Leaving]:
    value, score, deadline, record, told, open, deadlines = short
    cursor, pairs = scan
    while cursor != b"0":
        cursor, more = yield single("HSCAN", keys.checkpoints(id), cursor, "COUNT", _PART)
        pairs = [*pairs, *more]
    if len(runs) == _PART:
        yield from _read_on(keys.runs(id), runs)
    facts = as_dict(record), told, as_dict(open), deadlines
    found = Leaving(id, value, score, deadline, *facts, runs, as_dict(pairs))
    for name in found.open:
        if name.startswith(b"state:"):
            yield from _read_reply(keys, found, name[6:])
    if b"token" in found.record:
        yield from _read_documents(keys, found)
    return found


def _read_on(key: bytes, texts: list[bytes]) -> Operation[None]:
    size, part = sum(map(len, texts)), texts
    while part:
        count = max(1, min(10 * _PART, 8 * _PART_BYTES * len(texts) // max(1, size)))
        part = yield single("LRANGE", key, len(texts), len(texts) + count - 1)
        texts += part
        size += sum(map(len, part))


def _read_reply(keys: Keys, found: Leaving, run: bytes) -> Operation[None]:
    key, name = keys.chunks(found.id, run), keys.reply(found.id, run)
    begun, expires = yield [single("ZSCORE", keys.opened(), name), single("PEXPIRETIME", key)]
    if begun is not None:
        found.opened += [b"%d" % float(begun), name]
    entries: list[Any] = []
    while part := (yield single("XRANGE", key, _behind(entries), "+", "COUNT", _PART)):
        entries += part
    if entries:
        found.streams[run] = entries, max(0, expires)


def _behind(entries: Sequence[Any]) -> bytes:
    return b"(" + entries[-1][0] if entries else b"-"


def _read_documents(keys: Keys, found: Leaving) -> Operation[None]:
    token, cursor = found.record[b"token"], b""
    while cursor != b"0":
        registry = keys.registry(token), cursor or b"0", "COUNT", _PART
        found_some = yield single("SSCAN", *registry, otherwise=None)
        cursor, suffixes = found_some or (b"0", [])
        calls: list[Command[Any]] = [
            single("HMGET", keys.document(token, suffix), "t", "v", otherwise=[None, None])
            for suffix in suffixes
        ]
        for suffix, (time, vector) in zip(suffixes, (yield calls) if calls else [], strict=True):
            if time is not None:
                found.documents[suffix] = time, vector or b""
