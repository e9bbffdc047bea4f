"""Pipelines that return each reply as the server has sent it."""

from typing import Any

from redis.asyncio.client import Pipeline as AsyncRedisPipeline
from redis.client import Pipeline as RedisPipeline

from .async_connections import QuickConnection

# redis-py shapes replies, and looks for WATCH, in three calls for each reply.


class SyncPipeline(RedisPipeline):
    """The pipeline of a sync client."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        return connection.read_response(disable_decoding=True)


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
