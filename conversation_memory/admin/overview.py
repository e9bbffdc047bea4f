"""All indexes and their figures, from all servers at once: one that is down costs its rows only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..browse.stats import Discovery, Statistics
from ..exceptions import ConversationMemoryError, InvalidIndexError, RedisUnavailable
from ..indexes import ConversationIndex, indexes
from ..models import Index
from ..rendering import label
from .addresses import Address

_MOST_THREADS = 16


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of an index: figures, or why there are none."""

    index: ConversationIndex | None = None
    statistics: Statistics | None = None
    search: str = "off"
    failure: str = ""


class Overview:
    """The indexes of `aliases`. `edges` are the times between which activity is counted."""

    def __init__(self, aliases: Iterable[str], edges: Sequence[int]):
        self._aliases = list(aliases)
        self._edges = edges
        self._surveys: dict[Address, Survey] = {}
        self._down: dict[Any, str] = {}
        self.is_complete = True

    @cached_property
    def addresses(self) -> list[Address]:
        """Those of settings, each with what its INDEXES are about behind it."""
        opened = {alias: _opened(alias) for alias in self._aliases}
        patterned = [index for index in opened.values() if index and index.settings.indexes]
        found = dict(zip(patterned, self._ask(patterned, self._discover), strict=True))
        addresses: list[Address] = []
        for alias, index in opened.items():
            addresses.append(Address(alias, index.name if index else ""))
            if discovery := found.get(index):  # type: ignore[arg-type]
                self.is_complete &= discovery.is_complete
                addresses += [Address(alias, name) for name in discovery.names]
        return list(dict.fromkeys(addresses))

    def rows(self, addresses: Sequence[Address]) -> list[Index]:
        """The model of each, with its `address` and `survey` beside the fields."""
        new = [address for address in addresses if address not in self._surveys]
        opened = [(address, _opened(address.alias, address.name)) for address in new]
        for address, index in opened:
            if index is None:
                self._surveys[address] = Survey(failure=_fault(address))
        usable = {address: index for address, index in opened if index}
        surveys = self._ask(list(usable.values()), self._survey)
        self._surveys |= zip(usable, surveys, strict=True)
        return [_instance(address, self._surveys[address]) for address in addresses]

    def _ask(
        self, asked: Sequence[ConversationIndex], question: Callable[[ConversationIndex], Any]
    ) -> list[Any]:
        """The answer for each index: servers at the same time, the indexes of one in turn."""
        if not asked:
            return []
        by_server: dict[Any, list[ConversationIndex]] = {}
        for index in asked:
            by_server.setdefault(index.settings.server, []).append(index)
        with ThreadPoolExecutor(min(_MOST_THREADS, len(by_server))) as pool:
            groups = pool.map(
                lambda group: [question(index) for index in group], by_server.values()
            )
            answers = dict(
                zip(
                    (id(i) for group in by_server.values() for i in group),
                    _flat(groups),
                    strict=True,
                )
            )
        return [answers[id(index)] for index in asked]

    def _discover(self, index: ConversationIndex) -> Discovery:
        if index.settings.server in self._down:
            return Discovery([])
        try:
            return index.discover()
        except ConversationMemoryError as error:
            self._note(index, error)
            return Discovery([])

    def _survey(self, index: ConversationIndex) -> Survey:
        if failure := self._down.get(index.settings.server):
            return Survey(index, failure=failure)
        try:
            return Survey(index, index.statistics(self._edges), index.search_state().kind)
        except ConversationMemoryError as error:
            self._note(index, error)
            return Survey(index, failure=str(error))

    def _note(self, index: ConversationIndex, error: ConversationMemoryError) -> None:
        """A server that does not answer is not asked again, which would take as long each time."""
        if isinstance(error, RedisUnavailable):
            self._down[index.settings.server] = str(error)


def _opened(alias: str, name: str | None = None) -> ConversationIndex | None:
    """The index, None if its settings cannot be used."""
    try:
        return indexes[alias] if name is None else indexes.open(alias, name)
    except InvalidIndexError:
        return None


def _fault(address: Address) -> str:
    try:
        indexes.open(address.alias, address.name)
    except InvalidIndexError as error:
        return str(error)
    return ""


def _flat(groups: Iterable[list[Any]]) -> Iterator[Any]:
    return (answer for group in groups for answer in group)


def _instance(address: Address, survey: Survey) -> Index:
    made = Index(id=str(address), alias=label(address.alias), name=label(address.name))
    made._state.adding = False
    made.address, made.survey = address, survey  # type: ignore[attr-defined]
    return made
