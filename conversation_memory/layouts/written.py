"""The writes to a conversation, which one compare-and-set loop repeats, and the append."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from ..conf import IndexSettings
from ..documents import Document, build
from ..encryption.sealing import DOCUMENT, NO_ENCRYPTION, RUN, TITLE
from ..exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationNotFound,
    ReplyLost,
    Undecryptable,
    counted,
)
from ..keys import decode
from ..records import SEALED
from ..redis_io.operations import Command, Operation, T, single
from ..redis_io.scripts import Script
from ..redis_io.step_kinds import Pause
from ..runs import Run
from ..search_index.run_documents import Change, Steps
from ..search_index.sweep import finished, sweep_tokens
from ..titles import proposed
from ..wire import tail_of
from .declared import declared
from .indexed import NOTHING, IndexedConversation
from .long_lists import is_long, stage
from .proof import proven
from .refs import ConversationRef, Encoded, Snapshot, identified
from .stored import Refusal

APPEND = Script("append")
WRITE = Script("write")
FORGET = Script("forget")

_EMPTY = build((), {})

# Up to how many bytes a script changes a document itself: Lua is slow at copying. With several
# writers it does so with longer ones too, rather than refuse all but one of them each time.
_SPLICED, _SPLICED_IN_TURN = 128 * 1024, 512 * 1024
_MOST_CROWDED = 1000

# The pauses between them add up to about seven seconds, with a random part against lockstep.
_ATTEMPTS = 300

# One attempt at a write: its result, or the refusal of its script. It is told whether the script
# has asked for the digest of a long document, which is not computed otherwise.
Attempt = Callable[[ConversationRef, bool], Operation[T | Refusal]]


class WrittenConversation(IndexedConversation, ABC):
    """Writes a conversation in the form of a layout."""

    name: ClassVar[str]
    apart: ClassVar[bool] = False  # True if the runs stand apart from the document

    def __init__(self, settings: IndexSettings):
        super().__init__(settings)
        self._crowded: set[bytes] = set()

    @property
    def form(self) -> str:
        """The name of the layout as records have it."""
        return self.name + (SEALED if self.sealing else "")

    @abstractmethod
    def formed(self, document: Document) -> Document:
        """The document in the form of this layout."""

    @abstractmethod
    def text_of(self, run: Run) -> bytes:
        """The JSON text of a run as this layout stores it."""

    @abstractmethod
    def encoded(self, document: Document) -> Encoded:
        """The document as this layout stores it."""

    @abstractmethod
    def told(self, ref: ConversationRef, run: Run, text: bytes) -> bytes | None:
        """By what append.lua finds a run; None if only the caller can append it."""

    @abstractmethod
    def index(
        self, ref: ConversationRef, before: Mapping[bytes, bytes] = NOTHING
    ) -> Operation[int]:
        """Bring the search documents in step with the conversation. Returns how many were written.

        `before` has texts of runs as they were stored until now.
        """

    def append(self, ref: ConversationRef, runs: Sequence[Run]) -> Operation[int]:
        """Add runs that are not known yet, on the server if it knows where they go."""
        runs = identified(runs)
        args = yield from self._appended(ref, runs)
        if args is None:
            return (yield from self._append_to_document(ref, runs))

        def attempt(ref: ConversationRef, digested: bool) -> Operation[int | Refusal]:
            reply = yield self._append(ref, "", self._most_spliced(ref), args)
            if isinstance(reply, bytes):
                return int(reply.split()[0])
            if reply[0] == b"changed":  # its form is not ours, or another program wrote
                return (yield from self._append_to_document(ref, runs))
            if reply[0] == b"long":
                snapshot = Snapshot.from_replies(self.keys, ref.id, reply[1], reply[2])
                written = yield from self._append_at(ref, runs, snapshot)
                if written == [b"changed"]:
                    self._note_crowd(ref.id)
                return written
            return list(reply)

        return (yield from self._settled(ref, attempt))

    def extend(
        self, ref: ConversationRef, runs: Sequence[Run], version: int
    ) -> Operation[int | None]:
        """Append new runs if nobody has written since that version. Returns the new one.

        None if somebody has, or if only a reader of the whole conversation can tell.
        """
        args = yield from self._appended(ref, runs)
        if args is None:
            return None

        def attempt(ref: ConversationRef, digested: bool) -> Operation[int | None | Refusal]:
            reply = yield self._append(ref, version, _SPLICED, args)
            if isinstance(reply, bytes):
                return int(reply.split()[1])
            if reply[0] != b"long":
                return None if reply[0] == b"changed" else list(reply)
            snapshot = Snapshot.from_replies(self.keys, ref.id, reply[1], reply[2])
            if snapshot.record.version != version:
                return None
            written = yield from self._append_at(ref, runs, snapshot)
            return written if isinstance(written, list) else version + 1

        return (yield from self._settled(ref, attempt))

    def _most_spliced(self, ref: ConversationRef) -> int:
        return _SPLICED_IN_TURN if ref.id in self._crowded else _SPLICED

    def _note_crowd(self, id: bytes) -> None:
        """Others write to a long document at the same time."""
        if len(self._crowded) >= _MOST_CROWDED:
            self._crowded.clear()
        self._crowded.add(id)

    def _append_to_document(self, ref: ConversationRef, runs: Sequence[Run]) -> Operation[int]:
        def attempt(ref: ConversationRef, digested: bool) -> Operation[int | Refusal]:
            snapshot = yield from self._snapshot(ref, digested=digested)
            return (yield from self._append_at(ref, runs, snapshot))

        return (yield from self._settled(ref, attempt))

    def _append_at(
        self, ref: ConversationRef, runs: Sequence[Run], snapshot: Snapshot
    ) -> Operation[int | Refusal]:
        added: list[Run] = []

        def change(document: Document) -> Document | None:
            added[:] = document.absent(runs)
            return document.appended(added) if added else None

        written = yield from self._change_at(ref, snapshot, change, added)
        return written if isinstance(written, list) else len(added)

    def _appended(self, ref: ConversationRef, runs: Sequence[Run]) -> Operation[list[bytes] | None]:
        """Title, change of the search documents, then of each run what tells it and its text.

        None if no script can append them.
        """
        texts = [(run, self.text_of(run)) for run in runs]
        self._check_runs(ref, [text for _, text in texts])
        stored = [text for _, text in texts]
        if self.sealing is not None:
            stored = self.sealing.seal_all(RUN, ref.id, stored)
        args: list[bytes] = []
        for (run, text), kept in zip(texts, stored, strict=True):
            told = self.told(ref, run, text)
            if told is None:
                return None
            args += (told, kept)
        documents = yield from self.indexer()
        change = b"" if documents is None else documents.added(texts, with_texts=False)
        return [self._title(ref, runs), change, *args]

    def _append(
        self, ref: ConversationRef, version: int | str, most: int, args: Sequence[bytes]
    ) -> Command[bytes | list[Any]]:
        # The reply is the number of added runs and the new version, as text.
        def decoded(reply: bytes | list[Any]) -> bytes | list[Any]:
            if reply[0] == b"large":
                self._check_size(ref, reply[1])
            if reply[0] == b"lost":
                raise self.lost(ref, int(reply[1]))
            return reply

        empty, crc = _EMPTY.raw, _EMPTY.crc
        if self.sealing is not None:
            empty = self.sealing.seal(DOCUMENT, ref.id, empty)
            crc = tail_of(empty)
        own = [*self._lifetimes(ref), self.form, empty, crc, version, self.max_bytes]
        command = self._command(self._changing(APPEND), ref, [*own, most, *args])
        return Command(command.calls, decoded)

    def lost(self, ref: ConversationRef, count: int) -> ConversationCorrupt:
        return self.corrupt(ref, b"", f"{counted(count, 'run')} of its list are missing")

    def _change(
        self, ref: ConversationRef, change: Callable[[Document], Document | None]
    ) -> Operation[Document]:
        """Apply `change` to the document until nobody else has written meanwhile."""

        def attempt(ref: ConversationRef, digested: bool) -> Operation[Document | Refusal]:
            snapshot = yield from self._snapshot(ref, digested=digested)
            return (yield from self._change_at(ref, snapshot, change))

        return (yield from self._settled(ref, attempt))

    def _change_at(
        self,
        ref: ConversationRef,
        snapshot: Snapshot,
        change: Callable[[Document], Document | None],
        added: Sequence[Run] | None = None,
    ) -> Operation[Document | Refusal]:
        """Apply `change` to the document of a snapshot, if it is still the stored one.

        If it adds runs and nothing else, `added` holds them then.
        """
        documents = yield from self.indexer()
        ref = self._seen(ref, snapshot)
        document = self.document(ref, snapshot)
        own = self.formed(document)
        changed = change(own)
        if changed is None:
            return document
        step: Change = b""
        is_alike = own is document and (self.sealing is None or snapshot.record.is_sealed)
        if documents and added is not None and is_alike:
            step = documents.added((run, self.text_of(run)) for run in added)
        elif documents:
            stored = document.texts
            step = yield from self._change_between(ref, snapshot, own, changed, stored)
        encoded, title = self._checked(ref, changed), b""
        if not snapshot.record.runs:
            title = self._title(ref, document.runs or added or changed.runs)
        written = yield from self._write(ref, encoded, snapshot, step, title=title)
        return changed if isinstance(written, int) else written

    def _settled(self, ref: ConversationRef, attempt: Attempt[T]) -> Operation[T]:
        """The result of `attempt`, which is repeated until its script accepts."""
        digested = False
        if self.sealing is not None:
            yield from proven(self.keys, self.alias)
        for number in range(_ATTEMPTS):
            reply = yield from attempt(ref, digested)
            if not isinstance(reply, list):
                return reply
            if reply[0] == b"digest":
                digested = True
                continue
            ref = yield from self._refused(ref, reply)
            seconds = random.uniform(0, min(number / 1000, 0.05))
            yield Pause(seconds, is_after_conflict=reply[0] == b"changed")
        raise self._conflict(ref, "kept changing")

    def _refused(self, ref: ConversationRef, refusal: Refusal) -> Operation[ConversationRef]:
        """The reference to try again with. Raises if the caller must not see the conversation."""
        reason, *names = refusal
        if reason == b"past":
            # It leaves the recency index of its owner, who need not be the next one.
            owner, id = names
            past = ConversationRef(id, owner or None)
            forget = self._command(FORGET, past, [b""], [self.keys.recency(b"")])
            yield from finished(self.keys, [id], (yield from declared([forget])))
        if reason == b"unswept":
            token, id = names
            yield from sweep_tokens(self.keys, [(token, id)])
        if reason == b"sealed":
            key = decode(names[0])
            why = f"it is encrypted with key {key!r}, and {NO_ENCRYPTION}"
            raise self.damaged(ref, Undecryptable(why, b"", key))
        if reason == b"reply":
            raise self._error(ReplyLost, ref, decode(names[0]))
        if reason != b"owner":
            return ref
        if ref.scoped:
            raise self.not_found(ref)
        return ref.owned_by(names[0] or None)

    def _checked(self, ref: ConversationRef, document: Document) -> Encoded:
        """The encoded document, encrypted if need be. Raises `ConversationTooLarge`."""
        encoded = self.encoded(document).sealed(self.sealing, ref.id)
        self._check_size(ref, encoded.size)
        if encoded.size > self.max_run_bytes:
            self._check_runs(ref, document.texts)
        return encoded

    def _title(self, ref: ConversationRef, runs: Sequence[Run]) -> bytes:
        """The title to propose for a conversation that begins with `runs`."""
        title = proposed(self.title, runs[0], self.alias) if runs else b""
        return title if self.sealing is None else self.sealing.seal(TITLE, ref.id, title)

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
        """Write if all is as `expected`: the new version. `change` is that of search documents."""
        known = expected.expectation if expected else ("", "", "")
        packed = change.begun if isinstance(change, Steps) else change
        args = [*known, encoded.field, *self._lifetimes(ref), packed, int(keeps_times), title]
        script = self._changing(WRITE)
        if not is_long(encoded.texts):
            written = yield self._command(script, ref, [*args, *encoded.args()])
        else:
            key = self.keys.staged(ref.call)
            staged = yield from stage(key, encoded.texts)
            written = yield self._command(script, ref, [*args, *encoded.args(staged)], [key])
            if not isinstance(written, int):
                yield single("UNLINK", key)
        if isinstance(written, int):
            yield from self._index_rest(ref, change)
        return written  # type: ignore[no-any-return]

    def _index_rest(self, ref: ConversationRef, change: Change) -> Operation[None]:
        """Write the documents of a change that is too large to be made by the write itself."""
        if isinstance(change, Steps):
            with suppress(ConversationConflict, ConversationNotFound):  # the token stays stale
                yield from self.index(ref.for_a_call(), change.before)
