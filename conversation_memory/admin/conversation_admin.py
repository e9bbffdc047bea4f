"""The list of the conversations of an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import Conversation
from ..rendering import label
from .conversation_page import ConversationPage
from .formatting import MOST_SHOWN, ago, ahead, grouped, isolated
from .index_views import Erasing, Exporting
from .list_filters import (
    AgeFilter,
    IndexFilter,
    OwnerFilter,
    StartFilter,
    UnreadableFilter,
    named,
    start_of,
)
from .list_messages import notes
from .list_selection import ListReader
from .queryset import ConversationQuerySet
from .redis_admin import RedisAdmin
from .restoring import Restoring
from .run_views import RunViews

# The confirmation has a field for each, and Django refuses forms of more than 1,000.
MOST_DELETED = 500
_AT_ONCE = 50


class ConversationList(RedisAdmin):
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
    actions: Sequence[str] = ("delete_selected",)

    def get_queryset(self, request: HttpRequest) -> Any:
        reader = ListReader(lambda alias: self.has_index_permission(request, alias))
        return ConversationQuerySet.of(reader).select(start=start_of(request))

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        text = search_term.strip()
        return (queryset.select(text=text) if text else queryset), False

    def list_context(self, request: HttpRequest, changelist: Any) -> dict[str, Any]:
        queryset = changelist.queryset
        index = queryset.selection.index
        # Django's "Clear all filters" would leave the index.
        kept = {"index": str(index)} if index else {}
        changelist.clear_all_filters_qs = f"?{urlencode(kept)}"
        ours = (OwnerFilter, AgeFilter, UnreadableFilter)
        names = {filter.parameter_name for filter in ours}
        changelist.has_active_filters = bool(names & set(changelist.filter_params))
        return {
            **super().list_context(request, changelist),
            "notes": list(notes(changelist, queryset.source, queryset.selection)),
            "index_address": str(index or ""),
            "title": _("Conversations of %(index)s") % {"index": named(index) if index else "–"},
        }

    @admin.display(description=gettext_lazy("conversation id"))
    def shown_id(self, conversation: Conversation) -> str:
        return isolated(conversation.conversation_id or "–")

    @admin.display(description=gettext_lazy("title"), empty_value="")
    def shown_title(self, conversation: Conversation) -> str:
        return isolated(conversation.title)

    @admin.display(description=gettext_lazy("owner"), empty_value="")
    def shown_owner(self, conversation: Conversation) -> str:
        if not conversation.owner:
            return ""
        query = {"index": str(conversation.address.of_index), "owner": conversation.owner}
        if (
            conversation.owner != conversation.summary.record.owner
        ):  # not valid UTF-8, so not for a link
            return isolated(conversation.owner)
        link = f"{self.link('changelist')}?{urlencode(query)}"
        return format_html('<a href="{}">{}</a>', link, isolated(conversation.owner))

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

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        shown = [_("Conversation: %s") % isolated(str(conversation)) for conversation in objs]
        name = self.opts.verbose_name_plural
        needed = set() if self.has_delete_permission(request) else {str(name)}
        return shown, {str(name): len(shown)}, needed, []

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Nothing: Django logs before it deletes, we log afterwards."""

    def delete_model(self, request: HttpRequest, obj: Conversation) -> None:
        obj.address.driver().delete()
        self.log_done(request, [obj])

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        conversations = list(queryset)
        for start in range(0, len(conversations), _AT_ONCE):
            piece = conversations[start : start + _AT_ONCE]
            queryset.source.delete(piece)
            self.log_done(request, piece)

    def log_done(self, request: HttpRequest, deleted: list[Conversation]) -> None:
        super().log_deletions(request, deleted)  # type: ignore[arg-type]  # it only iterates


@admin.register(Conversation)
class ConversationAdmin(
    Exporting, Restoring, Erasing, RunViews, ConversationPage, ConversationList
):
    actions = ("export_selected", "delete_selected")
