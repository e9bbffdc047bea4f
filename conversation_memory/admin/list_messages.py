"""Messages above a list of conversations: what was searched, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .formatting import grouped
from .list_filters import started
from .list_selection import ListReader, ListSelection, TextFinds


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence, and a link to the next step."""

    text: str
    url: str = ""
    link: str = ""


def notes(changelist: Any, reader: ListReader, selection: ListSelection) -> Iterator[Note]:
    if selection.index is None:
        yield Note(_("There is no index that you may view."))
        return
    if selection.is_search:
        yield from _of_search(changelist, reader, selection)
    if long := sum(row.address.is_too_long for row in changelist.result_list):
        yield Note(
            ngettext(
                "%(count)s conversation on this page cannot be opened: its id is too long.",
                "%(count)s conversations on this page cannot be opened: their ids are too long.",
                long,
            )
            % {"count": long}
        )
    if unlisted := reader.extent(selection).unlisted:
        yield Note(
            ngettext(
                "%(count)s more conversation, written by another program, is not listed yet. "
                "Reload the page to list it.",
                "%(count)s more conversations, written by another program, are not listed yet. "
                "Reload the page to list more of them.",
                unlisted,
            )
            % {"count": grouped(unlisted)},
            changelist.get_query_string(),
            _("Reload"),
        )


def _of_search(changelist: Any, reader: ListReader, selection: ListSelection) -> Iterator[Note]:
    finds, texts = reader.finds(selection), reader.texts(selection)
    if selection.unreadable:
        yield Note(_("Only unreadable conversations are shown."))
    elif texts:
        yield from _of_texts(texts)
    elif selection.start:
        yield Note(_("Ids and titles were searched."))
    else:
        yield Note(_("Ids and titles were searched, but not messages: this index has no search."))
    first, last = selection.start + 1, selection.start + finds.looked_at
    if finds.next is not None or selection.start:
        text = _("Conversations %(first)s to %(last)s were searched, newest first.") % {
            "first": grouped(first),
            "last": grouped(last),
        }
        yield Note(text, *_onward(changelist, finds.next))
    if finds.skipped:
        yield Note(
            ngettext(
                "%(count)s conversation is too large to check here. Run checkconversations.",
                "%(count)s conversations are too large to check here. Run checkconversations.",
                finds.skipped,
            )
            % {"count": grouped(finds.skipped)}
        )


def _of_texts(texts: TextFinds) -> Iterator[Note]:
    yield Note(_("Ids, titles and messages were searched."))
    if texts.total > texts.shown:
        numbers = {"shown": texts.shown, "total": texts.total}
        text = _("%(total)s runs were found; the best %(shown)s are shown.")
        yield Note(text % {key: grouped(n) for key, n in numbers.items()})
    if texts.reason:
        yield Note(texts.reason)


def _onward(changelist: Any, start: int | None) -> tuple[str, str]:
    """The link that continues a search, if it is not complete."""
    if start is None:
        return "", ""
    parameters = {key: values[-1] for key, values in changelist.filter_params.items()}
    value = started(parameters, start)
    return changelist.get_query_string({"start": value}, ["start"]), _("Continue the search")
