"""Layout `hash`: one document in one hash field, the format of Griptape.

An append reads the document, puts the run behind the others and writes the document back if nobody
wrote in between: the version of the record tells of our own writers, the length of the field (and
its digest, if the document is short) of those that know no record.
"""

from __future__ import annotations

from typing import Any

from ..documents import Document
from ..records import RunPage
from ..redis_io.operations import Command, Operation
from ..redis_io.scripts import Script
from .base import Layout
from .refs import ConversationRef, Encoded, Snapshot

WRITE = Script("write")


class HashLayout(Layout):
    name = "hash"

    def page(self, ref: ConversationRef, before: int | None, limit: int) -> Operation[RunPage]:
        return self._cut((yield from self.read(ref)).runs, before, limit)

    def encoded(self, document: Document) -> Encoded:
        return Encoded(document.raw, [], derived_fields(document))

    def _write(
        self,
        ref: ConversationRef,
        document: Document,
        expected: Snapshot | None,
        change: bytes = b"",
        *,
        keeps_times: bool = False,
    ) -> Command[int | list[bytes]]:
        self._check_size(ref, len(document.raw))
        if len(document.raw) > self.max_run_bytes:
            self._check_runs(ref, document.texts)
        args = [
            *(expected.expectation if expected else ("", "", "")),
            document.count,
            document.seal,
            *self._lifetimes(ref),
            change,
            int(keeps_times),
            document.raw,
        ]
        return self._command(self._changing(WRITE), ref, args)


def derived_fields(document: Document) -> dict[str, Any]:
    """The fields of the record that follow from a document."""
    return {"runs": document.count, "seal": document.seal, "bytes": len(document.raw)}
