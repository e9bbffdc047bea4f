"""What an index has for those who look through it: numbered pages, searches by name, figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..conf import IndexSettings
from ..keys import Id, encode
from ..layouts import Layout
from ..redis_io.operations import Operation, T
from . import stats as statistics
from .queries import Browser, Extent, Finds, Row, Span
from .stats import Discovery, Statistics

EVERYTHING = Span()


class Browsable:
    """The methods of an index that the admin is made of, each with its async twin."""

    settings: IndexSettings
    _layout: Layout
    _browser: Browser

    if TYPE_CHECKING:

        def _run(self, operation: Operation[T]) -> T: ...

        async def _arun(self, operation: Operation[T]) -> T: ...

    def extent(self, span: Span = EVERYTHING) -> Extent:
        """How many conversations are in a span, and how many have no place in the order yet."""
        return self._run(self._browser.extent(span))

    async def aextent(self, span: Span = EVERYTHING) -> Extent:
        """See extent()."""
        return await self._arun(self._browser.extent(span))

    def browse(self, span: Span, offset: int, limit: int) -> list[Row]:
        """The conversations of a span from number `offset` on, newest first.

        Any page costs the same few round trips, and no document is fetched.
        """
        return self._run(self._browser.page(span, offset, limit))

    async def abrowse(self, span: Span, offset: int, limit: int) -> list[Row]:
        """See browse()."""
        return await self._arun(self._browser.page(span, offset, limit))

    def glance(self, *conversation_ids: Id) -> list[Row]:
        """What a list shows of these conversations; those that are gone are left out."""
        return self._run(self._browser.rows([encode(id) for id in conversation_ids]))

    async def aglance(self, *conversation_ids: Id) -> list[Row]:
        """See glance()."""
        return await self._arun(self._browser.rows([encode(id) for id in conversation_ids]))

    def find_named(self, text: str, span: Span = EVERYTHING, *, start: int = 0) -> Finds:
        """Those of 10,000 conversations with `text` in the id or title, from number `start` on."""
        return self._run(self._browser.named(span, text, start))

    async def afind_named(self, text: str, span: Span = EVERYTHING, *, start: int = 0) -> Finds:
        """See find_named()."""
        return await self._arun(self._browser.named(span, text, start))

    def find_unreadable(self, span: Span = EVERYTHING, *, start: int = 0) -> Finds:
        """Those of 10,000 conversations that cannot be read, from number `start` on."""
        return self._run(self._browser.unreadable(span, start))

    async def afind_unreadable(self, span: Span = EVERYTHING, *, start: int = 0) -> Finds:
        """See find_unreadable()."""
        return await self._arun(self._browser.unreadable(span, start))

    def statistics(self, edges: Sequence[int] = ()) -> Statistics:
        """Figures of the index, and how many conversations were last written to between `edges`.

        `edges` are times in milliseconds, ascending. It costs the same few round trips always.
        """
        return self._run(statistics.statistics(self._layout, self._browser, edges))

    async def astatistics(self, edges: Sequence[int] = ()) -> Statistics:
        """See statistics()."""
        return await self._arun(statistics.statistics(self._layout, self._browser, edges))

    def discover(self) -> Discovery:
        """The further indexes that INDEXES of the alias are about."""
        return self._run(statistics.discover(self.settings))

    async def adiscover(self) -> Discovery:
        """See discover()."""
        return await self._arun(statistics.discover(self.settings))
