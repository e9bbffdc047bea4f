"""Commands on single conversations, each sent to the shard that its keys name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ..indexes import ConversationIndex
from ..keys import encode
from ..redis_io.operations import Command, Operation, Step, T
from ..redis_io.relaying import relayed
from .across import Across, Answers

_WITHOUT_KEYS = frozenset("CONFIG INFO TIME".split())

Find = Callable[[Command[Any]], ConversationIndex]


def finder(shards: Sequence[ConversationIndex]) -> Find:
    """A function that finds the shard of a Command."""
    known = {encode(shard.name): shard for shard in shards}
    name = re.compile(rb"\{?(%b)(?![^:}])" % b"|".join(map(re.escape, known)))

    def find(command: Command[Any]) -> ConversationIndex:
        found = {m[1] for call in command.calls for key in _keys(call) if (m := name.match(key))}
        if not found and all(call[0] in _WITHOUT_KEYS for call in command.calls):
            return shards[0]
        [one] = found  # or else the operation takes the index for one without shards
        return known[one]

    return find


def routed(operation: Operation[T], find: Find) -> Operation[T]:
    """`operation`, whose Commands go to the shards of their keys."""
    return relayed(operation, lambda step: _sent(step, find))


def _sent(step: Step, find: Find) -> Operation[Any]:
    if isinstance(step, Command):
        answers: Answers[Any] = yield Across([find(step)], lambda _: step)
        return answers.all()[0]
    if not isinstance(step, Sequence):
        return (yield step)
    places: dict[ConversationIndex, list[int]] = {}
    for place, command in enumerate(step):
        places.setdefault(find(command), []).append(place)
    answers = yield Across([*places], lambda shard: [step[place] for place in places[shard]])
    answers.all()
    replies: dict[int, Any] = {}
    for shard, found in answers.results.items():
        replies |= zip(places[shard], found, strict=True)
    return [replies[place] for place in range(len(step))]


def _keys(call: Sequence[Any]) -> Sequence[bytes]:
    if call[0].startswith("EVAL"):
        keys: Sequence[bytes] = call[3 : 3 + int(call[2])]
        return keys
    return [key for key in call[1:3] if isinstance(key, bytes)]
