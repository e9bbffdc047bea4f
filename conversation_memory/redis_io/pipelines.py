"""Clients and pipelines that return each reply as the server has sent it.

redis-py shapes replies, packs commands in Python, and keeps figures of its own even where nobody
has asked for them. For a short command, all that takes longer than the command.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from redis.asyncio.client import Pipeline as AsyncRedisPipeline
from redis.client import Pipeline as RedisPipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.utils import HIREDIS_AVAILABLE

from .async_connections import QuickConnection
from .protocol import packed
from .scripts import Call
from .traffic import are_counted

_siblings: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

_LOST = (RedisConnectionError, RedisTimeoutError, OSError)


def as_sent(client: Any) -> Any:
    """A client with the connections of `client`, which returns each reply as it was sent."""
    sibling = _siblings.get(client)
    if sibling is None:
        is_usual = type(client) is redis.Redis and client.connection is None
        sibling = SyncClient.from_pool(client.connection_pool) if is_usual else copy(client)
        # redis-py shapes the replies to commands that it knows: a dict for HGETALL, for example.
        sibling.response_callbacks = {}
        sibling.auto_close_connection_pool = False  # or its end would close the connections of both
        _siblings[client] = sibling
    return sibling


def pipeline_of(client: Any, calls: Sequence[Call]) -> Any:
    """A pipeline of calls, which returns each reply as it was sent."""
    # MULTI and EXEC are among the calls: redis-py's own transaction quotes the arguments of a
    # rejected call in its error, and decodes replies that must stay bytes.
    is_sync = type(client) is redis.Redis or not isinstance(client, redis.asyncio.Redis)
    kind = SyncPipeline if is_sync else AsyncPipeline
    pipeline: Any = kind(client.connection_pool, {}, False, None)
    pipeline.command_stack = [(call, {}) for call in calls]
    return pipeline


class SyncClient(redis.Redis):
    """A client with the connections of another one."""

    # Called by execute_command(), around which tracers put themselves.
    def _execute_command(self, *args: Any, **options: Any) -> Any:
        pool = self.connection_pool
        if not HIREDIS_AVAILABLE or pool.cache is not None or are_counted():
            return super()._execute_command(*args, **options)  # type: ignore[no-untyped-call]
        connection = pool.get_connection()
        try:
            return _answer(connection, args)
        except _LOST as error:
            return _again(connection, args, error)
        finally:
            pool.release(connection)


def _answer(connection: Any, call: Call) -> Any:
    try:
        connection.send_packed_command([packed(call)])
        return connection.read_response(disable_decoding=True)
    except ResponseError:
        raise
    except BaseException:  # interrupted: the next one to read would get what is still to come
        connection.disconnect()
        raise


def _again(connection: Any, call: Call, failure: Exception) -> Any:
    """The answer after a failed attempt, if the retry of the connection has another one."""
    failures = [failure]

    def attempt() -> Any:
        if failures:
            raise failures.pop()
        return _answer(connection, call)

    return connection.retry.call_with_retry(attempt, lambda error: connection.disconnect())


class SyncPipeline(RedisPipeline):
    """The pipeline of a sync client."""

    def _execute_pipeline(self, connection: Any, commands: Any, raise_on_error: bool) -> Any:
        if not HIREDIS_AVAILABLE:
            return super()._execute_pipeline(connection, commands, raise_on_error)  # type: ignore[no-untyped-call]
        try:
            connection.send_packed_command([b"".join([packed(call) for call, _ in commands])])
            return [_reply(connection) for _ in commands]
        except BaseException:  # see _answer()
            connection.disconnect()
            raise

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        return connection.read_response(disable_decoding=True)


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


class AsyncPipeline(AsyncRedisPipeline):
    """The pipeline of an async client."""

    async def _execute_pipeline(self, connection: Any, commands: Any, raise_on_error: bool) -> Any:
        if not isinstance(connection, QuickConnection):
            return await super()._execute_pipeline(connection, commands, raise_on_error)
        return await connection.exchange([args for args, _ in commands])

    async def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        return await connection.read_response(disable_decoding=True)

    async def reset(self) -> None:  # type: ignore[override]
        # Without WATCH, nothing else is to be done. redis-py would make a task of it.
        self.command_stack = []
        connection, self.connection = self.connection, None
        if connection is not None:
            await self.connection_pool.release(connection)
