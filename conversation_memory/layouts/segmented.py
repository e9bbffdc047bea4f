"""Appending to an encrypted document, which the server cannot read: it adds a segment."""

from abc import ABC
from collections.abc import Sequence
from typing import Any

from ..conf import IndexSettings
from ..documents import build, opening_of
from ..encryption.sealing import DOCUMENT, key_of, missing_key
from ..redis_io.operations import Command, Operation
from ..redis_io.scripts import Call, Script
from ..runs import Run
from ..search_index.run_documents import Change
from ..segments import MOST_SEGMENTS, SEPARATOR, added_text, end_of, sealed_segment
from ..wire import tail_of
from .base import Layout
from .refs import ConversationRef, Encoded, Snapshot, digest, identified
from .stored import Refusal

SEGMENT = Script("segment")

_MOST_ENDS = 10_000

# How often the end that another writer has made is tried at once: one of all writers gets through.
_AT_ONCE = 20

# How many runs were added, and the new version; None if only a reader of all of it can add them.
Added = tuple[int, int] | Refusal | None


class SegmentedLayout(Layout, ABC):
    """Adds segments behind the end of a document as this process saw it last.

    If it has another end by now, the script tells which, and the segment is sealed again.
    """

    def __init__(self, settings: IndexSettings):
        super().__init__(settings)
        self._ends: dict[bytes, bytes] = {}

    def append(self, ref: ConversationRef, runs: Sequence[Run]) -> Operation[int]:
        runs = identified(runs)
        if not self._takes_segments(ref, runs):
            return (yield from super().append(ref, runs))

        def attempt(ref: ConversationRef, digested: bool) -> Operation[int | Refusal]:
            added = yield from self._add(ref, runs, "", digested)
            if added is None:
                return (yield from self._append_to_document(ref, runs))
            return added if isinstance(added, list) else added[0]

        return (yield from self._settled(ref, attempt))

    def extend(
        self, ref: ConversationRef, runs: Sequence[Run], version: int
    ) -> Operation[int | None]:
        if not self._takes_segments(ref, runs):
            return (yield from super().extend(ref, runs, version))

        def attempt(ref: ConversationRef, digested: bool) -> Operation[int | None | Refusal]:
            added = yield from self._add(ref, runs, version, digested)
            return added[1] if isinstance(added, tuple) else added

        return (yield from self._settled(ref, attempt))

    def _takes_segments(self, ref: ConversationRef, runs: Sequence[Run]) -> bool:
        if self.sealing is None or not runs:
            return False
        texts = [self.text_of(run) for run in runs]
        self._check_runs(ref, texts)
        # The reader of a segment splits a canonical document.
        return all(map(opening_of, texts))

    def _add(
        self, ref: ConversationRef, runs: Sequence[Run], version: int | str, digested: bool
    ) -> Operation[Added]:
        added: Added = None
        documents = yield from self.indexer()
        change = documents.added((run, self.text_of(run)) for run in runs) if documents else b""
        for _ in range(_AT_ONCE):
            added = yield from self._add_once(ref, runs, version, digested, change)
            if not isinstance(added, list) or added[0] != b"behind":
                return added
        return added

    def _add_once(
        self,
        ref: ConversationRef,
        runs: Sequence[Run],
        version: int | str,
        digested: bool,
        change: bytes,
    ) -> Operation[Added]:
        text = added_text([self.text_of(run) for run in runs])
        end = self._ends.get(ref.id, b"")
        if end:
            sealed, size = self._segment(ref.id, text, end), len(text)
        else:
            document = build(runs, {})
            sealed, size = self._sealed(DOCUMENT, ref.id, document.raw), document.end
        reply = yield self._adding(ref, runs, version, end, sealed, size, change)
        if isinstance(reply, bytes):
            added, written = map(int, reply.split())
            if added:
                self._note(ref.id, end_of(sealed))
            return added, written
        if reply[0] == b"long":
            snapshot = Snapshot.from_replies(self.keys, ref.id, reply[1], reply[2])
            snapshot = snapshot.digested() if digested else snapshot
            return (yield from self._add_to_long(ref, runs, snapshot, reply[3], change))
        if reply[0] == b"behind":
            self._check_key(ref, reply[2])
            self._note(ref.id, reply[1])
        return None if reply[0] == b"changed" else list(reply)

    def _sealed(self, kind: bytes, id: bytes, text: bytes) -> bytes:
        assert self.sealing is not None
        return self.sealing.seal(kind, id, text)

    def _segment(self, id: bytes, text: bytes, end: bytes) -> bytes:
        assert self.sealing is not None
        return sealed_segment(self.sealing, id, text, end)

    def _adding(
        self,
        ref: ConversationRef,
        runs: Sequence[Run],
        version: int | str,
        end: bytes,
        sealed: bytes,
        size: int,
        change: bytes,
    ) -> Command[bytes | list[Any]]:
        def decoded(reply: bytes | list[Any]) -> bytes | list[Any]:
            if reply[0] == b"large":
                self._check_size(ref, reply[1])
            return reply

        own: list[Any] = [*self._lifetimes(ref), self.form, version, self.max_bytes]
        own.append(self._most_spliced(ref))
        own += [b"" if end else self._title(ref, runs), end, sealed, size, change]
        told = [digest(run.id) for run in runs]
        command = self._command(self._changing(SEGMENT), ref, [*own, *told])
        return Command(command.calls, decoded)

    def _add_to_long(
        self,
        ref: ConversationRef,
        runs: Sequence[Run],
        snapshot: Snapshot,
        known: bytes,
        change: bytes,
    ) -> Operation[Added]:
        """Add a segment to a document that is too long for a script, and was read therefore."""
        record, field = snapshot.record, snapshot.field or b""
        self._check_key(ref, key_of(field).encode())
        if field.count(SEPARATOR) + 1 >= MOST_SEGMENTS:
            return None
        text = added_text([self.text_of(run) for run in runs])
        grown = SEPARATOR.join((field, self._segment(ref.id, text, end_of(field))))
        facts = {
            "layout": self.form,
            "runs": (record.runs or 0) + len(runs),
            "length": len(grown),
            "crc": tail_of(grown),
            "end": (record.end or 0) + len(text),
        }
        told = b"".join([known, *(digest(run.id) for run in runs)])
        self._check_size(ref, len(grown))
        ref = self._seen(ref, snapshot)
        encoded = Encoded(grown, [], facts, [], told)
        written = yield from self._write(ref, encoded, snapshot, change)
        if written == [b"changed"]:
            self._note_crowd(ref.id)
        return (len(runs), written) if isinstance(written, int) else written

    def _write(
        self,
        ref: ConversationRef,
        encoded: Encoded,
        expected: Snapshot | None,
        change: Change,
        *,
        title: bytes = b"",
        keeps_times: bool = False,
    ) -> Operation[int | Refusal]:
        self._note_end(ref.id, encoded.field)
        return super()._write(ref, encoded, expected, change, title=title, keeps_times=keeps_times)

    def _snapshot_beside(
        self, ref: ConversationRef, *more: Call
    ) -> Operation[tuple[Snapshot, list[Any]]]:
        snapshot, others = yield from super()._snapshot_beside(ref, *more)
        self._note_end(ref.id, snapshot.field)
        return snapshot, others

    def _note_end(self, id: bytes, field: bytes | None) -> None:
        if self.sealing is None:
            return
        is_readable = field and self.sealing.keyring.get(key_of(field).encode()) is not None
        self._note(id, end_of(field) if field and is_readable else b"")

    def _check_key(self, ref: ConversationRef, id: bytes) -> None:
        """Raises `ConversationUndecryptable` if nobody with these keys can read the document."""
        if id and self.sealing is not None and self.sealing.keyring.get(id) is None:
            raise self.damaged(ref, missing_key(id.decode()))

    def _note(self, id: bytes, end: bytes) -> None:
        if not end:
            self._ends.pop(id, None)
            return
        if len(self._ends) >= _MOST_ENDS:
            self._ends.clear()
        self._ends[id] = end
