"""Changing a conversation: the compare-and-set loop and the writes that run in it."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..documents import Document, build
from ..exceptions import (
    ConversationNotFound,
    RedisMisconfigured,
    is_wrong_type,
)
from ..keys import Keys, decode
from ..redis_io.operations import Command, Operation, Pause, single
from ..redis_io.scripts import Script
from ..runs import Run
from ..search_index.documents import fresh_token
from ..wire import dumps
from .refs import ConversationRef, Encoded, Memo, Snapshot
from .stored import StoredConversation

WRITE = Script("write")
DELETE = Script("delete")
TOUCH = Script("touch")
OWNER = Script("owner")
FORGET = Script("forget")
RENAME = Script("rename")
ERASE = Script("erase")

MAX_TITLE = 1000

# The pauses between them add up to about seven seconds, with a random part against lockstep.
ATTEMPTS = 300
LONGEST_PAUSE = 0.05


def pause(attempt: int) -> Pause:
    return Pause(random.uniform(0, min(attempt / 1000, LONGEST_PAUSE)))


def erasing(
    keys: Keys, id: bytes, owner: bytes | None, whose: str = "own", *, erases: bool = True
) -> Command[list[int]]:
    """Erase a conversation, readable or not, or only count it; see erase.lua."""
    args = [id, owner or b"", whose, int(erases)]
    return Command((ERASE.call(keys.of(id, owner, fresh_token()), args),))


Change = Callable[[Document], "Document | None"]
Attempt = Callable[[ConversationRef, bool], Operation[Any]]


class Writes(StoredConversation, ABC):
    """Changes a conversation, each time in one script that compares what was read."""

    @abstractmethod
    def encoded(self, document: Document) -> Encoded:
        """The document as this layout stores it."""

    def _write(
        self,
        ref: ConversationRef,
        encoded: Encoded,
        expected: Snapshot | None,
        change: bytes = b"",
        *,
        keeps_times: bool = False,
    ) -> Command[int | list[bytes]]:
        """Write if all is as `expected`: the new version, or the reason of the refusal.

        `change` is what becomes of the search documents. The time of the last write and the
        deadline stay where only the form changes.
        """
        args = [
            *(expected.expectation if expected else ("", "", "")),
            encoded.field,
            *self._lifetimes(ref),
            change,
            int(keeps_times),
            len(encoded.pairs),
            len(encoded.texts),
            *encoded.pairs,
            *encoded.texts,
            *encoded.digests,
        ]
        return self._command(self._changing(WRITE), ref, args)

    def _checked(self, ref: ConversationRef, document: Document) -> Encoded:
        """The encoded document. Raises `ConversationTooLarge`."""
        encoded = self.encoded(document)
        self._check_size(ref, encoded.size)
        if encoded.size > self.max_run_bytes:
            self._check_runs(ref, document.texts)
        return encoded

    def store(
        self,
        ref: ConversationRef,
        runs: Sequence[Run],
        metadata: Mapping[str, Any],
        revision: str | None,
    ) -> Operation[str]:
        """Overwrite; with `revision`, only what still has it. Returns the new revision."""
        document = build(runs, dict(metadata))
        encoded = self._checked(ref, document)

        def attempt(ref: ConversationRef, digested: bool) -> Operation[Any]:
            expected = None
            if revision is not None:
                expected = yield from self._snapshot(ref, digested=digested)
                ref = self._seen(ref, expected)
                if expected.revision != revision:
                    return self._repetition(ref, expected, document)
            change = yield from self._change_to(ref, document)
            written = yield self._write(ref, encoded, expected, change)
            return f"{written}-{encoded.fingerprint}" if isinstance(written, int) else written

        return (yield from self._settled(ref, attempt))  # type: ignore[no-any-return]

    def update_metadata(
        self, ref: ConversationRef, changes: Mapping[str, Any], remove: Sequence[str]
    ) -> Operation[dict[str, Any]]:
        """Merge into the metadata, and remove keys. Returns the metadata as stored."""
        dumps(dict(changes))  # raises if they are nested too deeply

        def change(document: Document) -> Document:
            kept = {k: v for k, v in document.metadata.items() if k not in remove}
            return document.with_metadata({**kept, **changes})

        return (yield from self._change(ref, change)).metadata

    def edit(self, ref: ConversationRef, run: Run) -> Operation[None]:
        """Replace the run of the same id."""

        def change(document: Document) -> Document:
            texts = list(document.texts)
            texts[self._position(ref, document.runs, run.id)] = run.to_wire()
            return document.with_texts(texts)

        yield from self._change(ref, change)

    def remove(self, ref: ConversationRef, run_id: str) -> Operation[None]:
        """Take a run out."""

        def change(document: Document) -> Document:
            texts = list(document.texts)
            del texts[self._position(ref, document.runs, run_id)]
            return document.with_texts(texts)

        yield from self._change(ref, change)

    def truncate(self, ref: ConversationRef, after: str) -> Operation[None]:
        """Take out all runs behind the one of that id."""

        def change(document: Document) -> Document:
            position = self._position(ref, document.runs, after)
            return document.with_texts(document.texts[: position + 1])

        yield from self._change(ref, change)

    def adapt(self, ref: ConversationRef) -> Operation[bool]:
        """Bring a conversation into the form of this layout. Returns whether it had another.

        The time of the last write and the deadline stay as they are.
        """

        def attempt(ref: ConversationRef, digested: bool) -> Operation[Any]:
            snapshot = yield from self._snapshot(ref, runs=True, digested=digested)
            if snapshot.field is None:
                return False
            record, sizes = snapshot.record, (len(snapshot.field), len(snapshot.texts or []))
            if self._is_own(record.layout, record.length, *sizes):
                return False
            ref = self._seen(ref, snapshot)
            nothing = self.documents.added(()) if self.documents else b""
            encoded = self._checked(ref, self.document(ref, snapshot))
            written = yield self._write(ref, encoded, snapshot, nothing, keeps_times=True)
            return True if isinstance(written, int) else written

        return (yield from self._settled(ref, attempt))  # type: ignore[no-any-return]

    def index(self, ref: ConversationRef) -> Operation[int]:
        """Bring the search documents of a conversation in step with it. Returns how many changed.

        A run that had none came, as far as is known, with the last write.
        """
        score = yield single("ZSCORE", self.keys.recency(), ref.id)

        def attempt(ref: ConversationRef, digested: bool) -> Operation[Any]:
            snapshot = yield from self._snapshot(ref, runs=True, digested=digested)
            if snapshot.field is None or self.documents is None:
                return 0
            ref = self._seen(ref, snapshot)
            change = yield from self._change_to(ref, self.document(ref, snapshot))
            return (yield self.index_command(ref, snapshot, change, int(float(score or 0))))

        return (yield from self._settled(ref, attempt))  # type: ignore[no-any-return]

    def set_title(self, ref: ConversationRef, title: str) -> Operation[None]:
        if len(title) > MAX_TITLE:
            raise ValueError(f"A title has at most {MAX_TITLE:,} characters.")
        yield from self._if_exists(ref, "title", title.encode("utf-8", "replace"))

    def set_lifetime(self, ref: ConversationRef) -> Operation[None]:
        """Let the deadline slide, after giving the lifetime of `ref` if it has one."""
        yield from self._if_exists(ref, "lifetime", *self._lifetimes(ref))

    def _if_exists(self, ref: ConversationRef, *args: Any) -> Operation[None]:
        if not (yield self._command(TOUCH, ref, [int(ref.scoped), *args])):
            raise self.not_found(ref)

    def delete(self, ref: ConversationRef) -> Operation[bool]:
        try:
            return bool((yield from self._as_owner(DELETE, ref)))
        except ConversationNotFound:
            return False
        except RedisMisconfigured as error:
            if not is_wrong_type(error) or not (yield from self.mistyped(ref)):
                raise
        whose = "own" if ref.scoped else "any"
        [deleted, *_] = yield erasing(self.keys, ref.id, ref.owner, whose)
        return bool(deleted)

    def move_to(self, ref: ConversationRef, owner: bytes | None) -> Operation[None]:
        """Give the conversation to another owner."""
        keys = [self.keys.recency(b"" if owner is None else owner)]
        if not (yield from self._as_owner(OWNER, ref, [owner or b"", fresh_token()], keys)):
            raise self.not_found(ref)

    def rename(self, ref: ConversationRef, target: bytes) -> Operation[None]:
        """Give the conversation another id."""
        keys = [self.keys.record(target), self.keys.runs(target), self.keys.ids(target)]
        renamed = yield from self._as_owner(RENAME, ref, [target], keys)
        if renamed == 0:
            raise self.not_found(ref)
        taken = replace(ref, id=target)
        if renamed == -2 and ref.scoped:  # as for every other write to it
            raise self.not_found(taken)
        if renamed < 0:
            raise self._conflict(taken, "exists already")

    def _as_owner(
        self,
        script: Script,
        ref: ConversationRef,
        args: Sequence[Any] = (),
        keys: Sequence[bytes] = (),
    ) -> Operation[Any]:
        """Run a script that needs the true owner, whom a refusal names."""

        def attempt(ref: ConversationRef, digested: bool) -> Operation[Any]:
            return (yield self._command(script, ref, args, keys))

        return (yield from self._settled(ref, attempt))

    def _settled(self, ref: ConversationRef, attempt: Attempt) -> Operation[Any]:
        """The result of `attempt`, which is repeated until its script accepts.

        A refusal is a sequence with its reason first. An attempt is told whether the digest of a
        long document is needed, which is not computed otherwise.
        """
        digested = False
        for number in range(ATTEMPTS):
            reply = yield from attempt(ref, digested)
            if not isinstance(reply, list | tuple):
                return reply
            if reply[0] == b"digest":
                digested = True
                continue
            ref = yield from self._refused(ref, reply)
            yield pause(number)
        raise self._conflict(ref, "kept changing")

    def _change(
        self,
        ref: ConversationRef,
        change: Change,
        *,
        memo: Memo | None = None,
        added: Sequence[Run] | None = None,
    ) -> Operation[Document]:
        """Apply `change` to the document until it is written with nobody having written meanwhile.

        `added` holds, once it was applied, the runs that it added, if it does nothing else.

        The first attempt is at what `memo` has. It costs no reading, and is refused if the
        conversation has changed since.
        """
        documents = yield from self.indexer()

        def attempt(ref: ConversationRef, digested: bool) -> Operation[Any]:
            seen = memo.take() if memo else None
            if seen is None:
                snapshot = yield from self._snapshot(ref, digested=digested)
                ref = self._seen(ref, snapshot)
                document = self.document(ref, snapshot)
            else:
                snapshot, document = seen
                ref = self._seen(ref, snapshot)
            changed = change(document)
            if changed is None:
                return document if seen is None else [b"changed"]
            step = b""
            if documents and added is not None:
                step = documents.added((run, run.to_wire()) for run in added)
            elif documents:
                step = documents.between(document, changed)
            encoded = self._checked(ref, changed)
            written = yield self._write(ref, encoded, snapshot, step)
            if not isinstance(written, int):
                return written
            if memo is not None:
                owner = None if ref.owner is None else decode(ref.owner)
                record = replace(snapshot.record, owner=owner, version=written)
                memo.keep(Snapshot(encoded.field, record), changed)
            return changed

        return (yield from self._settled(ref, attempt))  # type: ignore[no-any-return]

    def _refused(
        self, ref: ConversationRef, refusal: Sequence[bytes]
    ) -> Operation[ConversationRef]:
        """The reference to try again with. Raises if the caller must not see the conversation.

        With the owner that the refusal named; or when what is past its deadline has left the order
        of its owner, who need not be the next one.
        """
        reason, *names = refusal
        if reason == b"past":
            owner, id = names
            yield self._command(FORGET, ConversationRef(id, owner or None), [b""])
        if reason != b"owner":
            return ref
        if ref.scoped:
            raise self.not_found(ref)
        return ref.owned_by(names[0] or None)

    def _repetition(self, ref: ConversationRef, found: Snapshot, document: Document) -> str:
        """The revision if the same document is stored already, as by a retry after a time-out."""
        if found.field is not None and self.document(ref, found).raw == document.raw:
            return found.revision
        raise self._conflict(ref, "was changed since that revision")
