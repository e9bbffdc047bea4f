"""The sentences above the list of conversations: what was searched, and what is not shown."""

from collections.abc import Iterator
from typing import Any

from django.contrib.admin.views.main import PAGE_VAR
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..search.results import SearchResults
from .formatting import Note, grouped
from .queryset import ListReader, ListSelection


def notes(changelist: Any, reader: ListReader, selection: ListSelection) -> Iterator[Note]:
    if selection.index is None:
        yield Note(_("There is no index that you may view."))
        return
    if selection.is_search:
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
    elif selection.start:
        yield Note(_("Ids and titles were searched."))
    else:
        yield Note(_("Ids and titles were searched, but not messages: this index has no search."))
    if finds.next is not None or selection.start:
        text = _("Conversations %(first)s to %(last)s were searched, newest first.") % {
            "first": grouped(selection.start + 1),
            "last": grouped(selection.start + finds.looked_at),
        }
        start = {"start": finds.next}
        url = "" if finds.next is None else changelist.get_query_string(start)
        yield Note(text, url, _("Continue the search"))
    if finds.skipped:
        text = ngettext(
            "%(count)s conversation is too large to check here. Run checkconversations.",
            "%(count)s conversations are too large to check here. Run checkconversations.",
            finds.skipped,
        )
        yield Note(text % {"count": grouped(finds.skipped)})


def _text_notes(texts: SearchResults) -> Iterator[Note]:
    yield Note(_("Ids, titles and messages were searched."))
    if texts.total > len(texts):
        text = _("%(total)s runs were found; the best %(shown)s are shown.")
        numbers = {"shown": grouped(len(texts)), "total": grouped(texts.total)}
        yield Note(text % numbers)
    if texts.reason:
        yield Note(texts.reason)
