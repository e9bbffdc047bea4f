"""Encrypting the conversations of an index with the newest key."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..encryption.keyring import Keyring
from ..exceptions import ConversationError, ConversationMemoryError, RedisMisconfigured
from ..layouts import ConversationRef, Layout
from ..redis_io.operations import Operation, Performing, twins
from ..search_index.index_state import drop_all
from .listing import Listing
from .selection import EVERYTHING, PageKey, ScanCursor, Selection

logger = logging.getLogger("conversation_memory")


@dataclass(frozen=True, slots=True)
class Rotation:
    """How many conversations were looked at, were encrypted anew, and could not be."""

    seen: int = 0
    rotated: int = 0
    failed: int = 0


class RotatingIndex(Performing):
    """An index whose conversations can be encrypted anew."""

    _layout: Layout
    _listing: Listing

    @property
    def keyring(self) -> Keyring | None:
        """The keys of ENCRYPTION; None if the index is not encrypted."""
        return None if self._layout.sealing is None else self._layout.sealing.keyring

    def _rotate_keys(
        self,
        selection: Selection = EVERYTHING,
        *,
        progress: Callable[[Rotation], object] = bool,
        failure: Callable[[ConversationMemoryError], object] = logger.warning,
    ) -> Operation[Rotation]:
        """Encrypt with the newest key of ENCRYPTION what it has not encrypted yet.

        That is what has an older key and, with READ_PLAINTEXT, what is not encrypted. Owner, times
        and deadline stay. Others may write meanwhile, and a call after an interruption goes on
        where the last one ended. `failure` gets the error of each conversation that cannot be
        decrypted, and stays as it is. Returns the counts.
        """
        if self._layout.sealing is None:
            raise RedisMisconfigured(f"Alias {self._layout.alias!r} has no ENCRYPTION.")
        seen = rotated = failed = 0
        batches = _Batches(self._listing, selection)
        while batches.go_on:
            for id in (yield from batches.next()):
                seen += 1
                try:
                    rotated += yield from _rotated(self._layout, id)
                except ConversationError as error:
                    failed += 1
                    failure(error)
                progress(Rotation(seen, rotated, failed))
        if self._layout.schema is None and selection == EVERYTHING:
            yield from drop_all(self._layout.keys)
        return Rotation(seen, rotated, failed)

    rotate_keys, arotate_keys = twins(_rotate_keys)


def _rotated(layout: Layout, id: bytes) -> Operation[bool]:
    ref = ConversationRef(id)
    return (yield from layout.guarded(ref, layout.reseal(ref)))


class _Batches:
    """The ids that a selection chooses. All of them need no recency index, which may lack some."""

    def __init__(self, listing: Listing, selection: Selection):
        self._listing, self._selection = listing, selection
        self._scan = ScanCursor(listing.scan)
        self._after: PageKey | None = None
        self._is_over = False

    @property
    def go_on(self) -> bool:
        return self._scan.goes_on if self._selection == EVERYTHING else not self._is_over

    def next(self) -> Operation[Sequence[bytes]]:
        if self._selection == EVERYTHING:
            return (yield from self._scan.next())
        batch = self._listing.batch(self._selection, self._after, oldest_first=True)
        found, self._after = yield from batch
        self._is_over = self._after is None
        return [summary.id for summary in found]
