"""Every key name in Redis, and the hash tag that keeps an index in one slot."""

from __future__ import annotations

import re
from uuid import UUID

# Bytes that are not UTF-8 occur in ids that others wrote. As surrogates they survive the way to
# str and back.
_ERRORS = "surrogateescape"


Id = str | bytes | int | UUID

NO_CALL = b""
"""For `Keys.of()`, for a script that may be run again as often as it is sent."""
COUNT = b"documents"


def encode(name: Id) -> bytes:
    """The bytes of an id or an owner as they stand in Redis."""
    if isinstance(name, bytes):
        return name
    try:
        return str(name).encode("utf-8", _ERRORS)
    except UnicodeEncodeError:
        raise ValueError(
            "An id, owner or index name with a lone surrogate cannot be written to Redis."
        ) from None


def decode(name: bytes) -> str:
    """The inverse of `encode`."""
    return name.decode("utf-8", _ERRORS)


class Keys:
    """The keys of one index. Those of a conversation share the slot of the index."""

    __slots__ = ("_tag", "index", "name")

    def __init__(self, index: str):
        if not index or "{" in index or "}" in index:
            raise ValueError(f"The index name {index!r} is empty or has a brace in it.")
        self.name = index
        self.index = encode(index)
        self._tag = b"{" + self.index + b"}:"

    def content(self, conversation_id: bytes) -> bytes:
        """Hash: conversation id -> document. The one key that Griptape knows."""
        return self.index

    def record(self, conversation_id: bytes) -> bytes:
        """Hash: owner, title, created, updated, runs, version and fields of the scripts."""
        return self._tag + b"record:" + conversation_id

    def runs(self, conversation_id: bytes) -> bytes:
        """List: the JSON texts of the runs, oldest first (layout `list`)."""
        return self._tag + b"runs:" + conversation_id

    def ids(self, conversation_id: bytes) -> bytes:
        """Sorted set: digest of a run id by when it was appended, in the last hour (`list`)."""
        return self._tag + b"ids:" + conversation_id

    def call(self, token: bytes) -> bytes:
        """String: the answer to a write, kept for five minutes in case it is sent again."""
        return self._tag + b"call:" + token

    def of(self, conversation_id: bytes, owner: bytes | None, call: bytes) -> list[bytes]:
        """The keys that every script on one conversation takes, in the order of conversation.lua.

        `call` is a token of the one call that is made. The last key but the order of the owner is
        what the names of our keys begin with. From it the scripts make those of search documents,
        which only the server knows.
        """
        keys = [
            self.content(conversation_id),
            self.record(conversation_id),
            self.recency(),
            self.expiry(),
            self.runs(conversation_id),
            self.ids(conversation_id),
            self.call(call),
            self.root,
        ]
        return keys if owner is None else [*keys, self.recency(owner)]

    def recency(self, owner: bytes | None = None) -> bytes:
        """Sorted set: conversation id by time of its last write, of all or of one owner."""
        return self._tag + (b"recent" if owner is None else b"owner:" + owner)

    def expiry(self) -> bytes:
        """Sorted set: conversation id by its deadline, of those that have one."""
        return self._tag + b"expiry"

    def pattern(self, start: bytes = b"") -> bytes:
        """A glob for every key of ours, or those that begin with `start`, for SCAN."""
        return re.sub(rb"[][*?\\]", rb"\\\g<0>", start or self._tag) + b"*"

    def family(self, key: bytes) -> tuple[bytes, bytes]:
        """The kind of a key of ours, such as `b"record"`, and the id or owner in it."""
        kind, _, name = key.removeprefix(self._tag).partition(b":")
        return kind, name

    # The keys of search are known to conversation.lua and documents.lua as well.

    @property
    def root(self) -> bytes:
        """The prefix of every key of ours."""
        return self._tag

    def documents(self) -> bytes:
        """The prefix of the keys of search documents."""
        return self._tag + b"run:"

    def document(self, token: bytes, suffix: bytes) -> bytes:
        """Hash: a run as RediSearch indexes it. `token` stands for the conversation."""
        return self.documents() + token + b":" + suffix

    def registry(self, token: bytes) -> bytes:
        """Set: the suffixes of the search documents that a conversation has."""
        return self._tag + b"documents:" + token

    def tokens(self) -> bytes:
        """Hash: token -> id of the conversation that it stands for in search documents."""
        return self._tag + b"tokens"

    def owners(self) -> bytes:
        """Hash: owner -> the token that stands for him in search documents."""
        return self._tag + b"owners"

    def unembedded(self) -> bytes:
        """Sorted set: keys of search documents without a vector, by when they were written."""
        return self._tag + b"unembedded"

    def stale(self) -> bytes:
        """Set: tokens of conversations that were written to without all of their documents."""
        return self._tag + b"stale"

    def search(self) -> bytes:
        """Hash: digest of a search schema -> since when all runs have documents of it.

        And `COUNT` -> how many documents there should be.
        """
        return self._tag + b"search"

    def definition(self, name: str = "") -> bytes:
        """The name of a RediSearch index; without `name`, the prefix of all of ours."""
        return self._tag + encode(name)
