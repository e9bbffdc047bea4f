"""Pools of connections to the master that Sentinels name, or to its replicas.

redis-py asks Sentinel when it opens a connection. After SENTINEL FAILOVER, the old master accepts
writes for some ten seconds more, and loses them. So these pools ask again every now and then.
"""

import time
from contextlib import suppress
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.exceptions import RedisError

_ASK_EVERY = 0.2  # in seconds; at most so often, and only if there is something to send


class MasterPool(redis.sentinel.SentinelConnectionPool):
    """A pool that notices when the master is another."""

    _asked = 0.0

    def get_connection(self, *args: Any, **options: Any) -> Any:
        if self.is_master and self.master_address and _is_due(self):
            with suppress(RedisError):  # without Sentinels, the master that was known counts
                # It closes idle connections to another one.
                self.get_master_address()  # type: ignore[no-untyped-call]
        return super().get_connection(*args, **options)


class BlockingMasterPool(MasterPool, redis.BlockingConnectionPool):
    """A pool in which one request more than there are connections waits instead of failing."""


class AsyncMasterPool(redis.asyncio.sentinel.SentinelConnectionPool):
    """See MasterPool."""

    _asked = 0.0

    async def get_connection(self, *args: Any, **options: Any) -> Any:
        if self.is_master and self.master_address and _is_due(self):
            with suppress(RedisError):
                await self.get_master_address()  # type: ignore[no-untyped-call]
        return await super().get_connection(*args, **options)  # type: ignore[no-untyped-call]


class AsyncBlockingMasterPool(AsyncMasterPool, redis.asyncio.BlockingConnectionPool):
    """See BlockingMasterPool."""


def unlimited(kind: type[Any]) -> type[Any]:
    """The class of pools like `kind` that may have any number of connections."""
    unlimited = {BlockingMasterPool: MasterPool, AsyncBlockingMasterPool: AsyncMasterPool}
    return unlimited.get(kind, kind)


def _is_due(pool: Any) -> bool:
    now = time.monotonic()
    if now - pool._asked < _ASK_EVERY:
        return False
    pool._asked = now
    return True
