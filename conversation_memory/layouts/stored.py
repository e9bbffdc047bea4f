"""Reading the stored state of a conversation, and the errors if it cannot be read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

from ..conf import IndexSettings
from ..documents import Document
from ..exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationError,
    ConversationMemoryError,
    ConversationNotFound,
    ConversationTooLarge,
    Damaged,
    RedisDenied,
    RedisMisconfigured,
    RunNotFound,
    is_wrong_type,
)
from ..keys import decode
from ..records import FIELDS, Record, number
from ..redis_io.operations import Command, Operation, Step, T, single
from ..redis_io.scripts import Call, Script
from ..runs import Run
from .indexing import Indexing
from .refs import ConversationRef, Snapshot, is_past, owner_of

E = TypeVar("E", bound=ConversationError)


class StoredConversation(Indexing, ABC):
    """Reads a conversation whatever layout wrote it last: its record tells."""

    def __init__(self, settings: IndexSettings):
        super().__init__(settings)
        self.alias = settings.alias
        self.max_bytes = settings.max_bytes
        self.max_run_bytes = settings.max_run_bytes
        self.lifetime = settings.lifetime
        self.slides_on_read = settings.ttl_on_read

    def _snapshot(
        self, ref: ConversationRef, *, runs: bool = False, digested: bool = False
    ) -> Operation[Snapshot]:
        """The stored state; blank if the conversation has expired."""
        calls = self._reads(ref, runs=runs)
        # As one transaction where the parts must belong together: owner, content and list.
        together = runs or ref.scoped
        step: Step = Command(tuple(calls)) if together else [single(*call) for call in calls]
        snapshot = Snapshot.from_replies(ref.id, *(yield step))
        if (yield from is_past(snapshot.record)):
            return Snapshot(None, Record(decode(ref.id)))
        if snapshot.may_be_list and not runs:
            return (yield from self._snapshot(ref, runs=True, digested=digested))
        return snapshot.digested() if digested else snapshot

    def _reads(self, ref: ConversationRef, *, runs: bool) -> list[Call]:
        calls: list[Call] = [
            ("HMGET", self.keys.record(ref.id), *Snapshot.FIELDS),
            ("HGET", self.keys.content(ref.id), ref.id),
        ]
        return [*calls, ("LRANGE", self.keys.runs(ref.id), 0, -1)] if runs else calls

    def snapshot(self, ref: ConversationRef) -> Command[Snapshot | None]:
        """The stored state in one command, expired or not.

        None if a key of it has another type.
        """

        def decoded(replies: list[Any]) -> Snapshot:
            return Snapshot.from_replies(ref.id, *replies)

        return Command(tuple(self._reads(ref, runs=True)), decoded, otherwise=None)

    def document(self, ref: ConversationRef, snapshot: Snapshot) -> Document:
        """The document of a snapshot. Raises `ConversationCorrupt` if it is damaged."""
        try:
            return self._document(snapshot)
        except Damaged as damage:
            raw = damage.raw or snapshot.field or b""
            raise self.corrupt(ref, raw, damage.reason) from None

    def _document(self, snapshot: Snapshot) -> Document:
        return snapshot.document

    def guarded(self, ref: ConversationRef, operation: Operation[T]) -> Operation[T]:
        """`operation` on one conversation, whose damage is told as such, wherever it was found."""
        try:
            return (yield from operation)
        except Damaged as damage:
            failure: ConversationMemoryError = self.corrupt(ref, damage.raw, damage.reason)
        except RedisMisconfigured as error:
            if not is_wrong_type(error):
                raise
            failure = error
            with suppress(RedisDenied):  # whoever may not ask
                failure = (yield from self.mistyped(ref)) or error
        raise failure from failure.__cause__

    def mistyped(self, ref: ConversationRef) -> Operation[ConversationMemoryError | None]:
        """The error for a conversation of which a key has another type; None if all are right.

        Whose a record of another type was, only the order of the owner tells.
        """
        keys = {self.keys.record(ref.id): b"hash", self.keys.runs(ref.id): b"list"}
        calls: list[Command[Any]] = [single("TYPE", key) for key in keys]
        calls.append(single("HGET", self.keys.content(ref.id), ref.id))
        calls.append(single("ZSCORE", self.keys.recency(ref.owner), ref.id))
        *types, field, score = yield calls
        for (key, type), found in zip(keys.items(), types, strict=True):
            if found not in (type, b"none"):
                if ref.scoped and score is None:
                    return self.not_found(ref)
                what = f"the key {decode(key)!r} is a {found.decode()}, not a {type.decode()}"
                return self.corrupt(ref, field or b"", what)
        return None

    def record(self, ref: ConversationRef) -> Operation[Record | None]:
        fields = ("HMGET", self.keys.record(ref.id), *FIELDS)
        field = ("HEXISTS", self.keys.content(ref.id), ref.id)
        found = yield Command((fields, field), otherwise=None)
        values, exists = found or ([None] * len(FIELDS), (yield single(*field)))
        record = Record.from_reply(ref.id, values)
        if not exists or (yield from is_past(record)):
            return None
        if record == Record(decode(ref.id)):  # of another program, or not readable
            with suppress(RedisDenied):
                failure = yield from self.mistyped(ref)
                if isinstance(failure, ConversationCorrupt):
                    raise failure
        return record if ref.sees(record) else None

    def exists(self, ref: ConversationRef) -> Operation[bool]:
        return (yield from self.record(ref)) is not None

    def foreign(self, ids: Sequence[bytes]) -> Operation[list[bytes]]:
        """Those of `ids` that are not stored in the form of this layout."""
        forms: list[Command[Any]] = [
            single("HMGET", self.keys.record(id), "layout", "length", otherwise=[b"", b""])
            for id in ids
        ]
        sizes: list[Command[Any]] = [single("HSTRLEN", self.keys.content(id), id) for id in ids]
        lengths: list[Command[Any]] = [
            single("LLEN", self.keys.runs(id), otherwise=1) for id in ids
        ]
        replies, count = (yield [*forms, *sizes, *lengths]), len(ids)
        found = zip(ids, replies, replies[count:], replies[2 * count :], strict=False)
        return [
            id
            for id, (layout, length), *sizes_now in found
            if not self._is_own(decode(layout or b""), number(length), *sizes_now)
        ]

    @abstractmethod
    def _is_own(self, layout: str, length: int | None, size: int, runs: int) -> bool:
        """True if `layout` and `length` of a record are those of this layout's own form.

        `size` is the length of the field in bytes, `runs` that of the list, as they are now.
        """

    def _seen(self, ref: ConversationRef, snapshot: Snapshot) -> ConversationRef:
        """The reference with its true owner. Raises if the caller must not see it."""
        if snapshot.field is None and not snapshot.record.version:
            return ref
        if not ref.sees(snapshot.record):
            raise self.not_found(ref)
        return ref.owned_by(owner_of(snapshot.record))

    def _lifetimes(self, ref: ConversationRef) -> tuple[Any, Any]:
        """The lifetime that the caller wants and that of the index, as the scripts take them."""
        wanted = "" if ref.lifetime is None else ref.lifetime
        return wanted, "" if self.lifetime is None else self.lifetime

    def _changing(self, script: Script) -> Script:
        """A script that writes runs; it can write search documents only where SEARCH is on."""
        return script if self.documents is not None else script.without_documents

    def _command(
        self, script: Script, ref: ConversationRef, args: Sequence[Any], keys: Sequence[bytes] = ()
    ) -> Command[Any]:
        """A script on one conversation, with arguments and keys beyond those of all."""
        all_keys = [*self.keys.of(ref.id, ref.owner, ref.call), *keys]
        return Command((script.call(all_keys, [ref.id, ref.owner or b"", *args]),))

    def _position(self, ref: ConversationRef, runs: Sequence[Run], run_id: str) -> int:
        """The position of a run, looked for from the end."""
        for position in range(len(runs) - 1, -1, -1):
            if runs[position].id == run_id:
                return position
        raise self._run_not_found(ref, run_id)

    def _check_size(self, ref: ConversationRef, size: int) -> None:
        if size > self.max_bytes:
            limit = f"{self.max_bytes:,} are allowed (MAX_BYTES). Nothing was written."
            raise self._error(ConversationTooLarge, ref, f"would have {size:,} bytes, {limit}")

    def _check_runs(self, ref: ConversationRef, texts: Sequence[bytes]) -> None:
        largest = max(map(len, texts), default=0)
        if largest > self.max_run_bytes:
            limit = f"{self.max_run_bytes:,} are allowed (MAX_RUN_BYTES). Nothing was written."
            raise self._error(ConversationTooLarge, ref, f"has a run of {largest:,} bytes, {limit}")

    def _run_not_found(self, ref: ConversationRef, run_id: str) -> RunNotFound:
        return self._error(RunNotFound, ref, repr(run_id))

    def _conflict(self, ref: ConversationRef, what: str) -> ConversationConflict:
        return self._error(ConversationConflict, ref, f"{what}. Nothing was written.")

    def not_found(self, ref: ConversationRef) -> ConversationNotFound:
        return self._error(ConversationNotFound, ref, " for this owner" if ref.scoped else "")

    def _error(self, kind: type[E], ref: ConversationRef, reason: str) -> E:
        id = decode(ref.id)
        return kind(reason, alias=self.alias, index=self.keys.name, conversation_id=id)

    def corrupt(self, ref: ConversationRef, raw: bytes, reason: str) -> ConversationCorrupt:
        return ConversationCorrupt(
            alias=self.alias,
            index=self.keys.name,
            conversation_id=decode(ref.id),
            raw=raw,
            reason=reason,
        )
