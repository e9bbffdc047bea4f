"""Numbers, times, stored text and notes as staff read them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.formats import localize, number_format
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..rendering import label
from .run_facts import Usage

MOST_SHOWN = 60
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence above a list, and a link to the next step."""

    text: str
    url: str = ""
    link: str = ""


def grouped(number: int) -> str:
    return number_format(number, force_grouping=True)


def isolated(text: str, most: int = MOST_SHOWN) -> str:
    """Stored text that can neither change the direction of its surroundings nor widen the page."""
    return format_html('<bdi class="cm-cell">{}</bdi>', Truncator(text).chars(most))


def usage_words(usage: Usage) -> list[str]:
    """What is known of a usage, such as "1,200 tokens in" and "0.8 s"."""
    words = [label(model)[:MOST_SHOWN] for model in usage.models[:5]]
    is_split = None not in (usage.input, usage.output)
    for text, number in (
        (_("%s tokens in"), usage.input),
        (_("%s tokens out"), usage.output),
        (_("%s tokens"), None if is_split else usage.total),
    ):
        if number is not None:
            words.append(text % grouped(number))
    if usage.seconds is not None:
        words.append(_("%s s") % number_format(round(usage.seconds, 2)))
    if usage.cost is not None:
        words.append(_("cost %s") % number_format(f"{usage.cost:.6f}".rstrip("0").rstrip(".")))
    return words


def shortened(id: str) -> str:
    """The beginning and the end of an id, as ids may have a beginning in common."""
    return id if len(id) <= 12 else f"{id[:6]}…{id[-4:]}"


def ago(then: datetime | None) -> str | None:
    if then is None:
        return None
    # The clock of the server may be ahead of ours.
    past = max(timezone.now() - then, timedelta())
    text = _("%s ago") % timesince(timezone.now() - past, depth=1)
    return _timed(then, text if past >= _MINUTE else _("just now"))


def ahead(then: datetime | None) -> str | None:
    return None if then is None else _timed(then, _("in %s") % timeuntil(then, depth=1))


def _timed(then: datetime, text: str) -> str:
    exact = localize(timezone.localtime(then))
    return format_html('<time datetime="{}" title="{}">{}</time>', then.isoformat(), exact, text)


def lasting(seconds: float) -> str:
    """A period in the largest unit that divides it, or in seconds."""
    for unit, words in (
        (86400, ngettext("%(n)s day", "%(n)s days", round(seconds / 86400))),
        (3600, ngettext("%(n)s hour", "%(n)s hours", round(seconds / 3600))),
        (60, ngettext("%(n)s minute", "%(n)s minutes", round(seconds / 60))),
    ):
        if seconds >= unit and seconds % unit == 0:
            return words % {"n": grouped(round(seconds / unit))}
    return ngettext("%(n)s second", "%(n)s seconds", round(seconds)) % {"n": f"{seconds:g}"}
