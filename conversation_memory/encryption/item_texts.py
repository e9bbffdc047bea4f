"""The items of a store of LangGraph as they are encrypted: bound to owner, namespace and key."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..exceptions import Damaged
from ..packing import part
from .sealing import ITEM, Sealing, unsealed

# As scripts/item.lua writes them: of the first put, of the last one, lifetime and deadline.
times_of = re.compile(rb"(\d{1,15}) (\d{1,15}) (\d{1,15}) (\d{1,15}) ").match


@dataclass(frozen=True, slots=True)
class ItemTexts:
    """Seals and opens the items of one namespace; without a `sealing`, they stay as they are."""

    sealing: Sealing | None
    owner: bytes
    namespace: bytes

    def seal(self, key: bytes, text: bytes) -> bytes:
        if self.sealing is None:
            return text
        return self.sealing.seal(ITEM, self.owner, text, part(self.namespace) + key)

    def open(self, key: bytes, text: bytes) -> bytes:
        """Raises `Undecryptable`."""
        if self.sealing is None:
            return unsealed(text)
        return self.sealing.open(ITEM, self.owner, text, part(self.namespace) + key)

    def anew(self, key: bytes, item: bytes) -> bytes:
        """An item with its times, sealed with the newest key. Raises `Damaged`."""
        assert self.sealing is not None
        found = times_of(item)
        if found is None:
            raise Damaged("it has no times", item)
        text = item[found.end() :]
        if self.sealing.is_current(text):
            return item
        return found[0] + self.seal(key, self.open(key, text))
