"""Layout `hash`: one document in one hash field, the format of Griptape.

A script puts a run behind the others in a short document. A longer one is read, changed and written
back if nobody wrote in between: the version of the record tells of our own writers, the length of
the field (and its digest, if the document is short) of those that know no record.
"""

from typing import Any

from ..documents import Document, opening_of
from ..records import Record
from ..runs import Run, decoded_runs
from .refs import KNOWN_IDS, ConversationRef, Encoded, Snapshot
from .segmented import SegmentedLayout


class HashLayout(SegmentedLayout):
    name = "hash"

    def _document(self, snapshot: Snapshot) -> Document:
        snapshot = snapshot.opened
        if snapshot.is_list:  # no run may get into a document unread
            decoded_runs(snapshot.texts)
        return snapshot.document

    def encoded(self, document: Document) -> Encoded:
        document = document.whole()
        known = document.texts[-KNOWN_IDS:] if self.sealing else None
        return Encoded(document.raw, [], derived_fields(document), known)

    def formed(self, document: Document) -> Document:
        return document.whole()

    def text_of(self, run: Run) -> bytes:
        return run.to_wire()

    def told(self, ref: ConversationRef, run: Run, text: bytes) -> bytes | None:
        return None if self.sealing else opening_of(text)  # no script reads what is encrypted

    def is_own(self, record: Record, size: int, runs: int) -> bool:
        is_right = record.is_sealed == (self.sealing is not None)
        return is_right and not record.is_list and not runs


def derived_fields(document: Document) -> dict[str, Any]:
    """The fields of the record that follow from a document."""
    return {
        "layout": "hash",
        "runs": document.count,
        "length": len(document.raw),
        "crc": document.crc,
        "end": document.canonical_end or "",
    }
