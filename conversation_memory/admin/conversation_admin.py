"""The admin of conversations: their list, its notes, deletion, and the addresses of all views."""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.views.main import ALL_VAR, PAGE_VAR, ChangeList
from django.db.models import Model
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..models import Conversation
from ..rendering import label
from ..search.results import SearchResults
from ..search_index.reasons import explained
from .conversation_page import ConversationPage
from .formatting import MOST_SHOWN, Note, ago, ahead, grouped, isolated
from .index_views import IndexViews
from .list_filters import AgeFilter, IndexFilter, OwnerFilter, UnreadableFilter
from .queryset import ConversationQuerySet, ListReader, ListSelection, delete_rows
from .redis_admin import RedisAdmin
from .restoring import Restoring

# The confirmation has a field for each, and Django refuses forms of more than 1,000.
MOST_DELETED = 500
_AT_ONCE = 50


class ConversationChangeList(ChangeList):
    """A list that may continue a search: `start` is the number of conversations to skip.

    Only the links to other pages of the list keep it: Django's filters and its search form, which
    send all other parameters along, begin anew.
    """

    start = ""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        self.start = request.GET.get("start", "")
        for parameters in (self.params, self.filter_params):
            parameters.pop("start", None)
        return super().get_queryset(request, *args, **kwargs)

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        given = new_params or {}
        if self.start and (PAGE_VAR in given or ALL_VAR in given):
            given = {**given, "start": self.start}
        return super().get_query_string(given, remove)

    def url_for_result(self, result: Model) -> str:
        """After a search, the hit in the conversation."""
        url = super().url_for_result(result)
        found = getattr(result, "found", None)
        if found and found.run_id:
            return f"{url}?{urlencode({'run': found.run_id}, errors='replace')}#hit"
        return f"{url}#hit" if self.query else url


class ConversationList(RedisAdmin):
    list_display = (
        "shown_id",
        "shown_title",
        "last_words",
        "shown_owner",
        "runs",
        "shown_size",
        "updated_ago",
        "expires_in",
    )
    list_filter = (IndexFilter, OwnerFilter, AgeFilter, UnreadableFilter)
    list_per_page = 100
    list_max_show_all = 500
    search_fields = ("conversation_id", "title")
    actions: Sequence[str] = ("delete_selected",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ConversationChangeList

    def get_queryset(self, request: HttpRequest) -> Any:
        reader = ListReader(lambda alias: self.has_index_permission(request, alias))
        start = request.GET.get("start", "")
        is_number = start.isdecimal() and len(start) < 12
        return ConversationQuerySet.of(reader).select(start=int(start) if is_number else 0)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        text = search_term.strip()
        return (queryset.select(text=text) if text else queryset), False

    def list_context(self, request: HttpRequest, changelist: Any) -> dict[str, Any]:
        queryset = changelist.queryset
        index = queryset.selection.index
        # Django's "Clear all filters" would leave the index.
        changelist.clear_all_filters_qs = f"?{urlencode({'index': str(index)} if index else {})}"
        narrowing = {"owner", "age", "unreadable"}
        changelist.has_active_filters = not narrowing.isdisjoint(changelist.filter_params)
        name = index.index_name if index else "–"
        return {
            **super().list_context(request, changelist),
            "notes": list(_notes(changelist, queryset.source, queryset.selection)),
            "index_address": str(index or ""),
            "title": _("Conversations of %(index)s") % {"index": name},
        }

    @admin.display(description=gettext_lazy("conversation id"))
    def shown_id(self, conversation: Conversation) -> str:
        return isolated(conversation.conversation_id or "–")

    @admin.display(description=gettext_lazy("title"), empty_value="")
    def shown_title(self, conversation: Conversation) -> str:
        return isolated(conversation.title)

    @admin.display(description=gettext_lazy("owner"), empty_value="")
    def shown_owner(self, conversation: Conversation) -> str:
        owner = conversation.owner
        if not owner:
            return ""
        if owner != conversation.summary.record.owner:  # not valid UTF-8, so not for a link
            return isolated(owner)
        link = self.list_url(conversation.address, owner=owner)
        return format_html('<a href="{}">{}</a>', link, isolated(owner))

    @admin.display(description=gettext_lazy("size"))
    def shown_size(self, conversation: Conversation) -> str:
        return filesizeformat(conversation.size)

    @admin.display(description=gettext_lazy("last write"))
    def updated_ago(self, conversation: Conversation) -> str | None:
        return ago(conversation.updated)

    @admin.display(description=gettext_lazy("expires"))
    def expires_in(self, conversation: Conversation) -> str | None:
        return ahead(conversation.expires)

    @admin.display(description=gettext_lazy("last message"))
    def last_words(self, conversation: Conversation) -> str | None:
        if conversation.found:
            return format_html('<bdi class="cm-cell">{}</bdi>', conversation.found.snippet_html)
        if conversation.summary.is_damaged:
            return format_html('<span class="cm-unreadable">{}</span>', _("unreadable"))
        words = conversation.summary.last_words
        return None if words is None else isolated(label(words), MOST_SHOWN * 2)

    @admin.action(
        permissions=["delete"],
        description=gettext_lazy("Delete selected %(verbose_name_plural)s"),
    )
    def delete_selected(self, request: HttpRequest, queryset: Any) -> Any:
        """Django's own action, for as many as its confirmation can hold."""
        count = queryset.count()
        if count <= MOST_DELETED:
            return delete_selected(self, request, queryset)
        text = _(
            "%(count)s conversations are selected, but at most %(most)s can be deleted at once. "
            "Nothing was deleted."
        )
        numbers = {"count": grouped(count), "most": grouped(MOST_DELETED)}
        self.message_user(request, text % numbers, messages.ERROR)
        return None

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        # Django's collector would look for related rows in tables.
        shown = [_("Conversation: %s") % isolated(str(conversation)) for conversation in objs]
        name = str(self.opts.verbose_name_plural)
        needed = set() if self.has_delete_permission(request) else {name}
        return shown, {name: len(shown)}, needed, []

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        # Django calls this before it deletes, and Redis may fail then: log_done() is called after.
        return None

    def delete_model(self, request: HttpRequest, obj: Conversation) -> None:
        obj.address.driver().delete()
        self.log_done(request, [obj])

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        conversations = list(queryset)
        for start in range(0, len(conversations), _AT_ONCE):
            # What is deleted before a failure is logged.
            piece = conversations[start : start + _AT_ONCE]
            delete_rows(piece)
            self.log_done(request, piece)

    def log_done(self, request: HttpRequest, deleted: list[Conversation]) -> None:
        super().log_deletions(request, deleted)  # type: ignore[arg-type]  # it only iterates


@admin.register(Conversation)
class ConversationAdmin(Restoring, IndexViews, ConversationPage, ConversationList):
    actions = ("export_selected", "delete_selected")

    def get_urls(self) -> list[URLPattern]:
        run = "<str:object_id>/runs/<int:position>/<str:tag>/"
        views = {
            "raw": ("<str:object_id>/raw/", self.raw_view),
            "run": (run, self.run_view),
            "file": (run + "file/<str:path>/", self.file_view),
            "remove": (run + "remove/", self.remove_view),
            "erase": ("erase/<str:key>/", self.erase_view),
            "restore": ("restore/<str:key>/", self.restore_view),
        }
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        ours = [
            path(route, self.admin_site.admin_view(view), name=f"{prefix}_{name}")
            for name, (route, view) in views.items()
        ]
        return ours + super().get_urls()


def _notes(changelist: Any, reader: ListReader, selection: ListSelection) -> Iterator[Note]:
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
    if texts.reasons:
        yield Note(explained(texts.reasons))
