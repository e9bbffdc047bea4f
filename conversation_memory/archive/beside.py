"""What stands beside the content of a conversation: its record, and its place in the order."""

from __future__ import annotations

from typing import Any

from ..records import number
from ..redis_io.scripts import Script
from .format import NOTHING, Facts

BESIDE = Script("beside")


class Beside:
    """A reply of beside.lua, decoded as far as it is looked at; the times in milliseconds."""

    __slots__ = ("_reply",)

    def __init__(self, reply: list[Any]):
        self._reply = reply

    @property
    def length(self) -> int:
        """Of the list."""
        return int(self._reply[1])

    @property
    def place(self) -> int | None:
        score = self._reply[2]
        return None if score is None else max(0, int(float(score)))

    @property
    def owner(self) -> bytes | None:
        return self._reply[3] or None

    @property
    def facts(self) -> Facts:
        _, _, _, owner, title, created, updated, ttl, *_ = self._reply
        if owner is title is created is updated is ttl is None:
            return NOTHING
        return Facts(owner or None, title or b"", number(created), number(updated), number(ttl))

    @property
    def expires(self) -> int | None:
        return number(self._reply[8])

    @property
    def version(self) -> int:
        return number(self._reply[9]) or 0

    @property
    def seal(self) -> str:
        return str(self._reply[10] or b"", "ascii", "replace")

    @property
    def bytes(self) -> int:
        return number(self._reply[11]) or 0

    @property
    def is_mistyped(self) -> bool:
        """Whether a key has another type, so that nobody can read or replace the conversation."""
        return bool(self._reply[12])

    @property
    def is_list(self) -> bool:
        """Whether the runs are in the list, as the layouts see it."""
        seal = self._reply[10] or b""
        return seal.startswith(b"list-") or (self._reply[1] > 0 and not seal[:1].isdigit())
