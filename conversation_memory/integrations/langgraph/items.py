"""The items of a store, as operations."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import mul
from typing import Any

from ...clock import now
from ...collection.erase import erase_items
from ...encryption.sealing import refuse
from ...exceptions import (
    ConversationCorrupt,
    ConversationError,
    Damaged,
    RedisDenied,
    RedisReadOnly,
)
from ...keys import Keys, decode, encode
from ...redis_io.operations import Command, Operation, single
from ...redis_io.scripts import Script
from ...wire import loads
from .packing import pack, unpack

ITEM = Script("item")
ITEMS_READ = Script("items_read")

Namespace = tuple[str, ...]

_times = re.compile(rb"(\d{1,15}) (\d{1,15}) (\d{1,15}) (\d{1,15}) ").match


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
    def read(cls, namespace: Namespace, key: str, text: bytes) -> StoredItem:
        """Raises ValueError or `Damaged`."""
        found = _times(text)
        if found is None:
            raise ValueError("An item has no times.")
        value, *vectors = unpack(text[found.end() :])
        created, updated, lifetime, deadline = map(int, found.groups())
        own = (namespace, key, created, updated, lifetime, deadline)
        return cls(*own, loads(value), vectors)

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
        refuse(keys.sealing, alias, "items of a store of LangGraph")
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
            None if text is None else self._read(name, key, text)
            for (name, key, _), text in zip(wanted, texts, strict=True)
        ]
        slides = [item for item, (*_, is_read) in zip(found, wanted, strict=True) if is_read]
        yield from self.slide(filter(None, slides))
        return [item if item and _lives(item, time) else None for item in found]

    def all(self, prefix: Namespace) -> Operation[list[StoredItem]]:
        """All items below a namespace, those that were put last first."""
        names = yield from self._names(prefix)
        if not names:
            return []
        calls: list[Command[Any]] = [single("HGETALL", self._key(name)) for name in names]
        time, *replies = yield [now(), *calls]
        found = []
        for name, flat in zip(names, replies, strict=True):
            fields = flat if isinstance(flat, dict) else dict(zip(*[iter(flat)] * 2, strict=True))
            for key, text in fields.items():
                with suppress(ConversationError):  # it costs none of the others
                    found.append(self._read(name, decode(key), text))
        yield from self.slide(item for item in found if not _lives(item, time))
        living = [item for item in found if _lives(item, time)]
        return sorted(living, key=lambda item: (-item.updated, item.namespace, item.key))

    def slide(self, items: Iterable[StoredItem]) -> Operation[None]:
        """Let items that were found live on, and delete those that are past their deadline."""
        by_namespace: dict[Namespace, list[bytes]] = {}
        for item in items:
            if item.lifetime:
                by_namespace.setdefault(item.namespace, []).append(encode(item.key))
        calls = [self._call(ITEMS_READ, name, *keys) for name, keys in by_namespace.items()]
        if calls:
            with suppress(RedisDenied, RedisReadOnly):
                yield calls

    def put(self, items: Sequence[NewItem]) -> Operation[None]:
        if items:
            yield [
                self._call(ITEM, it.namespace, encode(it.key), it.text, it.lifetime) for it in items
            ]

    def namespaces(self, prefix: Namespace = ()) -> Operation[list[Namespace]]:
        """Those in which there are items, sorted."""
        names = yield from self._names(prefix)
        exist = (yield [single("EXISTS", self._key(name)) for name in names]) if names else []
        return sorted(name for name, exists in zip(names, exist, strict=True) if exists)

    def erase(self) -> Operation[int]:
        """Delete all items. Returns how many there were."""
        return erase_items(self._keys, self._owner)

    def _names(self, prefix: Namespace) -> Operation[list[Namespace]]:
        first = _packed(prefix)
        last = b"(" + first + b"\xff" if first else b"+"
        names = yield single("ZRANGEBYLEX", self._namespaces, b"[" + first, last)
        return [tuple(map(decode, unpack(name))) for name in names]

    def _key(self, namespace: Namespace) -> bytes:
        return self._keys.items(self._owner, _packed(namespace))

    def _call(self, script: Script, namespace: Namespace, *args: Any) -> Command[Any]:
        keys = [self._key(namespace), self._namespaces]
        return Command((script.call(keys, [_packed(namespace), *args]),))

    def _read(self, namespace: Namespace, key: str, text: bytes) -> StoredItem:
        try:
            return StoredItem.read(namespace, key, text)
        except (Damaged, ValueError):
            where = f"{'/'.join(namespace)!r} in index {self._keys.name!r} (alias {self._alias!r})"
        raise ConversationCorrupt(f"The item {key!r} of namespace {where} cannot be read.", text)


def _packed(namespace: Namespace) -> bytes:
    return pack(map(encode, namespace))


def _lives(item: StoredItem, time: int) -> bool:
    return not item.deadline or item.deadline > time
