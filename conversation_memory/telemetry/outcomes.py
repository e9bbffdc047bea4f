"""How an operation ended, and what it did, in words of a small and fixed set."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
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


def _runs_of(result: Any) -> int:
    return len(result.runs)


def _one(result: Any) -> int:
    return 1


# How many runs an operation added or returned, by what its method returned.
_RUNS: dict[str, Callable[[Any], int]] = {
    "load": lambda result: len(result[0]),
    **dict.fromkeys(("read", "excerpt", "page", "inspect"), _runs_of),
    **dict.fromkeys(("tail", "window", "search", "append_messages"), len),
    **dict.fromkeys(("begin", "finish", "edit", "annotate", "remove"), _one),
    "append": int,
    "recall": lambda result: len(result[0]),
}


def runs_in(operation: str, result: Any) -> int | None:
    """The number of runs that an operation added, changed or returned; None if it tells none."""
    count = _RUNS.get(operation)
    return None if count is None else count(result)
