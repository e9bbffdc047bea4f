"""Sealed values: `cm1.<key id>.<base64url of nonce, ciphertext and tag>`.

The additional data binds a value to its place: format version, key id, index, what it is,
conversation id, and for the parts of an open run its run id. Copied elsewhere, it does not open.
What agents of LangGraph keep is bound to a field instead of a run, and items to their owner.
"""

from __future__ import annotations

import os
import re
from binascii import Error as NotBase64
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..exceptions import Damaged, InvalidIndexError, Undecryptable
from .base64url import decoded, decoded_pairs, encoded
from .keyring import PREFIX, EncryptionSettings, Key, Keyring

# What a value is.
DOCUMENT, SEGMENT, RUN, TITLE = b"document", b"segment", b"run", b"title"
QUESTION, CHUNK, REASON = b"question", b"chunk", b"reason"
PROOF, ARCHIVE = b"key", b"archive"
CHECKPOINT, CHECKPOINT_METADATA, ITEM = b"checkpoint", b"checkpoint metadata", b"item"
TURN = b"turn"  # an id of a run that is made of a text
TAG = b"tag"  # a value of FIELDS in a search document

_NONCE = 12
_TAG = 16

# Nothing shorter than a nonce, a byte and a tag is sealed: "cm1.x. Notes" is a plain title.
_SHORTEST = -(-(_NONCE + _TAG + 1) * 4 // 3)
_sealed = re.compile(rb"cm1\.([A-Za-z0-9_-]{1,64})\.[A-Za-z0-9_-]{%d}" % _SHORTEST).match

PLAINTEXT = "it is not encrypted, and READ_PLAINTEXT of ENCRYPTION is off"
NO_ENCRYPTION = "this alias has no ENCRYPTION"
ELSEWHERE = "the key is another one of that name, or the value was changed or comes from elsewhere"


def is_sealed(text: bytes) -> bool:
    return text.startswith(PREFIX) and _sealed(text) is not None


def key_of(text: bytes) -> str:
    """The id of the key that a value says it was sealed with; '' if it is not sealed."""
    found = _sealed(text)
    return found[1].decode() if found else ""


def unsealed(text: bytes) -> bytes:
    """A text for an alias without ENCRYPTION. Raises `Undecryptable` if it is sealed."""
    if id := key_of(text):
        raise Undecryptable(f"it is encrypted with key {id!r}, and {NO_ENCRYPTION}", text, id)
    return text


def missing_key(id: str, text: bytes = b"") -> Undecryptable:
    why = f"it is encrypted with key {id!r}, which is not in KEYS of ENCRYPTION"
    return Undecryptable(why, text, id)


def refuse(sealing: Sealing | None, alias: str, what: str) -> None:
    """Raises `InvalidIndexError` for what must not be with an encrypted index."""
    if sealing is not None:
        raise InvalidIndexError(
            f"Alias {alias!r} has ENCRYPTION, which does not cover {what}: whoever reads them "
            "learns what the texts are about. Use an alias without ENCRYPTION, with another INDEX."
        )


class Sealing:
    """Seals and opens the values of one index."""

    def __init__(self, keyring: Keyring, index: bytes, *, read_plaintext: bool = False):
        self.keyring = keyring
        self.read_plaintext = read_plaintext
        self.index = index
        self.is_proven = False  # the newest key is the one that the index knows by its id

    def seal(self, kind: bytes, id: bytes, text: bytes, place: bytes = b"") -> bytes:
        """The sealed text; an empty one stays as it is."""
        return self.seal_all(kind, id, [text], place)[0]

    def seal_all(
        self, kind: bytes, id: bytes, texts: Sequence[bytes], place: bytes = b""
    ) -> list[bytes]:
        key = self.keyring.newest
        bound, encrypt, prefix = self._bound(key, kind, id, place), key.cipher.encrypt, key.prefix
        sealed = []
        for text in texts:
            nonce = os.urandom(_NONCE)
            sealed.append(prefix + encoded(nonce + encrypt(nonce, text, bound)) if text else text)
        return sealed

    def seal_alike(self, kind: bytes, id: bytes, text: bytes) -> bytes:
        """See seal(); the same text is always the same value, until the key changes."""
        key = self.keyring.newest
        nonce = key.mac(b"nonce", self.index, kind, id, text)[:_NONCE]
        encrypted = key.cipher.encrypt(nonce, text, self._bound(key, kind, id, b""))
        return key.prefix + encoded(nonce + encrypted)

    def digests(self, kind: bytes, *parts: bytes) -> list[str]:
        """What stands for a text where it is only compared, in 32 hexadecimal digits.

        With each of KEYS, the newest first: without a key, nobody can compute or try them.
        """
        keys = (self.keyring.get(id.encode()) for id in self.keyring.ids)
        return [key.mac(kind, self.index, *parts).hex() for key in keys if key]

    def digest(self, kind: bytes, *parts: bytes) -> str:
        """See digests(), with the newest key."""
        return self.keyring.newest.mac(kind, self.index, *parts).hex()

    def open(self, kind: bytes, id: bytes, text: bytes, place: bytes = b"") -> bytes:
        """The text of a sealed value. Raises `Undecryptable`, naming the key."""
        return self.open_all(kind, id, [text], place)[0]

    def open_all(
        self, kind: bytes, id: bytes, texts: Sequence[bytes], place: bytes = b""
    ) -> list[bytes]:
        """See open(), of values of one kind."""
        if len(texts) > 1 and (alike := self._open_alike(kind, id, texts, place)) is not None:
            return alike
        found, prefix, bound, decrypt = [], b"\0", b"", None
        for text in texts:
            if not text.startswith(prefix):
                if not text or (self.read_plaintext and not is_sealed(text)):
                    found.append(text)
                    continue
                key = self._key(text)
                prefix, decrypt = key.prefix, key.cipher.decrypt
                bound = self._bound(key, kind, id, place)
            found.append(_opened(text, len(prefix), decrypt, bound))
        return found

    def _open_alike(
        self, kind: bytes, id: bytes, texts: Sequence[bytes], place: bytes
    ) -> list[bytes] | None:
        """See open_all(), of texts that one key has sealed; None unless all of them open."""
        key = self.keyring.get(key_of(texts[0]).encode()) if is_sealed(texts[0]) else None
        if key is None or not all([text.startswith(key.prefix) for text in texts]):
            return None
        start, decrypt = len(key.prefix), key.cipher.decrypt
        bound = self._bound(key, kind, id, place)
        try:
            return [decrypt(*pair, bound) for pair in decoded_pairs(texts, start, _NONCE)]
        except Exception:  # one by one, they tell which it is, and why
            return None

    def lenient(self, kind: bytes, id: bytes, text: bytes, place: bytes = b"") -> bytes:
        """See open(); if it cannot be opened, as it is stored, but nothing that is not sealed."""
        with suppress(Damaged):
            return self.open(kind, id, text, place)
        return text if is_sealed(text) else b""  # whoever writes to Redis could have made it up

    def is_current(self, text: bytes | None) -> bool:
        """True if there is nothing to seal anew: no text, or one sealed with the newest key.

        Of a document, all segments count.
        """
        if not text:
            return True
        prefix = self.keyring.newest.prefix
        return text.startswith(prefix) and text.count(b"~") == text.count(b"~" + prefix)

    def _key(self, text: bytes) -> Key:
        id = key_of(text)
        if not id:
            raise Undecryptable(PLAINTEXT, text)
        key = self.keyring.get(id.encode())
        if key is None:
            raise missing_key(id, text)
        return key

    def _bound(self, key: Key, kind: bytes, id: bytes, place: bytes) -> bytes:
        """The additional data; the lengths keep a part from running into the next."""
        parts = (b"cm1", key.id, self.index, kind, id, place)
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
