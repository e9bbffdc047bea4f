"""Bars as SVG, drawn here: no script draws them, and the style sheet of the admin colours them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

# Units of the drawing, which scales with its place: small enough to be read on a phone.
_WIDTH, _HEIGHT = 360, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 4, 12, 20
_PLOT_WIDTH = _WIDTH - _LEFT - _RIGHT
_PLOT_HEIGHT = _HEIGHT - _TOP - _BOTTOM
_GAP = 0.25


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its value, what it stands for in full, and what is written under it, if anything."""

    value: int
    name: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot as `admin/conversation_memory/plot.html` shows it, with the same numbers as a table.

    `value` and `name` are the headings of the table; `note` says what was left out, if anything.
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


def draw(bars: Sequence[Bar]) -> SafeString:
    """`bars` side by side, over lines that say how high they are.

    It is hidden from screen readers, for which the table is made.
    """
    top = ceiling(max((bar.value for bar in bars), default=0))
    return format_html(
        '<svg class="cm-bars" viewBox="0 0 {} {}" aria-hidden="true" focusable="false">{}{}</svg>',
        _WIDTH,
        _HEIGHT,
        format_html_join("", "{}", ((line,) for line in _lines(top))),
        format_html_join("", "{}", ((column,) for column in _columns(bars, top))),
    )


def ceiling(value: int) -> int:
    """The end of the axis: the next of 1, 2, 5, 10, 20, 50 … that is not below `value`."""
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
            number_format(bar.value, force_grouping=True),
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
    # A bar of a few among very many is still seen.
    height = max(share * _PLOT_HEIGHT, 1.5 if value else 0)
    return _round(_HEIGHT - _BOTTOM - height)


def _round(number: float) -> str:
    """A coordinate, with a full stop in every language."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _short(value: int) -> str:
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return str(value)
