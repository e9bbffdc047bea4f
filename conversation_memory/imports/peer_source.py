"""The conversations of another library as the source of a restore."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from ..archive.archive import Progress, Source
from ..archive.format import Entry, Facts
from ..archive.questions import Question
from ..conf import IndexSettings
from ..documents import build
from ..keys import encode
from ..messages.formats import find_format, plain
from ..messages.turns import Turn, split
from ..redis_io.connections import Connection
from ..redis_io.operations import Operation, T, perform
from ..runs import Run
from .peer_layouts import PEERS, PeerConversation, Unreadable

_EVERY = 100


class PeerSource(Source):
    """The conversations that the library `peer`, one of `PEERS`, keeps in the Redis at `url`.

    Nothing is written there. `prefix` is that of the keys, if it is not the usual one; `owner` gets
    the conversations that have none. After `verify()`, `unreadable` has the reason by id for those
    that are left out.
    """

    trusted = is_new = True

    def __init__(self, peer: str, url: str, *, prefix: str | None = None, owner: str | None = None):
        if peer not in PEERS:
            known = ", ".join(PEERS)
            raise ValueError(f"{peer!r} is not a library to import from. Choose {known}.")
        self._layout = PEERS[peer](prefix)
        self._owner = owner
        self._connection = Connection(IndexSettings(alias=url.partition("@")[2] or url, url=url))
        self._keys: dict[str, list[bytes]] = {}
        self._format = find_format(self._layout.format)
        self._read_so_far = self.count = self.size = 0
        self.longest = sys.maxsize  # so that each is measured before anything is written
        self.unreadable: Mapping[str, str] = {}

    @property
    def position(self) -> int:
        """The number of conversations read in this pass."""
        return self._read_so_far

    def close(self) -> None:
        self._connection.close()

    def verify(self, progress: Progress = bool) -> None:
        """Look for the conversations, and read each once."""
        self._keys = self._perform(self._layout.find())
        self.size, unreadable = len(self._keys), {}
        for number, (id, keys) in enumerate(self._keys.items()):
            try:
                self._entry(id, keys)
            except Unreadable as reason:
                unreadable[id] = str(reason)
            if not number % _EVERY:
                progress(number)
        self.unreadable = unreadable
        self.count = len(self._keys) - len(unreadable)

    def entries(self) -> Iterator[Entry]:
        self._read_so_far = 0
        for id, keys in self._keys.items():
            self._read_so_far += 1
            if id not in self.unreadable:
                yield self._entry(id, keys)

    def _entry(self, id: str, keys: list[bytes]) -> Entry:
        found = self._perform(self._layout.read(keys))
        try:
            turns = [
                Turn(self._format, group, id=_id_of(id, number))
                for number, group in enumerate(split(plain(found.messages), self._format))
            ]
        except ValueError as error:
            raise Unreadable(str(error)) from None
        open = turns.pop() if turns and turns[-1].is_open else None
        document = build([_with_ids(turn.run()) for turn in turns], dict(found.metadata))
        return Entry(
            id=encode(id),
            value=document.raw,
            checksum=int(document.crc, 16),
            runs=document.count,
            end=document.canonical_end,
            facts=self._facts(found),
            open=(_question(open, found),) if open else (),
        )

    def _facts(self, found: PeerConversation) -> Facts:
        owner = self._owner if found.owner is None else found.owner
        return Facts(
            owner=encode(owner) if owner else None,
            title=found.title.encode("utf-8", "replace"),
            created=found.created or found.updated,
            updated=found.updated,
        )

    def _perform(self, operation: Operation[T]) -> T:
        return perform(self._connection.client, operation, self._connection.settings.alias)


def _id_of(conversation_id: str, part: Any) -> str:
    # The same each time, so that an import that is run again changes nothing.
    return sha256(f"{conversation_id}\n{part}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _with_ids(run: Run) -> Run:
    for side in (run.input, run.output):
        for number, one in enumerate([side, *side.items]):
            name = "input" if side is run.input else "output"
            data = one.to_dict()
            data["id"] = data["name"] = _id_of(run.id, f"{name} {number}")
    return run


def _question(turn: Turn, found: PeerConversation) -> Question:
    begun = found.updated or found.created or 0
    return Question(encode(turn.id), _with_ids(turn.run()).to_wire(), begun=begun)
