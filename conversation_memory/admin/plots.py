"""The plots of the indexes, as SVG without scripts, coloured by the admin's style sheet."""

from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any

from django.template.defaultfilters import date as formatted
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.translation import gettext as _

from ..clock import milliseconds
from ..collection.statistics import Statistics
from .formatting import grouped

# The area of the bars in plot.html.
_WIDTH, _HEIGHT = 322, 118
_GAP = 0.25

DAYS = 30
# Where the bars of latencies begin.
_SECONDS = (1, 2, 5, 10, 30, 60)
_SIZES = [2**power for power in (0, 10, 12, 14, 16, 18, 20)]  # 1 kB, 4 kB … 1 MB


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar with its full name, and the label under it, if any."""

    value: int
    name: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot for `admin/conversation_memory/plot.html`, which also shows its numbers as a table.

    `value` and `name` are the headings of the table.
    """

    title: str
    bars: Sequence[Bar]
    name: str
    value: str
    note: str = ""
    nothing: str = ""  # instead of an empty plot

    @property
    def top(self) -> int:
        return ceiling(max((bar.value for bar in self.bars), default=0))

    @property
    def lines(self) -> list[tuple[str, str]]:
        """The grid: a coordinate and a label each."""
        values = sorted({0, self.top // 2, self.top})
        return [(_round(_HEIGHT * (1 - value / self.top)), _short(value)) for value in values]

    @property
    def columns(self) -> Iterator[dict[str, Any]]:
        top, step = self.top, _WIDTH / max(1, len(self.bars))
        for position, bar in enumerate(self.bars):
            # A bar of a few among very many is still visible.
            height = max(bar.value / top * _HEIGHT, 1.5 if bar.value else 0)
            yield {
                "bar": bar,
                "value": grouped(bar.value),
                "step": _round(step),
                "start": _round(position * step),
                "middle": _round((position + 0.5) * step),
                "x": _round((position + _GAP / 2) * step),
                "y": _round(_HEIGHT - height),
                "width": _round(step * (1 - _GAP)),
                "height": _round(height),
            }

    @property
    def is_empty(self) -> bool:
        return not any(bar.value for bar in self.bars)


def days() -> list[date]:
    today = timezone.localdate()
    return [today - timedelta(days=n) for n in range(DAYS - 1, -1, -1)]


def edges(of: Sequence[date]) -> list[int]:
    """The midnights around those days, in milliseconds."""
    midnights = [*of, of[-1] + timedelta(days=1)]
    return [milliseconds(timezone.make_aware(datetime.combine(day, time()))) for day in midnights]


def activity(of: Sequence[date], found: Iterable[Statistics]) -> Plot:
    totals = [sum(day) for day in zip(*(one.active for one in found), strict=True)]
    note = _("Each conversation is counted on the day of its last write.")
    counts = dict(zip(of, totals, strict=True))
    plot = daily(_("Conversations active per day"), of, counts, _("conversations"))
    return replace(plot, note=note)


def daily(
    title: str, of: Sequence[date], counts: Mapping[Any, int], value: str, nothing: str = ""
) -> Plot:
    bars = [
        # A label at each Monday: a phone has no room for more.
        Bar(
            counts.get(day, 0),
            formatted(day, "DATE_FORMAT"),
            "" if day.weekday() else formatted(day, "j M"),
        )
        for day in of
    ]
    return Plot(title, bars, _("day"), value, nothing=nothing)


def latencies(seconds: Iterable[float]) -> Plot:
    """How many runs took how long."""
    counts = [0] * (len(_SECONDS) + 1)
    for each in seconds:
        counts[bisect(_SECONDS, each)] += 1
    between = (f"{start}–{end} s" for start, end in zip(_SECONDS, _SECONDS[1:], strict=False))
    names = [f"< {_SECONDS[0]} s", *between, f"≥ {_SECONDS[-1]} s"]
    bars = [Bar(count, name, name) for count, name in zip(counts, names, strict=True)]
    return Plot(_("Time per run"), bars, _("time"), _("runs"), nothing=_("No run tells its time."))


def sizes(found: Sequence[Statistics]) -> Plot:
    """The number of conversations by size, estimated from samples."""
    counts = [0.0] * len(_SIZES)
    for one in found:
        for size in one.sizes:
            counts[max(0, bisect(_SIZES, size) - 1)] += one.conversations / len(one.sizes)
    ends = [filesizeformat(size).replace(".0", "") for size in _SIZES[1:]]
    names = [*(f"< {end}" for end in ends), f"≥ {ends[-1]}"]
    bars = [Bar(round(count), name, name) for count, name in zip(counts, names, strict=True)]
    sampled, total = sum(len(one.sizes) for one in found), sum(one.conversations for one in found)
    numbers = {"sampled": grouped(sampled), "total": grouped(total)}
    note = _("Estimated from %(sampled)s of %(total)s conversations.") % numbers
    return Plot(_("Sizes"), bars, _("size"), _("conversations"), note if sampled < total else "")


def ceiling(value: int) -> int:
    """The end of the axis: the first of 1, 2, 5, 10, 20, 50 … that is at least `value`."""
    unit = 1
    while unit * 10 < value:
        unit *= 10
    return next(unit * step for step in (1, 2, 5, 10) if unit * step >= value)


def _round(number: float) -> str:
    """A coordinate, with a decimal point in every language."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _short(value: int) -> str:
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return str(value)
