"""The proof that a key is the one that an index was encrypted with, not another of that name."""

from contextlib import suppress

from ..encryption.sealing import PROOF
from ..exceptions import Damaged, InvalidIndexError
from ..keys import Keys
from ..redis_io.operations import Operation, single

_TEXT = b"conversation_memory"


def proven(keys: Keys, alias: str) -> Operation[None]:
    """Compare the newest key with the index, once in the life of a process, before it writes.

    Raises `InvalidIndexError`: what another key encrypts, the others could not read.
    """
    sealing = keys.sealing
    if sealing is None or sealing.is_proven:
        return
    id = sealing.keyring.newest.id
    sealed = sealing.seal(PROOF, b"", _TEXT)
    yield single("HSETNX", keys.proofs(), id, sealed)
    stored = yield single("HGET", keys.proofs(), id)
    with suppress(Damaged):
        sealing.is_proven = sealing.open(PROOF, b"", stored or b"") == _TEXT
    if not sealing.is_proven:
        raise InvalidIndexError(
            f"Key {id.decode()!r} in ENCRYPTION of alias {alias!r} is another one than that which "
            f"encrypted index {keys.name!r} under this id. Nothing was written. Put the right key "
            "back, or give the new key an id of its own."
        )
