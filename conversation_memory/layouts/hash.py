"""Layout `hash`: one document in one hash field, the format of Griptape.

An append reads the document, puts the run behind the others and writes the document back if nobody
wrote in between: the version of the record tells of our own writers, the length of the field of
those that know no record.
"""

from __future__ import annotations

from ..commands import Call, Command, Operation, Script
from ..documents import Document
from ..records import RunPage
from .base import Layout, Place, Snapshot

GUARD = Script("prelude.lua", "guard.lua")
FINISH = Script("prelude.lua", "finish.lua")


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
        keys, aside = self.keys.of(place.id, place.owner), self.keys.aside(place.id)
        place_args = [place.id, place.owner or b""]
        args = [
            *place_args,
            *(expected.expectation if expected else ("", "", "")),
            document.count,
            document.seal,
            *self._lifetimes(place),
            len(document.raw),
        ]
        calls: tuple[Call, ...] = (
            # What the way back needs, so that a user who lacks the permission for it is refused
            # before anything is written: the server runs no part of a MULTI then. The first also
            # removes what is left of another time.
            ("DEL", aside),
            ("HMGET", aside, ""),
            ("HDEL", aside, ""),
            GUARD.whole(keys, args),
            ("HSET", self.keys.content(place.id), place.id, document.raw),
            FINISH.whole(keys, place_args),
        )
        return Command(calls, lambda replies: replies[3])
