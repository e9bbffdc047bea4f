"""`indexes`: the indexes of settings, by alias."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from . import conf
from .exceptions import InvalidIndexError
from .index import ConversationIndex
from .redis_io import connections


class IndexHandler:
    """The indexes of settings.REDIS and settings.CACHES, by alias."""

    def __init__(self) -> None:
        self._indexes: dict[str, ConversationIndex] = {}
        self._others: dict[tuple[str, str], ConversationIndex] = {}

    def __getitem__(self, alias: str) -> ConversationIndex:
        """Raises `InvalidIndexError` for an alias that does not exist or cannot be used."""
        if alias not in self._indexes:
            self._indexes[alias] = ConversationIndex(conf.get(alias))
        return self._indexes[alias]

    def open(self, alias: str, name: str) -> ConversationIndex:
        """An index beside the one of `alias`, on the same server, which its INDEXES are about.

        Raises `InvalidIndexError` for a name that they are not about.
        """
        index = self[alias]
        if name == index.name:
            return index
        if not index.settings.covers(name):
            raise InvalidIndexError(f"INDEXES of alias {alias!r} are not about index {name!r}.")
        if (alias, name) not in self._others:
            self._others[alias, name] = ConversationIndex(replace(index.settings, index=name))
        return self._others[alias, name]

    def __contains__(self, alias: object) -> bool:
        return alias in conf.aliases()

    def __iter__(self) -> Iterator[str]:
        return iter(conf.aliases())

    @property
    def default(self) -> ConversationIndex:
        return self["default"]

    def close(self) -> None:
        """Close the clients that are ours, the async ones when their loops run next.

        The next use reads the settings anew.
        """
        self._indexes.clear()
        self._others.clear()
        connections.close_all()

    async def aclose(self) -> None:
        """Close the async clients of the running event loop."""
        await connections.aclose_all()


indexes = IndexHandler()

__all__ = ["ConversationIndex", "IndexHandler", "indexes"]
