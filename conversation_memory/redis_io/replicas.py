"""Operations on a server with replicas: writes that wait for them, and reads that they serve."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..conf import WaitSettings
from ..exceptions import ConversationMemoryError, RedisNotReplicated
from .operations import Command, Operation, Step, T, single
from .scripts import as_read_only, writes
from .step_kinds import Ahead


def replicated(operation: Operation[T], wait: WaitSettings | None, alias: str) -> Operation[T]:
    """`operation`, each of whose writes waits for replicas in the same round trip.

    Raises `RedisNotReplicated` at its end if too few had one of the writes in time.
    """
    return operation if wait is None else _replicated(operation, wait, alias)


def _replicated(operation: Operation[T], wait: WaitSettings, alias: str) -> Operation[T]:
    confirm: Command[int] = single("WAIT", wait.replicas, wait.timeout)
    send: Any = operation.send
    value: Any = None
    having = wait.replicas
    pending: list[Any] = []  # futures of writes
    try:
        while True:
            step = send(value)
            try:
                if isinstance(step, Ahead) and _is_write(step.work):
                    value = yield Ahead([*_commands(step.work), confirm])
                    pending.append(value)
                elif step in pending:
                    pending.remove(step)
                    *value, acked = yield step
                    having = min(having, acked)
                elif _is_write(step):
                    *value, acked = yield [*_commands(step), confirm]
                    having = min(having, acked)
                    value = value[0] if isinstance(step, Command) else value
                else:
                    value = yield step
                send = operation.send
            except ConversationMemoryError as error:
                send, value = operation.throw, error
    except StopIteration as stop:
        if having < wait.replicas:
            raise RedisNotReplicated(
                f"Redis of alias {alias!r} has stored the write, but only {having} of "
                f"{wait.replicas} replicas confirmed it within {wait.timeout} ms (WAIT)."
            ) from None
        return stop.value  # type: ignore[no-any-return]


def read_only(operation: Operation[T]) -> Operation[T]:
    """`operation`, whose scripts may run on a replica if they do not write."""
    send: Any = operation.send
    value: Any = None
    try:
        while True:
            step = send(value)
            try:
                value = yield _read_only(step)
                send = operation.send
            except ConversationMemoryError as error:
                send, value = operation.throw, error
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _read_only(step: Step) -> Step:
    if isinstance(step, Command):
        return replace(step, calls=tuple(map(as_read_only, step.calls)))
    if isinstance(step, Sequence):
        return [replace(one, calls=tuple(map(as_read_only, one.calls))) for one in step]
    return step


def _commands(step: Any) -> Sequence[Command[Any]]:
    return [step] if isinstance(step, Command) else step


def _is_write(step: Any) -> bool:
    if not isinstance(step, Command | Sequence):
        return False
    return any(writes(call) for command in _commands(step) for call in command.calls)
