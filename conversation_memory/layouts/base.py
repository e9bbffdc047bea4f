"""What every layout shares: the record of a conversation, its place in the orders, its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..commands import Command, Operation, Script, single
from ..exceptions import ConversationCorrupt, ConversationNotFound
from ..keys import Keys, decode, encode
from ..records import Conversation, Record
from ..runs import Run

DELETE = Script(__package__, "delete.lua")
TITLE = Script(__package__, "title.lua")
RECORDS = Script(__package__, "records.lua")

MAX_TITLE = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """A conversation as one caller may see it.

    `owner` is the owner it belongs to as far as known, None for nobody. A `scoped` caller sees the
    conversations of that owner only; any other caller learns the true owner from the server.
    """

    id: bytes
    owner: bytes | None = None
    scoped: bool = False

    def owned_by(self, owner: bytes | None) -> Place:
        return Place(self.id, owner, self.scoped)

    def sees(self, record: Record) -> bool:
        return not self.scoped or owner_of(record) == self.owner


def owner_of(record: Record) -> bytes | None:
    return None if record.owner is None else encode(record.owner)


class Layout(ABC):
    """How an index is laid out in Redis. Each method returns an operation; none does I/O."""

    name: ClassVar[str]

    def __init__(self, keys: Keys, *, alias: str, max_bytes: int):
        self.keys = keys
        self.alias = alias
        self.max_bytes = max_bytes

    @abstractmethod
    def read(self, place: Place) -> Operation[Conversation]:
        """All of a conversation; one without runs if there is none."""

    @abstractmethod
    def tail(self, place: Place, count: int) -> Operation[list[Run]]:
        """The last `count` runs, oldest first."""

    @abstractmethod
    def store(
        self,
        place: Place,
        runs: Sequence[Run],
        metadata: Mapping[str, Any],
        revision: str | None,
    ) -> Operation[str]:
        """Overwrite; with `revision`, only what still has it. Returns the new revision."""

    @abstractmethod
    def append(self, place: Place, runs: Sequence[Run]) -> Operation[int]:
        """Add the runs whose id is not there yet. Returns how many those were."""

    @abstractmethod
    def update_metadata(
        self, place: Place, changes: Mapping[str, Any], remove: Sequence[str]
    ) -> Operation[dict[str, Any]]:
        """Merge into the metadata, and remove keys. Returns the metadata as stored."""

    def records(self, ids: Sequence[bytes]) -> Command[list[Record | None]]:
        """The record of each id, None where there is no such conversation."""
        keys = [self.keys.content(ids[0]), *map(self.keys.record, ids)]

        def decoded(replies: list[list[Any]]) -> list[Record | None]:
            return [
                Record.from_reply(id, record) if found else None
                for id, (found, *record) in zip(ids, replies, strict=True)
            ]

        return Command((RECORDS.call(keys, ids),), decoded)

    def record(self, place: Place) -> Operation[Record | None]:
        [record] = yield self.records([place.id])
        return record if record and place.sees(record) else None

    def exists(self, place: Place) -> Operation[bool]:
        if not place.scoped:
            found = yield single("HEXISTS", self.keys.content(place.id), place.id)
            return bool(found)
        return (yield from self.record(place)) is not None

    def set_title(self, place: Place, title: str) -> Operation[None]:
        if len(title) > MAX_TITLE:
            raise ValueError(f"A title has at most {MAX_TITLE} characters.")
        keys = [self.keys.content(place.id), self.keys.record(place.id)]
        args = [place.id, int(place.scoped), place.owner or b"", title.encode("utf-8", "replace")]
        if not (yield Command((TITLE.call(keys, args),))):
            raise self.not_found(place)

    def delete(self, place: Place) -> Operation[bool]:
        while True:
            reply = yield self._delete(place)
            if not isinstance(reply, list):
                return bool(reply)
            place = place.owned_by(reply[1] or None)
            if place.scoped:
                return False

    def _delete(self, place: Place) -> Command[Any]:
        return Command((DELETE.call(self._keys(place), [place.id, place.owner or b""]),))

    def _keys(self, place: Place) -> list[bytes]:
        """Content, record, the order of all and that of the owner."""
        keys = [
            self.keys.content(place.id),
            self.keys.record(place.id),
            self.keys.order(),
        ]
        return keys if place.owner is None else [*keys, self.keys.order(place.owner)]

    def not_found(self, place: Place) -> ConversationNotFound:
        whose = " for this owner" if place.scoped else ""
        return ConversationNotFound(
            f"There is no conversation {decode(place.id)!r} in index {self.keys.name!r} "
            f"(alias {self.alias!r}){whose}."
        )

    def corrupt(self, place: Place, raw: bytes, reason: str) -> ConversationCorrupt:
        return ConversationCorrupt(
            alias=self.alias,
            index=self.keys.name,
            conversation_id=decode(place.id),
            raw=raw,
            reason=reason,
        )
