"""Operations on a server with replicas: writes that wait for them, and reads that they serve."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..conf import WaitSettings
from ..exceptions import RedisNotReplicated
from .operations import Command, Operation, Step, T, single
from .relaying import relayed
from .scripts import as_read_only, writes
from .step_kinds import Ahead


def replicated(operation: Operation[T], wait: WaitSettings | None, alias: str) -> Operation[T]:
    """`operation`, each of whose writes waits for replicas in the same round trip.

    Raises `RedisNotReplicated` at its end if too few had one of the writes in time.
    """
    return operation if wait is None else _replicated(operation, wait, alias)


def _replicated(operation: Operation[T], wait: WaitSettings, alias: str) -> Operation[T]:
    confirm: Command[int] = single("WAIT", wait.replicas, wait.timeout)
    having = wait.replicas
    pending: list[Any] = []  # futures of writes

    def sent(step: Step) -> Operation[Any]:
        nonlocal having
        if isinstance(step, Ahead) and _is_write(step.work):
            future = yield Ahead([*_commands(step.work), confirm])
            pending.append(future)
            return future
        if step in pending:
            pending.remove(step)
            *answers, acked = yield step
        elif _is_write(step):
            *answers, acked = yield [*_commands(step), confirm]
        else:
            return (yield step)
        having = min(having, acked)
        return answers[0] if isinstance(step, Command) else answers

    result = yield from relayed(operation, sent)
    if having < wait.replicas:
        raise RedisNotReplicated(
            f"Redis of alias {alias!r} has stored the write, but only {having} of "
            f"{wait.replicas} replicas confirmed it within {wait.timeout} ms (WAIT)."
        )
    return result


def read_only(operation: Operation[T]) -> Operation[T]:
    """`operation`, whose scripts may run on a replica if they do not write."""
    return relayed(operation, _sent_to_replica)


def _sent_to_replica(step: Step) -> Operation[Any]:
    return (yield _read_only(step))


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
