"""Making the next item while the present one is used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from ..redis_io.operations import Ahead, Later, Operation

T = TypeVar("T")


def ahead(items: Iterator[T]) -> Iterator[T]:
    """`items`, each made in a thread while the one before it is used: one waits for the server or
    for the disk, while the other one computes."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


class Prefetch(Generic[T]):
    """As `ahead()`, within an operation, which must not wait for the thread by itself."""

    def __init__(self, items: Iterator[T]):
        self._items = items
        self._coming: Later | None = None

    def next(self) -> Operation[T | None]:
        """The next item, None at the end."""
        coming = self._coming or (yield Ahead(self._make))
        item: T | None = yield coming
        self._coming = None if item is None else (yield Ahead(self._make))
        return item

    def _make(self) -> T | None:
        return next(self._items, None)
