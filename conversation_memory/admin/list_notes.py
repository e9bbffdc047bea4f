"""The sentences above the list of conversations: what was searched, and what is not shown."""

from collections.abc import Iterator
from typing import Any

from django.contrib.admin.views.main import PAGE_VAR
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..browse import Finds
from ..search.results import SearchResults
from ..search_index.reasons import explained
from .formatting import Note, grouped
from .queryset import ListReader, ListSelection


def notes(changelist: Any, reader: ListReader, selection: ListSelection) -> Iterator[Note]:
    if selection.index is None:
        yield Note(_("There is no index that you may view."))
        return
    if selection.is_search or selection.is_sorted:
        yield from _search_notes(changelist, reader, selection)
    if long := sum(row.address.is_too_long for row in changelist.result_list):
        text = ngettext(
            "%(count)s conversation on this page cannot be opened: its id is too long.",
            "%(count)s conversations on this page cannot be opened: their ids are too long.",
            long,
        )
        yield Note(text % {"count": long})
    if unlisted := reader.extent(selection).unlisted:
        text = ngettext(
            "%(count)s more conversation, written by another program, is not listed yet. "
            "Reload the page to list it.",
            "%(count)s more conversations, written by another program, are not listed yet. "
            "Reload the page to list more of them.",
            unlisted,
        )
        text %= {"count": grouped(unlisted)}
        url = changelist.get_query_string({PAGE_VAR: changelist.page_num})
        yield Note(text, url, _("Reload"))


def _search_notes(changelist: Any, reader: ListReader, selection: ListSelection) -> Iterator[Note]:
    finds, texts = reader.finds(selection), reader.texts(selection)
    if selection.unreadable:
        yield Note(_("Only unreadable conversations are shown."))
    elif texts is not None:
        yield from _text_notes(texts)
    elif selection.with_run:
        yield Note(_("Conversations were read to find these."))
    elif selection.is_sorted:
        pass
    elif selection.start:
        yield Note(_("Ids and titles were searched."))
    else:
        yield Note(_("Ids and titles were searched, but not messages: this index has no search."))
    if selection.text and (selection.unreadable or selection.with_run):
        yield Note(_("Only ids and titles were searched for the text, not messages."))
    if finds.next is not None or selection.start:
        yield _extent_note(changelist, finds, selection)
    if finds.skipped:
        text = ngettext(
            "%(count)s conversation is too large to check here. Run checkconversations.",
            "%(count)s conversations are too large to check here. Run checkconversations.",
            finds.skipped,
        )
        yield Note(text % {"count": grouped(finds.skipped)})


def _extent_note(changelist: Any, finds: Finds, selection: ListSelection) -> Note:
    """Which part of the index was examined, and the way to the next one."""
    text, link = (
        (
            _("Only conversations %(first)s to %(last)s, from the newest on, were sorted."),
            _("Sort the next"),
        )
        if selection.is_sorted
        else (
            _("Conversations %(first)s to %(last)s were searched, newest first."),
            _("Continue the search"),
        )
    )
    text %= {
        "first": grouped(selection.start + 1),
        "last": grouped(selection.start + finds.looked_at),
    }
    start = {"start": finds.next}
    return Note(text, "" if finds.next is None else changelist.get_query_string(start), link)


def _text_notes(texts: SearchResults) -> Iterator[Note]:
    yield Note(_("Ids, titles and messages were searched."))
    if texts.total > len(texts):
        text = _("%(total)s runs were found; the best %(shown)s are shown.")
        numbers = {"shown": grouped(len(texts)), "total": grouped(texts.total)}
        yield Note(text % numbers)
    if texts.reasons:
        yield Note(explained(texts.reasons))
