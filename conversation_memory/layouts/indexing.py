"""The search documents of a layout: what a write has to say of them."""

from __future__ import annotations

from typing import Any

from ..commands import Command, Operation, Script
from ..conf import IndexSettings
from ..documents import Document
from ..keys import Keys
from ..search.documents import Documents
from ..search.lifecycle import OFF, Lifecycle, State
from ..search.schema import Schema
from .places import Place, Snapshot

INDEXED = Script("indexed.lua")
INDEX = Script("prelude.lua", "expected.lua", "search.lua", "index.lua")


class Indexing:
    """What a layout knows of search. Without SEARCH in settings all of it is None, or says no."""

    def __init__(self, settings: IndexSettings):
        self.keys = Keys(settings.index)
        self.schema = Schema.of(settings, self.keys)
        self.documents = Documents(self.schema) if self.schema else None
        self.lifecycle = Lifecycle(self.schema) if self.schema else None

    def indexer(self) -> Operation[Documents | None]:
        """What makes the documents that a write has to write; None if it has to write none."""
        if self.lifecycle is None or not (yield from self.lifecycle.wants_documents()):
            return None
        return self.documents

    def search_state(self) -> Operation[State]:
        """What can be said of the search of this index now."""
        return OFF if self.lifecycle is None else (yield from self.lifecycle.ready())

    def indexed_command(self, place: Place) -> Command[list[Any]]:
        """The documents that a conversation has: as what they are indexed, facets, suffixes."""
        return Command((INDEXED.call([self.keys.record(place.id), self.keys.root], []),))

    def index_command(
        self, place: Place, snapshot: Snapshot, change: bytes, time: int | str
    ) -> Command[int | list[bytes]]:
        """Make a change of the documents if the conversation is still as in `snapshot`.

        `time`, in ms, is that of runs that have no document yet. Returns how many documents were
        written, or the reason of a refusal.
        """
        args = [place.id, place.owner or b"", *snapshot.expectation, change, time]
        return Command((INDEX.call(self.keys.of(place.id, place.owner, place.call), args),))

    def _change_to(self, place: Place, document: Document) -> Operation[bytes]:
        """The change of the documents, whatever they are, to those of `document`."""
        documents = yield from self.indexer()
        if documents is None:
            return b""
        return documents.whole_after(document, *(yield self.indexed_command(place)))
