"""What a list of conversations leaves out, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .filters import started
from .full_text import TextFinds
from .selections import Reader, Selection


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence, and a link to what it offers."""

    text: str
    url: str = ""
    link: str = ""


def notes(changelist: Any, reader: Reader, selection: Selection) -> Iterator[Note]:
    """What `changelist` has searched, and what it could not show."""
    if selection.index is None:
        yield Note(_("There is no index that you may see."))
        return
    if reader.is_search(selection):
        yield from _of_search(changelist, reader, selection)
    if long := sum(row.address.is_too_long for row in changelist.result_list):
        yield Note(
            ngettext(
                "%(count)s conversation of this page cannot be opened here: its id is too long.",
                "%(count)s conversations of this page cannot be opened here: their ids are too "
                "long.",
                long,
            )
            % {"count": long}
        )
    if unlisted := reader.extent(selection).unlisted:
        yield Note(
            ngettext(
                "%(count)s more conversation that another program wrote has no place in the "
                "order yet. Each look at this list places more of them.",
                "%(count)s more conversations that another program wrote have no place in the "
                "order yet. Each look at this list places more of them.",
                unlisted,
            )
            % {"count": number_format(unlisted, force_grouping=True)},
            changelist.get_query_string(),
            _("Look again"),
        )


def _of_search(changelist: Any, reader: Reader, selection: Selection) -> Iterator[Note]:
    finds, texts = reader.finds(selection), reader.texts(selection)
    if selection.unreadable:
        yield Note(_("Only what cannot be read is shown."))
    elif texts:
        yield from _of_texts(texts)
    elif selection.start:
        yield Note(_("Ids and titles were searched."))
    else:
        yield Note(_("Ids and titles were searched; messages were not, as search is off here."))
    first, last = selection.start + 1, selection.start + finds.looked_at
    if finds.next is not None or selection.start:
        text = _("Looked at the conversations %(first)s to %(last)s, newest first.") % {
            "first": number_format(first, force_grouping=True),
            "last": number_format(last, force_grouping=True),
        }
        yield Note(text, *_onward(changelist, finds.next))
    if finds.skipped:
        yield Note(
            ngettext(
                "%(count)s conversation was too large to be read here.",
                "%(count)s conversations were too large to be read here.",
                finds.skipped,
            )
            % {"count": number_format(finds.skipped, force_grouping=True)}
        )


def _of_texts(texts: TextFinds) -> Iterator[Note]:
    yield Note(_("Ids, titles and messages were searched."))
    if texts.total > texts.shown:
        numbers = {"shown": texts.shown, "total": texts.total}
        text = _("Of %(total)s runs that were found, the best %(shown)s are shown.")
        yield Note(
            text % {key: number_format(n, force_grouping=True) for key, n in numbers.items()}
        )
    if texts.reason:
        yield Note(texts.reason)


def _onward(changelist: Any, start: int | None) -> tuple[str, str]:
    """The link to where a search goes on, if it does."""
    if start is None:
        return "", ""
    parameters = {key: values[-1] for key, values in changelist.filter_params.items()}
    value = started(parameters, start)
    return changelist.get_query_string({"start": value}, ["start"]), _("Look further")
