"""What every layout shares: reading a conversation, its record, its place in the orders, its end.

A conversation is in the layout that wrote it last: its record tells. Each layout reads what the
other wrote, and moves a conversation into its own form with the next write.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar

from ..conf import IndexSettings
from ..documents import Document, Runs, build, fingerprint
from ..exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationMemoryError,
    ConversationNotFound,
    ConversationTooLarge,
    Damaged,
    RedisDenied,
    RedisMisconfigured,
    RedisReadOnly,
    RunNotFound,
    is_wrong_type,
)
from ..keys import Keys, decode
from ..records import FIELDS, LARGEST, Conversation, Excerpt, Record, RunPage
from ..redis_io.operations import Command, Operation, Pause, Step, T, single
from ..redis_io.scripts import Call, Script
from ..runs import Run, dumps
from ..search_index.documents import fresh_token
from .indexing import Indexing
from .refs import Form, Place, Snapshot, distinct, identified, is_past, owner_of

DELETE = Script("delete")
TITLE = Script("title")
LIFETIME = Script("lifetime")
OWNER = Script("owner")
FORGET = Script("forget")
RENAME = Script("rename")
SCRAP = Script("scrap")

MAX_TITLE = 1000

_CHUNK = 50

# The pauses between them add up to about seven seconds, with a random part against lockstep.
ATTEMPTS = 300
LONGEST_PAUSE = 0.05


def pause(attempt: int) -> Pause:
    return Pause(random.uniform(0, min(attempt / 1000, LONGEST_PAUSE)))


NEEDS_DIGEST = [b"digest"]


def scrapping(
    keys: Keys, id: bytes, owner: bytes | None, whose: str, *, asks: bool = False
) -> Command[list[int]]:
    """Delete a conversation of which a key has another type, or only ask; see scrap.lua."""
    args = [id, owner or b"", whose, int(asks)]
    return Command((SCRAP.call(keys.of(id, owner, fresh_token()), args),))


Change = Callable[[Document], "Document | None"]


class Layout(Indexing, ABC):
    """How an index is laid out in Redis. Each method returns an operation; none does I/O."""

    name: ClassVar[str]
    reads_list: ClassVar[bool] = False
    """Whether a conversation of this layout has its runs in a list."""

    def __init__(self, settings: IndexSettings):
        super().__init__(settings)
        self.alias = settings.alias
        self.max_bytes = settings.max_bytes
        self.max_run_bytes = settings.max_run_bytes
        self.lifetime = settings.lifetime
        self.slides_on_read = settings.ttl_on_read

    @abstractmethod
    def page(self, place: Place, before: int | None, limit: int) -> Operation[RunPage]:
        """At most `limit` runs in front of position `before`, or the last ones."""

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

    @abstractmethod
    def form(self, document: Document) -> Form:
        """What `_write` keeps of the document, for a restore, which writes many at a time."""

    def digests(self, document: Document) -> list[bytes]:
        """What is kept for an hour beside a document, to tell an append that is repeated."""
        return []

    def append(self, place: Place, runs: Sequence[Run]) -> Operation[int]:
        """Add the runs whose id is not there yet. Returns how many those were."""
        added: list[Run] = []
        runs = identified(runs)

        def change(document: Document) -> Document | None:
            added[:] = [run for run in distinct(runs) if not run.id or not document.has(run.id)]
            return document.appended(added) if added else None

        yield from self._change(place, change, from_memo=True, added=added)
        return len(added)

    def read(self, place: Place) -> Operation[Conversation]:
        """All of a conversation; one without runs if there is none."""
        snapshot = yield from self._snapshot(place)
        if snapshot.field is None or not place.sees(snapshot.record):
            return Conversation(Record(decode(place.id)), Runs(), {}, "0-absent", exists=False)
        document = self.document(place, snapshot)
        mark = fingerprint(snapshot.field) if snapshot.is_list else document.mark
        if not snapshot.is_list:
            place.memo.keep(snapshot, document)
        revision = f"{snapshot.record.version}-{mark}"
        record = replace(snapshot.record, runs=document.count)  # others count no runs
        return Conversation(record, document.runs, document.metadata, revision, exists=True)

    def excerpt(
        self, place: Place, before: int | None, limit: int, *, strict: bool
    ) -> Operation[Excerpt]:
        """At most `limit` runs in front of position `before`, or the last ones, and the rest."""
        found = yield from self.read(place)
        page = self._cut(found.runs, before, limit)
        return Excerpt(
            found.record, page.runs, page.start, len(found.runs), found.metadata, found.exists
        )

    def raw(self, place: Place) -> Operation[bytes | None]:
        """The document as it is stored, readable or not; of a list, put together from its parts."""
        try:
            snapshot = yield from self._snapshot(place)
        except RedisMisconfigured as error:
            if place.scoped or not is_wrong_type(error):
                raise
            return (yield single("HGET", self.keys.content(place.id), place.id))  # type: ignore[no-any-return]
        if snapshot.field is None or not place.sees(snapshot.record):
            return None
        if snapshot.is_list:
            with suppress(ConversationCorrupt):
                return self.document(place, snapshot).raw
        return snapshot.field

    def find(
        self, place: Place, wanted: Callable[[Run], bool], limit: int
    ) -> Operation[int | None]:
        """The position of the last run that is `wanted`, looked for among the last `limit`."""
        page = yield from self.page(place, None, limit)
        places = reversed(list(enumerate(page.runs, page.start)))
        return next((position for position, run in places if wanted(run)), None)

    @staticmethod
    def _cut(runs: list[Run], before: int | None, limit: int) -> RunPage:
        stop = len(runs) if before is None else min(before, len(runs))
        start = max(0, stop - limit)
        return RunPage(list(runs[start:stop]), start)

    def tail(self, place: Place, count: int) -> Operation[list[Run]]:
        """The last `count` runs, oldest first."""
        return (yield from self.page(place, None, count)).runs if count > 0 else []

    def reading(self, place: Place, operation: Operation[T]) -> Operation[T]:
        """`operation`, which lets the deadline slide as a write does if the index wants it."""
        result = yield from operation
        if not self.slides_on_read:
            return result
        with suppress(ConversationNotFound, RedisReadOnly, RedisDenied):
            yield from self.set_lifetime(place)
        return result

    def window(
        self,
        place: Place,
        max_runs: int | None,
        max_tokens: int | None,
        count: Callable[[Run], int],
    ) -> Operation[list[Run]]:
        """The last runs that fit, oldest first; never a part of one."""
        chosen: list[Run] = []
        tokens, before = 0, None
        max_runs = None if max_runs is None else min(max_runs, LARGEST)
        while before != 0 and (max_runs is None or len(chosen) < max_runs):
            wanted = _CHUNK if max_runs is None else max_runs - len(chosen)
            page = yield from self.page(place, before, wanted)
            for run in reversed(page.runs):
                if max_tokens is not None:
                    tokens += count(run)
                    if tokens > max_tokens:
                        return chosen[::-1]
                chosen.append(run)
            before = page.start
        return chosen[::-1]

    def store(
        self,
        place: Place,
        runs: Sequence[Run],
        metadata: Mapping[str, Any],
        revision: str | None,
    ) -> Operation[str]:
        """Overwrite; with `revision`, only what still has it. Returns the new revision."""
        document = build(runs, dict(metadata))
        expected: Snapshot | None = None
        for _ in range(ATTEMPTS):
            if revision is not None:
                expected = yield from self._snapshot(place)
                place = self._seen(place, expected)
                if expected.revision != revision:
                    return self._repetition(place, expected, document)
            change = yield from self._change_to(place, document)
            written = yield self._write(place, document, expected, change)
            if expected and written == NEEDS_DIGEST:
                written = yield self._write(place, document, expected.digested(), change)
            if isinstance(written, int):
                return f"{written}-{self._field(document)[1]}"
            place = yield from self._refused(place, written)
        raise self._conflict(place, "kept changing")

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

    def fork(self, place: Place, target: Place, until: str | None) -> Operation[None]:
        """Copy a conversation, up to a run, to an id that is not taken."""
        source = yield from self.read(place)
        if not source.exists:
            raise self.not_found(place)
        runs = source.runs
        if until is not None:
            runs = runs[: self._position(place, runs, until) + 1]
        yield from self.guarded(target, self.store(target, runs, source.metadata, "0-absent"))

    def foreign(self, ids: Sequence[bytes]) -> Operation[list[bytes]]:
        """Those of `ids` that are not stored in the form of this layout."""
        seals: list[Command[Any]] = [
            single("HGET", self.keys.record(id), "seal", otherwise=b"") for id in ids
        ]
        sizes: list[Command[Any]] = [single("HSTRLEN", self.keys.content(id), id) for id in ids]
        lengths: list[Command[Any]] = [
            single("LLEN", self.keys.runs(id), otherwise=1) for id in ids
        ]
        replies, count = (yield [*seals, *sizes, *lengths]), len(ids)
        forms = zip(ids, replies, replies[count:], replies[2 * count :], strict=False)
        return [id for id, seal, *form in forms if not self._is_own(decode(seal or b""), *form)]

    def adapt(self, place: Place) -> Operation[bool]:
        """Bring a conversation into the form of this layout. Returns whether it had another.

        The time of the last write and the deadline stay as they are.
        """
        for attempt in range(ATTEMPTS):
            snapshot = yield from self._snapshot(place, runs=True)
            seal, length = snapshot.record.seal, len(snapshot.texts or [])
            if snapshot.field is None or self._is_own(seal, len(snapshot.field), length):
                return False
            place = self._seen(place, snapshot)
            nothing = self.documents.added(()) if self.documents else b""
            document = self.document(place, snapshot)
            written = yield self._write(place, document, snapshot, nothing, keeps_times=True)
            if written == NEEDS_DIGEST:
                digested = snapshot.digested()
                written = yield self._write(place, document, digested, nothing, keeps_times=True)
            if isinstance(written, int):
                return True
            yield pause(attempt)
        raise self._conflict(place, "kept changing")

    def _is_own(self, seal: str, size: int, length: int) -> bool:
        """Whether a field of that size, beside a list of that length, is as this layout writes."""
        if self.reads_list:
            return seal.startswith(f"list-{size}-")
        return not length and not seal.startswith("list-")

    def index(self, place: Place) -> Operation[int]:
        """Bring the search documents of a conversation in step with it. Returns how many changed.

        A run that had none came, as far as is known, with the last write.
        """
        score = yield single("ZSCORE", self.keys.order(), place.id)
        for attempt in range(ATTEMPTS):
            snapshot = yield from self._snapshot(place, runs=True)
            if snapshot.field is None or self.documents is None:
                return 0
            place = self._seen(place, snapshot)
            change = yield from self._change_to(place, self.document(place, snapshot))
            time = int(float(score or 0))
            written = yield self.index_command(place, snapshot, change, time)
            if written == NEEDS_DIGEST:
                written = yield self.index_command(place, snapshot.digested(), change, time)
            if isinstance(written, int):
                return written
            place = yield from self._refused(place, written)
            yield pause(attempt)
        raise self._conflict(place, "kept changing")

    def _change(
        self,
        place: Place,
        change: Change,
        *,
        from_memo: bool = False,
        added: Sequence[Run] | None = None,
    ) -> Operation[Document]:
        """Apply `change` to the document until it is written as nobody else wrote in between.

        `added` holds, once it was applied, the runs that it added, if it does nothing else.


        The first attempt may be at what the caller has seen last. It costs no reading, and is
        refused if that is not there any more.
        """
        seen = place.memo.take() if from_memo else None
        documents = yield from self.indexer()
        for attempt in range(ATTEMPTS):
            snapshot = seen[0] if seen else (yield from self._snapshot(place))
            place = self._seen(place, snapshot)
            document = seen[1] if seen else self.document(place, snapshot)
            changed = change(document)
            if changed is None and seen is None:
                return document
            if changed is not None:
                step = b""
                if documents and added is not None:
                    step = documents.added((run, run.to_wire()) for run in added)
                elif documents:
                    step = documents.between(document, changed)
                written = yield self._write(place, changed, snapshot, step)
                if written == NEEDS_DIGEST:
                    written = yield self._write(place, changed, snapshot.digested(), step)
                if isinstance(written, int):
                    self._remember(place, changed, snapshot, written)
                    return changed
                place = yield from self._refused(place, written)
                yield pause(attempt)
            seen = None
        raise self._conflict(place, "kept changing")

    def _remember(self, place: Place, written: Document, before: Snapshot, version: int) -> None:
        """Keep what was written for the next write of the same caller."""
        if not self.reads_list:
            owner = None if place.owner is None else decode(place.owner)
            record = replace(before.record, owner=owner, version=version, seal=written.seal)
            place.memo.keep(Snapshot(written.raw, record), written)

    def _snapshot(self, place: Place, *, runs: bool = False) -> Operation[Snapshot]:
        """What is stored now; blank if it is past its deadline."""
        runs = runs or self.reads_list
        calls = self._reads(place, runs=runs)
        # As one transaction where the parts must belong together: owner, content and list.
        together = runs or place.scoped
        step: Step = Command(tuple(calls)) if together else [single(*call) for call in calls]
        snapshot = Snapshot.from_replies(place.id, *(yield step))
        if (yield from is_past(snapshot.record)):
            return Snapshot(None, Record(decode(place.id)))
        if snapshot.may_be_list and not runs:
            return (yield from self._snapshot(place, runs=True))
        return snapshot

    def _reads(self, place: Place, *, runs: bool) -> list[Call]:
        calls: list[Call] = [
            ("HMGET", self.keys.record(place.id), *Snapshot.FIELDS),
            ("HGET", self.keys.content(place.id), place.id),
        ]
        return [*calls, ("LRANGE", self.keys.runs(place.id), 0, -1)] if runs else calls

    def snapshot(self, place: Place) -> Command[Snapshot | None]:
        """What is stored, in one command and past its deadline or not.

        None if a key of it has another type.
        """

        def decoded(replies: list[Any]) -> Snapshot:
            return Snapshot.from_replies(place.id, *replies)

        return Command(tuple(self._reads(place, runs=True)), decoded, otherwise=None)

    def document(self, place: Place, snapshot: Snapshot) -> Document:
        """The document of a snapshot. Raises `ConversationCorrupt` if it is none."""
        try:
            if snapshot.is_list and not self.reads_list:  # no run may get into a document unread
                snapshot.verify()
            return snapshot.document
        except Damaged as damage:
            raw = damage.raw or snapshot.field or b""
            raise self.corrupt(place, raw, damage.reason) from None

    def guarded(self, place: Place, operation: Operation[T]) -> Operation[T]:
        """`operation` on one conversation, whose damage is told as such, wherever it was found."""
        try:
            return (yield from operation)
        except Damaged as damage:
            failure: ConversationMemoryError = self.corrupt(place, damage.raw, damage.reason)
        except RedisMisconfigured as error:
            if not is_wrong_type(error):
                raise
            failure = error
            with suppress(RedisDenied):  # whoever may not ask
                failure = (yield from self.mistyped(place)) or error
        raise failure from failure.__cause__

    def mistyped(self, place: Place) -> Operation[ConversationMemoryError | None]:
        """What to say of a conversation if a key of it has another type; None if none has.

        Whose a record of another type was, only the order of the owner tells.
        """
        keys = {self.keys.record(place.id): b"hash", self.keys.runs(place.id): b"list"}
        calls: list[Command[Any]] = [single("TYPE", key) for key in keys]
        calls.append(single("HGET", self.keys.content(place.id), place.id))
        calls.append(single("ZSCORE", self.keys.order(place.owner), place.id))
        *types, field, score = yield calls
        for (key, type), found in zip(keys.items(), types, strict=True):
            if found not in (type, b"none"):
                if place.scoped and score is None:
                    return self.not_found(place)
                what = f"the key {decode(key)!r} is a {found.decode()}, not a {type.decode()}"
                return self.corrupt(place, field or b"", what)
        return None

    def _field(self, document: Document) -> tuple[bytes, str]:
        """What the field of the hash holds for `document`, and its fingerprint."""
        return document.raw, document.mark

    def _lifetimes(self, place: Place) -> tuple[Any, Any]:
        """The lifetime that the caller wants and that of the index, as the scripts take them."""
        wanted = "" if place.lifetime is None else place.lifetime
        return wanted, "" if self.lifetime is None else self.lifetime

    def record(self, place: Place) -> Operation[Record | None]:
        fields = ("HMGET", self.keys.record(place.id), *FIELDS)
        field = ("HEXISTS", self.keys.content(place.id), place.id)
        found = yield Command((fields, field), otherwise=None)
        values, exists = found or ([None] * len(FIELDS), (yield single(*field)))
        record = Record.from_reply(place.id, values)
        if not exists or (yield from is_past(record)):
            return None
        if record == Record(decode(place.id)):  # of another program, or not readable
            with suppress(RedisDenied):
                failure = yield from self.mistyped(place)
                if isinstance(failure, ConversationCorrupt):
                    raise failure
        return record if place.sees(record) else None

    def exists(self, place: Place) -> Operation[bool]:
        return (yield from self.record(place)) is not None

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

    def _changing(self, script: Script) -> Script:
        """A script that writes runs, with what it takes to write search documents if it has to."""
        return script if self.documents is not None else script.without_documents

    def _command(
        self, script: Script, place: Place, args: Sequence[Any], keys: Sequence[bytes] = ()
    ) -> Command[Any]:
        """A script on one conversation, with arguments and keys beyond those of all."""
        all_keys = [*self.keys.of(place.id, place.owner, place.call), *keys]
        return Command((script.call(all_keys, [place.id, place.owner or b"", *args]),))

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
        """Run a script that wants the true owner, who is learned from its refusal."""
        for _ in range(ATTEMPTS):
            reply = yield self._command(script, place, args, keys)
            if not isinstance(reply, list):
                return reply
            place = yield from self._refused(place, reply)
        raise self._conflict(place, "kept changing its owner")

    def _check_size(self, place: Place, size: int) -> None:
        if size > self.max_bytes:
            raise ConversationTooLarge(
                f"Conversation {decode(place.id)!r} in index {self.keys.name!r} (alias "
                f"{self.alias!r}) would have {size:,} bytes, {self.max_bytes:,} are allowed "
                "(MAX_BYTES). Nothing was written."
            )

    def _check_runs(self, place: Place, texts: Sequence[bytes]) -> None:
        largest = max(map(len, texts), default=0)
        if largest > self.max_run_bytes:
            raise ConversationTooLarge(
                f"A run of conversation {decode(place.id)!r} in index {self.keys.name!r} (alias "
                f"{self.alias!r}) has {largest:,} bytes, {self.max_run_bytes:,} are allowed "
                "(MAX_RUN_BYTES). Nothing was written."
            )

    def _position(self, place: Place, runs: Sequence[Run], run_id: str) -> int:
        """The position of a run, looked for from the end."""
        for position in range(len(runs) - 1, -1, -1):
            if runs[position].id == run_id:
                return position
        raise self._run_not_found(place, run_id)

    def _run_not_found(self, place: Place, run_id: str) -> RunNotFound:
        return RunNotFound(
            f"Conversation {decode(place.id)!r} in index {self.keys.name!r} (alias "
            f"{self.alias!r}) has no run {run_id!r}."
        )

    def _seen(self, place: Place, snapshot: Snapshot) -> Place:
        """The place with its true owner. Raises if the caller must not see it."""
        if snapshot.field is None and not snapshot.record.version:
            return place
        if not place.sees(snapshot.record):
            raise self.not_found(place)
        return place.owned_by(owner_of(snapshot.record))

    def _refused(self, place: Place, refusal: list[bytes]) -> Operation[Place]:
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

    def _conflict(self, place: Place, what: str) -> ConversationConflict:
        return ConversationConflict(
            f"Conversation {decode(place.id)!r} in index {self.keys.name!r} (alias {self.alias!r}) "
            f"{what}. Nothing was written."
        )

    def not_found(self, place: Place) -> ConversationNotFound:
        whose = " for this owner" if place.scoped else ""
        return ConversationNotFound(
            f"There is no conversation {decode(place.id)!r} in index {self.keys.name!r} "
            f"(alias {self.alias!r}){whose}."
        )

    def corrupt(self, place: Place, raw: bytes, reason: str) -> ConversationCorrupt:
        return ConversationCorrupt(
            alias=self.alias,
            index=self.keys.name,
            conversation_id=decode(place.id),
            raw=raw,
            reason=reason,
        )
