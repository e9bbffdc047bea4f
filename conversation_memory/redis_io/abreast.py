"""Several operations whose round trips are made together."""

from collections.abc import Sequence
from types import GeneratorType
from typing import Any

from .operations import Command, Operation, Step


def abreast(*asked: Operation[Any] | Step) -> Operation[list[Any]]:
    """The results of operations that only read: what they ask for at a time is one round trip.

    For one that is no more than a step, the step will do.
    """
    if not any(isinstance(one, GeneratorType) for one in asked):
        found = yield from _sent(dict(enumerate(asked)))
        return [found[position] for position in range(len(asked))]
    operations = [*map(operation_of, asked)]
    results: list[Any] = [None] * len(operations)
    replies: dict[int, Any] = dict.fromkeys(range(len(operations)))
    while replies:
        steps: dict[int, Any] = {}
        for position, reply in replies.items():
            try:
                steps[position] = operations[position].send(reply)
            except StopIteration as stop:
                results[position] = stop.value
        replies = yield from _sent(steps)
    return results


def _sent(steps: dict[int, Any]) -> Operation[dict[int, Any]]:
    commands: list[Command[Any]] = []
    others: dict[int, Any] = {}
    for position, step in steps.items():
        if isinstance(step, Command):
            commands.append(step)
        elif isinstance(step, Sequence):
            commands += step
        else:
            others[position] = yield step
    found: list[Any] = [*reversed((yield commands))] if commands else []
    for position, step in steps.items():
        if isinstance(step, Command):
            others[position] = found.pop()
        elif isinstance(step, Sequence):
            others[position] = [found.pop() for _ in step]
    return others


def operation_of(asked: Any) -> Operation[Any]:
    """The operation of one that may be no more than a step."""
    return (yield from asked) if isinstance(asked, GeneratorType) else (yield asked)
