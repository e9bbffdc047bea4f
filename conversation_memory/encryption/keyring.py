"""The keys of an alias: from settings, from the environment, or from a key service."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..exceptions import InvalidIndexError, PackageMissing, sensitive

PREFIX = b"cm1."

# The classes of `cryptography`; each takes a key of 32 bytes and a nonce of 12.
ALGORITHMS = {"AES-256-GCM-SIV": "AESGCMSIV", "AES-256-GCM": "AESGCM"}

_KEY_BYTES = 32
_PURPOSE = b"conversation_memory: digests of texts"
_is_id = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
_members = {"id", "key", "wrapped", "algorithm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionSettings:
    """ENCRYPTION of an alias: its keys, the newest first, or a callable that returns them.

    `unwrap` turns the wrapped data key of an entry into the key, as a key service does.
    """

    keys: Any = field(repr=False)
    unwrap: Callable[[str, bytes], bytes] | None = field(default=None, repr=False)
    algorithm: str = "AES-256-GCM-SIV"
    read_plaintext: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is ready for use; `prefix` begins each value that it has sealed."""

    id: bytes
    prefix: bytes
    cipher: Any = field(repr=False)
    secret: bytes = field(repr=False)  # derived from the key, for `mac`

    def mac(self, purpose: bytes, *parts: bytes) -> bytes:
        """16 bytes that tell parts of texts, and that nobody can guess without the key."""
        text = b"".join([b"%d:%b," % (len(part), part) for part in (purpose, *parts)])
        return hmac.digest(self.secret, text, "sha256")[:16]


class Keyring:
    """The keys of an alias. Each is fetched when it is first needed, and then kept."""

    def __init__(self, settings: EncryptionSettings, alias: str):
        self._settings = settings
        self._where = f"ENCRYPTION of settings.REDIS[{alias!r}]"
        self._entries: dict[str, Mapping[str, Any]] | None = None
        self._keys: dict[bytes, Key | None] = {}
        self._newest: Key | None = None

    def __deepcopy__(self, memo: Any) -> Keyring:
        return self  # as its connection does: a copy of a driver has the same keys

    @property
    def newest(self) -> Key:
        """The key that seals. Raises `InvalidIndexError` if it cannot be used."""
        if self._newest is None:
            self._newest = self.get(next(iter(self._known())).encode())
            assert self._newest is not None
        return self._newest

    def get(self, id: bytes) -> Key | None:
        """The key of that id, None without one. Raises `InvalidIndexError` if it cannot be used."""
        if id not in self._keys:
            name = id.decode("ascii", "replace")
            self._keys[id] = self._made(name) if name in self._known() else None
        return self._keys[id]

    @property
    def ids(self) -> list[str]:
        """The ids of the keys, the newest first."""
        return [*self._known()]

    def faults(self) -> dict[str, str]:
        """By the id of a key why it cannot be used, by '' why none can. Fetches every key."""
        found = {}
        try:
            for id in self.ids:
                try:
                    self.get(id.encode())
                except (InvalidIndexError, PackageMissing) as error:
                    found[id] = str(error)
        except InvalidIndexError as error:
            return {"": str(error)}
        return found

    @sensitive
    def _known(self) -> dict[str, Mapping[str, Any]]:
        if self._entries is None:
            entries = self._settings.keys
            if callable(entries):
                entries = self._called("KEYS", entries)
                if faults := list(key_faults(self._where, entries, self._settings.unwrap)):
                    raise InvalidIndexError(" ".join(faults))
            self._entries = {entry["id"]: entry for entry in entries}
        return self._entries

    @sensitive
    def _made(self, name: str) -> Key:
        entry = self._known()[name]
        try:
            key = self._bytes_of(entry)
        except ValueError as error:
            raise InvalidIndexError(f"Key {name!r} in {self._where} {error}.") from None
        id = name.encode()
        algorithm = entry.get("algorithm", self._settings.algorithm)
        secret = hmac.digest(key, _PURPOSE, "sha256")
        return Key(id, PREFIX + id + b".", cipher_class(algorithm)(key), secret)

    @sensitive
    def _bytes_of(self, entry: Mapping[str, Any]) -> bytes:
        if "wrapped" in entry:
            unwrap, id, wrapped = self._settings.unwrap, entry["id"], _decoded(entry["wrapped"])
            assert unwrap is not None
            return _checked(self._called("UNWRAP", lambda: unwrap(id, wrapped)))
        given = entry["key"]
        if callable(given):
            return _checked(self._called(f"key {entry['id']!r}", given))
        return key_bytes(given)

    @sensitive
    def _called(self, what: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except Exception as error:  # whatever a project's callable raises
            problem = type(error).__name__  # not its text, which may quote a key
            text = f"The callable of {what} in {self._where} failed with {problem}."
            raise InvalidIndexError(text) from None


@sensitive
def key_bytes(given: str) -> bytes:
    """The key of `env:NAME`, or of base64. Raises ValueError, which quotes nothing of it."""
    if given.startswith("env:"):
        name = given[4:]
        if not (found := os.environ.get(name)):
            raise ValueError(f"requires the environment variable {name}, which is not set")
        given = found
    return _checked(given)


@sensitive
def _checked(key: Any) -> bytes:
    key = _decoded(key) if isinstance(key, str) else key
    if not isinstance(key, bytes) or len(key) != _KEY_BYTES:
        raise ValueError("is not 32 bytes in base64")
    return key


@sensitive
def _decoded(text: str) -> bytes:
    try:
        standard = text.strip().replace("-", "+").replace("_", "/")
        padded = standard.rstrip("=") + "=" * (-len(standard.rstrip("=")) % 4)
        return base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not 32 bytes in base64") from None


def cipher_class(algorithm: str) -> Any:
    """The class of `cryptography`. Raises `PackageMissing` if this machine cannot use it."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.ciphers import aead
    except ImportError:
        raise PackageMissing(
            "ENCRYPTION requires the package cryptography: pip install "
            "'django-conversation-memory[encryption]'."
        ) from None
    found = getattr(aead, ALGORITHMS[algorithm])
    try:
        found(bytes(_KEY_BYTES))
    except UnsupportedAlgorithm:
        raise PackageMissing(
            f"The OpenSSL of the package cryptography does not have {algorithm}: install "
            "cryptography from its wheels, or build it with OpenSSL 3.2 or newer."
        ) from None
    return found


@sensitive
def encryption_faults(where: str, given: Any) -> Iterator[str]:
    """The errors of ENCRYPTION, one sentence each. Calls no callable."""
    if not isinstance(given, Mapping) or "KEYS" not in given:
        yield f"{where} must be None or a dict with KEYS."
        return
    known = {"KEYS", "UNWRAP", "ALGORITHM", "READ_PLAINTEXT"}
    for name in sorted(set(map(str, given)) - known):
        yield f"{where} has an unknown key {name!r}; known are {', '.join(sorted(known))}."
    if given.get("ALGORITHM", "AES-256-GCM-SIV") not in ALGORITHMS:
        yield f"ALGORITHM in {where} must be {' or '.join(map(repr, ALGORITHMS))}."
    if not isinstance(given.get("READ_PLAINTEXT", False), bool):
        yield f"READ_PLAINTEXT in {where} must be True or False."
    unwrap = given.get("UNWRAP")
    if unwrap is not None and not callable(unwrap):
        yield f"UNWRAP in {where} is not callable."
    if not callable(given["KEYS"]):
        yield from key_faults(where, given["KEYS"], unwrap)


@sensitive
def key_faults(where: str, entries: Any, unwrap: Any) -> Iterator[str]:
    """The errors of KEYS, which quote no key."""
    if not isinstance(entries, Sequence) or isinstance(entries, str | bytes) or not entries:
        yield f"KEYS in {where} must be a list of keys, the newest first, or a callable."
        return
    seen: set[str] = set()
    for entry in entries:
        id = entry.get("id") if isinstance(entry, Mapping) else None
        if not isinstance(id, str) or not _is_id(id):
            yield f"Each of KEYS in {where} requires an id of ASCII letters, digits, - and _."
            continue
        if id in seen:
            yield f"KEYS in {where} has the id {id!r} twice."
        seen.add(id)
        for problem in _entry_faults(entry, unwrap):
            yield f"Key {id!r} in {where} {problem}."


@sensitive
def _entry_faults(entry: Mapping[str, Any], unwrap: Any) -> Iterator[str]:
    if unknown := set(map(str, entry)) - _members:
        yield f"has an unknown member {min(unknown)!r}"
    if entry.get("algorithm", "AES-256-GCM") not in ALGORITHMS:
        yield f"has another algorithm than {' and '.join(ALGORITHMS)}"
    if ("key" in entry) == ("wrapped" in entry):
        yield "requires either a key or a wrapped key"
    elif "wrapped" in entry:
        if unwrap is None:
            yield "is wrapped, which requires UNWRAP"
        if not isinstance(entry["wrapped"], str):
            yield "is not wrapped in base64"
    elif isinstance(entry["key"], str):
        try:
            key_bytes(entry["key"])
        except ValueError as error:
            yield str(error)
    elif not callable(entry["key"]):
        yield "must be 'env:NAME', base64 or a callable"
