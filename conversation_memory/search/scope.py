"""To whom and to which conversation a search is limited, in the terms of search documents."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ..keys import Keys
from ..redis_io.operations import Command, Operation, single
from .filters import Filters

_MOST = 10_000

UNNAMED = "These conversations have no search documents: run reindexconversations."
_is_token = re.compile(rb"[0-9a-f]{16}").fullmatch


@dataclass(slots=True)
class Scope:
    """The conditions on owner and conversation; `tag` is what the owner was taken for."""

    conditions: list[str] = field(default_factory=list)
    tag: bytes = b""


class Tags:
    """What stands for an owner in search documents, as far as this process knows.

    It is checked with every search, so that it costs a round trip only the first time.
    """

    def __init__(self, keys: Keys):
        self._keys = keys
        self._known: dict[bytes, bytes] = {}

    def forget(self, owner: bytes | None) -> None:
        if owner is not None:
            self._known.pop(owner, None)

    def scope(self, filters: Filters) -> Operation[Scope | None]:
        """None if there is nothing of that owner, or in that conversation."""
        owner, id = filters.owner, filters.conversation
        known = None if owner is None else self._known.get(owner)
        calls: list[Command[Any]] = []
        if owner is not None and known is None:
            calls.append(single("HGET", self._keys.owners(), owner))
        if id is not None:
            calls.append(single("HGET", self._keys.record(id), "token", otherwise=None))
        found = (yield calls) if calls else []
        if not all(part and _is_token(part) for part in found):  # nothing else may get into a query
            return None
        scope = Scope()
        if owner is not None:
            scope.tag = known or found[0]
            self._remember(owner, scope.tag)
            scope.conditions.append(f"@o:{{{scope.tag.decode()}}}")
        if id is not None:
            scope.conditions.append(f"@c:{{{found[-1].decode()}}}")
        return scope

    def loss(self, filters: Filters) -> Operation[str]:
        """Why there may be something all the same where scope() has found that there is nothing."""
        owner, id, keys = filters.owner, filters.conversation, self._keys
        calls: list[Command[Any]] = []
        if owner is not None:
            calls.append(single("EXISTS", keys.order(owner)))
        if id is not None:
            calls.append(single("HEXISTS", keys.content(id), id))
        return UNNAMED if all((yield calls)) else ""

    def _remember(self, owner: bytes, tag: bytes) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[owner] = tag
