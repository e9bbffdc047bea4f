"""Every key name in Redis, and the hash tag that keeps an index in one slot."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from .encryption.sealing import Sealing

# Ids that others wrote may contain bytes that are not UTF-8, which str keeps as surrogates.
_ERRORS = "surrogateescape"

Id = str | bytes | int | UUID

NO_CALL = b""  # for `Keys.of()`: the script may be repeated
COUNT = b"documents"  # a field of `Keys.search()`


def encode(name: Id) -> bytes:
    """The bytes of an id, an owner or an index name in Redis."""
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


def shard_name(index: str, spread: str, number: int) -> str:
    """The index that is shard `number` of `index`; `spread` is the number of its shards.

    That has `.2` behind it where the index had the same number before, and so on.
    """
    return f"{index}:{spread}:{number:02d}"


def shard_number(conversation_id: bytes, shards: int) -> int:
    """The shard that a conversation is in, of so many."""
    return zlib.crc32(conversation_id) % shards


class Keys:
    """The keys of one index, which share the slot of the index.

    `name` is the index as text, `index` the key of its hash, `root` the prefix of all other keys.
    `sealing` encrypts the values under these keys, None if they are not encrypted. An index that
    `is_leaving` is a closed shard, whose hash has another name.
    """

    __slots__ = ("index", "is_leaving", "name", "root", "sealing")

    def __init__(self, index: str, sealing: Sealing | None = None):
        if not index or "{" in index or "}" in index:
            raise ValueError(f"The index name {index!r} is empty or has a brace in it.")
        self.name = index
        self.index = encode(index)
        self.root = b"{" + self.index + b"}:"  # the prefix of every key of ours
        self.sealing = sealing
        self.is_leaving = False

    def content(self, conversation_id: bytes) -> bytes:
        """Hash: conversation id -> document. The only key that Griptape knows."""
        return self.index

    def leave(self) -> None:
        """Be the keys of a shard that is closed."""
        self.index, self.is_leaving = self.leaving(), True

    def shards(self) -> bytes:
        """String: the number of shards, where the hash would be of an index that has none."""
        return encode(self.name)

    def leaving(self) -> bytes:
        """Hash: that of the index, while its conversations move into other shards."""
        return self.root + b"leaving"

    def arrived(self) -> bytes:
        """Set: what has moved into this shard, until all has; `over` is a string then."""
        return self.root + b"arrived"

    def arriving(self, token: bytes, part: bytes) -> bytes:
        """A part of what moves into this shard, before it is there; kept for five minutes."""
        return self.root + b"arriving:" + token + b":" + part

    def record(self, conversation_id: bytes) -> bytes:
        """Hash: owner, title, created, updated, runs, version and fields of the scripts."""
        return self.root + b"record:" + conversation_id

    def runs(self, conversation_id: bytes) -> bytes:
        """List: the JSON texts of the runs, oldest first (layout `list`)."""
        return self.root + b"runs:" + conversation_id

    def staged(self, call: bytes) -> bytes:
        """List: the runs of a long write before it takes place, kept for five minutes."""
        return self.root + b"staged:" + call

    def ids(self, conversation_id: bytes) -> bytes:
        """String: digests of the ids of the last runs, kept for an hour (`list`)."""
        return self.root + b"ids:" + conversation_id

    def call(self, token: bytes) -> bytes:
        """String: the reply to a write, kept for five minutes in case the write is sent again."""
        return self.root + b"call:" + token

    def of(self, id: bytes, owner: bytes | None, call: bytes) -> list[bytes]:
        """The keys that every script on one conversation takes, in the order of conversation.lua.

        `call` is the token of the call. From `stale` the scripts make the keys of search documents,
        whose names only the server knows.
        """
        keys = [self.content(id), self.record(id), self.recency(), self.expiry()]
        keys += [self.runs(id), self.ids(id), self.call(call), self.stale(), self.checkpoints(id)]
        return keys if owner is None else [*keys, self.recency(owner)]

    def forgetting(self, id: bytes, owner: bytes | None, call: bytes) -> list[bytes]:
        """The same for a script that may delete the conversation, in the order of forgets.lua."""
        keys = self.of(id, owner or b"", call)  # the order of nobody stands for none
        return [*keys, self.open(id), self.opened(), self.owners()]

    def checkpoints(self, conversation_id: bytes) -> bytes:
        """Hash: the checkpoints of an agent whose thread is the conversation."""
        return self.root + b"checkpoints:" + conversation_id

    def items(self, owner: bytes, namespace: bytes) -> bytes:
        """Hash: key -> item, of a namespace of LangGraph's store; `owner` is empty for nobody."""
        return self.root + b"items:%d:%b:%b" % (len(owner), owner, namespace)

    def times(self, owner: bytes, namespace: bytes) -> bytes:
        """Sorted set: key of an item by the time of its last put, in ms; see `items()`."""
        return self.root + b"times:%d:%b:%b" % (len(owner), owner, namespace)

    def items_pattern(self) -> bytes:
        """A glob for SCAN that matches the keys of all items."""
        return self.pattern(self.root + b"items:")

    def namespaces(self, owner: bytes) -> bytes:
        """Sorted set: the namespaces in which an owner has items, by name."""
        return self.root + b"namespaces:" + owner

    def recency(self, owner: bytes | None = None) -> bytes:
        """Sorted set: conversation id by time of last write, of all or of one owner."""
        return self.root + (b"recent" if owner is None else b"owner:" + owner)

    def expiry(self) -> bytes:
        """Sorted set: conversation id by deadline, of those that have one."""
        return self.root + b"expiry"

    def proofs(self) -> bytes:
        """Hash: id of a key -> a text that it has sealed, which tells another key of that id."""
        return self.root + b"keys"

    def open(self, conversation_id: bytes) -> bytes:
        """Hash: the open runs, a field for the question and one for the state of each."""
        return self.root + b"open:" + conversation_id

    def opened(self) -> bytes:
        """Sorted set: `reply()` of every open run by the time of its question."""
        return self.root + b"opened"

    def chunks(self, conversation_id: bytes, run_id: bytes) -> bytes:
        """Stream: what was said so far of the output of an open run."""
        return self.root + b"chunks:" + self.reply(conversation_id, run_id)

    def reply(self, conversation_id: bytes, run_id: bytes) -> bytes:
        """The name of an open run in the index. The length tells where the run id begins."""
        return b"%d:%b:%b" % (len(conversation_id), conversation_id, run_id)

    def read_reply(self, name: bytes) -> tuple[bytes, bytes] | None:
        """The conversation id and the run id in such a name; None if it is not one."""
        length, _, rest = name.partition(b":")
        size = int(length) if length.isdigit() and len(length) < 10 else len(rest)
        return (rest[:size], rest[size + 1 :]) if rest[size : size + 1] == b":" else None

    def pattern(self, start: bytes = b"") -> bytes:
        """A glob for SCAN that matches every key of ours, or those that begin with `start`."""
        return re.sub(rb"[][*?\\]", rb"\\\g<0>", start or self.root) + b"*"

    def family(self, key: bytes) -> tuple[bytes, bytes]:
        """The kind of a key of ours, such as `b"record"`, and its id or owner."""
        kind, _, name = key.removeprefix(self.root).partition(b":")
        return kind, name

    # conversation.lua and documents.lua make the names of the keys below too, and forgets.lua those
    # of open runs.

    def documents(self) -> bytes:
        """The prefix of the keys of search documents."""
        return self.root + b"run:"

    def document(self, token: bytes, suffix: bytes) -> bytes:
        """Hash: a run as RediSearch indexes it. `token` identifies the conversation."""
        return self.documents() + token + b":" + suffix

    def registry(self, token: bytes) -> bytes:
        """Set: the suffixes of the search documents that a conversation has."""
        return self.root + b"documents:" + token

    def tokens(self) -> bytes:
        """Hash: token -> id of the conversation that it identifies in search documents."""
        return self.root + b"tokens"

    def owners(self) -> bytes:
        """Hash: owner -> the token that identifies them in search documents."""
        return self.root + b"owners"

    def unembedded(self) -> bytes:
        """Sorted set: keys of search documents without a vector, by time of writing."""
        return self.root + b"unembedded"

    def stale(self) -> bytes:
        """Set: tokens of conversations that were written without all of their documents."""
        return self.root + b"stale"

    def search(self) -> bytes:
        """Hash: digest of a schema -> since when all runs have documents; COUNT -> how many."""
        return self.root + b"search"

    def definition(self, name: str = "") -> bytes:
        """The name of a RediSearch index; without `name`, the prefix of all of ours."""
        return self.root + encode(name)
