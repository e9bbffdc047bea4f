"""Operations: generators that yield Commands and return a result, and how to run them.

An operation does no I/O, so the sync and the async API run the same one, and every `yield` is a
round trip that one can see.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from redis.exceptions import ExecAbortError, NoScriptError, RedisError, ResponseError

from ..exceptions import (
    ConversationMemoryError,
    RedisDenied,
    RedisMisconfigured,
    is_wrong_type,
    sensitive,
    translate,
)
from .pipelines import as_sent, pipeline_of
from .scripts import Call, Script, with_source
from .step_kinds import Ahead, Elsewhere, Pause
from .traffic import note_conflict, note_exchange

# Raised without the frames below: they hold documents, and Django prints them in error reports.
_SPOKEN = (ConversationMemoryError, TypeError, ValueError, RecursionError)

P = ParamSpec("P")
T = TypeVar("T")

_RAISE = object()


def _same(reply: Any) -> Any:
    return reply


@dataclass(frozen=True, slots=True)
class Command(Generic[T]):
    """One round trip: one call, or several that the server runs as one MULTI/EXEC if `is_atomic`.

    `decode` takes the reply of the one call, or the list of the replies of several. `otherwise` is
    the result where a key has another type, instead of an error that would hide all other replies.
    """

    calls: tuple[Call, ...]
    decode: Callable[[Any], T] = _same
    otherwise: Any = _RAISE
    is_atomic: bool = True

    @property
    def is_transaction(self) -> bool:
        return self.is_atomic and len(self.calls) > 1

    def __repr__(self) -> str:
        return f"<Command {[call[0] for call in self.calls]}>"  # never the arguments


_REPLIES = frozenset({bytes, int, list, type(None)})

_Other = Pause | Ahead | Elsewhere | Future[Any] | asyncio.Future[Any]
_COMMANDS = (Command, list, tuple)
Step = Command[Any] | Sequence[Command[Any]] | _Other
Operation = Generator[Step, Any, T]


def single(*call: Any, decode: Callable[[Any], T] = _same, otherwise: Any = _RAISE) -> Command[T]:
    return Command((call,), decode, otherwise)


_ALLOWED = Script("allowed")


def allowed(keys: Sequence[bytes], commands: Sequence[str]) -> Command[int]:
    """Raises `RedisDenied` for a user who may not run all of `commands` on `keys`.

    For operations of several steps, each of which asks only for its own commands.
    """
    return Command((_ALLOWED.call(keys, sorted({*commands})),))


def info(section: str) -> Operation[dict[str, str]]:
    """A section of INFO; empty if the server does not tell."""
    with suppress(RedisDenied, RedisMisconfigured):  # INFO may be forbidden, or renamed
        text = yield single("INFO", section)
        lines = bytes(text).decode("utf-8", "replace").splitlines()
        return {name: value for name, _, value in (line.partition(":") for line in lines)}
    return {}


@sensitive
def perform(client: Any, operation: Operation[T], alias: str) -> T:
    """Run `operation` to its end with a sync client."""
    try:
        step = next(operation)
        while True:
            try:
                reply = _send(client, step, alias)
            except ConversationMemoryError as error:
                step = operation.throw(error)
            else:
                step = operation.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    except _SPOKEN as error:
        raise error.with_traceback(None) from error.__cause__


@sensitive
async def aperform(client: Any, operation: Operation[T], alias: str) -> T:
    """See perform()."""
    try:
        step = next(operation)
        while True:
            try:
                reply = await _asend(client, step, alias)
            except ConversationMemoryError as error:
                step = operation.throw(error)
            else:
                step = operation.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    except _SPOKEN as error:
        raise error.with_traceback(None) from error.__cause__


def _send(client: Any, step: Step, alias: str) -> Any:
    if not isinstance(step, _COMMANDS):
        return _send_other(client, step, alias)
    calls = _calls(step)
    try:
        replies = _exchange(client, calls)
        note_exchange(calls, replies)
        if isinstance(step, Command) and _are_usual(step, replies):
            return step.decode(replies[0] if step.is_atomic else replies)  # the usual way, in short
        if unknown := _unknown_scripts(calls, replies):
            replies = _patched(replies, _exchange(client, [*unknown.values()]), unknown)
        return _decoded(step, replies)
    except (RedisError, OSError) as error:
        failure = translate(error, alias)
    raise failure


def _send_other(client: Any, step: Any, alias: str) -> Any:
    if isinstance(step, Pause):
        note_conflict(step.is_after_conflict)
        return time.sleep(step.seconds)
    if isinstance(step, Ahead):
        work = step.work if callable(step.work) else partial(_send, client, step.work, alias)
        thread = ThreadPoolExecutor(1)
        answer = begun(thread, work)
        thread.shutdown(wait=False)
        return answer
    return step.take() if isinstance(step, Elsewhere) else step.result()


def begun(thread: ThreadPoolExecutor, work: Callable[[], T]) -> Future[T]:
    """Let `thread` do `work`, which has begun on return, and has sent its commands if it is alone.

    Without this, Python would let the caller compute for 5 ms before it lets the thread begin.
    """
    is_running = Event()

    def run() -> T:
        is_running.set()
        return work()

    answer = thread.submit(copy_context().run, run)
    is_running.wait()
    return answer


@sensitive
async def _asend(client: Any, step: Step, alias: str) -> Any:
    if not isinstance(step, _COMMANDS):
        return await _asend_other(client, step, alias)
    calls = _calls(step)
    try:
        replies = await _aexchange(client, calls)
        note_exchange(calls, replies)
        if isinstance(step, Command) and _are_usual(step, replies):
            return step.decode(replies[0] if step.is_atomic else replies)  # the usual way, in short
        if unknown := _unknown_scripts(calls, replies):
            replies = _patched(replies, await _aexchange(client, [*unknown.values()]), unknown)
        return _decoded(step, replies)
    except (RedisError, OSError) as error:
        failure = translate(error, alias)
    raise failure


async def _asend_other(client: Any, step: Any, alias: str) -> Any:
    if isinstance(step, Pause):
        note_conflict(step.is_after_conflict)
        return await asyncio.sleep(step.seconds)
    if isinstance(step, Ahead):
        work = step.work
        answer = asyncio.to_thread(work) if callable(work) else _asend(client, work, alias)
        task = asyncio.create_task(answer)
        # asyncio logs an error that nobody asks for, as when the operation has failed before.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return task
    if isinstance(step, Elsewhere):
        return await step.atake()
    return await asyncio.wrap_future(step)


def _exchange(client: Any, calls: list[Call]) -> list[Any]:
    """The reply of each call, an error of the server as a value."""
    if len(calls) == 1:
        try:
            return [as_sent(client).execute_command(*calls[0], NEVER_DECODE=True)]
        except ResponseError as error:
            return [error]
    return pipeline_of(client, calls).execute(raise_on_error=False)  # type: ignore[no-any-return]


@sensitive
async def _aexchange(client: Any, calls: list[Call]) -> list[Any]:
    if len(calls) == 1:
        try:
            return [await as_sent(client).execute_command(*calls[0], NEVER_DECODE=True)]
        except ResponseError as error:
            return [error]
    return await pipeline_of(client, calls).execute(raise_on_error=False)  # type: ignore[no-any-return]


def _calls(step: Command[Any] | Sequence[Command[Any]]) -> list[Call]:
    calls: list[Call] = []
    for command in (step,) if isinstance(step, Command) else step:
        is_one = command.is_transaction
        calls += (("MULTI",), *command.calls, ("EXEC",)) if is_one else command.calls
    return calls


def _are_usual(step: Command[Any], replies: list[Any]) -> bool:
    return not step.is_transaction and _REPLIES.issuperset(map(type, replies))


def _unknown_scripts(calls: list[Call], replies: list[Any]) -> dict[int, Call]:
    found = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    waits = [len(calls) - 1] if found and calls[-1][0] == "WAIT" else []  # behind the writes
    return {place: with_source(calls[place]) for place in found} | {n: calls[n] for n in waits}


def _patched(replies: list[Any], known: list[Any], positions: Iterable[int]) -> list[Any]:
    patch = dict(zip(positions, known, strict=True))
    return [patch.get(position, reply) for position, reply in enumerate(replies)]


def _decoded(step: Command[Any] | Sequence[Command[Any]], replies: list[Any]) -> Any:
    if isinstance(step, Command):
        return _result(step, replies)
    results, position = [], 0
    for command in step:
        width = len(command.calls) + (2 if command.is_transaction else 0)
        if width == 1 and command.is_atomic and type(replies[position]) in _REPLIES:
            results.append(command.decode(replies[position]))  # the usual way, in short
        else:
            results.append(_result(command, replies[position : position + width]))
        position += width
    return results


def _result(command: Command[T], replies: list[Any]) -> T:
    last = replies[-1]
    nested = last if len(replies) > 1 and isinstance(last, list) else []
    errors = [reply for reply in (*replies, *nested) if isinstance(reply, RedisError)]
    if errors and command.otherwise is not _RAISE and all(map(is_wrong_type, errors)):
        return command.otherwise  # type: ignore[no-any-return]
    if errors:
        # The error of an aborted EXEC says less than that of the call that was rejected before it.
        raise min(errors, key=lambda error: isinstance(error, ExecAbortError))
    return command.decode(last if command.is_atomic else replies)


class Performing(Protocol):
    """A class that runs operations, sync and async; `name` is that of the method."""

    def _run(self, operation: Operation[T], name: str = ...) -> T: ...

    async def _arun(self, operation: Operation[T], name: str = ...) -> T: ...


S = TypeVar("S", bound=Performing)


def twins(
    operation: Callable[Concatenate[S, P], Operation[T]],
) -> tuple[Callable[Concatenate[S, P], T], Callable[Concatenate[S, P], Coroutine[Any, Any, T]]]:
    """The methods `name` and `aname` for a method `_name` that returns an operation.

    Both have its parameters; the first has its docstring. Error reports do not show their
    arguments, which may be messages.
    """
    own = operation.__name__  # looked up, so that a subclass may have another
    name = own.removeprefix("_")

    @sensitive
    def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        found: Operation[T] = getattr(self, own)(*args, **kwargs)
        return self._run(found, name)

    @sensitive
    async def arun(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._arun(getattr(self, own)(*args, **kwargs), name)

    result = operation.__annotations__["return"].removeprefix("Operation[").removesuffix("]")
    describe(run, operation, name, operation.__doc__, result)
    describe(arun, operation, f"a{name}", f"See {name}().", result)
    return run, arun


def describe(
    twin: Any, operation: Callable[..., Any], name: str, doc: str | None, result: str
) -> None:
    """Let `twin` look like `operation` with a name, a docstring and a type of its own."""
    twin.__name__, twin.__doc__ = name, doc
    twin.__qualname__ = f"{operation.__qualname__.rpartition('.')[0]}.{name}"
    twin.__module__ = operation.__module__
    twin.__annotations__ = {**operation.__annotations__, "return": result}
    twin.__signature__ = inspect.signature(operation).replace(return_annotation=result)
