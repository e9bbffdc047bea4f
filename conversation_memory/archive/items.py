"""The conversations that a restore writes, and the scripts that write many at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ..documents import Document
from ..encryption.sealing import DOCUMENT, TITLE
from ..layouts import Layout
from ..layouts.declared import names_keys
from ..layouts.indexed import DERIVE
from ..layouts.long_lists import is_long
from ..layouts.long_lists import stage as staging
from ..layouts.refs import Encoded
from ..redis_io.operations import Command, Operation, allowed
from ..redis_io.scripts import Script
from ..search_index.run_documents import fresh_token
from . import questions
from .entries import CONTENTS, Expected
from .format import NOTHING, Entry

RESTORE = Script("restore")
OVERWRITE = Script("overwrite")

_TIMES = ("created", "updated", "ttl", "expires")

# In seconds: the ids of runs expire in Redis after an hour, and clocks may differ by another.
_RECENT = 7200

_STAGING = ("MULTI", "EXEC", "RPUSH", "PEXPIRE", "UNLINK")
_CATCHING_UP = ("MULTI", "EXEC", "HMGET", "HGET", "LRANGE", "ZMSCORE", "SMEMBERS")

Written = set[bytes]  # the ids of conversations that were written


@dataclass(slots=True)
class Item:
    """A conversation to restore, and its `outcome`, which is a field of `Counts`.

    It replaces the stored state `instead_of`. One that `is_new` gets the time of the restore. The
    `document`, None if it is unreadable, is required only for writing.
    """

    entry: Entry
    outcome: str
    instead_of: Expected | None = None
    is_new: bool = False
    document: Document | None = None

    @property
    def has_record(self) -> bool:
        """False if another program wrote it: it stays without a record, as that left it."""
        entry = self.entry
        return self.is_new or entry.facts != NOTHING or entry.expires is not None


# What restores a conversation, and the key of the list that has its runs, empty without one.
Write = tuple[Item, Encoded, bytes]


def permission(layout: Layout) -> Command[int]:
    """Raises `RedisDenied` if the user lacks a permission for any step of a restore."""
    commands = [*RESTORE.commands, *OVERWRITE.commands, *CONTENTS.commands]
    commands += [*questions.RESTORE_REPLIES.commands, *_STAGING]
    commands += [*DERIVE.commands, *_CATCHING_UP] if layout.schema is not None else []
    return allowed([layout.keys.index, layout.keys.record(b"")], commands)


def writing(layout: Layout, items: Sequence[Item]) -> Operation[list[Command[Written]]]:
    """The commands that write conversations with distinct ids, each of which answers what it wrote.

    The others were not written, because something else is stored there.
    """
    fresh: list[Write] = []
    commands: list[Command[Written]] = []
    for item in items:
        encoded, stage = _encoded(layout, item), b""
        if is_long(encoded.texts):
            stage = layout.keys.staged(fresh_token())
            yield from staging(stage, encoded.texts)
        write = item, encoded, stage
        if item.instead_of is not None:
            commands.append(_overwrite(layout, write))
        elif stage:
            commands.append(_restore(layout, [write]))
        else:
            fresh.append(write)
    return [_restore(layout, fresh), *commands] if fresh else commands


def restore_open_runs(layout: Layout, entries: Sequence[Entry]) -> Operation[None]:
    """Open the runs of conversations that are there, unless they are known."""
    calls = [questions.restoring(layout.keys, it.id, it.open) for it in entries if it.open]
    if calls:
        yield calls


def _restore(layout: Layout, writes: Sequence[Write]) -> Command[Written]:
    # One script for all is faster than one script each.
    keys, ids = layout.keys, [item.entry.id for item, _, _ in writes]
    shared = [keys.content(ids[0]), keys.record(ids[0]), keys.recency(), keys.expiry()]
    own: list[bytes] = []
    for item, _, stage in writes:
        id = item.entry.id
        own += [keys.record(id), keys.runs(id), keys.ids(id), _owned(layout, item)]
        own += [stage] if stage else []
    args = [arg for write in writes for arg in _args(layout, *write)]

    def decoded(reply: bytes) -> Written:
        return {id for id, answer in zip(ids, reply, strict=True) if answer == ord("1")}

    return Command((RESTORE.call([*shared, keys.call(fresh_token()), *own], args),), decoded)


def _overwrite(layout: Layout, write: Write) -> Command[Written]:
    item, _, stage = write
    assert item.instead_of is not None
    id, (owner, *expected) = item.entry.id, item.instead_of
    keys = [*layout.keys.forgetting(id, owner, fresh_token()), _owned(layout, item)]
    keys += [stage] if stage else []
    call = OVERWRITE.call(keys, [id, owner or b"", *expected, *_args(layout, *write)])

    def decoded(reply: Any) -> Written:
        return reply if names_keys(reply) else {id} if reply == 1 else set()

    return Command((call,), decoded)


def _owned(layout: Layout, item: Item) -> bytes:
    # A script must declare a key even where it will not use it, as without an owner.
    return layout.keys.recency(item.entry.facts.owner or b"")


def _encoded(layout: Layout, item: Item) -> Encoded:
    entry, document = item.entry, item.document
    if document is not None and item.has_record:
        return layout.encoded(document).sealed(layout.sealing, entry.id)
    if document is not None and layout.sealing is not None:
        return Encoded(layout.sealing.seal(DOCUMENT, entry.id, entry.value), [], {})
    sizes = {"bytes": sum(map(len, entry.texts))} if entry.texts else {}
    return Encoded(entry.value, list(entry.texts), sizes)


def _args(layout: Layout, item: Item, encoded: Encoded, stage: bytes) -> list[Any]:
    """The arguments of restored.lua."""
    entry, facts, document = item.entry, item.entry.facts, item.document
    plain, others = "", []
    if item.has_record:
        owner, title, *times = facts
        if layout.sealing is not None and document is not None:
            title = layout.sealing.seal(TITLE, entry.id, title)
        known = chain(encoded.record.items(), zip(_TIMES, (*times, entry.expires), strict=True))
        plain = "".join([f" {name} {value}" for name, value in known if value not in (None, "")])
        named = ((b"owner", owner), (b"title", title or None))
        others = [part for pair in named if pair[1] is not None for part in pair]
    # Only an append to a recent one may still be retried.
    is_recent = item.is_new or (facts.updated or 0) > (time.time() - _RECENT) * 1000
    told = encoded.told if document and encoded.texts and is_recent else []
    score: Any = facts.updated if entry.score is None else entry.score
    if item.is_new:
        score = "now"
    count, texts = len(encoded.texts), encoded.texts
    if stage:
        count, texts = -count, []
    counts = f"{len(others)} {count} {len(told)}"
    when = f"{'-' if score is None else score} {'-' if entry.expires is None else entry.expires}"
    head = f"{int(bool(facts.owner))} {when} {counts}{plain}"
    return [head, entry.id, encoded.field, *others, *texts, *told]
