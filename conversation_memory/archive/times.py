"""Times as other programs write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def milliseconds(time: Any) -> int | None:
    """Of an ISO 8601 text, in UTC if it has no zone, or of seconds. Raises ValueError."""
    if time is None:
        return None
    try:
        if isinstance(time, str):
            moment = datetime.fromisoformat(time)
            time = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        value = round(float(time) * 1000)
    except (OverflowError, TypeError, ValueError):
        raise ValueError("a time is neither ISO 8601 nor a number of seconds") from None
    if not 0 <= value < 2**53:
        raise ValueError("a time is out of range")
    return value


def iso(milliseconds: int) -> str | None:
    """ISO 8601 in UTC; None for what no calendar has."""
    try:
        time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
