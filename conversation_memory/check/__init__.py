"""A consistency check of an index, and the repair of derived data.

Everything is inspected in batches, each conversation in one transaction. The script of a repair
verifies the fault again, and the batch is inspected once more afterwards. So concurrent writes do
not falsify the report, and a fault that another client repaired meanwhile counts as repaired.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from ..collection.listing import Listing
from ..collection.selection import ScanCursor, members
from ..exceptions import ConversationError
from ..layouts import Layout
from ..layouts.declared import declared
from ..layouts.proof import proven
from ..redis_io.operations import Command, Operation, single
from ..search.reindex import batches
from ..search_index.sweep import PARTLY, tokens_of
from .conversations import inspect_conversations, inspect_keys, inspect_scores, inspect_types
from .findings import NOT_INDEXED, Finding, Problem, Report, Tally
from .opened import inspect_replies
from .search_documents import (
    inspect_count,
    inspect_documents,
    inspect_names,
    inspect_tokens,
    searched,
)

_SCAN_COUNT = 1000

# Some names (ids or keys) -> their faults.
Inspect = Callable[[Sequence[bytes]], Operation[list[Finding]]]


class Check:
    """A check of an index. Add to `inspections` for other data derived from conversations."""

    def __init__(
        self,
        layout: Layout,
        listing: Listing,
        *,
        fix: bool,
        examples: int,
        progress: Callable[[Report], object],
    ):
        self._layout = layout
        self._keys = layout.keys
        self._listing = listing
        self._fix = fix
        self._tally = Tally(examples)
        self._progress = progress
        self._is_searched = layout.schema is not None
        self.inspections: list[Inspect] = [partial(inspect_conversations, self._keys)]

    def run(self) -> Operation[Report]:
        if self._fix and self._is_searched:
            yield from proven(self._keys, self._layout.alias)
        broken = yield from self._wrong_types()
        if not broken:
            yield from self._conversations()
            for order in (self._keys.recency(), self._keys.expiry()):
                yield from self._scores(order, None)
            yield from self._strays()
            if self._is_searched:
                yield from self._stray_documents()
        return self._tally.report()

    def _wrong_types(self) -> Operation[list[Finding]]:
        # A key of the wrong type would break off every other inspection.
        keys = self._keys
        expected = {keys.index: b"hash", keys.opened(): b"zset"}
        expected |= {keys.recency(): b"zset", keys.expiry(): b"zset"}
        if self._is_searched:
            expected |= dict.fromkeys((keys.tokens(), keys.owners(), keys.search()), b"hash")
            expected |= {keys.stale(): b"set", keys.unembedded(): b"zset"}
        found = yield from inspect_types(expected)
        self._tally.add(found, found)
        return found

    def _conversations(self) -> Operation[None]:
        cursor = ScanCursor(self._listing.every)
        while cursor.goes_on:
            ids = yield from cursor.next()
            for inspect in self.inspections:
                yield from self._look(inspect, ids)
            # A few at a time, as a repair holds all documents of a conversation.
            for batch in batches((yield from searched(self._layout, ids)) if ids else []):
                yield from self._look(partial(inspect_documents, self._layout), batch)
            self._tally.seen += len(ids)
            self._progress(self._tally.report())

    def _scores(self, order: bytes, owner: bytes | None) -> Operation[None]:
        inspect = partial(inspect_scores, self._keys, order, owner)
        yield from self._look_at(members(order), inspect)

    def _strays(self) -> Operation[None]:
        cursor = ScanCursor(self._scan)
        while cursor.goes_on:
            names = yield from cursor.next()
            yield from self._look(partial(inspect_keys, self._keys), names)
            yield from self._look(partial(inspect_replies, self._keys), names)
            yield from self._owners([n for n in names if self._keys.family(n)[0] == b"owner"])
            if self._is_searched:
                documents = [n for n in names if n.startswith(self._keys.documents())]
                yield from self._look(partial(inspect_names, self._layout), documents)

    def _scan(self, cursor: bytes) -> Operation[tuple[bytes, list[bytes]]]:
        call = ("SCAN", cursor, "MATCH", self._keys.pattern(), "COUNT", _SCAN_COUNT)
        return tuple((yield single(*call)))

    def _owners(self, orders: Sequence[bytes]) -> Operation[None]:
        wrong = yield from inspect_types(dict.fromkeys(orders, b"zset"))
        self._tally.add(wrong, wrong)
        for order in {*orders} - {finding.name for finding in wrong}:
            yield from self._scores(order, self._keys.family(order)[1])

    def _stray_documents(self) -> Operation[None]:
        yield from self._look_at(
            ScanCursor(partial(tokens_of, self._keys)), partial(inspect_tokens, self._layout)
        )
        # With documents missing, the count is bound to differ.
        if not self._tally.left[NOT_INDEXED]:
            yield from self._look(partial(inspect_count, self._layout), [self._keys.search()])

    def _look_at(self, cursor: ScanCursor[list[bytes]], inspect: Inspect) -> Operation[None]:
        while cursor.goes_on:
            yield from self._look(inspect, (yield from cursor.next()))

    def _look(self, inspect: Inspect, names: Sequence[bytes]) -> Operation[None]:
        """Inspect, repair, and inspect again what was repaired."""
        found = left = (yield from inspect(names)) if names else []
        fixes = [*dict.fromkeys(finding.fix for finding in found if finding.fix)]
        if self._fix and fixes:
            yield from _repair([fix for fix in fixes if isinstance(fix, Command)])
            for fix in fixes:
                if not isinstance(fix, Command):
                    with suppress(ConversationError):  # changed meanwhile
                        yield from fix()
            left = yield from inspect(names)
        self._tally.add(found, left)


def _repair(fixes: list[Command[Any]]) -> Operation[None]:
    while fixes:
        replies = yield from declared(fixes)
        fixes = [fix for fix, reply in zip(fixes, replies, strict=True) if reply == PARTLY]


__all__ = ["Check", "Finding", "Inspect", "Problem", "Report"]
