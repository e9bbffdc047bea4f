"""The stored state of a conversation, its search documents, and the errors of both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

from ..conf import IndexSettings, lifetime_in_ms
from ..documents import Document
from ..encryption.sealing import sealing_of
from ..exceptions import (
    ConversationCorrupt,
    ConversationTooLarge,
    Damaged,
    RedisDenied,
    RedisMisconfigured,
    RunNotFound,
    is_wrong_type,
)
from ..keys import Keys, decode, encode
from ..records import FIELDS, LARGEST, ConversationState, Excerpt, Record, RunPage, Runs
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Call, Script
from ..runs import Run, lenient
from ..search_index.index_state import IndexState
from ..search_index.run_documents import Documents
from ..search_index.schema import Schema
from ..telemetry import Telemetry
from .failures import ConversationFailures
from .long_lists import last_of_first, may_go_on, whole
from .refs import ConversationRef, Slice, Snapshot, is_past, owner_of

_CHUNK = 50


_VERSION = Snapshot.FIELDS.index("version")

# Why a script did not write, then details; see conversation.lua.
Refusal = list[bytes]


class StoredConversation(ConversationFailures, ABC):
    """Reads a conversation whatever layout wrote it last: its record tells.

    Without SEARCH, `schema`, `documents` and `index_state` are None.
    """

    def __init__(self, settings: IndexSettings):
        self.alias = settings.alias
        self.telemetry = Telemetry(settings.alias, settings.index, settings.telemetry)
        self.max_bytes = settings.max_bytes
        self.max_run_bytes = settings.max_run_bytes
        self.lifetime = settings.lifetime
        self.title = settings.title
        self.slides_on_read = settings.ttl_on_read
        self.reply_lease = lifetime_in_ms(settings.reply_lease)
        self.reply_timeout = lifetime_in_ms(settings.reply_timeout)
        self.max_followers = settings.max_followers
        self.sealing = sealing_of(settings.encryption, settings.alias, encode(settings.index))
        self.keys = Keys(settings.index, self.sealing)
        self.schema = Schema.of(settings, self.keys)
        self.documents = Documents(self.schema) if self.schema else None
        self.index_state = IndexState(self.schema) if self.schema else None

    def share_keys(self, other: StoredConversation) -> None:
        """Encrypt as `other` does, with the keys that it has fetched and for the same index."""
        if self.sealing is not None and other.sealing is not None:
            self.sealing.keyring = other.sealing.keyring
            self.sealing.index = other.sealing.index  # so that a value may move to another shard

    def _snapshot(self, ref: ConversationRef, *, digested: bool = False) -> Operation[Snapshot]:
        """The stored state; blank if the conversation has expired."""
        snapshot, _ = yield from self._snapshot_beside(ref)
        return snapshot.digested() if digested else snapshot

    def _snapshot_beside(
        self, ref: ConversationRef, *more: Call
    ) -> Operation[tuple[Snapshot, list[Any]]]:
        """See _snapshot(); and the replies to other calls at the same moment."""

        def read(last: int) -> Operation[list[Any]]:
            return self._at_one_moment(ref, (*self._reads(ref, last), *more))

        fields, field, texts, *others = yield from whole(
            self.keys, ref.id, read, lambda replies: (replies[0][_VERSION], replies[2])
        )
        snapshot = Snapshot.from_replies(self.keys, ref.id, fields, field, texts)
        if snapshot.lost:  # or its list has expired meanwhile, which leaves the version as it was
            fields, field, texts, *others = yield Command((*self._reads(ref), *more))
            snapshot = Snapshot.from_replies(self.keys, ref.id, fields, field, texts)
        if (yield from is_past(snapshot.record.expires)):
            snapshot = Snapshot(None, Record(decode(ref.id)))
        return snapshot, others

    def _reads(self, ref: ConversationRef, last: int = -1) -> tuple[Call, ...]:
        return (
            self._record_call(ref),
            ("HGET", self.keys.content(ref.id), ref.id),
            ("LRANGE", self.keys.runs(ref.id), 0, last),
        )

    def _record_call(self, ref: ConversationRef) -> Call:
        return ("HMGET", self.keys.record(ref.id), *Snapshot.FIELDS)

    def _at_one_moment(self, ref: ConversationRef, calls: tuple[Call, ...]) -> Operation[list[Any]]:
        """The replies to reads of a conversation, of which the first one is that of its record.

        A transaction costs more than to look at the version again, which every write of the content
        raises; and Redis 7.0 rejects what is read in one while the memory is full.
        """
        again = ("HGET", self.keys.record(ref.id), "version")
        *replies, version = yield Command((*calls, again), is_atomic=False)
        if replies[0][_VERSION] == version:
            return replies  # type: ignore[no-any-return]
        return (yield Command(calls))  # type: ignore[no-any-return]

    def snapshot(self, ref: ConversationRef, last: int = -1) -> Command[Snapshot | None]:
        """The stored state with the runs up to index `last`, expired or not.

        None if a key has another type.
        """

        def decoded(replies: list[Any]) -> Snapshot:
            return Snapshot.from_replies(self.keys, ref.id, *replies)

        return Command(self._reads(ref, last), decoded, None)

    def first_part(self, ref: ConversationRef) -> Command[Snapshot | None]:
        """The same with the first runs, see long_lists.py."""
        return self.snapshot(ref, last_of_first())

    def snapshots(self, refs: Sequence[ConversationRef]) -> Operation[list[Snapshot | None]]:
        """The stored states of some conversations, see snapshot()."""
        found: list[Snapshot | None] = (yield [*map(self.first_part, refs)]) if refs else []
        for place, (ref, snapshot) in enumerate(zip(refs, found, strict=True)):
            if snapshot is not None and may_go_on(snapshot.texts):
                found[place] = yield from self._long_snapshot(ref)
        return found

    def _long_snapshot(self, ref: ConversationRef) -> Operation[Snapshot | None]:
        def read(last: int) -> Operation[Snapshot | None]:
            return (yield self.snapshot(ref, last))  # type: ignore[no-any-return]

        def parts_of(found: Snapshot | None) -> tuple[bytes, list[bytes]]:
            if found is None:
                return b"", []
            return b"%d" % found.record.version, cast("list[bytes]", found.texts)

        return whole(self.keys, ref.id, read, parts_of)

    def document(self, ref: ConversationRef, snapshot: Snapshot) -> Document:
        """The document of a snapshot. Raises `ConversationCorrupt` if it is damaged."""
        try:
            return self._document(snapshot)
        except Damaged as damage:
            raise self.damaged(ref, damage, snapshot.field or b"") from None

    def _document(self, snapshot: Snapshot) -> Document:
        return snapshot.document

    def record(self, ref: ConversationRef) -> Operation[Record | None]:
        fields = ("HMGET", self.keys.record(ref.id), *FIELDS)
        field = ("HEXISTS", self.keys.content(ref.id), ref.id)
        try:
            values, exists = yield from self._at_one_moment(ref, (fields, field))
        except RedisMisconfigured as error:
            if not is_wrong_type(error):
                raise
            values, exists = [None] * len(FIELDS), (yield single(*field))
        record = Record.from_reply(ref.id, values, self.sealing)
        if not exists or (yield from is_past(record.expires)):
            return None
        if record == Record(decode(ref.id)):  # of another program, or not readable
            with suppress(RedisDenied):
                failure = yield from self.mistyped(ref)
                if isinstance(failure, ConversationCorrupt):
                    raise failure
        return record if ref.sees(record) else None

    @abstractmethod
    def is_own(self, record: Record, size: int, runs: int) -> bool:
        """True if this record, a field of `size` bytes and a list of `runs` are in our form."""

    def load(self, ref: ConversationRef) -> Operation[tuple[Runs, dict[str, Any]]]:
        """The runs and the metadata; see read()."""
        snapshot = yield from self._snapshot(ref)
        if snapshot.field is None or not ref.sees(snapshot.record):
            return Runs(), {}
        document = self.document(ref, snapshot)
        return document.runs, document.metadata

    def read(self, ref: ConversationRef) -> Operation[ConversationState]:
        """The whole conversation; one without runs if it does not exist."""
        snapshot = yield from self._snapshot(ref)
        if snapshot.field is None or not ref.sees(snapshot.record):
            return ConversationState(Record(decode(ref.id)), Runs(), {}, "0-absent", exists=False)
        document = self.document(ref, snapshot)
        runs = document.runs
        record = replace(snapshot.record, runs=len(runs))  # others count no runs
        revision = _revision(snapshot, document)
        return ConversationState(record, runs, document.metadata, revision, exists=True)

    def raw(self, ref: ConversationRef) -> Operation[bytes | None]:
        """The document as it is stored, readable or not.

        Of a list, put together from its parts; of an encrypted one, as it was before.
        """
        try:
            snapshot = yield from self._snapshot(ref)
        except RedisMisconfigured as error:
            if ref.scoped or not is_wrong_type(error):
                raise
            field: bytes | None = yield single("HGET", self.keys.content(ref.id), ref.id)
            return field
        if snapshot.field is None or not ref.sees(snapshot.record):
            return None
        if snapshot.is_list or self.sealing is not None:
            with suppress(ConversationCorrupt):
                return self.document(ref, snapshot).whole().raw
        return snapshot.field

    def page(self, ref: ConversationRef, before: int | None, limit: int) -> Operation[RunPage]:
        """At most `limit` runs in front of position `before`, or the last ones."""
        snapshot = yield from self._snapshot(ref)
        if snapshot.field is None or not ref.sees(snapshot.record):
            return RunPage([], 0)
        start, texts, values = self.document(ref, snapshot).part(before, limit)
        return RunPage(lenient(texts, values), start)

    def excerpt(
        self, ref: ConversationRef, before: int | None, limit: int, *, strict: bool
    ) -> Operation[Excerpt]:
        """See page(); with record and metadata."""
        snapshot = yield from self._snapshot(ref)
        if snapshot.field is None or not ref.sees(snapshot.record):
            return Excerpt(Record(decode(ref.id)), [], 0, 0, {}, exists=False)
        document = self.document(ref, snapshot)
        start, texts, values = document.part(before, limit)
        record = replace(snapshot.record, runs=document.count)
        facts = document.count, document.metadata, True, _revision(snapshot, document)
        return Excerpt(record, lenient(texts, values), start, *facts)

    def find(
        self, ref: ConversationRef, wanted: Callable[[Run], bool], limit: int
    ) -> Operation[int | None]:
        """The position of the last run that is `wanted`, looked for among the last `limit`."""
        page = yield from self.page(ref, None, limit)
        numbered = reversed([*enumerate(page.runs, page.start)])
        return next((position for position, run in numbered if wanted(run)), None)

    def tail(self, ref: ConversationRef, count: int) -> Operation[list[Run]]:
        return (yield from self.page(ref, None, count)).runs if count > 0 else []

    def last(self, ref: ConversationRef, count: int, *more: Call) -> Operation[Slice | None]:
        """The last `count` runs; None without a conversation that the caller may see."""
        snapshot, others = yield from self._snapshot_beside(ref, *more)
        if snapshot.field is None or not ref.sees(snapshot.record):
            return None
        document = self.document(ref, snapshot)
        start, texts, values = document.part(None, count)
        return Slice(snapshot.record, texts, start, document.count, (), others, values)

    def window(
        self,
        ref: ConversationRef,
        max_runs: int | None,
        max_tokens: int | None,
        count: Callable[[Run], int],
        *,
        strict: bool,
    ) -> Operation[list[Run]]:
        """The last runs that fit, oldest first; never a part of one, and never without the last."""
        chosen: list[Run] = []
        tokens, before = 0, None
        max_runs = None if max_runs is None else min(max_runs, LARGEST)
        while before != 0 and (max_runs is None or len(chosen) < max_runs):
            wanted = _CHUNK if max_runs is None else max_runs - len(chosen)
            page = yield from self.page(ref, before, wanted)
            for run in reversed(page.runs):
                tokens += 0 if max_tokens is None else count(run)
                if max_tokens is not None and tokens > max_tokens:
                    if strict and not chosen:
                        limit = f"{max_tokens:,} are allowed (max_tokens)"
                        reason = f"has a last run of {tokens:,} tokens, {limit}."
                        raise self._error(ConversationTooLarge, ref, reason)
                    return chosen[::-1] or [run]
                chosen.append(run)
            before = page.start
        return chosen[::-1]

    def _seen(self, ref: ConversationRef, snapshot: Snapshot) -> ConversationRef:
        """The reference with its true owner. Raises if the caller must not see it."""
        if snapshot.field is None and not snapshot.record.version:
            return ref
        if not ref.sees(snapshot.record):
            raise self.not_found(ref)
        return ref.owned_by(owner_of(snapshot.record))

    def _lifetimes(self, ref: ConversationRef) -> tuple[int | str, int | str]:
        """That of the caller and that of the index, as the scripts take them."""
        wanted = "" if ref.lifetime is None else ref.lifetime
        return wanted, "" if self.lifetime is None else self.lifetime

    def _changing(self, script: Script) -> Script:
        # Without SEARCH, the server need not compile what writes search documents.
        return script if self.documents is not None else script.without_documents

    def _command(
        self, script: Script, ref: ConversationRef, args: Sequence[Any], keys: Sequence[bytes] = ()
    ) -> Command[Any]:
        """A script on one conversation, with arguments and keys beyond those of all."""
        names = self.keys.forgetting if script.forgets else self.keys.of
        all_keys = [*names(ref.id, ref.owner, ref.call), *keys]
        all_args = [ref.id, ref.owner or b"", *args]
        if ref.settles is not None:
            script, settles = script.settling, ref.settles
            all_keys, all_args = [*all_keys, *settles.keys], [*all_args, *settles.args]
        return Command((script.call(all_keys, all_args),))

    def _position(self, ref: ConversationRef, runs: Sequence[Run], run_id: str) -> int:
        # From the end, as each run is decoded when it is looked at.
        for position in range(len(runs) - 1, -1, -1):
            if runs[position].id == run_id:
                return position
        raise self._error(RunNotFound, ref, repr(run_id))


def _revision(snapshot: Snapshot, document: Document) -> str:
    if snapshot.is_list or snapshot.sealing is not None:  # stored otherwise than the document
        return snapshot.revision
    return f"{snapshot.record.version}-{document.fingerprint}"
