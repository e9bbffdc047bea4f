"""The plots of the indexes, as SVG without scripts, coloured by the admin's style sheet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.template.defaultfilters import date as formatted
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..browse.stats import Statistics
from .formatting import grouped

# Units of the drawing, which scales with the page; legible on a phone.
_WIDTH, _HEIGHT = 360, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 4, 12, 20
_PLOT_WIDTH = _WIDTH - _LEFT - _RIGHT
_PLOT_HEIGHT = _HEIGHT - _TOP - _BOTTOM
_GAP = 0.25

DAYS = 30
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

    @property
    def svg(self) -> SafeString:
        return draw(self.bars)

    @property
    def is_empty(self) -> bool:
        return not any(bar.value for bar in self.bars)


def days() -> list[date]:
    """The last 30 days, including today."""
    today = timezone.localdate()
    return [today - timedelta(days=n) for n in range(DAYS - 1, -1, -1)]


def edges(of: Sequence[date]) -> list[int]:
    """The midnights around those days, in milliseconds."""
    midnights = [*of, of[-1] + timedelta(days=1)]
    return [
        round(timezone.make_aware(datetime.combine(day, time())).timestamp() * 1000)
        for day in midnights
    ]


def activity(of: Sequence[date], found: Iterable[Statistics]) -> Plot:
    totals = [0] * len(of)
    for one in found:
        totals = [a + b for a, b in zip(totals, one.active, strict=True)]
    bars = [
        # A label at each Monday: a phone has no room for more.
        Bar(total, formatted(day, "DATE_FORMAT"), "" if day.weekday() else formatted(day, "j M"))
        for day, total in zip(of, totals, strict=True)
    ]
    return Plot(
        _("Conversations active per day"),
        bars,
        _("day"),
        _("conversations"),
        _("Each conversation is counted on the day of its last write."),
    )


def sizes(found: Sequence[Statistics]) -> Plot:
    """The number of conversations by size, estimated from samples."""
    counts = [0.0] * len(_SIZES)
    for one in found:
        for size in one.sizes:
            counts[_bucket(size)] += one.conversations / len(one.sizes)
    sampled, total = sum(len(one.sizes) for one in found), sum(o.conversations for o in found)
    note = _("Estimated from %(sampled)s of %(total)s conversations.") % {
        "sampled": grouped(sampled),
        "total": grouped(total),
    }
    bars = [Bar(round(count), name, name) for count, name in zip(counts, _names(), strict=True)]
    note = "" if sampled >= total else note
    return Plot(_("Sizes"), bars, _("size"), _("conversations"), note)


def _bucket(size: int) -> int:
    return max(place for place, least in enumerate(_SIZES) if size >= least or not place)


def _names() -> list[str]:
    return [
        *(f"< {filesizeformat(end).replace('.0', '')}" for end in _SIZES[1:]),
        f"≥ {filesizeformat(_SIZES[-1]).replace('.0', '')}",
    ]


def draw(bars: Sequence[Bar]) -> SafeString:
    """`bars` side by side over a grid, hidden from screen readers, which read the table."""
    top = ceiling(max((bar.value for bar in bars), default=0))
    return format_html(
        '<svg class="cm-bars" viewBox="0 0 {} {}" aria-hidden="true" focusable="false">{}{}</svg>',
        _WIDTH,
        _HEIGHT,
        format_html_join("", "{}", ((line,) for line in _lines(top))),
        format_html_join("", "{}", ((column,) for column in _columns(bars, top))),
    )


def ceiling(value: int) -> int:
    """The end of the axis: the first of 1, 2, 5, 10, 20, 50 … that is at least `value`."""
    unit = 1
    while unit * 10 < value:
        unit *= 10
    return next(unit * step for step in (1, 2, 5, 10) if unit * step >= value)


def _lines(top: int) -> Iterator[SafeString]:
    for value in sorted({0, top // 2, top}) if top > 1 else (0, top):
        y = _y(value, top)
        yield format_html(
            '<line class="cm-grid" x1="{}" x2="{}" y1="{}" y2="{}"></line>'
            '<text class="cm-axis cm-value" x="{}" y="{}">{}</text>',
            _LEFT,
            _WIDTH - _RIGHT,
            y,
            y,
            _LEFT - 5,
            y,
            _short(value),
        )


def _columns(bars: Sequence[Bar], top: int) -> Iterator[SafeString]:
    step = _PLOT_WIDTH / max(1, len(bars))
    for position, bar in enumerate(bars):
        x, y = _LEFT + position * step, _y(bar.value, top)
        yield format_html(
            '<g><title>{}: {}</title><rect class="cm-reach" x="{}" y="{}" width="{}" height="{}">'
            '</rect><rect class="cm-bar" x="{}" y="{}" width="{}" height="{}" rx="1"></rect>{}</g>',
            bar.name,
            grouped(bar.value),
            _round(x),
            _TOP,
            _round(step),
            _PLOT_HEIGHT,
            _round(x + step * _GAP / 2),
            y,
            _round(step * (1 - _GAP)),
            _round(_HEIGHT - _BOTTOM - float(y)),
            _caption(bar.label, x + step / 2),
        )


def _caption(label: str, x: float) -> SafeString:
    if not label:
        return SafeString()
    y = _HEIGHT - 5
    return format_html('<text class="cm-axis" x="{}" y="{}">{}</text>', _round(x), y, label)


def _y(value: int, top: int) -> str:
    share = value / max(1, top)
    # A bar of a few among very many is still visible.
    height = max(share * _PLOT_HEIGHT, 1.5 if value else 0)
    return _round(_HEIGHT - _BOTTOM - height)


def _round(number: float) -> str:
    """A coordinate, with a decimal point in every language."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _short(value: int) -> str:
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return str(value)
