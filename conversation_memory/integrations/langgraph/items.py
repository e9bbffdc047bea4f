"""The items of a store, as operations."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from operator import mul
from typing import Any

from ...clock import now
from ...collection.erase import erase_items
from ...encryption.item_texts import ItemTexts, times_of
from ...encryption.sealing import NO_ENCRYPTION
from ...exceptions import (
    ConversationCorrupt,
    ConversationError,
    ConversationUndecryptable,
    Damaged,
    RedisDenied,
    RedisReadOnly,
    Undecryptable,
)
from ...keys import Keys, decode, encode
from ...layouts.proof import proven
from ...packing import pack, unpack
from ...redis_io.operations import Command, Operation, single
from ...redis_io.scripts import Script
from ...wire import loads_compact

ITEM = Script("item")
ITEMS_NEWEST = Script("items_newest")
ITEMS_READ = Script("items_read")

_MOST_NEWEST = 500  # of more items, HGETALL is as quick

Namespace = tuple[str, ...]
_Living = tuple[int, Namespace, bytes, bytes]  # time of the last put, namespace, key and text


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item as item.lua keeps it, times in milliseconds; `vectors` have length one."""

    namespace: Namespace
    key: str
    created: int
    updated: int
    lifetime: int
    deadline: int
    value: dict[str, Any]
    vectors: Sequence[bytes]

    @classmethod
    def read(cls, namespace: Namespace, key: str, text: bytes, texts: ItemTexts) -> StoredItem:
        """Raises ValueError or `Damaged`."""
        found = times_of(text)
        if found is None:
            raise ValueError("An item has no times.")
        value, *vectors = unpack(texts.open(encode(key), text[found.end() :]))
        created, updated, lifetime, deadline = map(int, found.groups())
        own = (namespace, key, created, updated, lifetime, deadline)
        return cls(*own, loads_compact(value), vectors)

    def similarity(self, vector: Sequence[float]) -> float | None:
        """That of the most similar text of the item; None if it has no vector."""
        cosines = [sum(map(mul, array("f", one), vector)) for one in self.vectors]
        return max(cosines, default=None)


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to put; without a text, one to delete."""

    namespace: Namespace
    key: str
    text: bytes
    lifetime: int = 0


class Items:
    """All items that one owner has in an index, or nobody (an empty owner)."""

    def __init__(self, keys: Keys, alias: str, owner: bytes):
        self._keys = keys
        self._alias = alias
        self._owner = owner
        self._namespaces = keys.namespaces(owner)

    def get(self, wanted: Sequence[tuple[Namespace, str, bool]]) -> Operation[list[Any]]:
        """Those of these namespaces and keys, None for each that does not exist.

        A true value behind the key lets its deadline slide.
        """
        if not wanted:
            return []
        calls: list[Command[Any]] = [
            single("HGET", self._key(name), encode(key)) for name, key, _ in wanted
        ]
        time, *texts = yield [now(), *calls]
        found = [
            None if text is None else self._read(name, key, text, self._texts(name))
            for (name, key, _), text in zip(wanted, texts, strict=True)
        ]
        read = [item for item, (*_, is_read) in zip(found, wanted, strict=True) if is_read]
        yield from self.slide(sliding(filter(None, read)))
        return [item if item and _lives(item, time) else None for item in found]

    def newest(self, prefix: Namespace, count: int) -> Operation[Iterable[StoredItem]]:
        """The first `count` of all()."""
        living, total = yield from self._living(prefix, count)
        items = [*islice(self._decoded(living), count)]
        if None in items or len(living) < total:  # others take the places of those
            return islice((yield from self.all(prefix)), count)
        return filter(None, items)

    def all(self, prefix: Namespace) -> Operation[Iterable[StoredItem]]:
        """All items below a namespace, those that were put last first.

        Each is decoded when its turn comes. One that is damaged is left out.
        """
        living, _ = yield from self._living(prefix)
        return filter(None, self._decoded(living))

    def _living(
        self, prefix: Namespace, count: int | None = None
    ) -> Operation[tuple[list[_Living], int]]:
        """The items below a namespace as they are stored, and how many there were of any state.

        With `count`, the first ones of each namespace. Those past their deadline are deleted.
        """
        prefix = (*prefix,)  # a caller may give a list
        # Most searches are for the items of one namespace, and need no second round trip.
        own = [self._all_of(prefix, count)] if prefix else []
        names, time, *replies = yield [self._names(prefix), now(), *own]
        others = [name for name in names if not own or name != prefix]
        if others:
            replies += yield [self._all_of(name, count) for name in others]
        hashes = dict(zip([prefix][: len(own)] + others, replies, strict=True))
        fields = [(name, *pair) for name, flat in hashes.items() for pair in _pairs(flat)]
        living, past = _sorted_out(fields, time)
        yield from self.slide(past)
        return living, len(fields)

    def _decoded(self, living: Sequence[_Living]) -> Iterator[StoredItem | None]:
        """Each when its turn comes, None for one that is damaged."""
        texts = {name: self._texts(name) for name in {name for _, name, _, _ in living}}
        return (self._readable(name, key, text, texts[name]) for _, name, key, text in living)

    def _readable(
        self, namespace: Namespace, key: bytes, text: bytes, texts: ItemTexts
    ) -> StoredItem | None:
        try:
            return self._read(namespace, decode(key), text, texts)
        except ConversationUndecryptable as error:
            if self._lacks(error.key_id):
                raise
        except ConversationError:  # it costs none of the others
            pass
        return None

    def slide(self, places: Iterable[tuple[Namespace, str]]) -> Operation[None]:
        """Let items that were found live on, and delete those that are past their deadline."""
        by_namespace: dict[Namespace, list[bytes]] = {}
        for namespace, key in places:
            by_namespace.setdefault(namespace, []).append(encode(key))
        calls = [self._call(ITEMS_READ, name, *keys) for name, keys in by_namespace.items()]
        if calls:
            with suppress(RedisDenied, RedisReadOnly):
                yield calls

    def put(self, items: Sequence[NewItem]) -> Operation[None]:
        if not items:
            return
        if self._keys.sealing is not None:
            yield from proven(self._keys, self._alias)
            # Raises for an item that cannot be decrypted, and must not be replaced.
            yield from self.get([(it.namespace, it.key, False) for it in items if it.text])
        replies = yield [self._putting(it) for it in items]
        for item, reply in zip(items, replies, strict=True):
            if isinstance(reply, list):
                key = decode(reply[1])
                why = f"it is encrypted with key {key!r}, and {NO_ENCRYPTION}"
                raise self._undecryptable(item.namespace, item.key, Undecryptable(why, b"", key))

    def _putting(self, item: NewItem) -> Command[Any]:
        key, sealing = encode(item.key), self._keys.sealing
        text = self._texts(item.namespace).seal(key, item.text)
        return self._call(ITEM, item.namespace, key, text, item.lifetime, int(sealing is not None))

    def namespaces(self, prefix: Namespace = ()) -> Operation[list[Namespace]]:
        """Those in which there are items, sorted."""
        names = yield self._names(prefix)
        exist = (yield [single("EXISTS", self._key(name)) for name in names]) if names else []
        return sorted(name for name, exists in zip(names, exist, strict=True) if exists)

    def erase(self) -> Operation[int]:
        """Delete all items. Returns how many there were."""
        return erase_items(self._keys, self._owner)

    def _names(self, prefix: Namespace) -> Command[list[Namespace]]:
        first = _packed(prefix)
        last = b"(" + first + b"\xff" if first else b"+"
        call = ("ZRANGEBYLEX", self._namespaces, b"[" + first, last)
        return single(*call, decode=lambda names: [tuple(map(decode, unpack(n))) for n in names])

    def _all_of(self, namespace: Namespace, count: int | None) -> Command[Any]:
        key = self._key(namespace)
        if count is None or count > _MOST_NEWEST:
            return single("HGETALL", key)
        return Command((ITEMS_NEWEST.call([key, self._times(namespace)], [count]),))

    def _key(self, namespace: Namespace) -> bytes:
        return self._keys.items(self._owner, _packed(namespace))

    def _times(self, namespace: Namespace) -> bytes:
        return self._keys.times(self._owner, _packed(namespace))

    def _call(self, script: Script, namespace: Namespace, *args: Any) -> Command[Any]:
        own = self._key(namespace), self._times(namespace)
        keys = [own[0], self._namespaces, self._keys.index, own[1]]
        return Command((script.call(keys, [_packed(namespace), *args]),))

    def _read(self, namespace: Namespace, key: str, text: bytes, texts: ItemTexts) -> StoredItem:
        try:
            return StoredItem.read(namespace, key, text, texts)
        except Undecryptable as damage:
            raise self._undecryptable(namespace, key, damage) from None
        except (Damaged, ValueError):
            what = f"{self._where(namespace, key)} cannot be read."
        raise ConversationCorrupt(what, text)

    def _where(self, namespace: Namespace, key: str) -> str:
        where = f"{'/'.join(namespace)!r} in index {self._keys.name!r} (alias {self._alias!r})"
        return f"The item {key!r} of namespace {where}"

    def _undecryptable(
        self, namespace: Namespace, key: str, damage: Undecryptable
    ) -> ConversationUndecryptable:
        what = f"{self._where(namespace, key)} cannot be decrypted: {damage.reason}."
        return ConversationUndecryptable(f"{what} It was not changed.", damage.raw, damage.key_id)

    def _texts(self, namespace: Namespace) -> ItemTexts:
        return ItemTexts(self._keys.sealing, self._owner, _packed(namespace))

    def _lacks(self, key_id: str) -> bool:
        """True for a key without which items would be missing from every search."""
        sealing = self._keys.sealing
        return sealing is None or sealing.keyring.get(key_id.encode()) is None


def _pairs(flat: Any) -> Iterable[tuple[bytes, bytes | None]]:
    # RESP3 returns a dict, RESP2 a flat list.
    return flat.items() if isinstance(flat, dict) else zip(*[iter(flat)] * 2, strict=True)


def _sorted_out(
    fields: Iterable[tuple[Namespace, bytes, bytes | None]], time: int
) -> tuple[list[_Living], list[tuple[Namespace, str]]]:
    """The items that live, those first that were put last; and where those are that do not."""
    living: list[_Living] = []
    past = []
    for name, key, text in fields:
        times = times_of(text or b"")
        if text and times and (times[4] == b"0" or int(times[4]) > time):
            living.append((int(times[2]), name, key, text))
        elif times or text is None:
            past.append((name, decode(key)))
    # Of the same millisecond, a sorted set has the greatest name last too.
    return sorted(living, reverse=True), past


def sliding(items: Iterable[StoredItem]) -> list[tuple[Namespace, str]]:
    """Where the items are whose deadline moves."""
    return [(item.namespace, item.key) for item in items if item.lifetime]


def _packed(namespace: Namespace) -> bytes:
    return pack(map(encode, namespace))


def _lives(item: StoredItem, time: int) -> bool:
    return not item.deadline or item.deadline > time
