"""Layout `hash`: one document in one hash field, the format of Griptape.

An append reads the document, puts the run behind the others and writes the document back if nobody
wrote in between: the version of the record tells of our own writers, the length of the field of
those that know no record.
"""

from __future__ import annotations

from typing import Any

from ..commands import Command, Operation, Script
from ..documents import Document
from ..records import RunPage
from .base import Layout, Place, Snapshot

GUARD = Script("prelude.lua", "guard.lua")
COMMIT = Script("prelude.lua", "commit.lua")


class HashLayout(Layout):
    name = "hash"

    def page(self, place: Place, before: int | None, limit: int) -> Operation[RunPage]:
        return self._cut((yield from self.read(place)).runs, before, limit)

    def _write(
        self, place: Place, document: Document, expected: Snapshot | None
    ) -> Command[int | list[bytes]]:
        self._check_size(place, len(document.raw))
        if len(document.raw) > self.max_run_bytes:
            self._check_runs(place, document.texts)
        keys = self.keys.of(place.id, place.owner)
        owner = place.owner or b""
        guard = [place.id, owner, *(expected.expectation if expected else ("", ""))]
        commit = [place.id, owner, document.count, document.seal]
        commit += [*self._lifetimes(place), len(document.raw)]

        def decoded(replies: list[Any]) -> int | list[bytes]:
            refusal, _, version = replies
            return refusal or int(version)

        return Command(
            (
                GUARD.whole(keys, guard),
                ("HSET", self.keys.content(place.id), place.id, document.raw),
                COMMIT.whole(keys, commit),
            ),
            decoded,
        )
