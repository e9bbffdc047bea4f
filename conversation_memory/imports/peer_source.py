"""The conversations of another library as the source of a restore."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

from ..archive.archive import Progress, Source
from ..archive.format import Entry, Facts
from ..archive.questions import Question
from ..conf import IndexSettings
from ..documents import build
from ..exceptions import InvalidIndexError, RedisMisconfigured, is_wrong_type
from ..keys import encode
from ..masking import mask
from ..messages.formats import find_format, plain
from ..messages.turns import Turn, split
from ..redis_io.connections import Connection
from ..redis_io.operations import Operation, T, perform
from ..runs import Run
from ..servers import url_faults
from .peer_layouts import PEERS, Gone, PeerConversation

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
        for fault in url_faults("The URL", url):
            raise InvalidIndexError(fault)
        self._layout = PEERS[peer](prefix)
        self._owner = owner
        self._connection = Connection(IndexSettings(alias=mask(url), url=url))
        self._keys: dict[str, list[bytes]] = {}
        self._format = find_format(self._layout.format)
        self._read_so_far = self.count = self.size = 0
        self.longest = sys.maxsize  # so that each is measured before anything is written
        self.unreadable: dict[str, str] = {}

    @property
    def position(self) -> int:
        """The number of conversations read in this pass."""
        return self._read_so_far

    def close(self) -> None:
        self._connection.close()

    def verify(self, progress: Progress = bool) -> None:
        """Look for the conversations, and read each once."""
        self._keys, self.unreadable = self._perform(self._layout.find()), {}
        self.size = len(self._keys)
        self.count = 0
        for _ in self.entries():
            self.count += 1
            if not self.position % _EVERY:
                progress(self.position)

    def entries(self) -> Iterator[Entry]:
        self._read_so_far = 0
        for id, keys in self._keys.items():
            self._read_so_far += 1
            if id not in self.unreadable and (entry := self._readable(id, keys)):
                yield entry

    def _readable(self, id: str, keys: list[bytes]) -> Entry | None:
        """The conversation, unless it is gone, or cannot be read, which is noted."""
        try:
            return self._entry(id, self._perform(self._layout.read(keys)))
        except Gone:
            return None
        except RedisMisconfigured as error:
            if not is_wrong_type(error):
                raise
            self.unreadable[id] = "it has a key of another type"
        except ValueError as error:  # what cannot be stored
            self.unreadable[id] = str(error).removesuffix(".")
        return None

    def _entry(self, id: str, found: PeerConversation) -> Entry:
        turns = [
            replace(turn, id=_id_of(id, number))
            for number, turn in enumerate(split(plain(found.messages), self._format))
        ]
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
        owner = found.owner or self._owner
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
