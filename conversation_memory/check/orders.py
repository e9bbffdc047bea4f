"""The check of the orders: of all, of the deadlines, and of each owner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..collection.listing import forgetting
from ..keys import Keys
from ..redis_io.operations import Operation, single
from . import findings
from .findings import Finding
from .survey import Survey, survey

_SCAN_COUNT = 1000


def members(order: bytes, cursor: bytes) -> Operation[tuple[bytes, list[bytes]]]:
    """The next cursor, `b"0"` at the end, and some ids in `order`."""
    cursor, pairs = yield single("ZSCAN", order, cursor, "COUNT", _SCAN_COUNT)
    return cursor, pairs[::2]


def inspect_places(
    keys: Keys, order: bytes, owner: bytes | None, ids: Sequence[bytes]
) -> Operation[list[Finding]]:
    """What is wrong with the places of `ids` in `order`, which is the one of `owner` if any."""
    surveys = yield survey(keys, order, ids)
    return [finding for it in surveys for finding in _examine(keys, it, owner)]


def _examine(keys: Keys, it: Survey, owner: bytes | None) -> Iterator[Finding]:
    if not it.is_placed or not it.has_right_types or it.is_past or it.has_stray_runs:
        return  # gone since it was listed, or found where it stands
    fix = forgetting(keys, it.id, it.owner, owner)
    if not it.exists:
        yield Finding(findings.STRAY_PLACE, it.id, fix)
    elif owner is not None and not it.is_recorded:  # it may be all that tells whose it is
        yield Finding(findings.LOST_OWNER, it.id)
    elif owner is not None and it.owner != owner:
        yield Finding(findings.WRONG_OWNER, it.id, fix)
