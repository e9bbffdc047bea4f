"""The lines of an encrypted archive: each conversation is sealed as a whole."""

from __future__ import annotations

from hashlib import sha256

from ..encryption.keyring import EncryptionSettings, Keyring, encryption_faults
from ..encryption.sealing import ARCHIVE, Sealing, is_sealed
from ..exceptions import InvalidIndexError, Undecryptable, sensitive

# Stands for the index, to which an archive is not bound.
_ANY_INDEX = b"archive"


class SealedLines:
    """Seals and opens the lines of one archive; they are bound to its header line."""

    def __init__(self, keyring: Keyring, header: bytes):
        self._sealing = Sealing(keyring, _ANY_INDEX)
        self._archive = sha256(header).digest()

    def seal(self, line: bytes) -> bytes:
        return self._sealing.seal(ARCHIVE, self._archive, line[:-1]) + b"\n"

    def open(self, line: bytes) -> bytes:
        """Raises `Undecryptable`."""
        if not line.endswith(b"\n") or not is_sealed(line):
            raise Undecryptable("it is not an encrypted line", line)
        return self._sealing.open(ARCHIVE, self._archive, line[:-1]) + b"\n"


@sensitive
def archive_key(text: str) -> Keyring:
    """The key of an archive, given as `ID=env:NAME` or `ID=base64`. Raises `InvalidIndexError`."""
    id, _, key = text.partition("=")
    given = {"KEYS": [{"id": id, "key": key}]}
    if faults := [*encryption_faults("the key of the archive", given)]:
        raise InvalidIndexError(" ".join(faults).replace("KEYS in ", ""))
    return Keyring(EncryptionSettings(keys=given["KEYS"]), "archive")
