"""Async connections that cost a client less than those of redis-py, which they are otherwise.

redis-py packs their commands in Python, and reads and times each reply by itself, though nearly all
have arrived with the first. Here a timer runs while there is something to wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Any
from weakref import ref

from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.utils import HIREDIS_AVAILABLE

from .protocol import packed
from .slots import REDIRECTS

# So many bytes asyncio takes without waiting until they are sent; it may be twice as many.
_BUFFERED = 32 * 1024

_USUAL = frozenset({bytes, int, float, bool, str, list, dict, set, type(None)})


def quicken(pool: Any) -> Any:
    """Let an async pool make such connections; one with a parser of its own is left as it is."""
    if HIREDIS_AVAILABLE and "parser_class" not in pool.connection_kwargs:
        pool.connection_class = _quick(pool.connection_class)
    return pool


@cache
def _quick(kind: type[Any]) -> type[Any]:
    if issubclass(kind, QuickConnection):
        return kind
    return type(f"Quick{kind.__name__}", (QuickConnection, kind), {"__doc__": kind.__doc__})


class QuickConnection:
    """A part of a connection. `patience` is its socket_timeout, of which redis-py knows nothing."""

    patience: float | None = None

    def __init__(self, **options: Any):
        parent: Any = super()
        parent.__init__(**options, parser_class=_PatientParser)

    @property
    def socket_timeout(self) -> None:
        return None

    @socket_timeout.setter
    def socket_timeout(self, seconds: float | None) -> None:
        self.patience = seconds

    def pack_command(self, *args: Any) -> list[bytes]:
        return [packed(args)]

    def pack_commands(self, commands: Any) -> list[bytes]:
        return [b"".join(map(packed, commands))]

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        parent: Any = super()
        if not parent.is_connected:
            await parent.connect_check_health(check_health=False)
        if sum(map(len, command)) < _BUFFERED:
            return await parent.send_packed_command(command, check_health)  # type: ignore[no-any-return]
        try:
            async with asyncio.timeout(self.patience):
                await parent.send_packed_command(command, check_health)
        except TimeoutError:
            raise RedisTimeoutError("Timeout writing to socket") from None

    async def exchange(self, calls: Sequence[Any]) -> list[Any]:
        """The reply to each call as the server has sent it, an error of the server as a value."""
        connection: Any = self
        await connection.send_packed_command(self.pack_commands(calls))
        connection._parser.awaited = len(calls)
        try:
            return await connection.read_response()  # type: ignore[no-any-return]
        finally:
            connection._parser.awaited = None


class _PatientParser(DefaultParser):  # type: ignore[misc, valid-type]
    """Waits for each part of a reply as long as the sync parser does.

    While `awaited` is a number, a response is the list of so many replies.
    """

    awaited: int | None = None

    def on_connect(self, connection: Any) -> None:
        super().on_connect(connection)
        self._connection = ref(connection)

    async def read_from_socket(self) -> Any:
        connection = self._connection()
        patience = connection and connection.patience
        if not patience:
            return await super().read_from_socket()
        stream = self._stream
        loop = asyncio.get_running_loop()
        timer = loop.call_later(patience, stream.set_exception, TimeoutError())
        try:
            found = await super().read_from_socket()
        finally:
            timer.cancel()
        if late := stream.exception():  # it came at the last moment, and the stream is of no use
            raise late
        return found

    async def read_response(self, *args: Any, **options: Any) -> Any:
        read = super().read_response
        count, self.awaited = self.awaited, None  # it calls itself for what follows a push message
        if count is None:
            return await read(*args, **options)
        replies = [await read(disable_decoding=True)]
        while len(replies) < count:
            reply = self._reader.gets(False)  # nearly all have arrived with the first
            if type(reply) not in _USUAL:
                if reply is NOT_ENOUGH_DATA:
                    reply = await read(disable_decoding=True)
                elif isinstance(reply, RedisConnectionError):
                    raise reply
                elif not isinstance(reply, RedisError):
                    await self.handle_push_response(reply)
                    continue
            replies.append(reply)
        for reply in replies:
            if isinstance(reply, REDIRECTS):  # which is for the connection to follow
                raise reply
        return replies
