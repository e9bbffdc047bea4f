"""The server's clock, and times in milliseconds since 1970, as Redis keeps them."""

from datetime import UTC, datetime
from typing import Any

from .redis_io.operations import Command, single


def now() -> Command[int]:
    """The server's time, in milliseconds."""
    return single("TIME", decode=lambda time: int(time[0]) * 1000 + int(time[1]) // 1000)


def milliseconds(time: datetime) -> int:
    """The inverse of `moment`."""
    return round(time.timestamp() * 1000)


def moment(milliseconds: float | None) -> datetime | None:
    """An aware time in UTC; None for None and for a number beyond the calendar."""
    try:
        return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def iso(time: datetime | None) -> str | None:
    """ISO 8601 with milliseconds."""
    return None if time is None else time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse(time: Any) -> int | None:
    """Milliseconds, from ISO 8601 (in UTC if it has no zone) or seconds. Raises ValueError."""
    if time is None:
        return None
    try:
        if isinstance(time, str):
            local = datetime.fromisoformat(time)
            time = (local if local.tzinfo else local.replace(tzinfo=UTC)).timestamp()
        value = round(float(time) * 1000)
    except (OverflowError, TypeError, ValueError):
        raise ValueError("a time must be ISO 8601 or a number of seconds") from None
    if not 0 <= value < 2**53:
        raise ValueError("a time is out of range")
    return value
