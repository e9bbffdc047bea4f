"""A conversation as pydantic-ai's log: entries, of which each points at the one before it.

The messages of the head are those of the runs. What a run does not tell is kept in its `meta` (what
the run has used, and the tool calls that wait) and in the metadata of the conversation (branches,
and the messages that are on a branch only).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple
from uuid import uuid4

from pydantic import TypeAdapter
from pydantic_ai import DeferredToolRequests
from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord
from pydantic_ai.messages import ModelMessagesTypeAdapter
from pydantic_ai.usage import RunUsage

from ..message_list import with_meta_of
from ..messages.formats import FORMATS
from ..messages.parts import Message, dicts, string
from ..messages.stored_turns import messages_quickly
from ..messages.turns import MESSAGES, Turn
from ..records import LARGEST, Record
from ..runs import Run

FACTS = "pydantic_ai"  # in the meta of a run, and in the metadata of a conversation
ID = "entry_id"  # in a message
FORMAT = FORMATS["pydantic-ai"]

USAGE = TypeAdapter(RunUsage)
REQUESTS = TypeAdapter(DeferredToolRequests)


class EntryId(str):
    """The id of an entry, which knows its conversation, and what was read of that before."""

    log: Log

    def __new__(cls, id: str, log: Log) -> EntryId:
        made = super().__new__(cls, id)
        made.log = log
        return made

    def __deepcopy__(self, memo: Any) -> EntryId:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)


class LoggedMessage(NamedTuple):
    """A message, the id of its entry and that of the one before; and the number of its run."""

    id: str
    parent_id: str | None
    message: Message
    run: int = -1


@dataclass(frozen=True)
class Log:
    """The last runs of a conversation, or all, as entries."""

    record: Record
    runs: Sequence[Run]
    start: int
    metadata: Mapping[str, Any]
    revision: str
    """That of the store: the version, unless another program has written since."""

    @cached_property
    def head(self) -> list[LoggedMessage]:
        """The entries of the runs, oldest first. The first may have a parent that was not read."""
        return _linked([one for number in range(len(self.runs)) for one in self._of(number)])

    @cached_property
    def last(self) -> list[LoggedMessage]:
        """The entries of the last run, which are known without a look at the others."""
        numbers = range(len(self.runs) - 1, -1, -1)
        return next(filter(None, map(self._of, numbers)), [])

    @property
    def head_id(self) -> str | None:
        return self.last[-1].id if self.last else None

    @cached_property
    def aside(self) -> dict[str, LoggedMessage]:
        """The entries that are on a branch only."""
        return {
            one["id"]: LoggedMessage(one["id"], _text(one.get("parent_id")), one["message"])
            for one in dicts(self._kept.get("entries"))
            if isinstance(one.get("id"), str) and isinstance(one.get("message"), dict)
        }

    @property
    def entries(self) -> dict[str, LoggedMessage]:
        return {**self.aside, **{entry.id: entry for entry in self.head}}

    @property
    def _kept(self) -> dict[str, Any]:
        found = self.metadata.get(FACTS)
        return found if isinstance(found, dict) else {}

    @property
    def origin(self) -> dict[str, Any]:
        """Where a fork is from, and the branches."""
        branches = self._kept.get("branches")
        ids = branches if isinstance(branches, list) else []
        return {
            "forked_from": _text(self._kept.get("forked_from")),
            "forked_at": _text(self._kept.get("forked_at")),
            "branches": [id for id in ids if isinstance(id, str)],
        }

    @cached_property
    def facts(self) -> dict[str, Any] | None:
        """What was used, and the tool calls that wait, as of the last save; None if unknown."""
        for run in reversed(self.runs):
            found = run.meta.get(FACTS) if isinstance(run.meta, dict) else None
            if isinstance(found, dict):
                # Tool calls wait for an answer only while nothing follows them.
                waits = found.get("head") == self.head_id
                return found if waits else {**found, "deferred_tool_requests": None}
        found = self._kept.get("facts")
        return found if isinstance(found, dict) else {} if self.start == 0 else None

    def history(self, id: str, limit: int | None) -> list[LoggedMessage] | None:
        """The last `limit` entries up to one; None if more runs must be read for that."""
        found: list[LoggedMessage] = []
        for number in range(len(self.runs) - 1, -1, -1):
            entries = self._of(number)
            if not found:  # it ends in this run, or before it
                ids = [entry.id for entry in entries]
                entries = entries[: ids.index(id) + 1] if id in ids else []
            found = [*entries, *found]
            if limit is not None and len(found) > limit:  # the first one tells the parent
                return _linked(found)[-limit:]
        if self.start:
            return None
        if found or id not in self.aside:
            return _linked(found) or None
        return (chain(self.entries, id) or [])[-(limit or LARGEST) :] or None

    def _of(self, number: int) -> list[LoggedMessage]:
        """The entries of a run, which do not know what was before."""
        run = self.runs[number]
        return [
            LoggedMessage(id, None, one, number) for id, one in identified(run, self.start + number)
        ]


def identified(run: Run, position: int) -> Iterator[tuple[str, Message]]:
    """The messages of a run and the ids of their entries, which others did not give."""
    for number, message in enumerate(messages_quickly(run, FORMAT)):
        id = message.get(ID)
        yield (id if isinstance(id, str) else f"{run.id or position}-{number}"), message


def _linked(entries: Sequence[LoggedMessage]) -> list[LoggedMessage]:
    """The entries, each with the one before as its parent."""
    parents = [None, *(entry.id for entry in entries)]
    return [
        LoggedMessage(id, parent, message, run)
        for (id, _, message, run), parent in zip(entries, parents, strict=False)
    ]


def chain(entries: Mapping[str, LoggedMessage], id: str | None) -> list[LoggedMessage] | None:
    """The entries up to one, oldest first; None if one of them is missing."""
    found: list[LoggedMessage] = []
    seen: set[str] = set()
    while id is not None:
        entry = entries.get(id)
        if entry is None or id in seen:
            return None
        seen.add(id)
        found.append(entry)
        id = entry.parent_id
    return found[::-1]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Save:
    """A record of pydantic-ai to store, and its new entries, as JSON."""

    head_id: str | None
    entries: Sequence[LoggedMessage]
    facts: dict[str, Any]
    origin: dict[str, Any] = field(default_factory=dict)

    def extends(self, log: Log | None) -> bool:
        """True if all that is new are whole turns at the end of a log."""
        known, origin = (log.head_id, log.origin) if log else (None, _NOWHERE)
        parents = [known, *(entry.id for entry in self.entries)]
        is_line = [entry.parent_id for entry in self.entries] == parents[:-1]
        if not self.entries or not is_line or parents[-1] != self.head_id:
            return False
        if self.origin != origin or not _begins(self.entries[0].message):
            return False
        last = log.last if log else []
        return not last or not Turn(FORMAT, [entry.message for entry in last]).is_open

    def runs(self, log: Log | None) -> list[Run]:
        """All runs of the new state: those of `log` whose messages stay, then new ones."""
        line = chain(self._known(log), self.head_id)
        assert line is not None
        before = log.head if log else []
        same = 0
        while same < min(len(line), len(before)) and line[same].id == before[same].id:
            same += 1
        runs = [*log.runs] if log else []
        first = _first_changed(before, line, same)
        kept = runs[: before[first].run if first < len(before) else len(runs)]
        rest = [{**entry.message, ID: entry.id} for entry in line[first:]]
        made = [*turns(rest)]
        if made and first < same:  # goes on with a run that was there
            old = runs[before[first].run]
            messages = (made[0].meta or {})[MESSAGES]
            made[0] = with_meta_of(old, Turn(FORMAT, messages, id=old.id))
        return self._noted([*kept, *made])

    def metadata(self, log: Log | None, *, has_runs: bool) -> dict[str, Any]:
        """The metadata of the new state, with what is on a branch only."""
        known = self._known(log)
        line = {entry.id for entry in chain(known, self.head_id) or ()}
        aside: dict[str, LoggedMessage] = {}
        for tip in self.origin["branches"]:
            aside |= {entry.id: entry for entry in chain(known, tip) or () if entry.id not in line}
        kept: dict[str, Any] = {k: v for k, v in self.origin.items() if v}
        if aside:
            kept["entries"] = [
                {"id": one.id, "parent_id": one.parent_id, "message": one.message}
                for one in aside.values()
            ]
        if not has_runs:
            kept["facts"] = self.facts
        others = {k: v for k, v in (log.metadata if log else {}).items() if k != FACTS}
        return {**others, **({FACTS: kept} if kept else {})}

    def is_known(self, log: Log | None) -> bool:
        """True if the head and all before it are in the log or new."""
        return chain(self._known(log), self.head_id) is not None

    def _known(self, log: Log | None) -> dict[str, LoggedMessage]:
        entries = log.entries if log else {}
        return {**entries, **{entry.id: entry for entry in self.entries}}

    def new_runs(self) -> list[Run]:
        return self._noted([*turns({**entry.message, ID: entry.id} for entry in self.entries)])

    def _noted(self, runs: list[Run]) -> list[Run]:
        """The runs, of which the last one has the facts in its meta."""
        if runs:
            *others, last = runs
            meta = {**(last.meta or {}), FACTS: self.facts}
            runs = [*others, Run(last.input, last.output, meta, id=last.id)]
        return runs


_NOWHERE: dict[str, Any] = {"forked_from": None, "forked_at": None, "branches": []}


def _first_changed(
    before: Sequence[LoggedMessage], line: Sequence[LoggedMessage], same: int
) -> int:
    """Where the first run begins that does not stay as it is, as a position in the head."""
    number = before[same].run if same < len(before) else len(before)
    first = same
    if same < len(before):
        while first and before[first - 1].run == number:
            first -= 1
    if first < same or first == 0 or same == len(line):
        return first
    # All runs before are whole. The next message may go on with the last one of them.
    start = first
    while start and before[start - 1].run == before[first - 1].run:
        start -= 1
    messages = [entry.message for entry in before[start:first]]
    goes_on = not _begins(line[same].message) or Turn(FORMAT, messages).is_asked
    return start if goes_on else first


def _begins(message: Message) -> bool:
    return FORMAT.begins(message) or FORMAT.is_system(message)


def turns(messages: Iterable[Message]) -> Iterator[Run]:
    """The runs of messages, each from a question up to the next."""
    group: list[Message] = []
    for message in messages:
        if group and _begins(message) and not Turn(FORMAT, group).is_asked:
            yield Turn(FORMAT, group, id=uuid4().hex).run()
            group = []
        group.append(message)
    if group:
        yield Turn(FORMAT, group, id=uuid4().hex).run()


def stable_revision(record: Record, revision: str) -> str:
    """The version alone, which an append tells too, unless another program has written since."""
    version, _, found = revision.partition("-")
    length = found.partition("-")[0]
    known = string(record.length) if not record.crc else record.fingerprint
    return version if known in (length, found) and version != "0" else revision


def save_of(record: ConversationRecord, new_entries: Sequence[ConversationEntry]) -> Save:
    """What pydantic-ai stores."""
    messages = ModelMessagesTypeAdapter.dump_python(
        [entry.message for entry in new_entries], mode="json"
    )
    entries = [
        LoggedMessage(entry.id, entry.parent_id, message)
        for entry, message in zip(new_entries, messages, strict=True)
    ]
    requests = record.deferred_tool_requests
    facts: dict[str, Any] = {"save": record.revision, "head": record.head_id}
    facts["usage"] = USAGE.dump_python(record.usage, mode="json")
    if requests is not None:
        facts["deferred_tool_requests"] = REQUESTS.dump_python(requests, mode="json")
    origin = {
        "forked_from": record.forked_from,
        "forked_at": record.forked_at,
        "branches": [*record.branches],
    }
    return Save(record.head_id, entries, facts, origin)
