"""A store for the conversations of pydantic-ai, whose logs are conversations of this app."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from pydantic_ai import AgentRunResult
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict as Conflict,
)
from pydantic_ai.conversation_store import (
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter

from ..drivers import RedisConversationMemoryDriver
from ..exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationNotFound,
    Damaged,
    RedisMisconfigured,
    is_wrong_type,
    sensitive,
)
from ..indexes import ConversationIndex
from ..keys import Id, decode, encode
from ..records import LARGEST, Runs
from ..redis_io.abreast import abreast
from ..redis_io.operations import Operation, T
from .pydantic_ai_log import (
    REQUESTS,
    USAGE,
    EntryId,
    Log,
    LoggedMessage,
    Save,
    save_of,
    stable_revision,
)

_RECENT = 20  # runs, of which one round trip reads so many
_PAGE = 50

# How many runs to read beside a record.
_runs: ContextVar[int] = ContextVar("runs", default=_RECENT)


class RedisConversationStore(ConversationStore):
    """Keeps the conversations of pydantic-ai in an index, where everyone else reads them too.

    The scope of a conversation is its owner. A store with an `owner` sees and makes conversations
    of that owner only. One without has full access, and its methods take the scope. `ttl` is how
    long a conversation is kept after its last write, in seconds or as a timedelta.

    Revisions are versions of the conversation: they change with every write of anyone. What others
    add are messages of the log, whose entries have ids that follow from those of the runs. `delete`
    deletes the conversation with all its messages. A fork has copies of the entries, with their
    ids. Raises the errors of `conversation_memory.exceptions`, and those of pydantic-ai where its
    base class says so.
    """

    def __init__(
        self, index: ConversationIndex, *, owner: Id | None = None, ttl: Any = None
    ) -> None:
        self._index = index
        self._owner = None if owner is None else decode(encode(owner))
        self._ttl = ttl

    @sensitive
    async def save(
        self, conversation: Conversation | AgentRunResult[Any], *, scope: str | None = None
    ) -> list[ConversationEntry]:
        """See ConversationStore.save(). Sets `revision` to the one in the store."""
        token = _runs.set(1)  # mostly it needs to know nothing but where the log ends
        try:
            return await super().save(conversation, scope=scope)
        finally:
            _runs.reset(token)

    @sensitive
    async def load(
        self, conversation_id: str, *, limit: int | None = None, scope: str | None = None
    ) -> Conversation | None:
        """See ConversationStore.load(). One round trip for few messages."""
        # Nearly all runs have two messages or more.
        token = _runs.set(_RECENT if limit is None else max(1, limit // 2 + 1))
        try:
            return await super().load(conversation_id, limit=limit, scope=scope)
        finally:
            _runs.reset(token)

    @sensitive
    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        reading = self._log(conversation_id, _runs.get())
        log = await self._arun(conversation_id, reading, "read_record")
        return None if log is None else self._record(log)

    @sensitive
    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> list[ConversationRecord]:
        """See list_conversations(). Conversations that cannot be read are left out."""
        if scope == "" or (self._owner is not None and scope not in (None, self._owner)):
            return []
        logs = await self._index._arun(self._logs(self._owner or scope, limit), "read_records")
        return [self._record(log) for log in logs]

    @sensitive
    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """See save(). Sets the revision of `record` to the one that it has in the store."""
        if self._owner is not None and record.scope is None:
            record.scope = self._owner
        if self._owner is not None and record.scope != self._owner:
            raise ValueError(
                f"This store is for the conversations of one owner. Leave out `scope`, or open a "
                f"store without `owner` for conversation {record.conversation_id!r}."
            )
        saving = self._save(record, new_entries, expected_revision)
        try:
            record.revision = await self._arun(record.conversation_id, saving, "write_record")
        except (ConversationConflict, ConversationNotFound) as error:
            raise Conflict(record.conversation_id) from error

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        try:
            deleting = self._delete(conversation_id, expected_revision)
            await self._arun(conversation_id, deleting, "delete_record")
        except (ConversationConflict, ConversationNotFound) as error:
            raise Conflict(conversation_id) from error

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """The entry of that id.

        An id that this store returned is found at once. For one that was kept elsewhere as a text,
        it looks through all conversations (of the owner), newest first: use `load_entries()` then.
        Raises KeyError if no entry has it.
        """
        return (await self.read_history(entry_id, limit=1))[0]

    @sensitive
    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        if head_id is None or limit == 0:
            return []
        log = await self._log_of(head_id)
        entries = self._history(log, head_id, limit) if log else None
        if log and log.start and entries is None:
            id = log.record.conversation_id
            log = await self._arun(id, self._log(id, LARGEST), "read_history")
            entries = self._history(log, head_id, limit) if log else None
        if log is None or entries is None:
            raise KeyError(head_id)
        return self._loaded(log, entries)

    def _history(self, log: Log, head_id: str, limit: int | None) -> list[LoggedMessage] | None:
        try:
            return log.history(head_id, limit)
        except Damaged as damage:
            raise self._corrupt(log, f"a run is damaged: {damage.reason}") from None

    async def _log_of(self, entry_id: str) -> Log | None:
        if isinstance(entry_id, EntryId) and self._owner in (None, entry_id.log.record.owner):
            return entry_id.log
        before = None
        while True:
            page = await self._index.arecent(_PAGE, owner=self._owner, before=before)
            for record in page:
                id = record.conversation_id
                log = await self._arun(id, self._log(id, LARGEST), "read_history")
                if log is not None and entry_id in log.entries:
                    return log
            before = page.next
            if before is None:
                return None

    def _log(
        self, conversation_id: Id, limit: int = _RECENT, *, lists: bool = False
    ) -> Operation[Log | None]:
        """The end of a conversation; None if there is none (of the owner).

        One that is only listed keeps its deadline.
        """
        driver = self._driver(conversation_id, self._owner)
        layout, ref = driver._layout, driver._ref
        reading = layout.excerpt(ref, None, limit, strict=False)
        found = yield from reading if lists else driver._reading(reading)
        if not found.exists:
            return None
        revision = stable_revision(found.record, found.revision)
        log = Log(found.record, found.runs, found.start, found.metadata, revision)
        if log.facts is None or (log.start and log.head_id is None):
            return (yield from self._log(conversation_id, LARGEST, lists=lists))
        return log

    def _logs(self, owner: str | None, limit: int | None) -> Operation[list[Log]]:
        logs: list[Log] = []
        before = None
        while limit is None or len(logs) < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - len(logs))
            page = yield from self._index._recent(size, owner=owner, before=before)
            ids = [record.conversation_id for record in page.whole]
            try:
                found = yield from abreast(*map(self._readable, ids))
            except RedisMisconfigured as error:
                if not is_wrong_type(error):
                    raise
                found = []
                for id in ids:  # one of them has a key of another type
                    found.append((yield from self._guarded(id, self._readable(id))))
            logs += filter(None, found)
            before = page.next
            if before is None:
                break
        return logs

    def _readable(self, conversation_id: str) -> Operation[Log | None]:
        try:
            return (yield from self._log(conversation_id, 1, lists=True))
        except ConversationCorrupt:
            return None

    def _save(
        self,
        record: ConversationRecord,
        new_entries: Sequence[ConversationEntry],
        expected: str | None,
    ) -> Operation[str]:
        save = save_of(record, new_entries)
        driver = self._driver(record.conversation_id, record.scope)
        at = new_entries[0].parent_id if new_entries else record.head_id
        log = at.log if isinstance(at, EntryId) and at.log.revision == expected else None
        is_plain = expected is None or (log is not None and expected.isdigit())
        if is_plain and save.extends(log):
            version = 0 if expected is None else int(expected)
            written = yield from driver._layout.extend(driver._ref, save.new_runs(), version)
            if written is not None:
                return str(written)
        return (yield from self._rewrite(record, save, driver, expected))

    def _rewrite(
        self,
        record: ConversationRecord,
        save: Save,
        driver: RedisConversationMemoryDriver,
        expected: str | None,
    ) -> Operation[str]:
        """Store what is not simply more at the end, if the conversation is as expected."""
        found = yield from driver._layout.read(driver._ref)
        log = None
        if found.exists:
            known = stable_revision(found.record, found.revision)
            log = Log(found.record, found.runs, 0, found.metadata, known)
        if (log.revision if log else None) != expected:
            raise Conflict(record.conversation_id)
        base = log or (yield from self._source(record))
        if not save.is_known(base):
            raise Conflict(record.conversation_id)
        runs = save.runs(base)
        metadata = save.metadata(log, has_runs=bool(runs))
        stored = Runs(runs, getattr(found.runs, "members", None))
        revision = yield from driver._layout.store(driver._ref, stored, metadata, found.revision)
        return revision.partition("-")[0]

    def _source(self, record: ConversationRecord) -> Operation[Log | None]:
        """The conversation that a new one is a fork of."""
        if record.forked_from is None:
            return None
        return (yield from self._log(record.forked_from, LARGEST))

    def _delete(self, conversation_id: str, expected: str) -> Operation[None]:
        driver = self._driver(conversation_id, self._owner)
        log = yield from self._log(conversation_id, 1)
        if log is None or log.revision != expected:
            raise Conflict(conversation_id)
        if not (yield from driver._layout.delete(driver._ref, log.record.version)):
            raise Conflict(conversation_id)

    def _record(self, log: Log) -> ConversationRecord:
        facts, origin = log.facts or {}, log.origin
        try:
            requests = facts.get("deferred_tool_requests")
            return ConversationRecord(
                conversation_id=log.record.conversation_id,
                head_id=None if log.head_id is None else EntryId(log.head_id, log),
                usage=USAGE.validate_python(facts.get("usage") or {}),
                deferred_tool_requests=requests and REQUESTS.validate_python(requests),
                scope=log.record.owner,
                forked_from=origin["forked_from"],
                forked_at=origin["forked_at"],
                branches=[EntryId(id, log) for id in origin["branches"]],
                revision=log.revision,
                updated_at=log.record.updated or datetime.fromtimestamp(0, UTC),
            )
        except ValidationError:
            raise self._corrupt(log, "what pydantic-ai has noted in it cannot be read") from None

    def _loaded(self, log: Log, entries: Sequence[LoggedMessage]) -> list[ConversationEntry]:
        try:
            messages: list[ModelMessage] = ModelMessagesTypeAdapter.validate_python(
                [entry.message for entry in entries]
            )
        except ValidationError:
            reason = "a message in the meta of a run is not a message of pydantic-ai"
            raise self._corrupt(log, reason) from None
        ids = [EntryId(entry.id, log) for entry in entries]
        first = entries[0].parent_id if entries else None
        parents = [None if first is None else EntryId(first, log), *ids]
        return [
            ConversationEntry(id=id, parent_id=parent, message=message)
            for id, parent, message in zip(ids, parents, messages, strict=False)
        ]

    def _corrupt(self, log: Log, reason: str) -> ConversationCorrupt:
        driver = self._driver(log.record.conversation_id, self._owner)
        return driver._layout.corrupt(driver._ref, b"", reason)

    def _driver(self, conversation_id: Id, owner: str | None) -> RedisConversationMemoryDriver:
        return self._index.driver(conversation_id, owner=owner, ttl=self._ttl)

    def _guarded(self, conversation_id: str, operation: Operation[T]) -> Operation[T | None]:
        driver = self._driver(conversation_id, self._owner)
        try:
            return (yield from driver._layout.guarded(driver._ref, operation))
        except ConversationCorrupt:
            return None

    async def _arun(self, conversation_id: str, operation: Operation[T], name: str) -> T:
        return await self._driver(conversation_id, self._owner)._arun(operation, name)
