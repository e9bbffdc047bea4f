"""When a message was written, if `meta` tells: the format has no place for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive

from ..runs import Run

# Keys of `meta`, the first that is there counts.
_ASKED = ("asked", "asked_at", "created_at", "created", "timestamp", "time", "date", "datetime")
_ANSWERED = ("answered", "answered_at", "completed_at", "finished_at")
# Beyond, a number counts milliseconds: as seconds, it would be in the year 5138.
_MILLISECONDS_FROM = 10**11


def asked_at(run: Run) -> datetime | None:
    """When the input was written, by the `meta` of the input or of the run."""
    return _first(run.input.meta, _ASKED) or _first(run.meta, _ASKED)


def answered_at(run: Run) -> datetime | None:
    """When the output was written, by the `meta` of the output or of the run."""
    return _first(run.output.meta, _ANSWERED + _ASKED) or _first(run.meta, _ANSWERED)


def _first(meta: Any, keys: tuple[str, ...]) -> datetime | None:
    if not isinstance(meta, Mapping):
        return None
    times = (_time(meta[key]) for key in keys if key in meta)
    return next(filter(None, times), None)


def _time(value: Any) -> datetime | None:
    try:
        if isinstance(value, str):
            return _aware(parse_datetime(value))
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if value >= _MILLISECONDS_FROM else value
            return datetime.fromtimestamp(seconds, UTC) if seconds > 10**8 else None
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _aware(time: datetime | None) -> datetime | None:
    """A time without a zone is taken to be in UTC."""
    return time.replace(tzinfo=UTC) if time and is_naive(time) else time
