"""Operations on several servers from one thread: all is sent before any answer is read."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError, ResponseError
from redis.utils import HIREDIS_AVAILABLE

from ..exceptions import ConversationMemoryError, sensitive, translate
from . import operations as io
from .operations import Command, Operation
from .protocol import packed
from .traffic import note_exchange


@dataclass(slots=True)
class Job:
    """An operation and the sync client to run it with; its result or the error in the end."""

    client: Any
    operation: Operation[Any]
    alias: str
    outcome: Any = None
    step: Any = None
    _connection: Any = None

    def go_on(self, reply: Any) -> bool:
        """Give the reply to the last step. Returns False at the end."""
        try:
            if isinstance(reply, ConversationMemoryError):
                self.step = self.operation.throw(reply)
            else:
                self.step = self.operation.send(reply)
        except StopIteration as stop:
            self.outcome = stop.value
            return False
        except ConversationMemoryError as error:
            self.outcome = error
            return False
        return True

    def send(self) -> None:
        """Send the commands of the step, if it has any; a failure is left to `reply()`."""
        self._connection = None
        if isinstance(self.step, Command | Sequence):
            with suppress(RedisError, OSError):
                connection = self.client.connection_pool.get_connection()
                try:
                    connection.send_packed_command(_packed(connection, io._calls(self.step)))
                    self._connection = connection
                finally:
                    if self._connection is None:
                        self._give_back(connection, is_broken=True)

    def reply(self) -> Any:
        """The answer to the step, or the error."""
        try:
            if self._connection is None:  # now with all the patience of a client
                return io._send(self.client, self.step, self.alias)
            return self._received(io._calls(self.step))
        except ConversationMemoryError as error:
            return error
        except (RedisError, OSError) as error:
            return translate(error, self.alias)

    def _received(self, calls: Sequence[Any]) -> Any:
        replies: list[Any] = []
        try:
            for _ in calls:
                try:
                    replies.append(self._connection.read_response(disable_decoding=True))
                except ResponseError as error:
                    replies.append(error)
        finally:
            self._give_back(self._connection, is_broken=len(replies) < len(calls))
        note_exchange([*calls], replies)
        if unknown := io._unknown_scripts([*calls], replies):
            patch = io._exchange(self.client, [*unknown.values()])
            replies = io._patched(replies, patch, unknown)
        return io._decoded(self.step, replies)

    def _give_back(self, connection: Any, *, is_broken: bool) -> None:
        self._connection = None
        if is_broken:
            connection.disconnect()
        self.client.connection_pool.release(connection)

    def leave(self) -> None:
        """Give back the connection of a step whose answer nobody will read."""
        if self._connection is not None:
            self._give_back(self._connection, is_broken=True)


def _packed(connection: Any, calls: Sequence[Any]) -> list[bytes]:
    if not HIREDIS_AVAILABLE:
        return connection.pack_commands(calls)  # type: ignore[no-any-return]
    return [b"".join(map(packed, calls))]


@sensitive
def perform_all(jobs: Sequence[Job]) -> list[Any]:
    """The result of each operation, or the error with which it ended. They only read."""
    going = [job for job in jobs if job.go_on(None)]
    try:
        while going:
            for job in going:
                job.send()
            # Every answer is read, or a connection would give it to somebody else.
            replies = [job.reply() for job in going]
            going = [job for job, reply in zip(going, replies, strict=True) if job.go_on(reply)]
    finally:
        for job in jobs:
            job.leave()
    return [job.outcome for job in jobs]
