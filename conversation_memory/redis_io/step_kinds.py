"""The steps of an operation that send no command on its own connection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .operations import Command


@dataclass(frozen=True, slots=True)
class Pause:
    """A wait before the next attempt, in seconds."""

    seconds: float
    is_after_conflict: bool = False


@dataclass(frozen=True, slots=True)
class Ahead:
    """Commands to send, or a slow function to call in a thread, without waiting for the answer.

    Yielding it returns a future immediately; yielding the future returns the answer.
    """

    work: Sequence[Command[Any]] | Callable[[], Any]


class Elsewhere(ABC):
    """Work on other connections; yielding it returns the result."""

    @abstractmethod
    def take(self) -> Any:
        """Do the work with sync clients."""

    @abstractmethod
    async def atake(self) -> Any:
        """See take()."""
