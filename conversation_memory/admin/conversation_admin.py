"""The admin of conversations: their list, its notes, deletion, and the addresses of all views."""

from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.views.main import ALL_VAR, PAGE_VAR, ChangeList
from django.db.models import Model
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import Conversation
from .bulk_actions import BulkActions
from .formatting import grouped, isolated
from .list_columns import Columns
from .list_filters import AgeFilter, IndexFilter, OwnerFilter, StateFilter
from .list_notes import notes
from .queryset import ConversationQuerySet, ListReader, delete_rows
from .restoring import Restoring
from .unfinished import UnfinishedRuns
from .usage_page import UsagePage

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

    def get_results(self, request: HttpRequest) -> None:
        """Django's own, with the names of owners, all of a page at once."""
        super().get_results(request)
        admin = cast(Columns, self.model_admin)
        owners = {row.owner for row in self.result_list if row.owner}
        names = admin.get_owner_names(request, owners) if owners else {}
        for row in self.result_list:
            row.owner_name = names.get(row.owner, "")
            row.owner_url = admin.get_owner_url(request, row.owner) if row.owner_name else None

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


class ConversationList(Columns):
    list_filter = (IndexFilter, OwnerFilter, AgeFilter, StateFilter)
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
        narrowing = {"owner", "named", "age", "since", "until", "state"}
        changelist.has_active_filters = not narrowing.isdisjoint(changelist.filter_params)
        name = index.index_name if index else "–"
        return {
            **super().list_context(request, changelist),
            "notes": list(notes(changelist, queryset.source, queryset.selection)),
            "index_address": str(index or ""),
            "title": _("Conversations of %(index)s") % {"index": name},
        }

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
        shown = [format_html(_("Conversation: {}"), isolated(str(one))) for one in objs]
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
class ConversationAdmin(Restoring, UsagePage, BulkActions, UnfinishedRuns, ConversationList):
    actions = ("export_selected", "set_owner", "set_expiry", "add_tag", "delete_selected")

    def get_urls(self) -> list[URLPattern]:
        run = "<str:object_id>/runs/<int:position>/<str:tag>/"
        opened = "<str:object_id>/open/<str:tag>/"
        views = {
            "raw": ("<str:object_id>/raw/", self.raw_view),
            "run": (run, self.run_view),
            "file": (run + "file/<str:path>/", self.file_view),
            "remove": (run + "remove/", self.remove_view),
            "open_file": (opened + "file/<str:path>/", self.open_file_view),
            "fail": (opened + "fail/", self.fail_view),
            "owner_data": ("owner-data/<str:key>/", self.owner_data_view),
            "erase": ("erase/<str:key>/", self.erase_view),
            "restore": ("restore/<str:key>/", self.restore_view),
            "usage": ("usage/<str:key>/", self.usage_view),
        }
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        ours = [
            path(route, self.admin_site.admin_view(view), name=f"{prefix}_{name}")
            for name, (route, view) in views.items()
        ]
        return ours + super().get_urls()
