"""What the running operation exchanges with Redis, counted only while somebody observes it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from queue import Empty, Full
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.observability.providers import get_observability_instance


@dataclass(slots=True)
class Traffic:
    """Counts of one operation, in bytes and seconds.

    `conflicts` are attempts at a write that another writer came before, `retries` calls that lost
    their connection and are sent again, `waited` the time until there was a connection.
    """

    round_trips: int = 0
    sent: int = 0
    received: int = 0
    conflicts: int = 0
    retries: int = 0
    waited: float = 0.0


# An operation may run in tasks and threads of its own, which have a copy of the context and so
# the same object.
current: ContextVar[Traffic | None] = ContextVar("conversation_memory_traffic", default=None)


def note_exchange(calls: Sequence[Sequence[Any]], replies: Sequence[Any]) -> None:
    """Count a round trip."""
    if (traffic := current.get()) is not None:
        traffic.round_trips += 1
        traffic.sent += sum(map(size_of, calls))
        traffic.received += size_of(replies)


def note_conflict(is_one: bool) -> None:
    """Count an attempt that has to be repeated, if it is because another writer came before."""
    if is_one and (traffic := current.get()) is not None:
        traffic.conflicts += 1


def note_retry() -> None:
    """Count a call that lost its connection."""
    if (traffic := current.get()) is not None:
        traffic.retries += 1


def size_of(value: Any) -> int:
    """The bytes of the texts in a call or a reply, without the protocol around them."""
    if isinstance(value, bytes | str):
        return len(value)
    if isinstance(value, dict):
        return size_of([*value, *value.values()])
    if not isinstance(value, list | tuple):
        return 0
    if {*map(type, value)} == {bytes}:  # the usual reply of many, in short
        return sum(map(len, value))
    return sum(map(size_of, value))


@contextmanager
def _waiting() -> Iterator[None]:
    traffic, start = current.get(), time.perf_counter()
    try:
        yield
    finally:
        if traffic is not None:
            traffic.waited += time.perf_counter() - start


class TimedPool(redis.BlockingConnectionPool):
    """A pool that counts the time until a connection is free or open.

    It takes and returns an open connection without the preparations that others need.
    """

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        connection = self._open_connection()
        if connection is not None:
            return connection
        with _waiting():
            return super().get_connection(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _is_quick(self) -> bool:
        """False in a process that has forked, and where redis-py does more with a connection."""
        is_usual = self.cache is None and not getattr(self, "_in_maintenance", True)
        return is_usual and self.pid == os.getpid() and not are_counted()

    def _open_connection(self) -> Any:
        """A free connection that is open, if there is one."""
        if not self._is_quick():
            return None
        try:
            connection = self.pool.get_nowait()
        except Empty:
            return None
        is_ready = False
        try:
            with suppress(OSError, RedisConnectionError, RedisTimeoutError):
                is_ready = bool(connection and connection._sock and not connection.can_read())
        finally:
            if not is_ready:
                self.pool.put_nowait(connection)  # redis-py takes the same one, and connects it
        return connection if is_ready else None

    def release(self, connection: Any) -> None:
        is_kept = self.owns_connection(connection) and not connection.should_reconnect()
        if not is_kept or not self._is_quick():
            return super().release(connection)  # type: ignore[no-untyped-call, no-any-return]
        with suppress(Full):
            self.pool.put_nowait(connection)


class AsyncTimedPool(redis.asyncio.BlockingConnectionPool):
    """See TimedPool. Takes and gives back a connection without locks if nobody waits for one."""

    _queue = 0  # how many wait

    async def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        if current.get() is None:
            return await self._free_connection()
        with _waiting():
            return await self._free_connection()

    def _is_quick(self) -> bool:
        return not (self._in_maintenance or are_counted())

    async def _free_connection(self) -> Any:
        if not self._available_connections or not self._is_quick():
            return await self._free_or_new_connection()
        connection = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def _free_or_new_connection(self) -> Any:
        if self.can_get_connection():
            with suppress(MaxConnectionsError):
                return await redis.asyncio.ConnectionPool.get_connection(self)  # type: ignore[no-untyped-call]
        self._queue += 1
        try:
            return await super().get_connection()  # type: ignore[no-untyped-call]
        finally:
            self._queue -= 1

    async def release(self, connection: Any) -> None:
        # A provider may have new credentials for a connection, which redis-py sends then.
        is_kept = connection.credential_provider is None and not connection.should_reconnect()
        if self._queue or not is_kept or not self._is_quick():
            await super().release(connection)
            if self._queue:  # or the caller would always be the next to have it
                await asyncio.sleep(0)
            return
        self._in_use_connections.remove(connection)
        self._available_connections.append(connection)

    async def ensure_connection(self, connection: Any) -> None:
        if not connection.is_connected or await connection.can_read():
            await super().ensure_connection(connection)


def are_counted() -> bool:
    """True if the metrics of redis-py count the connections of pools."""
    return get_observability_instance().is_enabled()
