"""Counting runs by the value of a field, and by their time."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

from ..clock import milliseconds
from ..search_index.reasons import Reason
from ..search_index.schema import SEPARATOR, Schema
from ..search_index.tokens import untag
from .redisearch import warnings
from .scan import Candidate

PERIODS = ("hour", "day", "week", "month")
HOUR = 3_600_000  # ms
QUARTER = HOUR // 4  # some time zones have an offset of quarters of an hour
MOST = 1_000_000
_YEAR = 366 * 86400  # s

Counts = Counter[str]
Row = dict[bytes, Any]


class Grouping(NamedTuple):
    """How runs are grouped: by a part of an FT.AGGREGATE, or by the values of a run.

    `value` is that of a row of the reply, None if it cannot be decrypted. The schema is that of the
    documents, as each shard of an index has its own digests.
    """

    aggregate: list[Any]
    values: Callable[[Candidate], list[str]]
    value: Callable[[Schema | None, Row], str | None]


def by_value(schema: Schema, name: str) -> Grouping:
    field, kind = schema.field(name)

    def values(candidate: Candidate) -> list[str]:
        return candidate.values.get(field, b"").decode().split(SEPARATOR)

    if kind != "tag":
        return Grouping(_aggregate(field, "GROUPBY", 1, f"@{field}"), values, _only_value)
    # GROUPBY takes all tags of a document as one value.
    group = ("APPLY", f'split(@{field}, "{SEPARATOR}")', "AS", "value", "GROUPBY", 1, "@value")
    if name not in schema.sealed:
        return Grouping(_aggregate(field, *group), values, _only_value)

    def opened(schema: Schema | None, row: Row) -> str | None:
        assert schema is not None
        digest = (row.get(b"value") or b"").decode("ascii", "replace")
        return schema.opened(name, digest, row.get(b"tags") or b"")

    sample = ("REDUCE", "FIRST_VALUE", 1, f"@sealed_{name}", "AS", "tags")
    return Grouping(_aggregate(field, *group, *sample, also=(f"@sealed_{name}",)), values, opened)


def by_time(step: int) -> Grouping:
    """By time in steps of `step` ms, which are numbered."""

    def values(candidate: Candidate) -> list[str]:
        updated = candidate.record.updated
        return [str(milliseconds(updated) // step)] if updated else []

    number = ("APPLY", f"floor(@t / {step})", "AS", "value")
    return Grouping(_aggregate("t", *number, "GROUPBY", 1, "@value"), values, _only_value)


def _only_value(schema: Schema | None, row: Row) -> str:
    value: bytes | None = next(iter(row.values()), None)
    return "" if value is None else value.decode("utf-8", "replace")


def _aggregate(field: str, *group: Any, also: Sequence[str] = ()) -> list[Any]:
    # GROUPBY takes a missing field as a value too.
    exists = ("LOAD", 1 + len(also), f"@{field}", *also, "FILTER", f"exists(@{field})")
    # Without a LIMIT, FT.AGGREGATE returns ten rows.
    return [*exists, *group, "REDUCE", "COUNT", 0, "AS", "count", "LIMIT", 0, MOST]


def counted(reply: Any, value_of: Callable[[Row], str | None]) -> tuple[Counts, list[Reason]]:
    """The counts in the reply to an FT.AGGREGATE, and the reasons why there may be more."""
    if isinstance(reply, dict):
        rows, reasons = [row[b"extra_attributes"] for row in reply[b"results"]], warnings(reply)
    else:
        rows, reasons = [dict(zip(row[::2], row[1::2], strict=True)) for row in reply[1:]], []
    counts, unknown = Counts(), 0
    for row in rows:
        count, value = int(row.pop(b"count")), value_of(row)
        if value is None:
            unknown += count
        elif value:
            counts[value] += count
    return counts, [*reasons, Reason("damaged", unknown)] if unknown else reasons


def named(counts: Counts, kind: str, limit: int) -> dict[str, int]:
    """The most frequent values, as they are in metadata."""
    total: Counter[str] = Counter()
    for value, count in counts.items():
        total[untag(value) if kind == "tag" else _plain(float(value))] += count
    return dict(sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))[:limit])


def _plain(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)


def step_of(zone: tzinfo) -> int:
    """The length of the steps to count in, ms, so that each lies within one hour of the zone."""
    year = datetime.now(UTC).year
    moments = [datetime(year, month, 1, tzinfo=UTC).astimezone(zone) for month in (1, 7)]
    return HOUR if all(start_of(moment, "hour") == moment for moment in moments) else QUARTER


def in_periods(counts: Counts, step: int, by: str, zone: tzinfo) -> dict[date, int]:
    """The counts by hour, day, week or month of a time zone, without gaps, from those by step."""
    total: Counter[date] = Counter()
    for value, count in counts.items():
        seconds = float(value) * step / 1000
        # Garbage in a document must not make millions of periods.
        if 0 <= seconds < time.time() + _YEAR:
            total[start_of(datetime.fromtimestamp(seconds, zone), by)] += count
    if not total:
        return {}
    periods, start, last = {}, min(total), max(total)
    while start <= last:
        periods[start] = total[start]
        start = _after(start, by, zone)
    return periods


def start_of(moment: datetime, by: str) -> date:
    """The hour, day, Monday or first of the month of a moment."""
    if by == "hour":
        return moment.replace(minute=0, second=0, microsecond=0)
    day = moment.date()
    if by == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if by == "month" else day


def _after(start: date, by: str, zone: tzinfo) -> date:
    if isinstance(start, datetime):  # in UTC, which has no summer time
        return start_of((start.astimezone(UTC) + timedelta(hours=1)).astimezone(zone), "hour")
    if by == "month":
        return (start + timedelta(days=31)).replace(day=1)
    return start + timedelta(days=7 if by == "week" else 1)
