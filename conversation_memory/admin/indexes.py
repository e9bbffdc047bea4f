"""The page of all indexes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import Conversation, Index
from . import formatting as figures
from .addresses import Address
from .failures import guarded
from .messages import Note
from .overview import Overview
from .permissions import IndexPermissions
from .queryset import IndexQuerySet

SEARCH_STATES = {
    "off": gettext_lazy("off"),
    "ready": gettext_lazy("on"),
    "building": gettext_lazy("being built"),
    "incomplete": gettext_lazy("incomplete"),
    "absent": gettext_lazy("not available"),
    "denied": gettext_lazy("not permitted"),
    "missing": gettext_lazy("not built"),
    "partial": gettext_lazy("not available"),
}


@admin.register(Index)
class IndexAdmin(IndexPermissions):
    list_display = (
        "alias",
        "shown_name",
        "layout",
        "conversations",
        "memory",
        "newest",
        "expiry",
        "search",
        "server",
    )
    list_per_page = 50
    sortable_by = ()
    actions = None
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    empty_value_display = "–"

    class Media:
        css = {"all": ["conversation_memory/admin.css", "conversation_memory/lists.css"]}

    def get_queryset(self, request: HttpRequest) -> Any:
        edges = figures.edges(figures.days())
        return IndexQuerySet.of(Overview(self.permitted_aliases(request), edges))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @guarded
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None) or {}
        if changelist := context.get("cl"):
            context |= _context_of(changelist)
            response.context_data = context  # type: ignore[attr-defined]
        return response

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The conversations of the index."""
        try:
            address = Address.parse(unquote(object_id))
        except ValueError as error:
            raise Http404(_("There is no such index.")) from error
        permitted = self.has_index_permission(request, address.alias)
        if not permitted or not self.has_view_permission(request):
            raise PermissionDenied
        name = f"{Conversation._meta.app_label}_{Conversation._meta.model_name}_changelist"
        url = reverse(f"{self.admin_site.name}:{name}")
        return HttpResponseRedirect(f"{url}?{urlencode({'index': str(address.of_index)})}")

    @admin.display(description=gettext_lazy("index"))
    def shown_name(self, index: Index) -> str:
        return format_html('<bdi class="cm-cell">{}</bdi>', index.name or "–")

    @admin.display(description=gettext_lazy("layout"))
    def layout(self, index: Any) -> str | None:
        found = index.survey.index
        return str(found.settings.layout) if found else None

    @admin.display(description=gettext_lazy("conversations"))
    def conversations(self, index: Any) -> str | None:
        found = index.survey.statistics
        return found and number_format(found.conversations, force_grouping=True)

    @admin.display(description=gettext_lazy("in Redis"))
    def memory(self, index: Any) -> str | None:
        found = index.survey.statistics
        if found is None or found.memory is None:
            return None
        return _("about %s") % filesizeformat(found.memory)

    @admin.display(description=gettext_lazy("newest write"))
    def newest(self, index: Any) -> Any:
        found = index.survey.statistics
        return found and figures.ago(found.newest)

    @admin.display(description=gettext_lazy("expiry"))
    def expiry(self, index: Any) -> str | None:
        found = index.survey.index
        return figures.expiry_rule(found.settings) if found else None

    @admin.display(description=gettext_lazy("search"))
    def search(self, index: Any) -> Any:
        survey = index.survey
        return survey.statistics and SEARCH_STATES.get(survey.search, survey.search)

    @admin.display(description=gettext_lazy("server"))
    def server(self, index: Any) -> str:
        survey = index.survey
        if survey.failure:
            return format_html('<span class="cm-cell cm-failure">{}</span>', survey.failure)
        return f"{survey.index.server} ({survey.statistics.version or '–'})"


def _context_of(changelist: Any) -> dict[str, Any]:
    """The plots of the indexes on the page, and what it leaves out."""
    found = [row.survey.statistics for row in changelist.result_list if row.survey.statistics]
    plots = [figures.activity(figures.days(), found), figures.sizes(found)] if found else []
    overview = changelist.queryset.overview
    notes = (
        []
        if overview.is_complete
        else [
            Note(
                _(
                    "After a million keys of a server, no more were searched for what INDEXES are "
                    "about. Indexes that INDEXES name without a pattern are always found."
                )
            )
        ]
    )
    return {"plots": plots, "notes": notes, "title": _("Indexes")}
