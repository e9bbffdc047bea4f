"""The base of both admins: who may see which index, pages and links, and errors of Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin, ShowFacets
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from ..exceptions import ConversationMemoryError
from ..indexes import indexes
from ..models import Index


def guarded(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view, a method of RedisAdmin, that reports an error of Redis instead of failing.

    A GET is answered with a page of status 503, a POST with a message on the page it came from.
    """

    @wraps(view)
    def answering(
        self: RedisAdmin, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
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
    sortable_by = ()
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

    @guarded
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None) or {}
        if changelist := context.get("cl"):
            context |= self.list_context(request, changelist)
            response.context_data = context  # type: ignore[attr-defined]
        return response

    def list_context(self, request: HttpRequest, changelist: Any) -> dict[str, Any]:
        """The context of a list, read only after Django has accepted its filters."""
        return {}

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

    def view_name(self, view: str) -> str:
        """The name of a view of our own, in the form of Django's."""
        return f"{self.opts.app_label}_{self.opts.model_name}_{view}"

    def link(self, view: str, *parts: object, model: Any = None) -> str:
        opts = self.opts if model is None else model._meta
        name = f"admin:{opts.app_label}_{opts.model_name}_{view}"
        return reverse(name, args=parts, current_app=self.admin_site.name)

    def page(
        self, request: HttpRequest, template: str, context: dict[str, Any]
    ) -> TemplateResponse:
        """A page of our own, complete: it reads nothing from Redis after this."""
        request.current_app = self.admin_site.name
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
        }
        return TemplateResponse(
            request, f"admin/conversation_memory/{template}", {**common, **context}
        )
