"""Addresses of indexes and conversations, which are their primary keys in the admin."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from hashlib import sha256

from ..drivers import RedisConversationMemoryDriver
from ..indexes import ConversationIndex, indexes
from ..keys import decode, encode
from ..rendering import label

# Of an id in a URL: base64url adds a third, and a list doubles that when it adds its filters.
MOST_BYTES = 2_000


@dataclass(frozen=True, slots=True)
class Address:
    """An index, or with `conversation_id` (the bytes as stored in Redis) a conversation.

    `str()` of it is the primary key: alias, index and id as base64url, joined by full stops. The
    raw id could be `..`, bytes that are not text, or anything else that a URL or a browser
    rewrites. An id that is too long for a URL has a key that matches nothing.
    """

    alias: str
    name: str
    conversation_id: bytes | None = None

    @classmethod
    def parse(cls, key: str) -> Address:
        """The inverse of `str()`. Raises ValueError for anything else."""
        padded = [part + "=" * (-len(part) % 4) for part in key.split(".")]
        parts = [b64decode(part.encode("ascii"), altchars=b"-_", validate=True) for part in padded]
        if len(parts) not in (2, 3):
            raise ValueError("A key must have the parts alias, index and conversation.")
        return cls(decode(parts[0]), decode(parts[1]), *parts[2:])

    @property
    def of_index(self) -> Address:
        return replace(self, conversation_id=None)

    @property
    def index_name(self) -> str:
        """Alias and index, as a page can show them."""
        return label(f"{self.alias}: {self.name}")

    @property
    def is_too_long(self) -> bool:
        return len(self.conversation_id or b"") > MOST_BYTES

    def index(self) -> ConversationIndex:
        """Raises `InvalidIndexError` if settings have no such index."""
        return indexes.open(self.alias, self.name)

    def driver(self) -> RedisConversationMemoryDriver:
        """The driver of the conversation, without an owner and so with full access."""
        return self.index().driver(self.conversation_id)

    def __str__(self) -> str:
        parts = [encode(self.alias), encode(self.name)]
        parts += [] if self.conversation_id is None else [self.conversation_id]
        if self.is_too_long:
            return f"{self.of_index}.*{sha256(parts[2]).hexdigest()}"
        return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
