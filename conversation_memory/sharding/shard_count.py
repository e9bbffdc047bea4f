"""The number of shards, which Redis keeps where the hash would be of an index that has none.

So whatever takes the index for a hash fails: an alias without SHARDS, or a stock driver.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from ..exceptions import (
    InvalidIndexError,
    RedisDenied,
    RedisMisconfigured,
    RedisReadOnly,
    RedisUnavailable,
    is_wrong_type,
)
from ..keys import Keys, shard_name
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script

SPREAD = Script("spread")
CLOSE = Script("close")

WHOLE = "1"  # the index itself, without shards
OVER = "over"  # instead of the hash of a shard that everything has left

_number = r"[1-9]\d{0,2}(?:\.\d+)?"
_noted = re.compile(rf"(?:({_number})>)?({_number})", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Spread:
    """Over which shards an index is spread, and `before` it moved there; '' once it has.

    Both are numbers of shards, with `.2` behind one that the index had before, and so on.
    """

    now: str
    before: str = ""

    def __str__(self) -> str:
        return f"{self.before}>{self.now}" if self.before else self.now

    @property
    def number(self) -> int:
        return int(self.now.partition(".")[0])


def shard_names(index: str, spread: str) -> list[str]:
    """The names of the shards: that of the index, if it has none."""
    if spread == WHOLE:
        return [index]
    return [shard_name(index, spread, n) for n in range(int(spread.partition(".")[0]))]


def noted_spread(keys: Keys, alias: str, shards: int) -> Operation[Spread]:
    """What Redis keeps. A new index gets so many shards."""
    try:
        known = yield single("GET", keys.shards())
        if known is None:
            with suppress(RedisReadOnly, RedisDenied):  # the first who may write keeps it
                yield single("SETNX", keys.shards(), shards)
                known = yield single("GET", keys.shards())
    except RedisMisconfigured as error:
        if not is_wrong_type(error):
            raise
        return Spread(WHOLE)
    if known is None:
        return Spread(str(shards))
    noted = _noted(known.decode("ascii", "replace"))
    if noted is None:
        raise InvalidIndexError(
            f"Index {keys.name!r} of alias {alias!r} has SHARDS, but Redis has {known[:20]!r} "
            "instead of their number. Use another INDEX."
        )
    return Spread(noted[2], noted[1] or "")


def note_spread(keys: Keys, before: Spread, now: Spread) -> Operation[bool]:
    """Note a change. Returns False if Redis has something else than `before`."""
    args = [str(before), str(now)]
    return bool((yield Command((SPREAD.call([keys.shards(), keys.leaving()], args),))))


def has_traces(keys: Keys) -> Operation[bool]:
    """True if there was a shard of that name before, or another program has written there."""
    return bool((yield single("EXISTS", keys.shards(), keys.arrived(), keys.recency())))


def closed(keys: Keys) -> Operation[None]:
    """Make sure that nobody writes to a shard any more as if it were not left."""
    with suppress(RedisMisconfigured):
        if (yield single("GET", keys.shards())) is not None:
            return
    if not (yield Command((CLOSE.call([keys.shards(), keys.leaving()], [OVER]),))):
        raise InvalidIndexError(
            f"Another program has written to {keys.name!r} while its conversations moved into "
            f"other shards. Rename that hash, and give its conversations other ids."
        )


def moving_error(keys: Keys, alias: str, moving: Spread) -> RedisUnavailable:
    """The error for what has to wait until everything has moved."""
    return RedisUnavailable(
        f"Index {keys.name!r} of alias {alias!r} is being moved into {moving.number} shards. Call "
        "this again when `convertconversations --shards` has ended."
    )
