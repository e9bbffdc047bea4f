"""The base of both admins: access to an index, pages, links, and errors of Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin, ShowFacets
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from ..exceptions import ConversationMemoryError
from ..indexes import indexes
from ..models import Conversation, Index
from .addresses import Address


def guarded(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view, a method of RedisAdmin, that reports an error of Redis instead of failing.

    A GET is answered with a page of status 503, a POST with a message on the page it came from.
    """

    @wraps(view)
    def answering(self: RedisAdmin, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return view(self, request, *args, **kwargs)
        except ConversationMemoryError as error:
            if request.method == "POST":
                self.message_user(request, str(error), messages.ERROR)
                return HttpResponseRedirect(request.get_full_path())
            context = {
                "title": _("This page could not be loaded"),
                "error": str(error),
                "indexes_url": self.link("changelist", model=Index),
            }
            response = self.page(request, "unavailable.html", context)
            response.status_code = 503
            return response

    return answering


class RedisAdmin(ModelAdmin):  # type: ignore[type-arg]  # takes none at run time
    sortable_by = ()  # Redis has one order, that of the last write
    # Django would count everything again, without its filters.
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    empty_value_display = "–"

    class Media:
        css = {"all": ["conversation_memory/admin.css", "conversation_memory/lists.css"]}

    def has_index_permission(self, request: HttpRequest, alias: str) -> bool:
        """True if the user may see anything of `alias`. Override it to limit staff."""
        return True

    def permitted_aliases(self, request: HttpRequest) -> Iterator[str]:
        return (alias for alias in indexes if self.has_index_permission(request, alias))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.has_codename(request, "export_conversation")

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return self.has_codename(request, "erase_owner")

    def has_owner_data_permission(self, request: HttpRequest) -> bool:
        """To download all data of an owner takes the permission to erase it, and that to export."""
        return self.has_erase_permission(request) and self.has_export_permission(request)

    def has_codename(self, request: HttpRequest, codename: str) -> bool:
        return bool(request.user.has_perm(f"{self.opts.app_label}.{codename}"))

    def index_at(self, key: str, request: HttpRequest, *, may: bool) -> Address:
        """The index with that key, if the user may see it and `may` do what the view does."""
        try:
            address = Address.parse(key)
        except ValueError as error:
            raise Http404(_("There is no such index.")) from error
        if address.conversation_id is not None:
            raise Http404(_("There is no such index."))
        if not may or not self.has_index_permission(request, address.alias):
            raise PermissionDenied
        return address

    @guarded
    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().changelist_view(request, *args, **kwargs)
        # A redirect, an action and its confirmation have no list.
        context = getattr(response, "context_data", None) or {}
        if changelist := context.get("cl"):
            context |= self.list_context(request, changelist)
        return response

    def list_context(self, request: HttpRequest, changelist: Any) -> dict[str, Any]:
        """The context of a list, read only after Django has accepted its filters."""
        return {}

    @guarded
    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().change_view(request, *args, **kwargs)

    @guarded
    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().delete_view(request, *args, **kwargs)

    @guarded
    def history_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().history_view(request, *args, **kwargs)

    def link(self, view: str, *parts: object, model: Any = None) -> str:
        opts = self.opts if model is None else model._meta
        name = f"admin:{opts.app_label}_{opts.model_name}_{view}"
        return reverse(name, args=parts, current_app=self.admin_site.name)

    def list_url(self, address: Address, **filters: str) -> str:
        """The list of the conversations of an index."""
        query = urlencode({"index": str(address.of_index), **filters})
        return f"{self.link('changelist', model=Conversation)}?{query}"

    def page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        """A page of our own, complete: it reads nothing from Redis after this."""
        request.current_app = self.admin_site.name
        common = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        template = f"admin/conversation_memory/{template}"
        return TemplateResponse(request, template, common | context)
