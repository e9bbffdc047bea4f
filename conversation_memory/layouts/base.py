"""The contract of a layout: everything that can be done with one conversation.

Each layout reads what the other wrote, and moves it into its own form with the next write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..documents import Document, build
from ..encryption.sealing import TITLE
from ..exceptions import (
    ConversationConflict,
    ConversationNotFound,
    RedisDenied,
    RedisMisconfigured,
    RedisReadOnly,
    is_wrong_type,
)
from ..keys import Keys
from ..redis_io.operations import Command, Operation, T, single
from ..redis_io.scripts import Script
from ..runs import Run
from ..search_index.run_documents import Steps, fresh_token
from ..search_index.sweep import finished
from ..titles import MAX_TITLE
from ..wire import dumps
from .declared import declared, names_keys
from .document_steps import DocumentSteps
from .encrypted import EncryptedConversation
from .indexed import NOTHING
from .proof import proven
from .refs import ConversationRef, identified, merged
from .retagging import retag
from .stored import Refusal

DELETE = Script("delete")
TOUCH = Script("touch")
OWNER = Script("owner")
RENAME = Script("rename")
ERASE = Script("erase")


def erasing(
    keys: Keys, id: bytes, owner: bytes | None, whose: str = "own", *, erases: bool = True
) -> Command[list[int]]:
    """Erase a conversation, readable or not, or only count it; see erase.lua."""
    args = [id, owner or b"", whose, int(erases)]
    return Command((ERASE.call(keys.forgetting(id, owner, fresh_token()), args),))


class Layout(EncryptedConversation):
    """How an index is laid out in Redis. Each method returns an operation; none does I/O."""

    def store(
        self,
        ref: ConversationRef,
        runs: Sequence[Run],
        metadata: Mapping[str, Any],
        revision: str | None,
    ) -> Operation[str]:
        """Overwrite; with `revision`, only what still has it. Returns the new revision."""
        document = build(runs, dict(metadata), apart=self.apart)
        encoded, title = self._checked(ref, document), self._title(ref, runs)

        def attempt(ref: ConversationRef, digested: bool) -> Operation[str | Refusal]:
            expected = None
            if revision is not None or self.sealing is not None:
                expected = yield from self._snapshot(ref, digested=digested)
                ref = self._seen(ref, expected)
                _ = expected.opened  # raises if it cannot be decrypted, so is not to be overwritten
                if revision is not None and expected.revision != revision:
                    # A retry after a time-out finds its own document.
                    stored = self.document(ref, expected) if expected.field is not None else None
                    if stored and self.encoded(stored) == self.encoded(document):
                        return expected.revision
                    raise self._conflict(ref, "was changed since that revision")
            change = yield from self._change_to(ref, document)
            written = yield from self._write(ref, encoded, expected, change, title=title)
            return f"{written}-{encoded.fingerprint}" if isinstance(written, int) else written

        return (yield from self._settled(ref, attempt))

    def update_metadata(
        self, ref: ConversationRef, changes: Mapping[str, Any], remove: Sequence[str]
    ) -> Operation[dict[str, Any]]:
        """Merge into the metadata, and remove keys. Returns the metadata as stored."""
        dumps(dict(changes))  # raises if they are nested too deeply

        def change(document: Document) -> Document:
            return document.with_metadata(merged(document.metadata, changes, remove))

        return (yield from self._change(ref, change)).metadata

    def edit(self, ref: ConversationRef, run: Run) -> Operation[None]:
        yield from self._change_run(ref, run.id, "edit", lambda _: self.text_of(run))

    def resume(
        self, ref: ConversationRef, run_id: str, renewed: Callable[[Run], Run], runs: Sequence[Run]
    ) -> Operation[None]:
        """Change a run and append `runs`, in one write."""

        def text(stored: bytes) -> bytes:
            return self.text_of(renewed(Run.from_text(stored)))

        def change(document: Document) -> Document:
            texts = [*document.texts]
            position = self._position(ref, document.runs, run_id)
            texts[position] = text(texts[position])
            changed = document.with_texts(texts)
            return changed.appended(changed.absent(added))

        if added := identified(runs):
            yield from self._change(ref, change)
        else:
            yield from self._change_run(ref, run_id, "edit", text)

    def annotate(
        self, ref: ConversationRef, run_id: str, changes: Mapping[str, Any], remove: Sequence[str]
    ) -> Operation[dict[str, Any]]:
        """Merge into the meta of a run, and remove keys. Returns the meta as stored."""
        dumps(dict(changes))  # raises if they are nested too deeply
        meta: dict[str, Any] = {}

        def annotated(stored: bytes) -> bytes:
            nonlocal meta
            run = Run.from_text(stored)
            if not isinstance(run.meta, dict | None):
                raise ValueError(f"The meta of run {run_id!r} is not a dict.")
            run.meta = meta = merged(run.meta or {}, changes, remove)
            return self.text_of(run)

        yield from self._change_run(ref, run_id, "edit", annotated)
        return meta

    def shorten(
        self, ref: ConversationRef, run_id: str, shortened: Callable[[Run], Run | None]
    ) -> Operation[None]:
        """Change a run, or remove it if nothing is left of it."""

        def text(stored: bytes) -> bytes | None:
            rest = shortened(Run.from_text(stored))
            return None if rest is None else self.text_of(rest)

        yield from self._change_run(ref, run_id, "edit", text)

    def remove(self, ref: ConversationRef, run_id: str) -> Operation[None]:
        yield from self._change_run(ref, run_id, "remove")

    def truncate(self, ref: ConversationRef, after: str) -> Operation[None]:
        yield from self._change_run(ref, after, "truncate")

    def _change_run(
        self,
        ref: ConversationRef,
        run_id: str,
        operation: str,
        renewed: Callable[[bytes], bytes | None] | None = None,
    ) -> Operation[None]:
        """Make a change that begins at a run.

        For 'edit', `renewed` makes its new text, or None to remove it.
        """

        def change(document: Document) -> Document:
            position, texts = self._position(ref, document.runs, run_id), [*document.texts]
            text = renewed(texts[position]) if renewed else None
            if operation == "truncate":
                del texts[position + 1 :]
            else:
                texts[position : position + 1] = [] if text is None else [text]
            return document.with_texts(texts)

        yield from self._change(ref, change)

    def adapt(self, ref: ConversationRef) -> Operation[bool]:
        """Bring a conversation into the form of this layout. Returns False if it had that."""

        def attempt(ref: ConversationRef, digested: bool) -> Operation[bool | Refusal]:
            snapshot = yield from self._snapshot(ref, digested=digested)
            size, count = len(snapshot.field or b""), len(snapshot.texts)
            if snapshot.field is None or self.is_own(snapshot.record, size, count):
                return False
            ref = self._seen(ref, snapshot)
            document = self.document(ref, snapshot)
            changed = self.formed(document)
            stored = document.texts
            change = yield from self._change_between(ref, snapshot, changed, changed, stored)
            encoded = self._checked(ref, changed)
            title = b"" if snapshot.record.runs else self._title(ref, document.runs)
            written = yield from self._write(
                ref, encoded, snapshot, change, title=title, keeps_times=True
            )
            return True if isinstance(written, int) else written

        return (yield from self._settled(ref, attempt))

    def index(
        self, ref: ConversationRef, before: Mapping[bytes, bytes] = NOTHING
    ) -> Operation[int]:
        documents, time = self.documents, (yield from self._time_of_old(ref))
        if documents is None:
            return 0
        steps = DocumentSteps(self, documents, time, before)

        def attempt(ref: ConversationRef, digested: bool) -> Operation[int | Refusal]:
            snapshot = yield from self._snapshot(ref, digested=digested)
            if snapshot.field is None:
                return 0
            ref = self._seen(ref, snapshot)
            document = self.document(ref, snapshot)
            change = yield from self._change_to(ref, document, before)
            if isinstance(change, Steps):
                written = yield from steps.attempt(ref, snapshot, document)
                if isinstance(written, list) and steps.is_over:
                    reason = "kept changing. Run `reindexconversations` again."
                    raise self._error(ConversationConflict, ref, reason)
            else:
                written = yield self.index_command(ref, snapshot, change, time)
            return [b"changed"] if written is None else written

        return (yield from self._settled(ref, attempt))

    def fork(
        self, ref: ConversationRef, target: ConversationRef, until: str | None
    ) -> Operation[None]:
        runs, metadata = yield from self.until(ref, until)
        yield from self.guarded(target, self.store(target, runs, metadata, "0-absent"))

    def until(
        self, ref: ConversationRef, run_id: str | None
    ) -> Operation[tuple[Sequence[Run], dict[str, Any]]]:
        """The runs up to and including that of an id, or all, and the metadata."""
        source = yield from self.read(ref)
        if not source.exists:
            raise self.not_found(ref)
        runs = source.runs
        if run_id is not None:
            runs = runs[: self._position(ref, runs, run_id) + 1]
        return runs, source.metadata

    def set_title(self, ref: ConversationRef, title: str) -> Operation[None]:
        if len(title) > MAX_TITLE:
            raise ValueError(f"A title has at most {MAX_TITLE:,} characters.")
        text = title.encode("utf-8", "replace")
        if self.sealing is not None:
            yield from proven(self.keys, self.alias)
            yield from self._check_title(ref)
            text = self.sealing.seal(TITLE, ref.id, text)
        yield from self._touch(ref, "title", text, self.form)

    def set_lifetime(self, ref: ConversationRef, until: int | None = None) -> Operation[None]:
        """Let the deadline slide, after giving the lifetime of `ref` if it has one.

        With `until` (ms), the deadline is that, and the lifetime what is left until then.
        """
        deadline = "" if until is None else until
        yield from self._touch(ref, "lifetime", *self._lifetimes(ref), deadline)

    def _touch(self, ref: ConversationRef, *args: Any) -> Operation[None]:
        found = yield self._command(TOUCH, ref, [int(ref.scoped), *args])
        if isinstance(found, list):
            yield from self._refused(ref, found)
        if not found:
            raise self.not_found(ref)

    def reading(self, ref: ConversationRef, operation: Operation[T]) -> Operation[T]:
        """`operation`, which lets the deadline slide as a write does if the index wants it."""
        result = yield from operation
        if self.slides_on_read:
            with suppress(ConversationNotFound, RedisReadOnly, RedisDenied):
                yield from self.set_lifetime(ref.for_a_call())
        return result

    def delete(self, ref: ConversationRef, version: int | None = None) -> Operation[bool]:
        """Delete; with `version`, only what still has it: else raises `ConversationConflict`."""
        args = [] if version is None else ["", "", version]
        try:
            reply = yield from self._as_owner(DELETE, ref, [], *args)
            [deleted] = yield from finished(self.keys, [ref.id], [reply])
            if deleted == -1:
                raise self._conflict(ref, "was changed since that revision")
            return bool(deleted)
        except ConversationNotFound:
            return False
        except RedisMisconfigured as error:
            if not is_wrong_type(error) or not (yield from self.mistyped(ref)):
                raise
        whose = "own" if ref.scoped else "any"
        [erased] = yield from declared([erasing(self.keys, ref.id, ref.owner, whose)])
        if names_keys(erased):
            raise self._conflict(ref, "kept changing")
        return bool(erased[0])

    def move_to(self, ref: ConversationRef, owner: bytes | None) -> Operation[None]:
        keys = [self.keys.recency(b"" if owner is None else owner)]
        moved = yield from self._as_owner(OWNER, ref, keys, owner or b"", fresh_token())
        if not moved:
            raise self.not_found(ref)
        yield from retag(self.keys, [(ref.id, owner, moved)])

    def rename(self, ref: ConversationRef, target: bytes) -> Operation[None]:
        keys = [self.keys.record(target), self.keys.runs(target), self.keys.ids(target)]
        keys += [self.keys.checkpoints(target), self.keys.open(target)]

        def attempt(ref: ConversationRef, digested: bool) -> Operation[int | Refusal]:
            args: list[Any] = ["", "", "", target]
            staged: list[bytes] = []
            if self.sealing is not None:
                ref, args, staged = yield from self._sealed_for(ref, target, digested)
            rename = self._command(self._changing(RENAME), ref, args, [*keys, *staged])
            [reply] = yield from declared([rename])
            if staged and reply != 1:
                yield single("UNLINK", *staged)
            return reply  # type: ignore[no-any-return]

        renamed = yield from self._settled(ref, attempt)
        if renamed == 0:
            raise self.not_found(ref)
        taken = ref.at(target)
        if renamed == -2 and ref.scoped:  # as for every other write to it
            raise self.not_found(taken)
        if renamed < 0:
            raise self._conflict(taken, "exists already")

    def _as_owner(
        self, script: Script, ref: ConversationRef, keys: Sequence[bytes] = (), *args: Any
    ) -> Operation[Any]:
        # The script needs the true owner, whom a refusal names.
        def attempt(ref: ConversationRef, digested: bool) -> Operation[Any]:
            [reply] = yield from declared([self._command(script, ref, args, keys)])
            return reply

        return (yield from self._settled(ref, attempt))
