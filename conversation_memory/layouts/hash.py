"""Layout `hash`: one document in one hash field, the format of Griptape.

An append reads the document, puts the run behind the others and writes the document back if nobody
wrote in between: the version of the record tells of our own writers, the length of the field of
those that know no record.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..commands import Command, Operation, Pause, Script
from ..documents import Damaged, Document, Runs, build, fingerprint, read
from ..exceptions import ConversationConflict, ConversationTooLarge
from ..keys import decode
from ..records import FIELDS, Conversation, Record
from ..runs import Run
from .base import Layout, Place, owner_of

GUARD = Script(__package__, "guard.lua")
COMMIT = Script(__package__, "commit.lua")

# The pauses between them add up to about seven seconds, with a random part against lockstep.
_ATTEMPTS = 300
_LONGEST_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A document, None if there is none, and the record that stood beside it."""

    raw: bytes | None
    record: Record

    @property
    def revision(self) -> str:
        return f"{self.record.version}-{fingerprint(self.raw)}"


class HashLayout(Layout):
    name = "hash"

    def read(self, place: Place) -> Operation[Conversation]:
        snapshot = yield from self._snapshot(place)
        if snapshot.raw is None or not place.sees(snapshot.record):
            return Conversation(Record(decode(place.id)), Runs(), {}, "0-absent", exists=False)
        document = self._document(place, snapshot)
        revision = f"{snapshot.record.version}-{document.mark}"
        return Conversation(
            snapshot.record, document.runs, document.metadata, revision, exists=True
        )

    def tail(self, place: Place, count: int) -> Operation[list[Run]]:
        conversation = yield from self.read(place)
        return list(conversation.runs[-count:]) if count > 0 else []

    def store(
        self,
        place: Place,
        runs: Sequence[Run],
        metadata: Mapping[str, Any],
        revision: str | None,
    ) -> Operation[str]:
        document = build(runs, dict(metadata))
        expected: Snapshot | None = None
        for _ in range(_ATTEMPTS):
            if revision is not None:
                expected = yield from self._snapshot(place)
                place = self._seen(place, expected)
                if expected.revision != revision:
                    return self._repetition(place, expected, document)
            written = yield self._write(place, document, expected)
            if isinstance(written, int):
                return f"{written}-{document.mark}"
            place = self._owned(place, written)
        raise self._conflict(place, "kept changing")

    def append(self, place: Place, runs: Sequence[Run]) -> Operation[int]:
        added: list[Run] = []

        def change(document: Document) -> Document | None:
            added[:] = [run for run in runs if not document.has(run.id)]
            return document.appended(added) if added else None

        yield from self._change(place, change)
        return len(added)

    def update_metadata(
        self, place: Place, changes: Mapping[str, Any], remove: Sequence[str]
    ) -> Operation[dict[str, Any]]:
        def change(document: Document) -> Document | None:
            kept = {k: v for k, v in document.metadata.items() if k not in remove}
            return document.with_metadata({**kept, **changes})

        document = yield from self._change(place, change)
        return document.metadata

    def _change(
        self, place: Place, change: Callable[[Document], Document | None]
    ) -> Operation[Document]:
        """Apply `change` to the document until it is written as nobody else wrote in between."""
        for attempt in range(_ATTEMPTS):
            snapshot = yield from self._snapshot(place)
            place = self._seen(place, snapshot)
            document = self._document(place, snapshot)
            changed = change(document)
            if changed is None:
                return document
            written = yield self._write(place, changed, snapshot)
            if isinstance(written, int):
                return changed
            yield Pause(random.uniform(0, min(attempt / 1000, _LONGEST_PAUSE)))
        raise self._conflict(place, "kept changing")

    def _snapshot(self, place: Place) -> Operation[Snapshot]:
        content = ("HGET", self.keys.content(place.id), place.id)
        record = ("HMGET", self.keys.record(place.id), *FIELDS)
        if place.scoped:  # as one transaction: the owner must be that of the content
            fields, raw = yield Command((record, content))
        else:
            fields, raw = yield [Command((record,)), Command((content,))]
        return Snapshot(raw, Record.from_reply(place.id, fields))

    def _document(self, place: Place, snapshot: Snapshot) -> Document:
        if snapshot.raw is None:
            return build((), {})
        try:
            return read(snapshot.raw, snapshot.record.seal)
        except Damaged as damage:
            raise self.corrupt(place, snapshot.raw, str(damage)) from None

    def _write(
        self, place: Place, document: Document, expected: Snapshot | None
    ) -> Command[int | list[bytes]]:
        """Write if all is as `expected`: the new version, or the reason of the refusal."""
        self._check_size(place, document)
        keys = self._keys(place)
        content, record = keys[:2]
        aside = self.keys.aside(place.id)
        owner = place.owner or b""
        guard = [place.id, owner, *self._expectation(expected)]
        commit = [place.id, owner, document.count, document.seal]

        def decoded(replies: list[Any]) -> int | list[bytes]:
            refusal, _, version = replies
            return refusal or int(version)

        return Command(
            (
                GUARD.whole([content, record, aside], guard),
                ("HSET", content, place.id, document.raw),
                COMMIT.whole([content, record, aside, *keys[2:]], commit),
            ),
            decoded,
        )

    @staticmethod
    def _expectation(expected: Snapshot | None) -> tuple[Any, Any]:
        """Version and length of the field, as guard.lua takes them."""
        if expected is None:
            return "", ""
        return expected.record.version, -1 if expected.raw is None else len(expected.raw)

    def _check_size(self, place: Place, document: Document) -> None:
        if len(document.raw) > self.max_bytes:
            raise ConversationTooLarge(
                f"Conversation {decode(place.id)!r} in index {self.keys.name!r} (alias "
                f"{self.alias!r}) would have {len(document.raw):,} bytes, {self.max_bytes:,} are "
                "allowed (MAX_BYTES). Nothing was written."
            )

    def _seen(self, place: Place, snapshot: Snapshot) -> Place:
        """The place with its true owner. Raises if the caller must not see it."""
        if snapshot.raw is None and not snapshot.record.version:
            return place
        if not place.sees(snapshot.record):
            raise self.not_found(place)
        return place.owned_by(owner_of(snapshot.record))

    def _owned(self, place: Place, refusal: list[bytes]) -> Place:
        """The place with the owner that a refusal named. Raises if the caller must not see it."""
        if refusal[0] != b"owner":
            return place
        if place.scoped:
            raise self.not_found(place)
        return place.owned_by(refusal[1] or None)

    def _repetition(self, place: Place, found: Snapshot, document: Document) -> str:
        """The revision if what was to be stored is there already, by a retry after a time-out."""
        if found.raw == document.raw:
            return found.revision
        raise self._conflict(place, "was changed since that revision")

    def _conflict(self, place: Place, what: str) -> ConversationConflict:
        return ConversationConflict(
            f"Conversation {decode(place.id)!r} in index {self.keys.name!r} (alias {self.alias!r}) "
            f"{what}. Nothing was written."
        )
