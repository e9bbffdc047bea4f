"""The proof that a key is the one that an index was encrypted with, not another of that name."""

from collections.abc import Mapping
from contextlib import suppress

from ..encryption.sealing import PROOF, Sealing
from ..exceptions import Damaged, InvalidIndexError
from ..keys import Keys
from ..redis_io.operations import Operation, single
from .resealing import as_dict

_TEXT = b"conversation_memory"
_UNUSED = b"unused:"  # in front of the id of a key that seals nothing any more


def proven(keys: Keys, alias: str) -> Operation[None]:
    """Compare the newest key with the index, once in the life of a process, before it writes.

    Raises `InvalidIndexError`: what another key encrypts, the others could not read.
    """
    sealing = keys.sealing
    if sealing is None or sealing.is_proven:
        return
    id = sealing.keyring.newest.id
    sealed = sealing.seal(PROOF, b"", _TEXT)
    _, stored, _ = yield [
        single("HSETNX", keys.proofs(), id, sealed),
        single("HGET", keys.proofs(), id),
        single("HDEL", keys.proofs(), _UNUSED + id),
    ]
    sealing.is_proven = is_proof(sealing, stored)
    if not sealing.is_proven:
        raise InvalidIndexError(
            f"Key {id.decode()!r} in ENCRYPTION of alias {alias!r} is another one than that which "
            f"encrypted index {keys.name!r} under this id. Nothing was written. Put the right key "
            "back, or give the new key an id of its own."
        )


def is_proof(sealing: Sealing, stored: bytes | None) -> bool:
    """True if the key of this id is the one that has sealed the proof."""
    with suppress(Damaged):
        return bool(stored) and sealing.open(PROOF, b"", stored or b"") == _TEXT
    return False


def proofs(keys: Keys) -> Operation[dict[bytes, bytes]]:
    """By its id, the proof of each key with which stored values may be sealed."""
    found = as_dict((yield single("HGETALL", keys.proofs(), otherwise=[])))
    return {id: proof for id, proof in found.items() if _is_used(id, found)}


def _is_used(id: bytes, found: Mapping[bytes, bytes]) -> bool:
    return not id.startswith(_UNUSED) and _UNUSED + id not in found


def note_unused(keys: Keys) -> Operation[None]:
    """Note that the newest key has sealed everything, so that no other one is needed."""
    assert keys.sealing is not None
    others = {*(yield from proofs(keys))} - {keys.sealing.keyring.newest.id}
    if others:
        pairs = [part for id in others for part in (_UNUSED + id, b"1")]
        yield single("HSET", keys.proofs(), *pairs)
