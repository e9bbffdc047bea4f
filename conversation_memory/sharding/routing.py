"""Commands on single conversations, each sent to the shard that has the conversation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..indexes import ConversationIndex
from ..keys import Keys, encode
from ..redis_io.operations import Command, Operation, Step
from ..redis_io.scripts import Call
from .across import Across, Answers

_WITHOUT_KEYS = frozenset("CONFIG INFO TIME".split())
_ALL_KEYS = frozenset("DEL EXISTS UNLINK".split())

# The shard of a command, and the command with the names of its keys there.
Placed = tuple[ConversationIndex, Command[Any]]
Place = Callable[[Command[Any]], Operation[Placed]]
Wrap = Callable[[Operation[Any]], Operation[Any]]


def sent(
    step: Command[Any] | Sequence[Command[Any]], place: Place, wrap: Wrap | None = None
) -> Operation[Any]:
    """The reply to commands of an operation, each from its shard."""

    def ask(shard: ConversationIndex) -> Operation[Any]:
        own = parts[shard]
        asked = _one(own if len(own) > 1 else own[0])
        return wrap(asked) if wrap else asked

    commands = [step] if isinstance(step, Command) else step
    parts: dict[ConversationIndex, list[Command[Any]]] = {}
    order: list[tuple[ConversationIndex, int]] = []
    for command in commands:
        shard, known = yield from place(command)
        part = parts.setdefault(shard, [])
        order.append((shard, len(part)))
        part.append(known)
    answers: Answers[Any] = yield Across([*parts], ask)
    answers.all()
    replies = [
        answers.results[shard] if len(parts[shard]) == 1 else answers.results[shard][number]
        for shard, number in order
    ]
    return replies[0] if isinstance(step, Command) else replies


def _one(step: Step) -> Operation[Any]:
    return (yield step)


class KeyNames:
    """The names of the keys of an index in its shards, in those that it had before too."""

    def __init__(self, index: str):
        name = rb"%b(?::[0-9.]+:[0-9]{2,3})?" % re.escape(encode(index))
        self._match = re.compile(rb"\{(%b)\}:|(%b)\Z" % (name, name)).match

    def shard(self, command: Command[Any]) -> bytes | None:
        """The name of the shard to which a command goes; None without keys."""
        for call in command.calls:
            for place in _places(call):
                if found := self._match(call[place]):
                    return found[1] or found[2]
        if all(call[0] in _WITHOUT_KEYS for call in command.calls):
            return None
        raise ValueError("The operation takes the index for one without shards.")

    def subjects(self, command: Command[Any]) -> tuple[set[bytes], set[bytes]]:
        """The conversations, and the owners of items, of whom a command has keys."""
        ids, owners = set[bytes](), set[bytes]()
        for call in command.calls:
            for place in _places(call):
                if (found := self._match(call[place])) and found[1]:
                    _add_subject(call[place][found.end() :], ids, owners)
        return ids, owners

    def at(self, keys: Keys, command: Command[Any]) -> Command[Any]:
        """The same command in a shard."""
        return replace(command, calls=tuple(self._renamed(keys, call) for call in command.calls))

    def _renamed(self, keys: Keys, call: Call) -> Call:
        parts = [*call]
        for place in _places(call):
            if found := self._match(call[place]):
                rest = call[place][found.end() :]
                parts[place] = keys.root + rest if found[1] else keys.index
        return tuple(parts)


def _add_subject(name: bytes, ids: set[bytes], owners: set[bytes]) -> None:
    kind, _, rest = name.partition(b":")
    if kind in (b"record", b"runs", b"ids", b"checkpoints", b"open"):
        ids.add(rest)
    elif kind == b"namespaces":
        owners.add(rest)
    elif kind in (b"chunks", b"items"):
        length, _, named = rest.partition(b":")
        (ids if kind == b"chunks" else owners).add(named[: int(length)])


def _places(call: Call) -> Iterator[int]:
    """Where the names of keys are in a call."""
    verb = call[0]
    if verb.startswith("EVAL"):
        yield from range(3, 3 + int(call[2]))
    elif verb in _ALL_KEYS:
        yield from range(1, len(call))
    elif verb == "XREAD":
        yield call.index("STREAMS") + 1
    elif verb not in _WITHOUT_KEYS and len(call) > 1:
        yield 2 if verb == "MEMORY" else 1
