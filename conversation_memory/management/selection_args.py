"""The options that select conversations: by owner, and by the time of the last write."""

import re
from argparse import ArgumentTypeError
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from conversation_memory.collection.selection import Selection

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_ago = re.compile(r"(\d{1,9})([smhdw])").fullmatch


def moment(text: str) -> datetime:
    """The aware time of `2026-05-31`, `2026-05-31T12:00` (current time zone) or `30d` (ago)."""
    try:
        if ago := _ago(text):
            return timezone.now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        time = parse_datetime(text)
        if time is None:
            raise ValueError
        return time if timezone.is_aware(time) else timezone.make_aware(time)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(
            f"{text[:100]!r} is not a date (2026-05-31), a date and time (2026-05-31T12:00) or an "
            "age (30d, 12h)."
        ) from None


def add_selection(parser: Any) -> None:
    parser.add_argument("--owner", help="Only conversations of this owner: a user's primary key.")
    parser.add_argument(
        "--since",
        metavar="TIME",
        type=moment,
        help="Only conversations written to since then: an ISO 8601 date or time, or an age (30d).",
    )
    parser.add_argument(
        "--until",
        metavar="TIME",
        type=moment,
        help="Only conversations not written to since then; a date means its start.",
    )


def selection(owner: Any, since: Any, until: Any, ids: Sequence[str] = ()) -> Selection:
    try:
        # call_command() does not parse options, which may be times as strings.
        since, until = (moment(t) if isinstance(t, str) else t for t in (since, until))
        return Selection(owner, since, until, ids or None)
    except (ArgumentTypeError, ValueError) as error:
        raise CommandError(str(error)) from None
