"""Scripts that learn only on the server which keys they need."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..redis_io.operations import Command, Operation
from ..redis_io.scripts import declaring

# Each time, another open run may have begun.
_ATTEMPTS = 20


def declared(commands: Sequence[Command[Any]]) -> Operation[list[Any]]:
    """The replies to commands, each of which is sent again with the keys that its script names.

    See forgets.lua. The reply of a script that still lacks keys in the end is its refusal.
    """
    return (yield from redeclared(commands, (yield commands) if commands else []))


def redeclared(commands: Sequence[Command[Any]], replies: Sequence[Any]) -> Operation[list[Any]]:
    """The same where the first replies are there."""
    commands, replies = [*commands], [*replies]
    asking = [*range(len(commands))]
    for _ in range(_ATTEMPTS):
        asking = [number for number in asking if names_keys(replies[number])]
        if not asking:
            break
        for number in asking:
            commands[number] = _with(commands[number], replies[number][1:])
        again = yield [commands[number] for number in asking]
        for number, reply in zip(asking, again, strict=True):
            replies[number] = reply
    return replies


def names_keys(reply: Any) -> bool:
    """True for the refusal of a script that names the keys which it lacks."""
    return isinstance(reply, list) and reply[:1] == [b"names"]


def _with(command: Command[Any], keys: Sequence[bytes]) -> Command[Any]:
    return replace(command, calls=tuple(declaring(call, keys) for call in command.calls))
