"""How an operation ended, and what it did, in words of a small and fixed set."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Sized
from typing import Any

from .. import exceptions as errors

# Of histograms, in seconds.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

OUTCOMES: tuple[tuple[type[BaseException], str], ...] = (
    (errors.ConversationConflict, "conflict"),
    (errors.ConversationNotFound, "not_found"),
    (errors.ConversationTooLarge, "too_large"),
    (errors.ConversationCorrupt, "corrupt"),
    (errors.ReplyError, "reply"),
    (errors.RedisUnavailable, "unavailable"),
    (errors.RedisReadOnly, "read_only"),
    (errors.RedisDenied, "denied"),
    (errors.RedisMisconfigured, "misconfigured"),
    (CancelledError, "cancelled"),
)


def outcome_of(error: BaseException | None) -> str:
    """The outcome of an operation: `ok`, one of OUTCOMES, or `error`."""
    if error is None:
        return "ok"
    return next((word for kind, word in OUTCOMES if isinstance(error, kind)), "error")


# Operations that add, change or return one run, and those that return several.
_ONE = frozenset("begin finish edit annotate remove".split())
_SEVERAL = frozenset(
    "load read excerpt page inspect tail window search append_messages recall".split()
)


def runs_in(operation: str, result: Any) -> int | None:
    """The number of runs that an operation added, changed or returned; None if it tells none."""
    if operation in _ONE:
        return 1
    if operation == "append" and isinstance(result, int):
        return result
    if operation not in _SEVERAL:
        return None
    first = result[0] if isinstance(result, tuple) and result else result
    runs = getattr(first, "runs", first)
    return len(runs) if isinstance(runs, Sized) else None
