"""The columns of the list of conversations."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import Conversation
from ..rendering import label
from ..search.results import Hit
from .formatting import MOST_SHOWN, ago, ahead, isolated, shortened
from .owner_names import OwnerNames


class Columns(OwnerNames):
    # The times come before the texts, so that a narrow screen does not cut them off.
    list_display = (
        "shown_title",
        "updated_ago",
        "expires_in",
        "shown_owner",
        "last_words",
        "runs",
        "shown_size",
    )
    list_display_links = ("shown_title",)
    ordering = ("-updated",)

    def get_sortable_by(self, request: HttpRequest) -> Any:
        """Not what a search has found: that is in the order of its own."""
        is_search = request.GET.get("q", "").strip() or request.GET.get("state")
        return () if is_search else ("updated_ago", "runs", "shown_size")

    def get_list_display(self, request: HttpRequest) -> Any:
        names = super().get_list_display(request)
        if not request.GET.get("q", "").strip():
            return names
        return ["found_words" if name == "last_words" else name for name in names]

    @admin.display(description=gettext_lazy("title"))
    def shown_title(self, conversation: Conversation) -> str:
        """The title with the id below it; without a title the id alone, which then is the link."""
        id, title = conversation.conversation_id, conversation.title
        below = "cm-id cm-below" if title else "cm-id cm-cell"
        shown = format_html('<bdi class="{}" title="{}">{}</bdi>', below, id[:200], shortened(id))
        return format_html("{}{}", isolated(title) if title else "", shown)

    @admin.display(description=gettext_lazy("owner"), empty_value="")
    def shown_owner(self, conversation: Conversation) -> str:
        """The name, linked to the page of the owner, and the id, linked to all they have."""
        owner, name = conversation.owner, conversation.owner_name
        if not owner:
            return ""
        shown = isolated(owner)
        if owner == conversation.summary.record.owner:  # valid UTF-8, so that a link can hold it
            link, about = self.list_url(conversation.address, owner=owner), _("All of this owner")
            shown = format_html('<a href="{}" title="{}">{}</a>', link, about, shown)
        if not name:
            return shown
        page = conversation.owner_url
        named = format_html('<a href="{}">{}</a>', page, isolated(name)) if page else isolated(name)
        return format_html('{}<span class="cm-below">{}</span>', named, shown)

    @admin.display(description=gettext_lazy("size"), ordering="size")
    def shown_size(self, conversation: Conversation) -> str:
        return filesizeformat(conversation.size)

    @admin.display(description=gettext_lazy("last write"), ordering="updated")
    def updated_ago(self, conversation: Conversation) -> str | None:
        """Other programs do not say when they write: the time when it was listed first is known."""
        if conversation.updated is None and conversation.listed:
            seen = ago(conversation.listed)
            return format_html('<span class="cm-seen">{} {}</span>', _("first seen"), seen)
        return ago(conversation.updated)

    @admin.display(description=gettext_lazy("expires"))
    def expires_in(self, conversation: Conversation) -> str | None:
        return ahead(conversation.expires)

    @admin.display(description=gettext_lazy("last message"))
    def last_words(self, conversation: Conversation) -> str | None:
        if conversation.summary.is_damaged:
            return format_html('<span class="cm-unreadable">{}</span>', _("unreadable"))
        words = conversation.summary.last_words
        return None if words is None else isolated(label(words), MOST_SHOWN * 2)

    @admin.display(description=gettext_lazy("found"))
    def found_words(self, conversation: Conversation) -> str:
        """Where a search has found the conversation."""
        if hit := conversation.found:
            found = format_html('<bdi class="cm-cell">{}</bdi>', hit.snippet_html)
            return format_html("{} {}", found, _in_tool(hit)) if hit.tool else found
        return format_html('<span class="cm-quiet">{}</span>', _("in id or title"))


def _in_tool(hit: Hit) -> str:
    words = _("in a call of the tool %s") if hit.part == "call" else _("in a result of the tool %s")
    name = f"\u2068{label(hit.tool)[:MOST_SHOWN]}\u2069"
    return format_html('<span class="cm-quiet">{}</span>', words % name)
