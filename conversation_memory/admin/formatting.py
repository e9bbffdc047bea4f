"""Figures of indexes as staff read them: plots, spans of time, bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from itertools import pairwise

from django.template.defaultfilters import date as formatted
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.formats import localize, number_format
from django.utils.html import format_html
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..browse.stats import Statistics
from ..conf import IndexSettings
from .plots import Bar, Plot

DAYS = 30
_MINUTE = timedelta(minutes=1)
_SIZES = [2**power for power in (0, 10, 12, 14, 16, 18, 20)]  # 1 kB, 4 kB … 1 MB


def days() -> list[date]:
    """The last 30 days, today among them."""
    today = timezone.localdate()
    return [today - timedelta(days=n) for n in range(DAYS - 1, -1, -1)]


def edges(of: Sequence[date]) -> list[int]:
    """Where each of those days begins, and where the last ends, in milliseconds."""
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
        # Each Monday, or on a phone there would be no room.
        Bar(
            total, formatted(day, "DATE_FORMAT"), formatted(day, "j M") if not day.weekday() else ""
        )
        for day, total in zip(of, totals, strict=True)
    ]
    return Plot(
        _("Conversations active per day"),
        bars,
        _("day"),
        _("conversations"),
        _("A conversation counts on the day of its last write."),
    )


def sizes(found: Sequence[Statistics]) -> Plot:
    """How many conversations have about which size, estimated from samples."""
    counts = [0.0] * len(_SIZES)
    for one in found:
        for size in one.sizes:
            counts[_bucket(size)] += one.conversations / len(one.sizes)
    sampled, total = sum(len(one.sizes) for one in found), sum(o.conversations for o in found)
    note = _("Estimated from %(sampled)s of %(total)s conversations.") % {
        "sampled": number_format(sampled, force_grouping=True),
        "total": number_format(total, force_grouping=True),
    }
    bars = [
        Bar(round(count), name, name) for count, name in zip(counts, _size_names(), strict=True)
    ]
    whole = sampled >= total
    return Plot(_("Sizes"), bars, _("size"), _("conversations"), "" if whole else note)


def _bucket(size: int) -> int:
    return max(place for place, least in enumerate(_SIZES) if size >= least or not place)


def _size_names() -> list[str]:
    return [
        *(f"< {filesizeformat(end).replace('.0', '')}" for _, end in pairwise(_SIZES)),
        f"≥ {filesizeformat(_SIZES[-1]).replace('.0', '')}",
    ]


def expiry_rule(settings: IndexSettings) -> str:
    """When the conversations of an index are gone."""
    if settings.lifetime is None:
        return _("never")
    text = (
        _("%(time)s after the last reading")
        if settings.ttl_on_read
        else _("%(time)s after the last write")
    )
    return text % {"time": lasting(settings.lifetime / 1000)}


def ago(then: datetime | None) -> str | None:
    """How long ago that was, with the exact time in a tooltip."""
    if then is None:
        return None
    past = max(timezone.now() - then, timedelta())
    text = _("%s ago") % timesince(timezone.now() - past, depth=1)
    return _timed(then, text if past >= _MINUTE else _("just now"))


def ahead(then: datetime | None) -> str | None:
    """How far ahead that is, with the exact time in a tooltip."""
    if then is None:
        return None
    return _timed(then, _("in %s") % timeuntil(then, depth=1))


def _timed(then: datetime, text: str) -> str:
    exact = localize(timezone.localtime(then))
    return format_html('<time datetime="{}" title="{}">{}</time>', then.isoformat(), exact, text)


def lasting(seconds: float) -> str:
    """A span of time in its largest unit that leaves no rest, or in seconds."""
    for unit, words in (
        (86400, ngettext("%(n)s day", "%(n)s days", round(seconds / 86400))),
        (3600, ngettext("%(n)s hour", "%(n)s hours", round(seconds / 3600))),
        (60, ngettext("%(n)s minute", "%(n)s minutes", round(seconds / 60))),
    ):
        if seconds >= unit and seconds % unit == 0:
            return words % {"n": number_format(round(seconds / unit), force_grouping=True)}
    return ngettext("%(n)s second", "%(n)s seconds", round(seconds)) % {"n": f"{seconds:g}"}
