"""Writing the search documents of a conversation of many runs, some with each command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..documents import Document
from ..redis_io.operations import Operation
from ..search_index.run_documents import MOST_REMOVED, Documents
from .indexed import ANY, IndexedConversation
from .refs import ConversationRef, Indexed, Snapshot
from .retagging import retag
from .stored import Refusal

_WRITTEN = 50

# Each one reads the whole conversation. Nothing but the last step is left where it is written to
# all the time.
_ATTEMPTS = 10


class DocumentSteps:
    """Brings the documents in step with the runs, in several attempts if need be.

    `time` (ms) is that of runs without a document, `before` are texts of runs as they were stored
    until now. Others may write to the conversation between the steps. Those that remove documents
    need it as it was read, and the last one, which says that all are right: it only counts them.
    """

    def __init__(
        self,
        conversation: IndexedConversation,
        documents: Documents,
        time: int,
        before: Mapping[bytes, bytes],
    ):
        self._conversation = conversation
        self._documents = documents
        self._time = time
        self._before = before
        # Of the record. As long as it stays the same, what was written counts.
        self._indexed = b""
        self._written: set[bytes] = set()
        self._attempts = 0
        self.count = 0

    @property
    def is_over(self) -> bool:
        """True if others have written too often meanwhile."""
        return self._attempts >= _ATTEMPTS

    def attempt(
        self, ref: ConversationRef, snapshot: Snapshot, document: Document
    ) -> Operation[int | Refusal | None]:
        """Returns how many documents were written in all, or why it has to be attempted again."""
        conversation, documents = self._conversation, self._documents
        self._attempts += 1
        [known] = yield from conversation.seen_documents([ref])
        if not known.has_tag:
            since = b"%d " % snapshot.record.version
            yield from retag(conversation.keys, [(ref.id, ref.owner, since)])
        wanted = documents.by_suffix(document)
        for texts, others in self._parts(wanted, known, self._right(document, known)):
            change = documents.step(document, texts, others, self._indexed, self._before)
            expected = snapshot.expectation if others else ANY
            reply = yield conversation.step_command(ref, change, self._time, expected)
            if not isinstance(reply, bytes):
                return reply  # type: ignore[no-any-return]
            self._indexed = reply
            self._written.update(map(documents.suffix, texts))
            self.count += len(texts)
        last = documents.last_step(document, len(wanted), self._indexed)
        reply = yield conversation.index_command(ref, snapshot, last, self._time)
        return self.count if isinstance(reply, int) else reply

    def _right(self, document: Document, known: Indexed) -> set[bytes]:
        """The suffixes of the documents that may stay as they are."""
        if known.indexed != self._indexed:
            self._indexed, self._written = known.indexed, set()
        suffixes = {*known.suffixes}
        if self._documents.are_alike(document, known.indexed, known.facets):
            return suffixes
        return suffixes & self._written

    def _parts(
        self, wanted: Mapping[bytes, bytes], known: Indexed, right: set[bytes]
    ) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """For each step the runs to write documents of, or the suffixes of those to remove."""
        missing = [text for suffix, text in wanted.items() if suffix not in right]
        others = [suffix for suffix in known.suffixes if suffix not in wanted]
        for start in range(0, len(missing), _WRITTEN):
            yield missing[start : start + _WRITTEN], []
        for start in range(0, len(others), MOST_REMOVED):
            yield [], others[start : start + MOST_REMOVED]
