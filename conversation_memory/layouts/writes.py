"""Changing a conversation: one compare-and-set loop, and what is written in it."""

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
from .refs import Memo, Place, Snapshot
from .stored import Stored

DELETE = Script("delete")
TITLE = Script("title")
LIFETIME = Script("lifetime")
OWNER = Script("owner")
FORGET = Script("forget")
RENAME = Script("rename")
SCRAP = Script("scrap")

MAX_TITLE = 1000

# The pauses between them add up to about seven seconds, with a random part against lockstep.
ATTEMPTS = 300
LONGEST_PAUSE = 0.05


def pause(attempt: int) -> Pause:
    return Pause(random.uniform(0, min(attempt / 1000, LONGEST_PAUSE)))


def scrapping(
    keys: Keys, id: bytes, owner: bytes | None, whose: str, *, asks: bool = False
) -> Command[list[int]]:
    """Delete a conversation of which a key has another type, or only ask; see scrap.lua."""
    args = [id, owner or b"", whose, int(asks)]
    return Command((SCRAP.call(keys.of(id, owner, fresh_token()), args),))


Change = Callable[[Document], "Document | None"]
Attempt = Callable[[Place, bool], Operation[Any]]


class Writes(Stored, ABC):
    """Changes a conversation, each time in one script that compares what was read."""

    @abstractmethod
    def _write(
        self,
        place: Place,
        document: Document,
        expected: Snapshot | None,
        change: bytes = b"",
        *,
        keeps_times: bool = False,
    ) -> Command[int | list[bytes]]:
        """Write if all is as `expected`: the new version, or the reason of the refusal.

        `change` is what becomes of the search documents. The time of the last write and the
        deadline stay where only the form changes.
        """

    def store(
        self,
        place: Place,
        runs: Sequence[Run],
        metadata: Mapping[str, Any],
        revision: str | None,
    ) -> Operation[str]:
        """Overwrite; with `revision`, only what still has it. Returns the new revision."""
        document = build(runs, dict(metadata))

        def attempt(place: Place, digested: bool) -> Operation[Any]:
            expected = None
            if revision is not None:
                expected = yield from self._snapshot(place, digested=digested)
                place = self._seen(place, expected)
                if expected.revision != revision:
                    return self._repetition(place, expected, document)
            change = yield from self._change_to(place, document)
            written = yield self._write(place, document, expected, change)
            return self._revision(written, document) if isinstance(written, int) else written

        return (yield from self._settled(place, attempt))  # type: ignore[no-any-return]

    def _revision(self, version: int, document: Document) -> str:
        return f"{version}-{self._field(document)[1]}"

    def update_metadata(
        self, place: Place, changes: Mapping[str, Any], remove: Sequence[str]
    ) -> Operation[dict[str, Any]]:
        """Merge into the metadata, and remove keys. Returns the metadata as stored."""
        dumps(dict(changes))  # raises if they are nested too deeply

        def change(document: Document) -> Document:
            kept = {k: v for k, v in document.metadata.items() if k not in remove}
            return document.with_metadata({**kept, **changes})

        return (yield from self._change(place, change)).metadata

    def edit(self, place: Place, run: Run) -> Operation[None]:
        """Put a run in the place of the one with its id."""

        def change(document: Document) -> Document:
            texts = list(document.texts)
            texts[self._position(place, document.runs, run.id)] = run.to_wire()
            return document.with_texts(texts)

        yield from self._change(place, change)

    def remove(self, place: Place, run_id: str) -> Operation[None]:
        """Take a run out."""

        def change(document: Document) -> Document:
            texts = list(document.texts)
            del texts[self._position(place, document.runs, run_id)]
            return document.with_texts(texts)

        yield from self._change(place, change)

    def truncate(self, place: Place, after: str) -> Operation[None]:
        """Take out all runs behind the one of that id."""

        def change(document: Document) -> Document:
            position = self._position(place, document.runs, after)
            return document.with_texts(document.texts[: position + 1])

        yield from self._change(place, change)

    def adapt(self, place: Place) -> Operation[bool]:
        """Bring a conversation into the form of this layout. Returns whether it had another.

        The time of the last write and the deadline stay as they are.
        """

        def attempt(place: Place, digested: bool) -> Operation[Any]:
            snapshot = yield from self._snapshot(place, runs=True, digested=digested)
            seal, length = snapshot.record.seal, len(snapshot.texts or [])
            if snapshot.field is None or self._is_own(seal, len(snapshot.field), length):
                return False
            place = self._seen(place, snapshot)
            nothing = self.documents.added(()) if self.documents else b""
            document = self.document(place, snapshot)
            written = yield self._write(place, document, snapshot, nothing, keeps_times=True)
            return True if isinstance(written, int) else written

        return (yield from self._settled(place, attempt))  # type: ignore[no-any-return]

    def index(self, place: Place) -> Operation[int]:
        """Bring the search documents of a conversation in step with it. Returns how many changed.

        A run that had none came, as far as is known, with the last write.
        """
        score = yield single("ZSCORE", self.keys.order(), place.id)

        def attempt(place: Place, digested: bool) -> Operation[Any]:
            snapshot = yield from self._snapshot(place, runs=True, digested=digested)
            if snapshot.field is None or self.documents is None:
                return 0
            place = self._seen(place, snapshot)
            change = yield from self._change_to(place, self.document(place, snapshot))
            return (yield self.index_command(place, snapshot, change, int(float(score or 0))))

        return (yield from self._settled(place, attempt))  # type: ignore[no-any-return]

    def set_title(self, place: Place, title: str) -> Operation[None]:
        if len(title) > MAX_TITLE:
            raise ValueError(f"A title has at most {MAX_TITLE:,} characters.")
        yield from self._if_exists(TITLE, place, title.encode("utf-8", "replace"))

    def set_lifetime(self, place: Place) -> Operation[None]:
        """Let the deadline slide, after giving the lifetime of `place` if it has one."""
        yield from self._if_exists(LIFETIME, place, *self._lifetimes(place))

    def _if_exists(self, script: Script, place: Place, *args: Any) -> Operation[None]:
        if not (yield self._command(script, place, [int(place.scoped), *args])):
            raise self.not_found(place)

    def delete(self, place: Place) -> Operation[bool]:
        try:
            return bool((yield from self._as_owner(DELETE, place)))
        except ConversationNotFound:
            return False
        except RedisMisconfigured as error:
            if not is_wrong_type(error) or not (yield from self.mistyped(place)):
                raise
        whose = "own" if place.scoped else "any"
        [deleted, *_] = yield scrapping(self.keys, place.id, place.owner, whose)
        return bool(deleted)

    def move_to(self, place: Place, owner: bytes | None) -> Operation[None]:
        """Give the conversation to another owner."""
        keys = [self.keys.order(b"" if owner is None else owner)]
        if not (yield from self._as_owner(OWNER, place, [owner or b"", fresh_token()], keys)):
            raise self.not_found(place)

    def rename(self, place: Place, target: bytes) -> Operation[None]:
        """Give the conversation another id."""
        keys = [self.keys.record(target), self.keys.runs(target), self.keys.ids(target)]
        renamed = yield from self._as_owner(RENAME, place, [target], keys)
        if renamed == 0:
            raise self.not_found(place)
        taken = replace(place, id=target)
        if renamed == -2 and place.scoped:  # as for every other write to it
            raise self.not_found(taken)
        if renamed < 0:
            raise self._conflict(taken, "exists already")

    def _as_owner(
        self, script: Script, place: Place, args: Sequence[Any] = (), keys: Sequence[bytes] = ()
    ) -> Operation[Any]:
        """Run a script that needs the true owner, whom a refusal names."""

        def attempt(place: Place, digested: bool) -> Operation[Any]:
            return (yield self._command(script, place, args, keys))

        return (yield from self._settled(place, attempt))

    def _settled(self, place: Place, attempt: Attempt) -> Operation[Any]:
        """What `attempt` returns, made again until its script does not refuse.

        A refusal is a sequence with its reason first. An attempt is told whether the digest of a
        long document is needed, which is not computed otherwise.
        """
        digested = False
        for number in range(ATTEMPTS):
            reply = yield from attempt(place, digested)
            if not isinstance(reply, list | tuple):
                return reply
            if reply[0] == b"digest":
                digested = True
                continue
            place = yield from self._refused(place, reply)
            yield pause(number)
        raise self._conflict(place, "kept changing")

    def _change(
        self,
        place: Place,
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

        def attempt(place: Place, digested: bool) -> Operation[Any]:
            seen = memo.take() if memo else None
            if seen is None:
                snapshot = yield from self._snapshot(place, digested=digested)
                place = self._seen(place, snapshot)
                document = self.document(place, snapshot)
            else:
                snapshot, document = seen
                place = self._seen(place, snapshot)
            changed = change(document)
            if changed is None:
                return document if seen is None else [b"changed"]
            step = b""
            if documents and added is not None:
                step = documents.added((run, run.to_wire()) for run in added)
            elif documents:
                step = documents.between(document, changed)
            written = yield self._write(place, changed, snapshot, step)
            if not isinstance(written, int):
                return written
            if memo is not None and not self.reads_list:
                memo.keep(self._written(place, changed, snapshot, written), changed)
            return changed

        return (yield from self._settled(place, attempt))  # type: ignore[no-any-return]

    def _written(self, place: Place, written: Document, before: Snapshot, version: int) -> Snapshot:
        """What is stored after a write."""
        owner = None if place.owner is None else decode(place.owner)
        record = replace(before.record, owner=owner, version=version, seal=written.seal)
        return Snapshot(written.raw, record)

    def _refused(self, place: Place, refusal: Sequence[bytes]) -> Operation[Place]:
        """The place to try again with. Raises if the caller must not see it.

        With the owner that the refusal named; or when what is past its deadline has left the order
        of its owner, who need not be the next one.
        """
        reason, *names = refusal
        if reason == b"past":
            owner, id = names
            yield self._command(FORGET, Place(id, owner or None), [b""])
        if reason != b"owner":
            return place
        if place.scoped:
            raise self.not_found(place)
        return place.owned_by(names[0] or None)

    def _repetition(self, place: Place, found: Snapshot, document: Document) -> str:
        """The revision if what was to be stored is there already, by a retry after a time-out."""
        if found.field is not None and self.document(place, found).raw == document.raw:
            return found.revision
        raise self._conflict(place, "was changed since that revision")
