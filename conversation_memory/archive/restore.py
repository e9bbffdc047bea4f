"""Restoring an archive: deciding what to do with each conversation, and doing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from functools import partial
from typing import Any

from ..clock import now
from ..documents import Document
from ..exceptions import (
    ArchiveDamaged,
    ConversationConflict,
    ConversationMemoryError,
    Damaged,
    counted,
)
from ..indexes import ConversationIndex
from ..keys import Id, decode, encode
from ..layouts import ConversationRef
from ..layouts.declared import names_keys, redeclared
from ..layouts.long_lists import split_by_bytes
from ..layouts.proof import proven
from ..redis_io.operations import Command, Operation, single
from ..redis_io.step_kinds import Ahead
from ..search.reindex import catch_up
from .archive import Source
from .counts import EXAMPLES, WRITTEN, Counts
from .entries import Stored, read
from .format import Entry, Malformed
from .items import Item, Written, permission, restore_open_runs, writing

POLICIES = ("fail", "skip", "replace", "newest")

_BATCH_BYTES = 2**19  # with more, the memory for each batch is got from the system anew
_BATCH = 200
_ATTEMPTS = 20


Progress = Callable[[Counts], object]
Batch = dict[bytes, Entry]


class Restore:
    """Writes the conversations of `source` into an index.

    `on_conflict` decides about conversations that are stored with other content: "fail" raises
    `ConversationConflict` before the first write, "skip" keeps the stored one, "replace" overwrites
    it, "newest" does so if the archived one was written to later. Unreadable ones are always kept.
    `owners` maps old owners to new ones, "" to none. With `ignore_expiry`, deadlines are dropped.

    Concurrent writes are safe, and so is a repetition after an interruption: identical
    conversations are skipped.
    """

    def __init__(
        self,
        index: ConversationIndex,
        source: Source,
        *,
        on_conflict: str = "fail",
        ignore_expiry: bool = False,
        owners: Mapping[str, Id] | None = None,
    ):
        if on_conflict not in POLICIES:
            raise ValueError(f"Choose one of {', '.join(POLICIES)} for on_conflict.")
        self.index = index
        self._layout = index._layout
        self.source = source
        self.on_conflict = on_conflict
        self.ignore_expiry = ignore_expiry
        self.owners = {encode(old): encode(new) for old, new in (owners or {}).items()}
        self.maps_owners = owners is not None
        self._is_fresh = False  # True if the conversations of the next batch are likely to be new

    def plan(self, *, progress: Progress = bool) -> Counts:
        """Predict the counts of `run`; nothing is written. `progress` gets the counts so far."""
        return self.index._run(self._foresee(progress), "restore")

    async def aplan(self, *, progress: Progress = bool) -> Counts:
        """See plan()."""
        return await self.index._arun(self._foresee(progress), "restore")

    def run(self, *, progress: Progress = bool) -> Counts:
        """Write; `progress` gets the counts after each batch.

        Raises `ConversationConflict` or `ConversationTooLarge` before the first write.
        """
        return self.index._run(self._restore(progress), "restore")

    async def arun(self, *, progress: Progress = bool) -> Counts:
        """See run()."""
        return await self.index._arun(self._restore(progress), "restore")

    def _restore(self, progress: Progress) -> Operation[Counts]:
        yield (yield Ahead(self._check_sizes))
        self.index._check_moved()
        stored = sum((yield from self.index._each(_prepare)))
        if self.on_conflict == "fail" and stored:
            self._check_conflicts((yield from self._foresee(bool)))
        self._is_fresh = not stored
        if len(self.index.shards) > 1:
            return (yield from self._write_shards(progress))
        return (yield from self._write_all(progress))

    def _foresee(self, progress: Progress) -> Operation[Counts]:
        counts = Counts()
        # A thread reads each batch while the previous one is compared.
        read_on = Ahead(partial(next, self._batches(counts), None))
        coming = yield read_on
        while batch := (yield coming):
            coming = yield read_on
            for item in (yield from self._decided(batch)):
                counts.add(item)
            progress(counts)
        return counts

    def _write_all(self, progress: Progress) -> Operation[Counts]:
        counts, sent = Counts(), None
        # In a thread, for the event loop's sake: while the server writes a batch, the next one is
        # read and prepared.
        read_on = Ahead(partial(next, self._batches(counts), None))
        try:
            while batch := (yield (yield read_on)):
                items, commands = yield from self._prepared(batch)
                if sent:
                    yield from self._settle(*sent, counts, progress)
                sent = items, commands, (yield Ahead(commands)) if commands else None
        except ConversationMemoryError:
            if sent and sent[2]:
                yield sent[2]  # it is being written
            raise
        if sent:
            yield from self._settle(*sent, counts, progress)
        return counts

    def _write_shards(self, progress: Progress) -> Operation[Counts]:
        """See _write_all(): each batch is written to all of its shards at the same time."""

        def write(shard: ConversationIndex) -> Operation[Counts]:
            restore = copy(self)
            restore.index, restore._layout = shard, shard._layout
            return restore._write_part({id: batch[id] for id in parts[shard]})

        counts = Counts()
        read_on = Ahead(partial(next, self._batches(counts), None))
        while batch := (yield (yield read_on)):
            self.index._check_moved()
            parts = self.index._split(batch)
            for part in (yield from self.index._each(write, [*parts])):
                counts.include(part)
            progress(counts)
        return counts

    def _write_part(self, batch: Batch) -> Operation[Counts]:
        counts = Counts()
        items, commands = yield from self._prepared(batch)
        sent = (yield Ahead(commands)) if commands else None
        yield from self._settle(items, commands, sent, counts, bool)
        return counts

    def _prepared(self, batch: Batch) -> Operation[tuple[list[Item], list[Command[Written]]]]:
        """What to do with each conversation of a batch, and the commands that do it."""
        items = yield from (self._hoped(batch) if self._is_fresh else self._decided(batch))
        chosen = [item for item in items if item.outcome in WRITTEN]
        for item in chosen:
            item.document = self._document(item.entry)
        return items, (yield from writing(self._layout, chosen))

    def _settle(
        self,
        items: list[Item],
        commands: list[Command[Written]],
        replies: Any,
        counts: Counts,
        progress: Progress,
    ) -> Operation[None]:
        """Count a batch that was sent. What other writers changed is decided and sent again."""
        for _ in range(_ATTEMPTS):
            written = yield from redeclared(commands, (yield replies) if replies else [])
            left = yield from self._settled(items, written, counts)
            if not left:
                progress(counts)
                return
            items, commands = yield from self._prepared(left)
            replies = (yield Ahead(commands)) if commands else None
        raise ConversationConflict(
            "kept changing. The conversations before it were restored.",
            alias=self.index.alias,
            index=self.index.name,
            conversation_id=decode(next(iter(left))),
        )

    def _settled(
        self, items: list[Item], replies: list[Written], counts: Counts
    ) -> Operation[Batch]:
        """Count a batch. Returns those that other writers changed."""
        written = set().union(*(reply for reply in replies if not names_keys(reply)))
        left: Batch = {}
        same: list[bytes] = []  # a previous restore may have stopped before their search documents
        for item in items:
            id = item.entry.id
            if item.outcome in WRITTEN and id not in written:
                left[id] = item.entry
                continue
            counts.add(item)
            self._check_conflicts(counts)
            same += [id] if item.outcome == "same" else []
        self._is_fresh = not left and all(item.outcome == "new" for item in items)
        there = {*same, *written}
        opened = [item.entry for item in items if item.entry.id in there]
        yield from restore_open_runs(self._layout, opened)
        # Unreadable ones have no search documents.
        yield from catch_up(self._layout, [*same, *written], bool)
        return left

    def _hoped(self, batch: Batch) -> Operation[list[Item]]:
        """A batch as it is if nothing is stored. The script does not write what is."""
        time = yield from _time(batch)
        return [self._item(entry, None, time) for entry in batch.values()]

    def _decided(self, batch: Batch) -> Operation[list[Item]]:
        """Compare a batch with what is stored."""
        self.index._check_moved()
        parts = self.index._split(batch)
        decided = yield from self.index._each(
            lambda shard: self._decided_in(shard, {id: batch[id] for id in parts[shard]}),
            [*parts],
            is_read=True,
        )
        known = {item.entry.id: item for items in decided for item in items}
        return [known[id] for id in batch]

    def _decided_in(self, shard: ConversationIndex, batch: Batch) -> Operation[list[Item]]:
        time = yield from _time(batch)
        items, ids = [], [*batch]
        while ids:
            found = yield from read(shard._layout.keys, ids)
            items += [self._compared(batch[it.id], it, time) for it in found]
            ids = ids[len(found) :]
        return items

    def _compared(self, entry: Entry, stored: Stored, now: int) -> Item:
        if entry.open and stored.questions:
            open = tuple(one.behind(stored.questions) for one in entry.open)
            entry = entry._replace(open=open)
        item = self._item(entry, stored.entry, now)
        if item.outcome in WRITTEN and not stored.is_blank:
            if stored.has_right_types:
                item.instead_of = stored.expected
            else:
                item.outcome = "conflicts" if self.on_conflict == "fail" else "kept"
        return item

    def _item(self, entry: Entry, there: Entry | None, now: int) -> Item:
        is_new = self.source.is_new and entry.facts.updated is None
        alike = entry
        if is_new and there is not None:  # times that the file lacks are not a difference
            facts = there.facts._replace(owner=entry.facts.owner, title=entry.facts.title)
            alike = entry._replace(facts=facts, score=there.score, expires=there.expires)
        return Item(entry, self._outcome(alike, there, now), is_new=is_new)

    def _outcome(self, entry: Entry, there: Entry | None, now: int) -> str:
        if entry.expires is not None and entry.expires <= now:
            return "expired"
        if there is None:
            return "new"
        if there._replace(open=()) == entry._replace(open=()):
            return "same"
        if self.on_conflict == "fail":
            return "conflicts"
        is_newer = (entry.facts.updated or 0) > (there.facts.updated or there.score or 0)
        if self.on_conflict == "skip" or (self.on_conflict == "newest" and not is_newer):
            return "skipped"
        return "kept" if there.runs is None else "replaced"

    def _batches(self, counts: Counts) -> Iterator[Batch]:
        """The conversations in parts for one round trip, without an id twice in one of them."""
        entries = self.source.entries()
        for part in split_by_bytes(entries, lambda entry: entry.size, _BATCH_BYTES, _BATCH):
            batch: Batch = {}
            for entry in part:
                if entry.id in batch:
                    yield batch
                    batch = {}
                batch[entry.id] = self._adapted(entry, counts)
            yield batch

    def _adapted(self, entry: Entry, counts: Counts) -> Entry:
        if self.ignore_expiry and entry.expires is not None:
            entry = entry._replace(expires=None)
        owner = entry.facts.owner
        if owner is None or not self.maps_owners:
            return entry
        if owner not in self.owners:
            counts.add_owner(owner)
            return entry
        return entry._replace(facts=entry.facts._replace(owner=self.owners[owner] or None))

    def _document(self, entry: Entry) -> Document | None:
        try:
            return self.source.document(entry)
        except (Damaged, Malformed) as error:
            raise ArchiveDamaged(
                f"Conversation {decode(entry.id)!r} of the archive: {error}."
            ) from None

    def _check_sizes(self) -> None:
        """Raises `ConversationTooLarge` if a conversation exceeds the limits in settings."""
        layout = self._layout
        if self.source.longest <= min(layout.max_bytes, layout.max_run_bytes):
            return
        for entry in self.source.entries():
            ref = ConversationRef(entry.id)
            layout._check_size(ref, len(entry.value) + sum(map(len, entry.texts)))
            if len(entry.value) > layout.max_run_bytes and (found := self._document(entry)):
                layout._check_runs(ref, found.texts)

    def _check_conflicts(self, counts: Counts) -> None:
        if not counts.conflicts or self.on_conflict != "fail":
            return
        names = ", ".join(map(repr, counts.examples["conflicts"]))
        raise ConversationConflict(
            f"Index {self.index.name!r} (alias {self.index.alias!r}) has other content or another "
            f"record for {counted(counts.conflicts, 'conversation')}: {names}"
            f"{' …' if counts.conflicts > EXAMPLES else ''}. They were not changed."
        )


def _prepare(shard: ConversationIndex) -> Operation[int]:
    """Returns how many conversations there are."""
    layout = shard._layout
    yield permission(layout)
    yield from proven(layout.keys, layout.alias)
    yield from layout.indexer()  # RediSearch needs its index before the first write
    return int((yield single("HLEN", layout.keys.index)))


def _time(batch: Batch) -> Operation[int]:
    """The time of the server; 0 if no conversation has a deadline that it matters to."""
    time: int = (yield now()) if any(it.expires is not None for it in batch.values()) else 0
    return time
