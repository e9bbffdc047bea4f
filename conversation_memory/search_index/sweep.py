"""Deleting the search documents of conversations that no longer exist."""

from collections.abc import Sequence
from typing import Any

from ..keys import NO_CALL, Keys
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script

SWEEP = Script("sweep")
ORPHANS = Script("orphans")

# The commands of a sweep.
SWEEPS = [*SWEEP.commands, *ORPHANS.commands, "HSCAN", "SCAN", "SSCAN", "HMGET", "SREM"]

PARTLY = -1  # what sweep.lua returns if some of the documents are left

_TOKENS = 500
_SCANNED = 1000
_KEYS = 400  # documents that a script looks at


def sweep(keys: Keys) -> Operation[int]:
    """Delete the documents of conversations that another program deleted. Returns how many."""
    cursor, swept = None, 0
    while cursor != b"0":
        cursor, tokens = yield from tokens_of(keys, cursor or b"0")
        swept += yield from sweep_tokens(keys, (yield from strays(keys, tokens)))
    yield from sweep_stale(keys)
    return swept


def sweep_tokens(keys: Keys, pairs: Sequence[tuple[bytes, bytes]]) -> Operation[int]:
    """Delete the documents of tokens without a conversation. Returns how many had some."""
    swept, left = 0, [sweeping(keys, token, id) for token, id in pairs]
    while left:
        replies = yield left
        swept += replies.count(1)
        left = [it for it, reply in zip(left, replies, strict=True) if reply == PARTLY]
    return swept


def finished(keys: Keys, ids: Sequence[bytes], replies: Sequence[Any]) -> Operation[list[Any]]:
    """The replies to deletions, 1 for those that have left documents, which are deleted here."""
    pairs = zip(replies, ids, strict=True)
    yield from sweep_tokens(keys, [pair for pair in pairs if isinstance(pair[0], bytes)])
    return [1 if isinstance(reply, bytes) else reply for reply in replies]


def sweep_stale(keys: Keys) -> Operation[None]:
    """Delete the documents that a deletion has left, and forget stale tokens without any."""
    cursor = None
    while cursor != b"0":
        cursor, tokens = yield single("SSCAN", keys.stale(), cursor or b"0", "COUNT", _TOKENS)
        if not tokens:
            continue
        yield from sweep_tokens(keys, (yield from strays(keys, tokens)))
        ids = yield single("HMGET", keys.tokens(), *tokens)
        lost = [token for token, id in zip(tokens, ids, strict=True) if id is None]
        if lost:
            yield single("SREM", keys.stale(), *lost)


def tokens_of(keys: Keys, cursor: bytes) -> Operation[tuple[bytes, list[bytes]]]:
    """The next cursor, `b"0"` at the end, and some tokens."""
    cursor, flat = yield single("HSCAN", keys.tokens(), cursor, "COUNT", _TOKENS)
    return cursor, flat[::2]


def strays(keys: Keys, tokens: Sequence[bytes]) -> Operation[list[tuple[bytes, bytes]]]:
    """Those of `tokens` that no conversation seems to have, each with its conversation id."""
    ids = (yield single("HMGET", keys.tokens(), *tokens)) if tokens else []
    pairs = [(token, id) for token, id in zip(tokens, ids, strict=True) if id is not None]
    if not pairs:
        return []
    looks: list[Command[Any]] = [
        single("HGET", keys.record(id), "token", otherwise=None) for _, id in pairs
    ]
    looks += [single("HEXISTS", keys.content(id), id) for _, id in pairs]
    found = yield looks
    both = zip(pairs, found, found[len(pairs) :], strict=False)
    return [pair for pair, token, exists in both if token != pair[0] or not exists]


def sweeping(keys: Keys, token: bytes, id: bytes, *, asks: bool = False) -> Command[int]:
    """Delete the documents of a token; with `asks`, only tell if that would be done.

    They are kept if a conversation has the token by now, such as one that was renamed.
    """
    args = [id, b"", token, *([b"ask"] if asks else [])]
    return Command((SWEEP.call(keys.of(id, None, NO_CALL), args),), otherwise=0)


def sweep_orphans(keys: Keys) -> Operation[int]:
    """Delete the documents that no conversation lists. Scans every key of the server once."""
    cursor, swept, pattern = None, 0, keys.pattern(keys.documents())
    while cursor != b"0":
        cursor, names = yield single("SCAN", cursor or b"0", "MATCH", pattern, "COUNT", _SCANNED)
        if names:
            swept += sum((yield orphans(keys, names)))
    return swept


def orphans(keys: Keys, names: Sequence[bytes], *, asks: bool = False) -> list[Command[Any]]:
    """Delete those of the documents `names` that are orphans; with `asks`, only name them."""
    what = b"ask" if asks else b"delete"
    parts = [names[start : start + _KEYS] for start in range(0, len(names), _KEYS)]
    return [Command((ORPHANS.call([keys.root], [what, *part]),)) for part in parts]
