"""Encrypting what is stored anew: with the newest key, or for another id of the conversation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any

from ..encryption.checkpoint_fields import CheckpointFields
from ..encryption.sealing import CHUNK, QUESTION, REASON, TITLE, Sealing
from ..keys import Keys
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script

RESEAL_FIELDS = Script("reseal_fields")

_NO_REASON = b'""'  # as scripts/replies.lua writes it

_AT_A_TIME = 100  # fields of a hash
_PASSES = 20

# The new value of a field from its name and its value; None to delete it.
Anew = Callable[[bytes, bytes], bytes | None]


class Resealed:
    """The texts beside the content, title and open runs, and what they are sealed anew.

    Of each place: what is not encrypted may be the same in two runs. For the same id, a text that
    the newest key has sealed stays as it is.
    """

    def __init__(self, sealing: Sealing, id: bytes, target: bytes):
        self._sealing, self._id, self._target = sealing, id, target
        self.texts: dict[tuple[bytes, bytes], bytes] = {}
        self.has_documents = False  # for a search, although SEARCH is off

    @property
    def is_same(self) -> bool:
        texts = self.texts.items()
        return not self.has_documents and all(old == new for (_, old), new in texts)

    @property
    def args(self) -> list[bytes]:
        """As scripts/resealed.lua takes them."""
        named = ((b"%d:%b%b" % (len(at), at, old), new) for (at, old), new in self.texts.items())
        return [part for pair in named for part in pair]

    def add(self, place: bytes, kind: bytes, text: bytes, run_id: bytes = b"") -> None:
        """Seal the text of a place anew. Raises `Undecryptable`."""
        if (place, text) not in self.texts:
            self.texts[place, text] = self._anew(kind, text, run_id)

    def _anew(self, kind: bytes, text: bytes, run_id: bytes) -> bytes:
        if text in (b"", _NO_REASON) or (
            self._id == self._target and self._sealing.is_current(text)
        ):
            return text
        plain = self._sealing.open(kind, self._id, text, run_id)
        return self._sealing.seal(kind, self._target, plain, run_id)

    def add_state(self, text: bytes, run_id: bytes) -> None:
        *others, reason = text.split(b" ", 6)
        anew = self._anew(REASON, reason, run_id)
        self.texts[b"state:" + run_id, text] = b" ".join([*others, anew])

    def add_entry(self, flat: Sequence[bytes], run_id: bytes) -> None:
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        kind, place = (REASON, b"reason:") if b"k" in fields else (CHUNK, b"chunk:")
        self.add(place + run_id, kind, fields.get(b"t", b""), run_id)


def resealed(keys: Keys, id: bytes, target: bytes, *, is_searched: bool) -> Operation[Resealed]:
    """The texts of a conversation beside its content, for `target`. Raises `Undecryptable`."""
    assert keys.sealing is not None
    found = Resealed(keys.sealing, id, target)
    (title, token), flat = yield [
        single("HMGET", keys.record(id), "title", "token", otherwise=[None, None]),
        single("HGETALL", keys.open(id), otherwise=[]),
    ]
    found.has_documents = token is not None and not is_searched
    found.add(b"title", TITLE, title or b"")
    fields = as_dict(flat)
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
            found.add(name, QUESTION, text, name[9:])
    return found


def checkpoints_anew(keys: Keys, id: bytes, target: bytes) -> Operation[list[bytes | str]]:
    """The checkpoints for `target`, as scripts/hash_anew.lua takes them. Raises `Damaged`."""
    own, other = CheckpointFields(keys.sealing, id), CheckpointFields(keys.sealing, target)
    found = as_dict((yield single("HGETALL", keys.checkpoints(id))))
    return _changes({field: (text, own.anew(field, text, other)) for field, text in found.items()})


def reseal_fields(key: bytes, anew: Anew) -> Operation[int]:
    """Give the fields of a hash other values, beside writers. Returns how many have others now."""
    changed = 0
    for _ in range(_PASSES):  # what is written meanwhile may have been sealed with an older key
        cursor, missed = b"", 0
        while cursor != b"0":
            call = ("HSCAN", key, cursor or b"0", "COUNT", _AT_A_TIME)
            cursor, flat = yield single(*call)
            found = {field: (text, anew(field, text)) for field, text in as_dict(flat).items()}
            others = {field: pair for field, pair in found.items() if pair[0] != pair[1]}
            if others:
                late = yield Command((RESEAL_FIELDS.call([key], _changes(others)),))
                missed, changed = missed + late, changed + len(others) - late
        if not missed:
            break
    return changed


def _changes(fields: dict[bytes, tuple[bytes, bytes | None]]) -> list[bytes | str]:
    """Of each field its name, what tells its value, and the new one; or what deletes it."""
    args: list[bytes | str] = []
    for field, (text, anew) in fields.items():
        told = sha1(text, usedforsecurity=False).hexdigest()
        args += [field, "", ""] if anew is None else [field, told, anew]
    return args


def as_dict(flat: Any) -> dict[bytes, bytes]:
    # A map over RESP3, a flat list over RESP2.
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
