"""The checkpoints of a conversation as they are encrypted; see scripts/checkpointed.lua.

What a serializer of LangGraph has made is sealed, and bound to the conversation and the name of its
field. Names, ids and versions are not, as the scripts read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..exceptions import Damaged
from ..packing import pack, part, unpack
from .sealing import CHECKPOINT, CHECKPOINT_METADATA, Sealing, unsealed

_MESSAGE = b"m"  # the place of all messages, as the server numbers them
SHOWN = b"shown"


@dataclass(frozen=True, slots=True)
class CheckpointFields:
    """Seals and opens the fields of one conversation; without `sealing`, they stay as they are."""

    sealing: Sealing | None
    id: bytes

    def seal(self, place: bytes, text: bytes) -> bytes:
        return text if self.sealing is None else self.sealing.seal(CHECKPOINT, self.id, text, place)

    def open(self, place: bytes, text: bytes) -> bytes:
        """The text of a field. Raises `Undecryptable`."""
        if self.sealing is None:
            return unsealed(text)
        return self.sealing.open(CHECKPOINT, self.id, text, place)

    def seal_message(self, text: bytes) -> bytes:
        return self.seal(_MESSAGE, text)

    def open_messages(self, texts: Sequence[bytes]) -> list[bytes]:
        if self.sealing is None:
            return [*map(unsealed, texts)]
        return self.sealing.open_all(CHECKPOINT, self.id, texts, _MESSAGE)

    def seal_checkpoint(self, field: bytes, parts: Sequence[bytes]) -> bytes:
        """The text of a checkpoint from its parent, itself, its metadata and names of values."""
        if self.sealing is None:
            return pack(parts)
        parent, checkpoint, metadata, names = parts
        place = pack([field, parent, names])
        sealed = self.sealing.seal(CHECKPOINT, self.id, checkpoint, place)
        noted = self.sealing.seal(CHECKPOINT_METADATA, self.id, metadata, place)
        return pack([parent, sealed, noted, names])

    def open_checkpoint(self, field: bytes, text: bytes) -> list[bytes]:
        """The inverse of `seal_checkpoint`. Raises `Undecryptable` or ValueError."""
        parent, checkpoint, metadata, names = unpack(text)
        if self.sealing is None:
            return [parent, unsealed(checkpoint), unsealed(metadata), names]
        place = pack([field, parent, names])
        opened = self.sealing.open(CHECKPOINT, self.id, checkpoint, place)
        noted = self.sealing.open(CHECKPOINT_METADATA, self.id, metadata, place)
        return [parent, opened, noted, names]

    def told(self, digest: bytes) -> bytes:
        """By what the server finds a message again that has this digest."""
        if self.sealing is None:
            return digest
        key = self.sealing.keyring.newest
        return part(key.id) + key.mac(CHECKPOINT, self.sealing.index, self.id, digest)

    def anew(self, field: bytes, text: bytes, target: CheckpointFields) -> bytes | None:
        """The text of a field sealed anew for `target`, None if the field is of no use there.

        What the newest key has sealed for the same id stays as it is. Raises `Damaged`.
        """
        try:
            return self._anew(field, text, target)
        except ValueError:
            raise Damaged("one of its checkpoints cannot be read") from None

    def _anew(self, field: bytes, text: bytes, target: CheckpointFields) -> bytes | None:
        assert self.sealing is not None
        kind, is_same = field[:1], self.id == target.id
        if kind == b"d":
            mine = b"d" + part(self.sealing.keyring.newest.id)
            is_mine = is_same and field.startswith(mine) and len(field) == len(mine) + 16
            return text if is_mine else None
        if kind == b"c":
            *_, checkpoint, metadata, _ = unpack(text)
            if is_same and all(map(self.sealing.is_current, (checkpoint, metadata))):
                return text
            return target.seal_checkpoint(field, self.open_checkpoint(field, text))
        if not _is_sealed_field(field, text) or is_same and self.sealing.is_current(text):
            return text
        place = _MESSAGE if kind == b"m" else field
        return target.seal(place, self.open(place, text))


def _is_sealed_field(field: bytes, text: bytes) -> bool:
    kind = field[:1]
    is_value = kind == b"b" and not text.startswith(b"0:")  # which are the numbers of messages
    is_message = kind == b"m" and field[1:].isdigit()
    return is_value or is_message or kind == b"w" or field == SHOWN
