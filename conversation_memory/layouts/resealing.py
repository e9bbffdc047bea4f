"""Encrypting what is stored anew: with the newest key, or for another id of the conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..encryption.sealing import CHUNK, QUESTION, REASON, TITLE, Sealing
from ..keys import Keys
from ..redis_io.operations import Command, Operation, single

_NO_REASON = b'""'  # as scripts/replies.lua writes it


class Resealed:
    """The texts beside the content, title and open runs, and what they are sealed anew.

    For the same id, a text that the newest key has sealed stays as it is.
    """

    def __init__(self, sealing: Sealing, id: bytes, target: bytes):
        self._sealing, self._id, self._target = sealing, id, target
        self.texts = {b"": b"", _NO_REASON: _NO_REASON}

    @property
    def is_same(self) -> bool:
        return all(old == new for old, new in self.texts.items())

    @property
    def args(self) -> list[bytes]:
        """As scripts/resealed.lua takes them."""
        return [part for pair in self.texts.items() for part in pair]

    def add(self, kind: bytes, text: bytes, run_id: bytes = b"") -> bytes:
        """What a text becomes. Raises `Undecryptable`."""
        if text not in self.texts:
            self.texts[text] = self._anew(kind, text, run_id)
        return self.texts[text]

    def _anew(self, kind: bytes, text: bytes, run_id: bytes) -> bytes:
        if self._id == self._target and self._sealing.is_current(text):
            return text
        plain = self._sealing.open(kind, self._id, text, run_id)
        return self._sealing.seal(kind, self._target, plain, run_id)

    def add_state(self, text: bytes, run_id: bytes) -> None:
        *others, reason = text.split(b" ", 6)
        self.texts[text] = b" ".join([*others, self.add(REASON, reason, run_id)])

    def add_entry(self, flat: Sequence[bytes], run_id: bytes) -> None:
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        kind = REASON if b"k" in fields else CHUNK
        self.add(kind, fields.get(b"t", b""), run_id)


def resealed(keys: Keys, id: bytes, target: bytes) -> Operation[Resealed]:
    """The texts of a conversation beside its content, for `target`. Raises `Undecryptable`."""
    assert keys.sealing is not None
    found = Resealed(keys.sealing, id, target)
    title, flat = yield [
        single("HGET", keys.record(id), "title", otherwise=None),
        single("HGETALL", keys.open(id), otherwise=[]),
    ]
    found.add(TITLE, title or b"")
    fields = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
    runs = [name[6:] for name in fields if name.startswith(b"state:")]
    streams: list[Command[Any]] = [
        single("XRANGE", keys.chunks(id, run), "-", "+", otherwise=[]) for run in runs
    ]
    for run, entries in zip(runs, (yield streams) if streams else [], strict=True):
        for _, entry in entries:
            found.add_entry(entry, run)
    for name, text in fields.items():
        if name.startswith(b"state:"):
            found.add_state(text, name[6:])
        elif name.startswith(b"question:"):
            found.add(QUESTION, text, name[9:])
    return found
