"""The search documents of a conversation: those that it has, and how they change."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ..documents import Document
from ..records import number
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from ..search_index.index_state import OFF, SearchState
from ..search_index.run_documents import MOST_COMPARED, MOST_TAGGED, Change, Documents
from .refs import ConversationRef, Indexed, Snapshot
from .stored import Refusal, StoredConversation

INDEXED = Script("indexed")
DERIVE = Script("derive")

NOTHING: Mapping[bytes, bytes] = MappingProxyType({})  # for an argument that is not given
ANY = ("", "", "")  # expects nothing of what is stored


class IndexedConversation(StoredConversation, ABC):
    """Keeps the search documents of a conversation in step with its runs."""

    def indexer(self) -> Operation[Documents | None]:
        """The maker of search documents; None if writes need none."""
        if self.index_state is None or not (yield from self.index_state.wants_documents()):
            return None
        return self.documents

    def search_state(self) -> Operation[SearchState]:
        return OFF if self.index_state is None else (yield from self.index_state.ready())

    def indexed_command(
        self, ref: ConversationRef, cursor: bytes = b"", *, whole: bool = False
    ) -> Command[Indexed]:
        """The documents that a conversation has, or some of many; see seen_documents().

        `whole` for a command inside a MULTI.
        """
        assert self.schema is not None
        digest, keys = self.schema.digest.encode(), self.keys

        def decoded(reply: list[Any]) -> Indexed:
            indexed, facets, suffixes, version, size, runs, intact, tagged, next = reply
            is_current = indexed == b"%b-%b-%d" % (digest, version or b"0", size)
            length = max(size, number(runs) or 0)
            is_current = bool(is_current and intact and tagged)
            return Indexed(indexed, facets, suffixes, size, length, is_current, bool(tagged), next)

        names = [keys.content(ref.id), keys.record(ref.id), keys.root]
        call = (INDEXED.whole if whole else INDEXED.call)(names, [ref.id, cursor])
        return single(*call, decode=decoded, otherwise=Indexed(b"", b"", [], 0, 0, False))

    def seen_documents(self, refs: Sequence[ConversationRef]) -> Operation[list[Indexed]]:
        """The documents that conversations have; many of one are looked at in parts."""
        found: list[Indexed] = yield [self.indexed_command(ref) for ref in refs]
        for place, ref in enumerate(refs):
            found[place] = yield from self.all_documents(ref, found[place])
        return found

    def all_documents(self, ref: ConversationRef, known: Indexed) -> Operation[Indexed]:
        """The documents that a conversation has, of which the first ones are `known`."""
        if known.cursor == b"0":
            return known
        suffixes, is_current, cursor = {*known.suffixes}, known.is_current, known.cursor
        while cursor != b"0":
            part: Indexed = yield self.indexed_command(ref, cursor)
            suffixes.update(part.suffixes)
            is_current = is_current and part.is_current and part.indexed == known.indexed
            cursor = part.cursor
        return replace(known, suffixes=[*suffixes], is_current=is_current, cursor=b"0")

    def index_command(
        self, ref: ConversationRef, snapshot: Snapshot, change: bytes, time: int | str
    ) -> Command[int | bytes | Refusal | None]:
        """Change the documents if the conversation is still as in `snapshot`.

        `time` (ms) is that of runs without a document. Returns how many documents were written,
        None if a key has another type.
        """
        return self.step_command(ref, change, time, snapshot.expectation)

    def step_command(
        self,
        ref: ConversationRef,
        change: bytes,
        time: int | str,
        expected: Sequence[Any] = ANY,
    ) -> Command[int | bytes | Refusal | None]:
        """The same whatever is stored by now, if nothing is `expected`.

        Returns `indexed` of the record after a step that is not the last one.
        """
        args = [ref.id, ref.owner or b"", *expected, change, time, ""]
        call = DERIVE.call(self.keys.of(ref.id, ref.owner, ref.call), args)
        return Command((call,), otherwise=None)

    def _change_to(
        self,
        ref: ConversationRef,
        document: Document,
        before: Mapping[bytes, bytes] = NOTHING,
    ) -> Operation[Change]:
        """The change from the present search documents to those of `document`.

        `before` are texts of runs as they were stored until now.
        """
        documents = yield from self.indexer()
        if documents is None:
            return b""
        if document.count > MOST_COMPARED:
            return documents.in_steps(document, before)
        [known] = yield from self.seen_documents([ref])
        return self.change_from(known, document, before)

    def change_from(
        self, known: Indexed, document: Document, before: Mapping[bytes, bytes] = NOTHING
    ) -> Change:
        """The change from the documents that are `known` to those of `document`."""
        assert self.documents is not None
        if not known.has_tag and len(known.suffixes) > MOST_TAGGED:
            return self.documents.in_steps(document, before)
        facts = known.indexed, known.facets, known.suffixes
        return self.documents.whole_after(document, *facts, before=before)

    def _change_between(
        self,
        ref: ConversationRef,
        snapshot: Snapshot,
        old: Document,
        new: Document,
        stored: Sequence[bytes],
    ) -> Operation[Change]:
        """The change of the search documents; `stored` are the runs of `old` as they are stored."""
        documents = yield from self.indexer()
        if documents is None:
            return b""
        if self.sealing is None or snapshot.record.is_sealed:
            return documents.between(old, new, stored)
        # What has been unencrypted until now may have search documents that are.
        before = dict(zip(old.texts, stored, strict=True))
        if new.count == old.count:
            before |= dict(zip(new.texts, stored, strict=True))
        return (yield from self._change_to(ref, new, before))

    def _time_of_old(self, ref: ConversationRef) -> Operation[int]:
        # A run without a document came, as far as is known, with the last write.
        score = yield single("ZSCORE", self.keys.recency(), ref.id)
        return int(float(score or 0))
