"""The contract of a layout, and the writes, which one compare-and-set loop repeats.

Each layout reads what the other wrote, and moves it into its own form with the next write.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar

from ..documents import Document, build
from ..exceptions import (
    ConversationNotFound,
    RedisDenied,
    RedisMisconfigured,
    RedisReadOnly,
    ReplyLost,
    is_wrong_type,
)
from ..keys import Keys, decode
from ..redis_io.operations import Command, Operation, Pause, T, single
from ..redis_io.scripts import Script
from ..runs import Run
from ..search_index.run_documents import fresh_token
from ..wire import dumps
from .refs import ConversationRef, Encoded, Memo, Snapshot, identified
from .stored import Refusal, StoredConversation

WRITE = Script("write")
DELETE = Script("delete")
TOUCH = Script("touch")
OWNER = Script("owner")
FORGET = Script("forget")
RENAME = Script("rename")
ERASE = Script("erase")

MAX_TITLE = 1000

# The pauses between them add up to about seven seconds, with a random part against lockstep.
_ATTEMPTS = 300

# One attempt at a write: its result, or the refusal of its script. It is told whether the script
# has asked for the digest of a long document, which is not computed otherwise.
Attempt = Callable[[ConversationRef, bool], Operation[T | Refusal]]


def erasing(
    keys: Keys, id: bytes, owner: bytes | None, whose: str = "own", *, erases: bool = True
) -> Command[list[int]]:
    """Erase a conversation, readable or not, or only count it; see erase.lua."""
    args = [id, owner or b"", whose, int(erases)]
    return Command((ERASE.call(keys.of(id, owner, fresh_token()), args),))


class Layout(StoredConversation, ABC):
    """How an index is laid out in Redis. Each method returns an operation; none does I/O."""

    name: ClassVar[str]

    @abstractmethod
    def encoded(self, document: Document) -> Encoded:
        """The document as this layout stores it."""

    def append(
        self, ref: ConversationRef, runs: Sequence[Run], memo: Memo | None = None
    ) -> Operation[int]:
        added: list[Run] = []
        runs = identified(runs)

        def change(document: Document) -> Document | None:
            added[:] = [run for run in runs if not document.has(run.id)]
            return document.appended(added) if added else None

        yield from self._change(ref, change, memo=memo, added=added)
        return len(added)

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

        def attempt(ref: ConversationRef, digested: bool) -> Operation[str | Refusal]:
            expected = None
            if revision is not None:
                expected = yield from self._snapshot(ref, digested=digested)
                ref = self._seen(ref, expected)
                if expected.revision != revision:
                    # A retry after a time-out finds its own document.
                    stored = self.document(ref, expected) if expected.field is not None else None
                    if stored and stored.raw == document.raw:
                        return expected.revision
                    raise self._conflict(ref, "was changed since that revision")
            change = yield from self._change_to(ref, document)
            written = yield self._write(ref, encoded, expected, change)
            return f"{written}-{encoded.fingerprint}" if isinstance(written, int) else written

        return (yield from self._settled(ref, attempt))

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
        yield from self._change_run(ref, run.id, "edit", run.to_wire())

    def remove(self, ref: ConversationRef, run_id: str) -> Operation[None]:
        yield from self._change_run(ref, run_id, "remove")

    def truncate(self, ref: ConversationRef, after: str) -> Operation[None]:
        yield from self._change_run(ref, after, "truncate")

    def _change_run(
        self, ref: ConversationRef, run_id: str, operation: str, text: bytes = b""
    ) -> Operation[None]:
        def change(document: Document) -> Document:
            position, texts = self._position(ref, document.runs, run_id), [*document.texts]
            if operation == "edit":
                texts[position] = text
            elif operation == "remove":
                del texts[position]
            else:
                del texts[position + 1 :]
            return document.with_texts(texts)

        yield from self._change(ref, change)

    def adapt(self, ref: ConversationRef) -> Operation[bool]:
        """Bring a conversation into the form of this layout. Returns False if it had that."""

        def attempt(ref: ConversationRef, digested: bool) -> Operation[bool | Refusal]:
            snapshot = yield from self._snapshot(ref, runs=True, digested=digested)
            size, count = len(snapshot.field or b""), len(snapshot.texts)
            if snapshot.field is None or self.is_own(snapshot.record, size, count):
                return False
            ref = self._seen(ref, snapshot)
            nothing = self.documents.added(()) if self.documents else b""
            encoded = self._checked(ref, self.document(ref, snapshot))
            written = yield self._write(ref, encoded, snapshot, nothing, keeps_times=True)
            return True if isinstance(written, int) else written

        return (yield from self._settled(ref, attempt))

    def index(self, ref: ConversationRef) -> Operation[int]:
        """Bring the search documents in step with the conversation. Returns how many changed."""
        # A run that had none came, as far as is known, with the last write.
        time = int(float((yield single("ZSCORE", self.keys.recency(), ref.id)) or 0))

        def attempt(ref: ConversationRef, digested: bool) -> Operation[int | Refusal]:
            snapshot = yield from self._snapshot(ref, runs=True, digested=digested)
            if snapshot.field is None or self.documents is None:
                return 0
            ref = self._seen(ref, snapshot)
            change = yield from self._change_to(ref, self.document(ref, snapshot))
            written = yield self.index_command(ref, snapshot, change, time)
            return [b"changed"] if written is None else written

        return (yield from self._settled(ref, attempt))

    def fork(
        self, ref: ConversationRef, target: ConversationRef, until: str | None
    ) -> Operation[None]:
        source = yield from self.read(ref)
        if not source.exists:
            raise self.not_found(ref)
        runs = source.runs
        if until is not None:
            runs = runs[: self._position(ref, runs, until) + 1]
        yield from self.guarded(target, self.store(target, runs, source.metadata, "0-absent"))

    def set_title(self, ref: ConversationRef, title: str) -> Operation[None]:
        if len(title) > MAX_TITLE:
            raise ValueError(f"A title has at most {MAX_TITLE:,} characters.")
        yield from self._touch(ref, "title", title.encode("utf-8", "replace"))

    def set_lifetime(self, ref: ConversationRef) -> Operation[None]:
        """Let the deadline slide, after giving the lifetime of `ref` if it has one."""
        yield from self._touch(ref, "lifetime", *self._lifetimes(ref))

    def _touch(self, ref: ConversationRef, *args: Any) -> Operation[None]:
        if not (yield self._command(TOUCH, ref, [int(ref.scoped), *args])):
            raise self.not_found(ref)

    def reading(self, ref: ConversationRef, operation: Operation[T]) -> Operation[T]:
        """`operation`, which lets the deadline slide as a write does if the index wants it."""
        result = yield from operation
        if self.slides_on_read:
            with suppress(ConversationNotFound, RedisReadOnly, RedisDenied):
                yield from self.set_lifetime(ref)
        return result

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
        keys = [self.keys.recency(b"" if owner is None else owner)]
        if not (yield from self._as_owner(OWNER, ref, keys, owner or b"", fresh_token())):
            raise self.not_found(ref)

    def rename(self, ref: ConversationRef, target: bytes) -> Operation[None]:
        keys = [self.keys.record(target), self.keys.runs(target), self.keys.ids(target)]
        renamed = yield from self._as_owner(RENAME, ref, keys, target)
        if renamed == 0:
            raise self.not_found(ref)
        taken = ref.at(target)
        if renamed == -2 and ref.scoped:  # as for every other write to it
            raise self.not_found(taken)
        if renamed < 0:
            raise self._conflict(taken, "exists already")

    def _as_owner(
        self, script: Script, ref: ConversationRef, keys: Sequence[bytes] = (), *args: Any
    ) -> Operation[int]:
        # The script needs the true owner, whom a refusal names.
        def attempt(ref: ConversationRef, digested: bool) -> Operation[int | Refusal]:
            reply: int | Refusal = yield self._command(script, ref, args, keys)
            return reply

        return (yield from self._settled(ref, attempt))

    def _change(
        self,
        ref: ConversationRef,
        change: Callable[[Document], Document | None],
        *,
        memo: Memo | None = None,
        added: Sequence[Run] | None = None,
    ) -> Operation[Document]:
        """Apply `change` to the document until nobody else has written meanwhile.

        If it adds runs and nothing else, `added` holds them then. The first attempt is at `memo`.
        """
        documents = yield from self.indexer()

        def attempt(ref: ConversationRef, digested: bool) -> Operation[Document | Refusal]:
            seen = memo.take() if memo else None
            snapshot = seen[0] if seen else (yield from self._snapshot(ref, digested=digested))
            ref = self._seen(ref, snapshot)
            document = seen[1] if seen else self.document(ref, snapshot)
            changed = change(document)
            if changed is None:
                return [b"changed"] if seen else document
            step = b""
            if documents and added is not None:
                step = documents.added((run, run.to_wire()) for run in added)
            elif documents:
                step = documents.between(document, changed)
            encoded = self._checked(ref, changed)
            written: int | Refusal = yield self._write(ref, encoded, snapshot, step)
            if not isinstance(written, int):
                return written
            if memo is not None:
                owner = None if ref.owner is None else decode(ref.owner)
                record = replace(snapshot.record, owner=owner, version=written)
                memo.keep(Snapshot(encoded.field, record), changed)
            return changed

        return (yield from self._settled(ref, attempt))

    def _settled(self, ref: ConversationRef, attempt: Attempt[T]) -> Operation[T]:
        """The result of `attempt`, which is repeated until its script accepts."""
        digested = False
        for number in range(_ATTEMPTS):
            reply = yield from attempt(ref, digested)
            if not isinstance(reply, list):
                return reply
            if reply[0] == b"digest":
                digested = True
                continue
            ref = yield from self._refused(ref, reply)
            yield Pause(random.uniform(0, min(number / 1000, 0.05)))
        raise self._conflict(ref, "kept changing")

    def _refused(self, ref: ConversationRef, refusal: Refusal) -> Operation[ConversationRef]:
        """The reference to try again with. Raises if the caller must not see the conversation."""
        reason, *names = refusal
        if reason == b"past":
            # It leaves the recency index of its owner, who need not be the next one.
            owner, id = names
            yield self._command(FORGET, ConversationRef(id, owner or None), [b""])
        if reason == b"reply":
            raise self._error(ReplyLost, ref, decode(names[0]))
        if reason != b"owner":
            return ref
        if ref.scoped:
            raise self.not_found(ref)
        return ref.owned_by(names[0] or None)

    def _checked(self, ref: ConversationRef, document: Document) -> Encoded:
        """The encoded document. Raises `ConversationTooLarge`."""
        encoded = self.encoded(document)
        self._check_size(ref, encoded.size)
        if encoded.size > self.max_run_bytes:
            self._check_runs(ref, document.texts)
        return encoded

    def _write(
        self,
        ref: ConversationRef,
        encoded: Encoded,
        expected: Snapshot | None,
        change: bytes,
        *,
        keeps_times: bool = False,
    ) -> Command[int | Refusal]:
        """Write if all is as `expected`: the new version. `change` is that of search documents."""
        known = expected.expectation if expected else ("", "", "")
        what = [encoded.field, *self._lifetimes(ref), change, int(keeps_times), *encoded.args]
        return self._command(self._changing(WRITE), ref, [*known, *what])
