"""Layout `hash`: one document in one hash field, the format of Griptape.

An append reads the document, puts the run behind the others and writes the document back if nobody
wrote in between: the version of the record tells of our own writers, the length of the field (and
its digest, if the document is short) of those that know no record.
"""

from __future__ import annotations

from typing import Any

from ..commands import Call, Command, Operation, Script
from ..documents import Document
from ..records import RunPage
from .base import Layout
from .places import Form, Place, Snapshot

WRITE = Script("prelude.lua", "expected.lua", "search.lua", "permit.lua", "write.lua")
GUARD = Script("prelude.lua", "expected.lua", "search.lua", "permit.lua", "guard.lua")
FINISH = Script("finish.lua")

# Up to this length in bytes, the document is an argument of the script that writes it.
_SHORT = 32 * 1024


class HashLayout(Layout):
    name = "hash"
    _may_go_back = False

    def page(self, place: Place, before: int | None, limit: int) -> Operation[RunPage]:
        return self._cut((yield from self.read(place)).runs, before, limit)

    def form(self, document: Document) -> Form:
        size = len(document.raw)
        record = {"runs": document.count, "seal": document.seal, "bytes": size}
        return Form(document.raw, [], record)

    def _write(
        self, place: Place, document: Document, expected: Snapshot | None, change: bytes = b""
    ) -> Command[int | list[bytes]]:
        self._check_size(place, len(document.raw))
        if len(document.raw) > self.max_run_bytes:
            self._check_runs(place, document.texts)
        keys = self.keys.of(place.id, place.owner)
        args = [
            place.id,
            place.owner or b"",
            *(expected.expectation if expected else ("", "", "")),
            document.count,
            document.seal,
            *self._lifetimes(place),
            len(document.raw),
            change,
        ]
        if len(document.raw) <= _SHORT:
            return Command((WRITE.call(keys, [*args, document.raw]),))
        return self._write_long(place, document, keys, args)

    def _write_long(
        self, place: Place, document: Document, keys: list[bytes], args: list[Any]
    ) -> Command[int | list[bytes]]:
        content, record, aside = keys[0], keys[1], self.keys.aside(place.id)
        # A user who lacks a permission for the way back must be refused before anything is written:
        # the server runs no part of a MULTI then. It is asked once; a reader has used HMGET.
        probes: list[Call] = [("DEL", aside), ("HDEL", aside, ""), ("HMGET", aside, "")]
        calls = [
            *([] if self._may_go_back else probes),
            GUARD.whole(keys, args),
            ("HSET", content, place.id, document.raw),
            FINISH.whole([content, record, aside], [place.id]),
        ]

        def decoded(replies: list[Any]) -> int | list[bytes]:
            self._may_go_back = True
            return replies[-3]  # type: ignore[no-any-return]

        return Command(tuple(calls), decoded)


def traces(document: Document) -> dict[str, Any]:
    """The fields of the record that follow from a document."""
    return {"runs": document.count, "seal": document.seal, "bytes": len(document.raw)}
