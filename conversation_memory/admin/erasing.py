"""Erasing everything of an owner."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods

from ..collection.erase import Copies, Erasure
from ..rendering import label
from .failures import guarded
from .index_views import IndexViews


class OwnerForm(forms.Form):
    owner = forms.CharField(
        label=gettext_lazy("Owner"), max_length=1000, widget=AdminTextInputWidget
    )


class Erasing(IndexViews):
    """The page that erases an owner, after it has shown what that would be."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_http_methods(["GET", "POST"])(self.erase_view))
        return [path("erase/<str:key>/", view, name=self.view_name("erase")), *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            **(extra_context or {}),
            "may_erase": self.has_erase_permission(request),
            "erased_owner": request.GET.get("owner", ""),
        }
        return super().changelist_view(request, context)

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return self.has_codename(request, "erase_owner")

    @guarded
    def erase_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """GET asks for the owner and counts, POST with `confirmed` erases."""
        address = self.permitted(request, key)
        if not self.has_erase_permission(request):
            raise PermissionDenied
        index = address.index()
        form = OwnerForm(request.POST or (request.GET if "owner" in request.GET else None))
        context: dict[str, Any] = {"title": _("Erase an owner"), "form": form}
        if not form.is_valid():
            return self.page(request, "erase.html", address, **context)
        owner = form.cleaned_data["owner"]
        if "confirmed" in request.POST:
            erased = index.erase(owner=owner)
            self._note(request, owner, erased, index.copies())
            self.log_index(request, address, self._sentence(owner, erased))
            return self.back(address)
        foreseen = index.erase(owner=owner, dry_run=True)
        context |= {"owner": label(owner), "foreseen": foreseen}
        return self.page(request, "erase.html", address, **context)

    def _note(self, request: HttpRequest, owner: str, erased: Erasure, copies: Copies) -> None:
        self.message_user(request, self._sentence(owner, erased), messages.SUCCESS)
        places = [
            *([_("its append-only file")] if copies.append_only_file else []),
            *([_("its snapshot")] if copies.saved else []),
            *([_("%d replicas") % copies.replicas] if copies.replicas else []),
        ]
        if places:
            text = _("The server may still hold copies: %s.") % ", ".join(places)
            self.message_user(request, text, messages.WARNING)

    def _sentence(self, owner: str, erased: Erasure) -> str:
        text = ngettext(
            "Erased %(count)s conversation of owner “%(owner)s”.",
            "Erased %(count)s conversations of owner “%(owner)s”.",
            erased.conversations,
        )
        return text % {"count": erased.conversations, "owner": label(owner)}
