"""The list of the conversations of an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import Conversation
from ..rendering import label
from . import formatting as figures
from .erasing import Erasing
from .failures import guarded
from .filters import (
    AgeFilter,
    IndexFilter,
    OwnerFilter,
    StartFilter,
    UnreadableFilter,
    named,
    start_of,
)
from .messages import notes
from .permissions import IndexPermissions
from .queryset import ConversationQuerySet
from .run_views import ConversationParts
from .selections import Reader
from .transfer import Transfer

MOST_SHOWN = 60
# The confirmation has a field for each, and Django refuses forms of more than 1,000.
MOST_DELETED = 500
_AT_ONCE = 50


class ConversationList(IndexPermissions):
    """The list and the deletion of conversations."""

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
    list_filter = (IndexFilter, OwnerFilter, AgeFilter, UnreadableFilter, StartFilter)
    list_per_page = 100
    list_max_show_all = 500
    search_fields = ("conversation_id", "title")
    sortable_by = ()
    actions: Sequence[str] = ("delete_selected",)
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    empty_value_display = "–"

    class Media:
        css = {"all": ["conversation_memory/admin.css", "conversation_memory/lists.css"]}

    def get_queryset(self, request: HttpRequest) -> Any:
        reader = Reader(lambda alias: self.has_index_permission(request, alias))
        return ConversationQuerySet.of(reader).select(start=start_of(request))

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        text = search_term.strip()
        return (queryset.select(text=text) if text else queryset), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @guarded
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None) or {}
        if changelist := context.get("cl"):
            context |= self._context_of(changelist)
            response.context_data = context  # type: ignore[attr-defined]
        return response

    def _context_of(self, changelist: Any) -> dict[str, Any]:
        """What the page says beside its rows."""
        queryset = changelist.queryset
        index = queryset.selection.index
        # "Clear all filters" is not to leave the index.
        kept = {"index": str(index)} if index else {}
        changelist.clear_all_filters_qs = f"?{urlencode(kept)}"
        ours = (OwnerFilter, AgeFilter, UnreadableFilter)
        names = {filter.parameter_name for filter in ours}
        changelist.has_active_filters = bool(names & set(changelist.filter_params))
        return {
            "notes": list(notes(changelist, queryset.reader, queryset.selection)),
            "index_address": str(index or ""),
            "title": _("Conversations of %(index)s") % {"index": named(index) if index else "–"},
        }

    @admin.display(description=gettext_lazy("conversation id"))
    def shown_id(self, conversation: Conversation) -> str:
        return _isolated(conversation.conversation_id or "–")

    @admin.display(description=gettext_lazy("title"), empty_value="")
    def shown_title(self, conversation: Conversation) -> str:
        return _isolated(conversation.title)

    @admin.display(description=gettext_lazy("owner"), empty_value="")
    def shown_owner(self, conversation: Conversation) -> str:
        if not conversation.owner:
            return ""
        query = {"index": str(conversation.address.of_index), "owner": conversation.owner}
        if conversation.owner != conversation.row.record.owner:  # no text for a link
            return _isolated(conversation.owner)
        link = f"{self._url('changelist')}?{urlencode(query)}"
        return format_html('<a href="{}">{}</a>', link, _isolated(conversation.owner))

    @admin.display(description=gettext_lazy("size"))
    def shown_size(self, conversation: Conversation) -> str:
        return filesizeformat(conversation.size)

    @admin.display(description=gettext_lazy("last write"))
    def updated_ago(self, conversation: Conversation) -> str | None:
        return figures.ago(conversation.updated)

    @admin.display(description=gettext_lazy("expires"))
    def expires_in(self, conversation: Conversation) -> str | None:
        return figures.ahead(conversation.expires)

    @admin.display(description=gettext_lazy("last message"))
    def last_words(self, conversation: Conversation) -> str | None:
        if conversation.found:
            return format_html('<bdi class="cm-cell">{}</bdi>', conversation.found.snippet_html)
        if conversation.row.is_damaged:
            return format_html('<span class="cm-unreadable">{}</span>', _("unreadable"))
        words = conversation.row.last_words
        return None if words is None else _isolated(label(words), MOST_SHOWN * 2)

    def _url(self, view: str, *args: object) -> str:
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_{view}"
        return reverse(name, args=args)

    @admin.action(
        permissions=["delete"],
        description=gettext_lazy("Delete selected %(verbose_name_plural)s"),
    )
    def delete_selected(self, request: HttpRequest, queryset: Any) -> Any:
        """Django's own, for as many as its confirmation can hold."""
        count = queryset.count()
        if count <= MOST_DELETED:
            return delete_selected(self, request, queryset)
        text = _(
            "%(count)s conversations are selected, and at most %(most)s are deleted at once. "
            "Nothing was deleted."
        )
        numbers = {"count": count, "most": MOST_DELETED}
        grouped = {key: number_format(n, force_grouping=True) for key, n in numbers.items()}
        self.message_user(request, text % grouped, messages.ERROR)
        return None

    @guarded
    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().delete_view(request, object_id, extra_context)

    @guarded
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().history_view(request, object_id, extra_context)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        shown = [_("Conversation: %s") % _isolated(str(conversation)) for conversation in objs]
        name = self.opts.verbose_name_plural
        needed = set() if self.has_delete_permission(request) else {str(name)}
        return shown, {str(name): len(shown)}, needed, []

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Not yet: what is deleted is logged once it is gone."""

    def delete_model(self, request: HttpRequest, obj: Conversation) -> None:
        obj.address.driver().delete()
        self.log_done(request, [obj])

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        conversations = list(queryset)
        for start in range(0, len(conversations), _AT_ONCE):
            piece = conversations[start : start + _AT_ONCE]
            queryset.reader.delete(piece)
            self.log_done(request, piece)

    def log_done(self, request: HttpRequest, deleted: list[Conversation]) -> None:
        super().log_deletions(request, deleted)  # type: ignore[arg-type]  # it only iterates


@admin.register(Conversation)
class ConversationAdmin(Transfer, Erasing, ConversationParts, ConversationList):
    actions = ("export_selected", "delete_selected")


def _isolated(text: str, most: int = MOST_SHOWN) -> str:
    """Stored text that can neither turn the text around it nor make the page wide."""
    return format_html('<bdi class="cm-cell">{}</bdi>', Truncator(text).chars(most))
