"""Sealed values: `cm1.<key id>.<base64url of nonce, ciphertext and tag>`.

The additional data binds a value to its place: format version, key id, index, what it is,
conversation id, and for the parts of an open run its run id. Copied elsewhere, it does not open.
"""

from __future__ import annotations

import hmac
import os
import re
from binascii import Error as NotBase64
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..exceptions import Damaged, InvalidIndexError, Undecryptable
from .base64url import decoded, decoded_all, encoded
from .keyring import PREFIX, EncryptionSettings, Key, Keyring

# What a value is.
DOCUMENT, RUN, TITLE = b"document", b"run", b"title"
QUESTION, CHUNK, REASON = b"question", b"chunk", b"reason"
PROOF, ARCHIVE = b"key", b"archive"
TAG = b"tag"  # a value of FIELDS in a search document

_NONCE = 12
_TAG = 16

_sealed = re.compile(rb"cm1\.([A-Za-z0-9_-]{1,64})\.").match

PLAINTEXT = "it is not encrypted, and READ_PLAINTEXT of ENCRYPTION is off"
ELSEWHERE = "the key is another one of that name, or the value was changed or comes from elsewhere"


def is_sealed(text: bytes) -> bool:
    return text.startswith(PREFIX) and _sealed(text) is not None


def key_of(text: bytes) -> str:
    """The id of the key that a value says it was sealed with; '' if it is not sealed."""
    found = _sealed(text)
    return found[1].decode() if found else ""


def refuse(sealing: Sealing | None, alias: str, what: str) -> None:
    """Raises `InvalidIndexError` for data that an encrypted index would store unencrypted."""
    if sealing is not None:
        raise InvalidIndexError(
            f"Alias {alias!r} has ENCRYPTION, which does not cover {what}: they would be stored "
            "unencrypted. Use an alias without ENCRYPTION for them, with an INDEX of its own."
        )


class Sealing:
    """Seals and opens the values of one index."""

    def __init__(self, keyring: Keyring, index: bytes, *, read_plaintext: bool = False):
        self.keyring = keyring
        self.read_plaintext = read_plaintext
        self._index = index
        self.is_proven = False  # the newest key is the one that the index knows by its id

    def seal(self, kind: bytes, id: bytes, text: bytes, run_id: bytes = b"") -> bytes:
        """The sealed text; an empty one stays as it is."""
        return self.seal_all(kind, id, [text], run_id)[0]

    def seal_all(
        self, kind: bytes, id: bytes, texts: Sequence[bytes], run_id: bytes = b""
    ) -> list[bytes]:
        key = self.keyring.newest
        bound, encrypt, prefix = self._bound(key, kind, id, run_id), key.cipher.encrypt, key.prefix
        sealed = []
        for text in texts:
            nonce = os.urandom(_NONCE)
            sealed.append(prefix + encoded(nonce + encrypt(nonce, text, bound)) if text else text)
        return sealed

    def seal_alike(self, kind: bytes, id: bytes, text: bytes) -> bytes:
        """See seal(); the same text is always the same value, until the key changes."""
        key = self.keyring.newest
        nonce = self._digest(key, b"nonce", kind, id, text)[:_NONCE]
        encrypted = key.cipher.encrypt(nonce, text, self._bound(key, kind, id, b""))
        return key.prefix + encoded(nonce + encrypted)

    def digests(self, *parts: bytes) -> list[str]:
        """What stands for `parts` where they are only compared, in 32 hexadecimal digits.

        With each of KEYS, the newest first: without a key, nobody can compute or try them.
        """
        keys = (self.keyring.get(id.encode()) for id in self.keyring.ids)
        return [self._digest(key, *parts)[:16].hex() for key in keys if key]

    def digest(self, *parts: bytes) -> str:
        """See digests(), with the newest key."""
        return self._digest(self.keyring.newest, *parts)[:16].hex()

    def _digest(self, key: Key, *parts: bytes) -> bytes:
        return hmac.digest(key.digest_key, _joined((self._index, *parts)), "sha256")

    def open(self, kind: bytes, id: bytes, text: bytes, run_id: bytes = b"") -> bytes:
        """The text of a sealed value. Raises `Undecryptable`, naming the key."""
        return self.open_all(kind, id, [text], run_id)[0]

    def open_all(
        self, kind: bytes, id: bytes, texts: Sequence[bytes], run_id: bytes = b""
    ) -> list[bytes]:
        """See open(), of values of one kind."""
        if len(texts) > 1 and (alike := self._open_alike(kind, id, texts, run_id)) is not None:
            return alike
        found, prefix, bound, decrypt = [], b"\0", b"", None
        for text in texts:
            if not text.startswith(prefix):
                if not text or (self.read_plaintext and not is_sealed(text)):
                    found.append(text)
                    continue
                key = self._key(text)
                prefix, decrypt = key.prefix, key.cipher.decrypt
                bound = self._bound(key, kind, id, run_id)
            found.append(_opened(text, len(prefix), decrypt, bound))
        return found

    def _open_alike(
        self, kind: bytes, id: bytes, texts: Sequence[bytes], run_id: bytes
    ) -> list[bytes] | None:
        """See open_all(), of texts that one key has sealed; None unless all of them open."""
        key = self.keyring.get(key_of(texts[0]).encode()) if is_sealed(texts[0]) else None
        if key is None or not all([text.startswith(key.prefix) for text in texts]):
            return None
        start, decrypt = len(key.prefix), key.cipher.decrypt
        bound = self._bound(key, kind, id, run_id)
        try:
            raws = decoded_all([text[start:] for text in texts])
            return [decrypt(raw[:_NONCE], raw[_NONCE:], bound) for raw in raws]
        except Exception:  # one by one, they tell which it is, and why
            return None

    def lenient(self, kind: bytes, id: bytes, text: bytes, run_id: bytes = b"") -> bytes:
        """See open(); the value as it is stored if it cannot be opened."""
        with suppress(Damaged):
            return self.open(kind, id, text, run_id)
        return text

    def is_current(self, text: bytes | None) -> bool:
        """True if there is nothing to seal anew: no text, or one sealed with the newest key."""
        return not text or text.startswith(self.keyring.newest.prefix)

    def _key(self, text: bytes) -> Key:
        id = key_of(text)
        if not id:
            raise Undecryptable(PLAINTEXT, text)
        key = self.keyring.get(id.encode())
        if key is None:
            why = f"it is encrypted with key {id!r}, which is not in KEYS of ENCRYPTION"
            raise Undecryptable(why, text, id)
        return key

    def _bound(self, key: Key, kind: bytes, id: bytes, run_id: bytes) -> bytes:
        """The additional data."""
        return _joined((b"cm1", key.id, self._index, kind, id, run_id))


def _joined(parts: Sequence[bytes]) -> bytes:
    # The lengths keep a part from running into the next.
    return b"".join([b"%d:%b," % (len(part), part) for part in parts])


def _opened(text: bytes, start: int, decrypt: Any, bound: bytes) -> bytes:
    try:
        raw = decoded(text[start:])
        if len(raw) <= _NONCE + _TAG:
            raise ValueError
        return decrypt(raw[:_NONCE], raw[_NONCE:], bound)  # type: ignore[no-any-return]
    except (NotBase64, ValueError):
        pass
    except Exception as error:
        if type(error).__name__ != "InvalidTag":  # of a package that may be missing
            raise
    id = key_of(text)
    raise Undecryptable(f"key {id!r} does not decrypt it: {ELSEWHERE}", text, id)


def sealing_of(given: EncryptionSettings | None, alias: str, index: bytes) -> Sealing | None:
    """What encrypts an index with these settings; None if they are None."""
    if given is None:
        return None
    return Sealing(Keyring(given, alias), index, read_plaintext=given.read_plaintext)
