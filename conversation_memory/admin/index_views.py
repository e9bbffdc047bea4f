"""Views about a whole index: exporting conversations, and erasing those of an owner."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.urls import URLPattern, path
from django.utils.http import content_disposition_header, urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods

from ..archive import Dump
from ..collection.erase import Copies, Erasure
from ..collection.selection import Selection
from ..models import Index
from ..rendering import label
from ..rendering.serving import file_name
from .addresses import Address
from .formatting import grouped
from .redis_admin import RedisAdmin, guarded


class IndexViews(RedisAdmin):
    """Views that are about a whole index, and logged as changes of it."""

    def permitted(self, key: str, request: HttpRequest, *, may: bool) -> Address:
        """The index with that key, if the user may see it and `may` do what the view does."""
        try:
            address = Address.parse(key)
        except ValueError:
            raise Http404 from None
        if address.conversation_id is not None:
            raise Http404
        if not may or not self.has_index_permission(request, address.alias):
            raise PermissionDenied
        return address

    def has_codename(self, request: HttpRequest, codename: str) -> bool:
        """True if the user has that permission of conversations."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.{codename}"))

    def log_index(self, request: HttpRequest, address: Address, message: str) -> None:
        """Add an entry to the history of the index."""
        index = Index(id=str(address), alias=address.alias, name=address.name)
        self.log_change(request, index, message)

    def back(self, address: Address) -> HttpResponseRedirect:
        """To the list of the conversations of the index."""
        return HttpResponseRedirect(self.list_url(address))

    def list_url(self, address: Address) -> str:
        return f"{self.link('changelist')}?{urlencode({'index': str(address)})}"

    def index_page(
        self, request: HttpRequest, template: str, address: Address, context: dict[str, Any]
    ) -> HttpResponse:
        about = {"address": address, "list_url": self.list_url(address)}
        return self.page(request, f"conversation/{template}", {**about, **context})


class Exporting(IndexViews):
    """The action that exports conversations as an archive."""

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.has_codename(request, "export_conversation")

    @admin.action(permissions=["export"], description=gettext_lazy("Export selected conversations"))
    def export_selected(self, request: HttpRequest, queryset: Any) -> Any:
        """Export the ticked conversations, or all that match without listing them."""
        listed = queryset.selection
        if listed.chosen is not None or listed.text or listed.unreadable:
            found = list(queryset)
            addresses = {conversation.address.of_index for conversation in found}
            address = addresses.pop() if len(addresses) == 1 else None
            selection = Selection(ids=[one.address.conversation_id for one in found])
            count = len(found)
        else:
            address, count = listed.index, queryset.count()
            selection = Selection(owner=listed.owner, since=listed.since, until=listed.until)
        if address is None:
            return None
        response = _download(request, Dump(address.index(), selection), address.name)
        self.log_index(request, address, _("Exported %s conversations.") % grouped(count))
        return response


def _download(request: HttpRequest, dump: Dump, name: str) -> StreamingHttpResponse:
    """An archive that is sent while it is read."""
    name = f"{file_name(name)}-{datetime.now(UTC):%Y%m%d-%H%M%S}.jsonl"
    headers = {"Content-Disposition": content_disposition_header(True, name)}
    content: Iterator[bytes] | AsyncIterator[bytes]
    if isinstance(request, ASGIRequest):  # Django would collect a sync iterator in memory
        content = aiter(dump)
    else:
        # The first chunk asks Redis: an error now is a message, a later one cuts the file short,
        # which every reader of an archive notices.
        chunks = iter(dump)
        content = chain([next(chunks, b"")], chunks)
    return StreamingHttpResponse(content, content_type="application/x-ndjson", headers=headers)


class OwnerForm(forms.Form):
    owner = forms.CharField(
        label=gettext_lazy("Owner"), max_length=1000, widget=AdminTextInputWidget
    )


class Erasing(IndexViews):
    """The page that erases the conversations of an owner, after a preview."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_http_methods(["GET", "POST"])(self.erase_view))
        return [path("erase/<str:key>/", view, name=self.view_name("erase")), *super().get_urls()]

    def list_context(self, request: HttpRequest, changelist: Any) -> dict[str, Any]:
        return {
            **super().list_context(request, changelist),
            "may_erase": self.has_erase_permission(request),
            "erased_owner": request.GET.get("owner", ""),
        }

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return self.has_codename(request, "erase_owner")

    @guarded
    def erase_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """GET asks for the owner and counts, POST with `confirmed` erases."""
        address = self.permitted(key, request, may=self.has_erase_permission(request))
        index = address.index()
        form = OwnerForm(request.POST or (request.GET if "owner" in request.GET else None))
        context: dict[str, Any] = {"title": _("Erase an owner"), "form": form}
        if form.is_valid():
            owner = form.cleaned_data["owner"]
            if "confirmed" in request.POST:
                self._report(request, address, owner, index.erase(owner=owner), index.copies())
                return self.back(address)
            foreseen = index.erase(owner=owner, dry_run=True)
            context |= {"owner": label(owner), "foreseen": foreseen}
        return self.index_page(request, "erase.html", address, context)

    def _report(
        self, request: HttpRequest, address: Address, owner: str, erased: Erasure, copies: Copies
    ) -> None:
        text = ngettext(
            "Erased %(count)s conversation of owner “%(owner)s”.",
            "Erased %(count)s conversations of owner “%(owner)s”.",
            erased.conversations,
        ) % {"count": erased.conversations, "owner": label(owner)}
        self.message_user(request, text, messages.SUCCESS)
        self.log_index(request, address, text)
        replicas = copies.replicas or 0
        told = ngettext("%d replica (run both there)", "%d replicas (run both there)", replicas)
        held = [
            *([_("its append-only file (run BGREWRITEAOF)")] if copies.append_only_file else []),
            *([_("its snapshot (run BGSAVE)")] if copies.saved else []),
            *([told % replicas] if replicas else []),
        ]
        if held:
            text = _("Redis may still hold copies in: %s.") % ", ".join(held)
            self.message_user(request, text, messages.WARNING)
