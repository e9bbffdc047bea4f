"""The number of shards, which Redis keeps where the hash would be of an index that has none.

So whatever takes the index for a hash fails: an alias without SHARDS, or a stock driver.
"""

from contextlib import suppress

from ..exceptions import (
    InvalidIndexError,
    RedisDenied,
    RedisMisconfigured,
    RedisReadOnly,
    is_wrong_type,
)
from ..keys import Keys
from ..redis_io.operations import Operation, single

_MOVE = (
    "To change the number, dump the index with the settings that it has, and load the archive "
    "into an index of another name."
)


def check_shards(keys: Keys, alias: str, shards: int) -> Operation[None]:
    """Keep the number of a new index. Raises `InvalidIndexError` if it has another one."""
    try:
        known = yield single("GET", keys.shards())
        if known is None:
            with suppress(RedisReadOnly, RedisDenied):  # the first who may write keeps it
                yield single("SETNX", keys.shards(), shards)
                known = yield single("GET", keys.shards())
    except RedisMisconfigured as error:
        if not is_wrong_type(error):
            raise
        raise InvalidIndexError(
            f"Index {keys.name!r} of alias {alias!r} has no shards: remove SHARDS. {_MOVE}"
        ) from None
    if known not in (None, b"%d" % shards):
        raise InvalidIndexError(
            f"Index {keys.name!r} of alias {alias!r} has {known.decode('ascii', 'replace')[:20]} "
            f"shards in Redis, and SHARDS is {shards}. {_MOVE}"
        )
