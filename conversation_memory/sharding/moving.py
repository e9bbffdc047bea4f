"""Moving what is in the former shards of an index into those that it gets.

A former shard is closed first: nobody writes there any more. So what is in it can be copied without
haste, and whoever copies it last finds that it has arrived. It is deleted only then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any

from ..collection.bulk import Conversion, delete
from ..collection.erase import erase_items
from ..collection.selection import ScanCursor, members
from ..exceptions import ConversationConflict, ConversationMemoryError
from ..indexes import ConversationIndex
from ..keys import Keys, decode, encode, shard_number
from ..layouts import ConversationRef
from ..layouts.base import erasing
from ..layouts.long_lists import split_by_bytes
from ..records import number
from ..redis_io.operations import Command, Operation, single
from ..search_index.index_state import drop_all
from .across import Across, Answers
from .arriving import Failure, note_arrived, take_in, take_in_items
from .leaving import Leaving, is_left, read_leaving
from .shard_count import Spread

_BATCH, _BYTES = 50, 4 * 1024 * 1024
_MOST_KNOWN = 100_000
_SCANNED = 300
_CONVERSATION = (b"record", b"runs", b"open", b"checkpoints")
_ITEMS = (b"items", b"namespaces")
# Of a shard that everything has left, what is not derived from it or expires by itself.
_KEPT = (*_CONVERSATION, *_ITEMS, b"leaving", b"call")

Shards = Sequence[ConversationIndex]


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """The shards of an index: what moves from `sources` into `targets`.

    Without sources, everything has moved. When the index moves once more, there is another `Move`:
    an operation has to use one of them throughout. If that is an old one, all of its shards are
    closed, and nothing comes of it. `known` are conversations that have moved, and with a true
    value in front owners of items.
    """

    spread: Spread
    sources: Shards
    targets: Shards
    known: set[tuple[bool, bytes]] = field(default_factory=set)

    @property
    def shards(self) -> Shards:
        return (*self.sources, *self.targets)

    def home(self, name: bytes) -> ConversationIndex:
        """The shard of a conversation or of the items of an owner."""
        return self.targets[shard_number(name, len(self.targets))]

    def split(self, names: Iterable[bytes]) -> dict[ConversationIndex, list[bytes]]:
        """The names in each shard, in the order in which they come."""
        parts: dict[ConversationIndex, list[bytes]] = {}
        for name in names:
            parts.setdefault(self.home(name), []).append(name)
        return parts

    def by_source(self, names: Iterable[bytes]) -> dict[ConversationIndex, list[bytes]]:
        """The former shards of conversations or owners; none if everything has moved."""
        parts: dict[ConversationIndex, list[bytes]] = {}
        for name in names if self.sources else ():
            source = self.sources[shard_number(name, len(self.sources))]
            parts.setdefault(source, []).append(name)
        return parts

    def arrived(self, names: Iterable[bytes], *, items: bool = False) -> Operation[None]:
        """Make sure that some conversations, or the items of some owners, have moved.

        Raises an error about one that cannot be moved.
        """
        if failures := (yield from self.stuck(names, items=items)):
            raise next(iter(failures.values()))

    def stuck(
        self, names: Iterable[bytes], *, items: bool = False
    ) -> Operation[dict[bytes, ConversationMemoryError]]:
        """The same, but returns those that cannot be moved, and why."""
        known = self.known
        unknown = [name for name in names if (items, name) not in known]
        parts = self.by_source(unknown)
        if not parts:
            return {}
        work = self._brought_items if items else self._brought
        answers: Answers[dict[bytes, ConversationMemoryError]] = yield Across(
            [*parts], lambda source: work(source, parts[source]), name="move"
        )
        stuck = {name: error for part in answers.all() for name, error in part.items()}
        if len(known) > _MOST_KNOWN:
            known.clear()
        known.update((items, name) for name in unknown if name not in stuck)
        return stuck

    def owned(self, owner: bytes) -> Operation[dict[bytes, ConversationMemoryError]]:
        """Make sure that everything of an owner has moved but the conversations returned."""
        stuck: dict[bytes, ConversationMemoryError] = {}
        for source in self.sources:
            cursor = members(source._layout.keys.recency(owner))
            while cursor.goes_on:
                answers: Answers[list[bytes]] = yield Across(
                    [source], partial(_next, cursor), name="move"
                )
                [ids] = answers.all()
                stuck |= yield from self.stuck(ids)
        yield from self.arrived([owner], items=True)
        return stuck

    def of_owner(
        self, ids: Iterable[bytes], owner: bytes | None
    ) -> Operation[dict[ConversationIndex, list[bytes]]]:
        """Those of an owner, or all for None, by the former shard in which they are."""
        parts = self.by_source(ids)
        if owner is None:
            return parts
        answers: Answers[list[bytes]] = yield Across(
            [*parts],
            lambda source: _of_owner(source._layout.keys, owner, parts[source]),
            name="move",
        )
        answers.all()
        return {source: part for source, part in answers.results.items() if part}

    def abandoned(
        self, ids: Iterable[bytes], owner: bytes | None = None
    ) -> Operation[dict[ConversationIndex, list[bytes]]]:
        """The same, of those that are stuck: let them not arrive, as they are to be deleted."""
        left = yield from self.of_owner(ids, owner)
        homes = self.split(chain.from_iterable(left.values()))
        noted: Answers[None] = yield Across(
            [*homes], lambda home: note_arrived(home._layout.keys, homes[home]), name="move"
        )
        noted.all()
        return left

    def _brought(
        self, source: ConversationIndex, ids: Sequence[bytes]
    ) -> Operation[dict[bytes, ConversationMemoryError]]:
        keys = source._layout.keys
        answers = iter((yield [command for id in ids for command in is_left(keys, id)]))
        left = [id for id, *found in zip(ids, answers, answers, strict=True) if any(found)]
        failures: list[Any] = []
        moved = (yield from self.bring(source, left, failures.append)) if left else ()
        named = {encode(error.conversation_id): error for error in failures}
        return {id: named[id] for id in left if id not in moved}

    def bring(
        self, source: ConversationIndex, ids: Sequence[bytes], failure: Failure
    ) -> Operation[set[bytes]]:
        """Move some conversations. Returns those that have left `source`."""
        layout = source._layout
        parts: dict[ConversationIndex, list[Leaving]] = {}
        for id, found in zip(ids, (yield from read_leaving(layout.keys, ids)), strict=True):
            if found is not None:
                parts.setdefault(self.home(id), []).append(found)
                continue
            ref = ConversationRef(id)
            error = yield from layout.mistyped(ref)
            failure(error or layout._conflict(ref, "could not be read"))
        answers: Answers[set[bytes]] = yield Across(
            [*parts], lambda shard: take_in(shard._layout, parts[shard], failure), name="move"
        )
        here = set[bytes]().union(*answers.all())
        yield from delete(layout, [*here])
        return here

    def _brought_items(
        self, source: ConversationIndex, owners: Sequence[bytes]
    ) -> Operation[dict[bytes, ConversationMemoryError]]:
        keys, stuck = source._layout.keys, dict[bytes, ConversationMemoryError]()
        exist = yield [single("EXISTS", keys.namespaces(owner)) for owner in owners]
        for owner, is_there in zip(owners, exist, strict=True):
            if is_there and not (yield from self._bring_items(keys, owner)):
                stuck[owner] = ConversationConflict(
                    f"The items of owner {decode(owner)!r} in index {keys.name!r} (alias "
                    f"{source.alias!r}) cannot be moved: there are others in the new shard."
                )
        return stuck

    def _bring_items(self, keys: Keys, owner: bytes) -> Operation[bool]:
        spaces: dict[bytes, dict[bytes, bytes]] = {}
        for space in (yield single("ZRANGE", keys.namespaces(owner), 0, -1)):
            if items := (yield from _items(keys.items(owner, space))):
                spaces[space] = items
        home = self.home(owner)
        answers: Answers[bool] = yield Across(
            [home], lambda shard: take_in_items(shard._layout.keys, owner, spaces), name="move"
        )
        is_here = all(answers.all())
        if is_here:
            yield from erase_items(keys, owner)
        return is_here

    def empty(
        self,
        source: ConversationIndex,
        progress: Callable[[Conversion], object],
        failure: Failure,
    ) -> Operation[Conversion]:
        """Move everything that is in a former shard, and delete what was derived from it."""
        total, keys = Conversion(), source._layout.keys

        def bring(ids: Sequence[bytes]) -> Operation[None]:
            nonlocal total
            sizes = dict(zip(ids, (yield from _sizes(keys, ids)), strict=True))
            for part in split_by_bytes(ids, sizes.__getitem__, _BYTES, _BATCH):
                moved = yield from self.bring(source, part, failure)
                failed = total.failed + len(part) - len(moved)
                total = Conversion(total.seen + len(part), total.converted + len(moved), failed)
                progress(total)

        cursor = b""
        while cursor != b"0":
            cursor, ids = yield from source._listing.every(cursor or b"0")
            yield from bring(ids)
        if total.failed:
            return total
        ids, owners = yield from _remains(keys)
        yield from bring(ids)
        for owner in owners:
            if not (yield from self._bring_items(keys, owner)):
                total = replace(total, failed=total.failed + 1)
        left = yield from _swept(keys)
        return replace(total, failed=max(total.failed, left))


def _next(cursor: ScanCursor[Any], source: ConversationIndex) -> Operation[list[bytes]]:
    return (yield from cursor.next())  # type: ignore[no-any-return]


def _of_owner(keys: Keys, owner: bytes, ids: Sequence[bytes]) -> Operation[list[bytes]]:
    counts = yield [erasing(keys, id, owner, erases=False) for id in ids]
    return [id for id, count in zip(ids, counts, strict=True) if count[0]]


def _sizes(keys: Keys, ids: Sequence[bytes]) -> Operation[list[int]]:
    """The bytes of the runs of conversations, as far as they are known."""
    calls: list[Command[Any]] = [single("HSTRLEN", keys.content(id), id) for id in ids]
    calls += [single("HGET", keys.record(id), "bytes", otherwise=None) for id in ids]
    replies = (yield calls) if calls else []
    pairs = zip(replies[: len(ids)], replies[len(ids) :], strict=True)
    return [size + (number(others) or 0) for size, others in pairs]


def _items(key: bytes) -> Operation[dict[bytes, bytes]]:
    items: dict[bytes, bytes] = {}
    cursor = b""
    while cursor != b"0":
        cursor, pairs = yield single("HSCAN", key, cursor or b"0", "COUNT", _SCANNED)
        items |= zip(pairs[::2], pairs[1::2], strict=True)
    return items


def _remains(keys: Keys) -> Operation[tuple[list[bytes], list[bytes]]]:
    """The conversations of which something is left, and the owners of items."""
    ids: dict[bytes, None] = {}
    owners: dict[bytes, None] = {}
    cursor, pattern = b"", keys.pattern()
    while cursor != b"0":
        cursor, found = yield _scanning(cursor, pattern)
        for kind, name in map(keys.family, found):
            if kind in _CONVERSATION:
                ids[name] = None
            elif kind == b"namespaces":
                owners[name] = None
    return [*ids], [*owners]


def _scanning(cursor: bytes, pattern: bytes) -> Command[Any]:
    return single("SCAN", cursor or b"0", "MATCH", pattern, "COUNT", _SCANNED)


def _swept(keys: Keys) -> Operation[int]:
    """Delete what was derived from a former shard. Returns how many other keys are left."""
    left, cursor, pattern = 0, b"", keys.pattern()
    while cursor != b"0":
        cursor, found = yield _scanning(cursor, pattern)
        kept = [key for key in found if keys.family(key)[0] in _KEPT]
        left += sum(keys.family(key)[0] != b"call" for key in kept)
        if rest := [*{*found} - {*kept}]:
            yield single("UNLINK", *rest)
    yield from drop_all(keys)
    return left
