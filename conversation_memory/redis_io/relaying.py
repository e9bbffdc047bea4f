"""Operations whose steps another one sends."""

from collections.abc import Callable
from typing import Any

from ..exceptions import ConversationMemoryError
from .operations import Operation, Step, T


def relayed(operation: Operation[T], send: Callable[[Step], Operation[Any]]) -> Operation[T]:
    """`operation`, each of whose steps `send` answers; it gets the errors of that too."""
    go_on: Any = operation.send
    answer: Any = None
    try:
        while True:
            step = go_on(answer)
            try:
                answer = yield from send(step)
                go_on = operation.send
            except ConversationMemoryError as error:
                go_on, answer = operation.throw, error
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
