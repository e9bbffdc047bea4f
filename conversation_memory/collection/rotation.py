"""Encrypting the conversations of an index with the newest key."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..encryption.item_texts import ItemTexts
from ..encryption.keyring import Keyring
from ..exceptions import (
    ConversationError,
    ConversationMemoryError,
    ConversationUndecryptable,
    Damaged,
    RedisMisconfigured,
    Undecryptable,
    is_wrong_type,
)
from ..keys import Keys, decode
from ..layouts import ConversationRef, Layout
from ..layouts.proof import note_unused, proven
from ..layouts.resealing import reseal_fields
from ..redis_io.operations import Operation, Performing, single, twins
from ..search_index.index_state import drop_all
from .listing import Listing
from .selection import EVERYTHING, PageKey, ScanCursor, Selection

_SCANNED = 1000

logger = logging.getLogger("conversation_memory")


@dataclass(frozen=True, slots=True)
class Rotation:
    """How many conversations were looked at, were encrypted anew, and could not be.

    `items` and `failed_items` are the same of the items of a store of LangGraph.
    """

    seen: int = 0
    rotated: int = 0
    failed: int = 0
    items: int = 0
    failed_items: int = 0


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
        decrypted, and stays as it is. Returns the counts. Without a selection, the items of a store
        of LangGraph are encrypted anew as well.
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
        found = Rotation(seen, rotated, failed)
        if selection != EVERYTHING:
            return found
        if self._layout.schema is None:
            yield from drop_all(self._layout.keys)
        items, errors = yield from _rotated_items(self._layout.keys, self._layout.alias)
        for each in errors:
            failure(each)
        if not failed and not errors:
            yield from note_unused(self._layout.keys)
        return replace(found, items=items, failed_items=len(errors))

    rotate_keys, arotate_keys = twins(_rotate_keys)


def _rotated(layout: Layout, id: bytes) -> Operation[bool]:
    ref = ConversationRef(id)
    return (yield from layout.guarded(ref, layout.reseal(ref)))


def _rotated_items(keys: Keys, alias: str) -> Operation[tuple[int, list[ConversationMemoryError]]]:
    """How many items of stores were encrypted anew, and the errors of those that could not be."""
    yield from proven(keys, alias)
    cursor, rotated, errors, pattern = b"", 0, _ItemErrors(keys, alias), keys.items_pattern()
    while cursor != b"0":
        cursor, names = yield single("SCAN", cursor or b"0", "MATCH", pattern, "COUNT", _SCANNED)
        for name in names:
            rotated += yield from _rotated_namespace(keys, name, errors)
    return rotated, [*errors.found.values()]


def _rotated_namespace(keys: Keys, name: bytes, errors: _ItemErrors) -> Operation[int]:
    place = keys.read_reply(keys.family(name)[1])
    if place is None:
        return 0
    texts = ItemTexts(keys.sealing, *place)

    def anew(key: bytes, item: bytes) -> bytes:
        try:
            return texts.anew(key, item)
        except Damaged as damage:
            errors.add(name, key, damage)
            return item

    try:
        return (yield from reseal_fields(name, anew))
    except RedisMisconfigured as error:
        if not is_wrong_type(error):
            raise
        errors.add(name, b"", Damaged("the key has another type"))
        return 0


class _ItemErrors:
    """The errors about items, each once."""

    def __init__(self, keys: Keys, alias: str):
        self._where = f"in index {keys.name!r} (alias {alias!r})"
        self.found: dict[tuple[bytes, bytes], ConversationMemoryError] = {}

    def add(self, name: bytes, key: bytes, damage: Damaged) -> None:
        item = f"The item {decode(key)!r} of {decode(name)!r} {self._where}"
        key_id = damage.key_id if isinstance(damage, Undecryptable) else ""
        text = f"{item} cannot be encrypted anew: {damage.reason}. It was not changed."
        self.found[name, key] = ConversationUndecryptable(text, damage.raw, key_id)


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
