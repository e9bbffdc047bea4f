"""Operations on several shards at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Generic

from ..exceptions import (
    ConversationError,
    ConversationMemoryError,
    RedisUnavailable,
    counted,
    sensitive,
)
from ..indexes import ConversationIndex
from ..redis_io.abreast import abreast, operation_of
from ..redis_io.operations import Command, Operation, T
from ..redis_io.side_by_side import Job, perform_all
from ..redis_io.slots import node_of
from ..redis_io.step_kinds import Elsewhere

# So many shards at a time.
_MOST = 16
_NAMED = 5

Asked = Operation[T] | Command[T] | Sequence[Command[Any]]
Ask = Callable[[ConversationIndex], Asked[T]]
Part = Sequence[ConversationIndex]

# The method of the sharded index that is running, which decides if replicas may answer.
_method: ContextVar[str] = ContextVar("method", default="other")


@contextmanager
def running(name: str) -> Iterator[None]:
    """The shards are asked for the sake of the method `name`."""
    token = _method.set(name)
    try:
        yield
    finally:
        _method.reset(token)


@dataclass(slots=True)
class Answers(Generic[T]):
    """What each shard answered, or why it did not."""

    results: dict[ConversationIndex, T] = field(default_factory=dict)
    failures: dict[ConversationIndex, ConversationMemoryError] = field(default_factory=dict)

    def all(self) -> list[T]:
        """The results. Raises an error that names the shards which failed."""
        if self.failures:
            raise self._failure()
        return [*self.results.values()]

    def some(self) -> list[T]:
        """The results of the shards that can be reached. Raises an error if that is none."""
        is_down = all(isinstance(error, RedisUnavailable) for error in self.failures.values())
        if self.failures and not (is_down and self.results):
            raise self._failure()
        return [*self.results.values()]

    def update(self, later: Answers[T]) -> None:
        """Replace the answers of shards that were asked again."""
        for shard in later.failures:
            del self.results[shard]
        self.results |= later.results
        self.failures |= later.failures

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the shards that failed."""
        return tuple(sorted(shard.name for shard in self.failures))

    def _failure(self) -> ConversationMemoryError:
        # One that no retry cures says more than that a server is down.
        errors = self.failures.values()
        error = min(errors, key=lambda error: isinstance(error, RedisUnavailable))
        if error.shards or isinstance(error, ConversationError):  # which says where
            return error
        if not self.results and len(errors) > 1 and len({*map(str, errors)}) == 1:
            return error  # which is not about shards
        names = ", ".join(self.missing[:_NAMED]) + (" …" if self.missing[_NAMED:] else "")
        named = type(error)(f"{counted(len(self.missing), 'shard')} failed ({names}). {error}")
        named.__cause__, named.shards = error.__cause__, self.missing
        return named


class Across(Elsewhere, Generic[T]):
    """Runs `ask(shard)` for each of the shards. Yielding it returns their `Answers`.

    One `is_read` may be asked again, and that of all shards of a server is sent together. Shards
    that everything leaves are asked before the others, so that nothing is missed on its way. `name`
    stands for the method that is running.
    """

    def __init__(
        self,
        shards: Sequence[ConversationIndex],
        ask: Ask[T],
        *,
        is_read: bool = False,
        name: str = "",
    ):
        self._shards, self._ask, self._is_read, self._name = shards, ask, is_read, name
        self._answers: Answers[T] = Answers()
        self._is_stopped = False

    @sensitive
    def take(self) -> Answers[T]:
        for shards in self._in_order():
            self._take_some(shards)
        return self._sorted()

    def _take_some(self, shards: Part) -> None:
        parts, alone = self._parts(shards, attrgetter("_connection.client"))
        outcomes = self._take_together(parts)
        while parts or alone:
            outcomes += self._take_all(alone)
            parts, alone, outcomes = [], self._settled([*parts, *alone], outcomes), []

    @sensitive
    async def atake(self) -> Answers[T]:
        for shards in self._in_order():
            await self._atake_some(shards)
        return self._sorted()

    async def _atake_some(self, shards: Part) -> None:
        together, alone = self._parts(shards, attrgetter("_connection.async_client"))
        parts = [*together, *alone]
        room = asyncio.Semaphore(_MOST)

        async def bounded(part: Part) -> Any:
            async with room:
                return await self._atake(part)

        while parts:
            tasks = [asyncio.create_task(bounded(part)) for part in parts]
            try:
                outcomes = await asyncio.gather(*tasks)
            except BaseException:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                raise
            parts = self._settled(parts, outcomes)

    def _in_order(self) -> list[Part]:
        leaving = [shard for shard in self._shards if shard._layout.keys.is_leaving]
        if not leaving:
            return [self._shards]
        return [leaving, [shard for shard in self._shards if not shard._layout.keys.is_leaving]]

    def _parts(
        self, shards: Part, client: Callable[[ConversationIndex], Any]
    ) -> tuple[Sequence[Part], Sequence[Part]]:
        """The shards of each node, which are asked together, and those to be asked one by one."""
        if not self._is_read:
            return [], [(shard,) for shard in shards]
        parts: dict[Hashable, list[ConversationIndex]] = {}
        for shard in shards:
            parts.setdefault(node_of(client(shard)), []).append(shard)
        # Of a node that has failed, each shard has to find out by itself who serves it now.
        alone = parts.pop(None, [])
        return [*parts.values()], [(shard,) for shard in alone]

    def _take_together(self, parts: Sequence[Part]) -> list[list[T] | ConversationMemoryError]:
        """Each part by a connection of its own, from this thread."""
        if len(parts) == 1:
            return [self._take(parts[0])]
        return perform_all([self._job(part) for part in parts])

    def _take_all(self, parts: Sequence[Part]) -> list[list[T] | ConversationMemoryError]:
        """Each part in a thread of its own."""
        if len(parts) < 2:
            return [*map(self._take, parts)]
        with ThreadPoolExecutor(min(len(parts), _MOST)) as threads:
            taken = [threads.submit(copy_context().run, self._take, part) for part in parts]
            try:
                return [one.result() for one in taken]
            except BaseException:  # such as Ctrl-C, which must not wait for all shards
                self._is_stopped = True
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _job(self, part: Part) -> Job:
        name, shard = self._name or _method.get(), part[0]
        asked = shard._asked(self._operation(part), may_lag=shard._may_lag(name))
        return Job(shard._client(name), asked, shard.alias)

    def _take(self, part: Part) -> list[T] | ConversationMemoryError:
        name = self._name or _method.get()
        try:
            return part[0]._perform(part[0]._client(name), self._operation(part), name)
        except ConversationMemoryError as error:
            return error

    async def _atake(self, part: Part) -> list[T] | ConversationMemoryError:
        name = self._name or _method.get()
        try:
            client = part[0]._async_client(name)
            return await part[0]._aperform(client, self._operation(part), name)
        except ConversationMemoryError as error:
            return error

    def _operation(self, part: Part) -> Operation[list[T]]:
        if len(part) == 1:
            return [(yield from self._until_stopped(operation_of(self._ask(part[0]))))]
        return (yield from abreast(*map(self._ask, part)))

    def _until_stopped(self, operation: Operation[T]) -> Operation[T]:
        send: Any = operation.send
        value: Any = None
        try:
            while not self._is_stopped:
                step = send(value)
                try:
                    value, send = (yield step), operation.send
                except ConversationMemoryError as error:
                    send, value = operation.throw, error
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        raise KeyboardInterrupt

    def _settled(
        self, parts: Sequence[Part], outcomes: Sequence[list[T] | ConversationMemoryError]
    ) -> list[Part]:
        """Keep the outcomes. Returns the shards that are to be asked one by one."""
        again: list[Part] = []
        for part, outcome in zip(parts, outcomes, strict=True):
            if not isinstance(outcome, ConversationMemoryError):
                self._answers.results.update(zip(part, outcome, strict=True))
            elif len(part) == 1 or self._is_down(outcome):
                self._answers.failures.update(dict.fromkeys(part, outcome))
            else:  # the error of one of them, or one that an operation would have handled
                again += [(shard,) for shard in part]
        return again

    def _is_down(self, error: ConversationMemoryError) -> bool:
        # In a cluster, a slot may have moved to another node since.
        is_cluster = self._shards[0].settings.cluster
        return isinstance(error, RedisUnavailable) and not is_cluster

    def _sorted(self) -> Answers[T]:
        known = self._answers.results
        results = {shard: known[shard] for shard in self._shards if shard in known}
        return Answers(results, self._answers.failures)
