"""What arrives in a shard: nobody sees a part of it before it is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from ..exceptions import ConversationConflict, ConversationMemoryError
from ..keys import Keys
from ..layouts import ConversationRef, Layout
from ..layouts.long_lists import STAGED_MS, split_by_bytes
from ..layouts.proof import proven
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from ..search.reindex import catch_up
from ..search_index.run_documents import fresh_token
from .leaving import Leaving

ARRIVE = Script("arrive")
ARRIVE_ITEMS = Script("arrive_items")
CARRY = Script("carry")
STAGE_ITEMS = Script("stage_items")

Failure = Callable[[ConversationMemoryError], object]

_PART, _PART_BYTES = 500, 512 * 1024
_CARRIED = 100
_ATTEMPTS = 3
_LATE = "was not moved: it took too long"
_ELSEWHERE = "has other content in its new shard, where another program wrote it"


def take_in(layout: Layout, several: Sequence[Leaving], failure: Failure) -> Operation[set[bytes]]:
    """Take in conversations. Returns the ids of those that are here now, or were before."""
    yield from layout.indexer()  # RediSearch needs its index before the first write
    if layout.sealing is not None:
        yield from proven(layout.keys, layout.alias)
    here, refusals = set[bytes](), dict[bytes, str]()
    left = [*several]
    for _ in range(_ATTEMPTS):
        steps = [[*_staging(layout.keys, it, fresh_token())] for it in left]
        replies: list[Any] = (yield [*chain(*steps)]) if steps else []
        for it, step in zip(left, steps, strict=True):
            reply, replies = replies[len(step) - 1], replies[len(step) :]
            if reply >= 0:
                here.add(it.id)
            refusals[it.id] = _ELSEWHERE if reply == -1 else _LATE
        left = [it for it in left if it.id not in here]
    for it in left:
        failure(layout._error(ConversationConflict, ConversationRef(it.id), refusals[it.id]))
    yield from catch_up(layout, [*here], bool)
    for it in several:
        if it.documents and it.id in here:
            yield from _carry(layout, it)
    return here


def _staging(keys: Keys, it: Leaving, token: bytes) -> Iterator[Command[Any]]:
    """The commands that bring everything here; a repetition of all of them does no harm."""
    _, runs_end, ids_end, checkpoints_end, open_end = it.deadlines
    staged: list[tuple[bytes, bytes, int]] = []

    def stage(name: bytes, key: bytes, expires: int, calls: Iterable[Sequence[Any]]) -> Any:
        place = keys.arriving(token, name)
        staged.append((place, key, expires))
        yield single("UNLINK", place)
        for verb, *args in calls:
            yield Command(((verb, place, *args), ("PEXPIRE", place, STAGED_MS)))

    if it.runs:
        parts = split_by_bytes(it.runs, len, _PART_BYTES, _PART)
        calls: Iterable[Sequence[Any]] = (("RPUSH", *part) for part in parts)
        yield from stage(b"runs", keys.runs(it.id), runs_end, calls)
    if it.checkpoints:
        calls = (("HSET", *part) for part in _pairs(it.checkpoints))
        yield from stage(b"checkpoints", keys.checkpoints(it.id), checkpoints_end, calls)
    for run, (entries, end) in it.streams.items():
        calls = (("XADD", id, *fields) for id, fields in entries)
        yield from stage(b"chunks:" + run, keys.chunks(it.id, run), end, calls)
    own = [keys.content(it.id), keys.record(it.id), keys.recency(), keys.expiry()]
    own += [keys.recency(it.owner), keys.ids(it.id), keys.open(it.id), keys.opened()]
    names = [name for place, key, _ in staged for name in (place, key)]
    facts, opened = _flat(it.facts), _flat(it.open)
    args = [it.id, int(it.value is not None), it.value or b"", it.deadlines[0]]
    args += [it.score or b"", it.deadline or b"", int(bool(it.owner)), it.told or b"", ids_end]
    args += [open_end, len(facts), len(opened), len(it.opened), *facts, *opened, *it.opened]
    args += [expires for *_, expires in staged]
    yield Command((ARRIVE.call([*own, keys.arrived(), *names], args),))


def _carry(layout: Layout, it: Leaving) -> Operation[None]:
    """Give the search documents, which were made anew, the times and vectors of the former ones."""
    token = yield single("HGET", layout.keys.record(it.id), "token")
    if token is None:
        return
    known = [*it.documents.items()]
    for start in range(0, len(known), _CARRIED):
        part = known[start : start + _CARRIED]
        keys = [layout.keys.document(token, suffix) for suffix, _ in part]
        args = [value for _, pair in part for value in pair]
        yield Command((CARRY.call([layout.keys.unembedded(), *keys], args),))


def take_in_items(
    keys: Keys, owner: bytes, spaces: dict[bytes, dict[bytes, bytes]]
) -> Operation[bool]:
    """Take in the items of an owner by namespace. Returns False if there are others here."""
    for _ in range(_ATTEMPTS):
        token, steps, names = fresh_token(), list[Command[Any]](), list[bytes]()
        for number, (space, items) in enumerate(spaces.items()):
            place = keys.arriving(token, b"%d" % number)
            names += [place, keys.items(owner, space), keys.times(owner, space)]
            steps.append(single("UNLINK", place))
            parts = ([STAGED_MS, *part] for part in _pairs(items))
            steps += [Command((STAGE_ITEMS.call([place], part),)) for part in parts]
        own = [keys.namespaces(owner), keys.arrived(), keys.content(owner), *names]
        steps.append(Command((ARRIVE_ITEMS.call(own, [_arrived_items(owner), *spaces]),)))
        reply = (yield steps)[-1]
        if reply != -2:
            return bool(reply != -1)
    return False


def note_arrived(keys: Keys, ids: Sequence[bytes]) -> Operation[None]:
    """Let these conversations not arrive: they are deleted where they are."""
    yield single("SADD", keys.arrived(), *(b"conversation:" + id for id in ids))


def closed_for_late(keys: Keys) -> Operation[None]:
    """Let nothing arrive any more that was read before everything had moved."""
    key = keys.arrived()
    yield Command((("UNLINK", key), ("SET", key, "over")))


def _arrived_items(owner: bytes) -> bytes:
    return b"items:" + owner  # conversations have another beginning; see arrive.lua


def _pairs(values: dict[bytes, bytes]) -> Iterator[list[bytes]]:
    """The names and values, in parts for a command each."""
    for part in split_by_bytes(values.items(), lambda it: len(it[1]), _PART_BYTES, _PART):
        yield [text for pair in part for text in pair]


def _flat(values: dict[bytes, bytes]) -> list[bytes]:
    return [text for pair in values.items() for text in pair]
