"""Where an index or a conversation is, and the primary key that the admin knows it by."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from hashlib import sha256

from ..drivers import RedisConversationMemoryDriver
from ..indexes import ConversationIndex, indexes
from ..keys import decode, encode

# In base64url four thirds of it, and once more as much if a list links to it with its filters.
MOST_BYTES = 2_000


@dataclass(frozen=True, slots=True)
class Address:
    """An index, or with `conversation_id` (the bytes as they stand in Redis) a conversation.

    `str()` of it is the primary key: alias, index and id as base64url, joined by full stops. Raw,
    an id may be `..`, a byte that is no text, or anything else that a URL or a browser rewrites.
    One that is too long for a URL has a key that leads nowhere.
    """

    alias: str
    name: str
    conversation_id: bytes | None = None

    @classmethod
    def parse(cls, key: str) -> Address:
        """The inverse of `str()`. Raises ValueError for anything else."""
        parts = [_unpacked(part) for part in key.split(".")]
        if len(parts) not in (2, 3):
            raise ValueError("A key has the parts alias, index and conversation.")
        return cls(decode(parts[0]), decode(parts[1]), *parts[2:])

    def at(self, conversation_id: bytes) -> Address:
        """The address of a conversation in the same index."""
        return replace(self, conversation_id=conversation_id)

    @property
    def of_index(self) -> Address:
        """The address of the index alone."""
        return replace(self, conversation_id=None)

    @property
    def is_too_long(self) -> bool:
        """Whether the id would make a longer URL than servers take."""
        return len(self.conversation_id or b"") > MOST_BYTES

    def index(self) -> ConversationIndex:
        """Raises `InvalidIndexError` if settings know no such index."""
        return indexes.open(self.alias, self.name)

    def driver(self) -> RedisConversationMemoryDriver:
        """The driver of the conversation, without an owner: it may do all."""
        return self.index().driver(self.conversation_id)

    def __str__(self) -> str:
        parts = [encode(self.alias), encode(self.name)]
        parts += [] if self.conversation_id is None else [self.conversation_id]
        if self.is_too_long:
            return f"{Address(self.alias, self.name)}.*{sha256(parts[2]).hexdigest()}"
        return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def _unpacked(part: str) -> bytes:
    padded = part + "=" * (-len(part) % 4)
    return b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
