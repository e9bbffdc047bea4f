"""Pools of connections to the master that Sentinels name, or to its replicas.

redis-py asks Sentinel when it opens a connection. After SENTINEL FAILOVER, the old master accepts
writes for some ten seconds more, and loses them. So these pools ask again and again, all Sentinels:
only the one that leads a failover knows of it before a replica is promoted.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from .traffic import AsyncTimedPool, TimedPool

# In seconds. A leader takes some 0.1 to 0.3 s until it promotes a replica.
_ASK_EVERY = 0.05  # at most so often, and only if there is something to send
_PATIENCE = 3.0  # how long a call waits for the end of a failover
_REST = 5.0  # for a Sentinel that did not answer

_SILENT = (RedisConnectionError, RedisTimeoutError, ResponseError)


class FailoverInProgress(redis.sentinel.MasterNotFoundError):
    """A Sentinel is about to promote a replica, or has done so and not said it yet."""


class MasterSentinel(redis.sentinel.Sentinel):
    """Sentinels of which the one with the newest configuration names the master."""

    def discover_master(self, service_name: str) -> Any:
        states, errors = [], []
        for sentinel in _awake(self) or _all(self):
            try:
                states.append(sentinel.sentinel_master(service_name))
            except _SILENT as error:
                sentinel.rests_until = time.monotonic() + _REST
                errors.append(error)
        return _newest(self, states, errors, service_name)


class AsyncMasterSentinel(redis.asyncio.sentinel.Sentinel):
    """See MasterSentinel."""

    async def discover_master(self, service_name: str) -> Any:
        states, errors = [], []
        for sentinel in _awake(self) or _all(self):
            try:
                states.append(await sentinel.sentinel_master(service_name))
            except _SILENT as error:
                sentinel.rests_until = time.monotonic() + _REST
                errors.append(error)
        return _newest(self, states, errors, service_name)


def _awake(manager: Any) -> list[Any]:
    now = time.monotonic()
    return [it for it in _all(manager) if getattr(it, "rests_until", 0.0) <= now]


def _all(manager: Any) -> list[Any]:
    return list(manager.sentinels)


def _newest(
    manager: Any, states: Sequence[Any], errors: Sequence[Exception], service: str
) -> tuple[str, int]:
    if any("failover_in_progress" in state["flags"] for state in states):
        raise FailoverInProgress(f"No master found for {service!r}: a failover is in progress")
    known = [state for state in states if manager.check_master_state(state, service)]
    if not known:
        reasons = "; ".join(map(repr, errors)) or "it is down"
        raise redis.sentinel.MasterNotFoundError(f"No master found for {service!r}: {reasons}")
    newest = max(known, key=lambda state: int(state["config-epoch"]))
    return newest["ip"], newest["port"]


class MasterPool(redis.sentinel.SentinelConnectionPool):
    """A pool that notices when the master is another, and waits while nobody knows."""

    is_failing_over = False
    _asked = 0.0

    def get_connection(self, *args: Any, **options: Any) -> Any:
        patient_until = time.monotonic() + _PATIENCE
        while self.is_master and self.master_address:
            if _is_due(self):
                self._ask()
            if _may_go_on(self, patient_until):
                break
            time.sleep(_ASK_EVERY)
        return super().get_connection(*args, **options)

    def _ask(self) -> None:
        try:
            # It closes idle connections to another one.
            self.get_master_address()  # type: ignore[no-untyped-call]
            self.is_failing_over = False
        except FailoverInProgress:
            self.is_failing_over = True
        except _SILENT:  # without Sentinels, the master that was known counts
            self.is_failing_over = False


class BlockingMasterPool(MasterPool, TimedPool):
    """A pool in which one request more than there are connections waits instead of failing."""


class AsyncMasterPool(redis.asyncio.sentinel.SentinelConnectionPool):
    """See MasterPool."""

    is_failing_over = False
    _asked = 0.0

    async def get_connection(self, *args: Any, **options: Any) -> Any:
        patient_until = time.monotonic() + _PATIENCE
        while self.is_master and self.master_address:
            if _is_due(self):
                await self._ask()
            if _may_go_on(self, patient_until):
                break
            await asyncio.sleep(_ASK_EVERY)
        return await super().get_connection(*args, **options)  # type: ignore[no-untyped-call]

    async def _ask(self) -> None:
        try:
            await self.get_master_address()  # type: ignore[no-untyped-call]
            self.is_failing_over = False
        except FailoverInProgress:
            self.is_failing_over = True
        except _SILENT:
            self.is_failing_over = False


class AsyncBlockingMasterPool(AsyncMasterPool, AsyncTimedPool):
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
    if not _awake(pool.sentinel_manager):  # the master that was known counts
        pool.is_failing_over = False
        return False
    return True


def _may_go_on(pool: Any, patient_until: float) -> bool:
    if pool.is_failing_over and time.monotonic() > patient_until:
        raise FailoverInProgress("No master found: a failover is in progress")
    return not pool.is_failing_over
