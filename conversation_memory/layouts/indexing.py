"""The search documents of a layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..conf import IndexSettings
from ..documents import Document
from ..keys import Keys
from ..records import number
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from ..search_index.documents import Documents
from ..search_index.index_state import OFF, IndexState, State
from ..search_index.schema import Schema
from .refs import ConversationRef, Snapshot

INDEXED = Script("indexed")
DERIVE = Script("derive")


@dataclass(frozen=True, slots=True)
class Indexed:
    """The search documents that a conversation has.

    `indexed` and `facets` are of its record, `suffixes` those of the documents that exist. `size`
    is that of the field in bytes, `length` that of field or list, whichever is longer. They
    are `is_current` if they are the documents of all runs, as far as Redis can tell.
    """

    indexed: bytes
    facets: bytes
    suffixes: list[bytes]
    size: int
    length: int
    is_current: bool

    @classmethod
    def of(cls, digest: str, reply: list[Any]) -> Indexed:
        indexed, facets, suffixes, version, size, runs, intact = reply
        expected = b"%b-%b-%d" % (digest.encode(), version or b"0", size)
        read = max(size, number(runs) or 0)
        return cls(indexed, facets, suffixes, size, read, bool(intact) and indexed == expected)


# The reply of indexed.lua for a conversation whose record cannot be read.
NOT_INDEXED = [b"", b"", [], b"", 0, b"", 0]


class Indexing:
    """The part of a layout for search. Without SEARCH in settings, its attributes are None."""

    def __init__(self, settings: IndexSettings):
        self.keys = Keys(settings.index)
        self.schema = Schema.of(settings, self.keys)
        self.documents = Documents(self.schema) if self.schema else None
        self.index_state = IndexState(self.schema) if self.schema else None

    def indexer(self) -> Operation[Documents | None]:
        """The maker of search documents; None if writes need not write any."""
        if self.index_state is None or not (yield from self.index_state.wants_documents()):
            return None
        return self.documents

    def search_state(self) -> Operation[State]:
        """The state of the search of this index."""
        return OFF if self.index_state is None else (yield from self.index_state.ready())

    def indexed_command(self, ref: ConversationRef, *, whole: bool = False) -> Command[Indexed]:
        """The documents that a conversation has; `whole` for a command inside a MULTI."""
        assert self.schema is not None
        digest, keys = self.schema.digest, self.keys
        names = [keys.content(ref.id), keys.record(ref.id), keys.root]
        call = (INDEXED.whole if whole else INDEXED.call)(names, [ref.id])
        nothing = Indexed.of(digest, NOT_INDEXED)
        return single(*call, decode=lambda reply: Indexed.of(digest, reply), otherwise=nothing)

    def index_command(
        self, ref: ConversationRef, snapshot: Snapshot, change: bytes, time: int | str
    ) -> Command[int | list[bytes]]:
        """Change the documents if the conversation is still as in `snapshot`.

        `time`, in ms, is for runs without a document. Returns how many documents were written, or
        the reason of a refusal.
        """
        args = [ref.id, ref.owner or b"", *snapshot.expectation, change, time, ""]
        call = DERIVE.call(self.keys.of(ref.id, ref.owner, ref.call), args)
        return Command((call,), otherwise=(b"changed",))

    def _change_to(self, ref: ConversationRef, document: Document) -> Operation[bytes]:
        """The change from the present search documents to those of `document`."""
        documents = yield from self.indexer()
        if documents is None:
            return b""
        known: Indexed = yield self.indexed_command(ref)
        return documents.whole_after(document, known.indexed, known.facets, known.suffixes)
