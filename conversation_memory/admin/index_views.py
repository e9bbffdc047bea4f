"""Views about a whole index: exporting conversations, and what is stored of an owner."""

from datetime import UTC, datetime
from itertools import chain
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.utils.decorators import method_decorator
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods

from ..archive import Dump, OwnerExport
from ..collection.erase import Copies
from ..collection.selection import Selection
from ..models import Index
from ..rendering import label
from ..rendering.serving import file_name
from .addresses import Address
from .formatting import grouped
from .redis_admin import RedisAdmin, guarded


class OwnerForm(forms.Form):
    owner = forms.CharField(
        label=gettext_lazy("Owner"), max_length=1000, widget=AdminTextInputWidget
    )


class ExactOwnerForm(forms.Form):
    """Sent by our own buttons. Spaces count: the data of another owner must not be handed out."""

    owner = forms.CharField(max_length=1000, strip=False)


class IndexViews(RedisAdmin):
    def has_restore_permission(self, request: HttpRequest) -> bool:
        return self.has_codename(request, "restore_conversation")

    def list_context(self, request: HttpRequest, changelist: Any) -> dict[str, Any]:
        return {
            **super().list_context(request, changelist),
            "may_restore": self.has_restore_permission(request),
            "may_erase": self.has_erase_permission(request),
            "erased_owner": request.GET.get("owner", ""),
        }

    @admin.action(permissions=["export"], description=gettext_lazy("Export selected conversations"))
    def export_selected(self, request: HttpRequest, queryset: Any) -> Any:
        """Export the ticked conversations, or all that match without listing them."""
        listed, address = queryset.selection, queryset.selection.index
        if listed.chosen is not None or listed.is_search or listed.is_sorted:
            found = [one.address for one in queryset if one.address.of_index == address]
            selection = Selection(ids=[one.conversation_id for one in found])
            count = len(found)
        else:
            selection = Selection(owner=listed.owner, since=listed.since, until=listed.until)
            count = queryset.count()
        if not count:
            return None
        response = _download(request, Dump(address.index(), selection), address.name, *_ARCHIVE)
        self.log_index(request, address, _("Exported %s conversations.") % grouped(count))
        return response

    @method_decorator(require_http_methods(["GET", "POST"]))
    @guarded
    def erase_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """GET asks for the owner and counts, POST with `confirmed` erases."""
        address = self.index_at(key, request, may=self.has_erase_permission(request))
        index = address.index()
        form = OwnerForm(request.POST or (request.GET if "owner" in request.GET else None))
        context: dict[str, Any] = {"title": _("Erase an owner"), "form": form}
        if not form.is_valid():
            return self.index_page(request, "erase.html", address, context)
        owner = form.cleaned_data["owner"]
        if "confirmed" not in request.POST:
            context |= {"owner": label(owner), "foreseen": index.erase(owner=owner, dry_run=True)}
            if self.has_owner_data_permission(request):
                url = self.link("owner_data", str(address))
                context |= {"owner_data_url": url, "exact_owner": owner}
            return self.index_page(request, "erase.html", address, context)
        count = index.erase(owner=owner).conversations
        text = ngettext(
            "Erased %(count)s conversation of owner “%(owner)s”.",
            "Erased %(count)s conversations of owner “%(owner)s”.",
            count,
        ) % {"count": count, "owner": label(owner)}
        response = self.finish(request, address, text)
        if held := _held(index.copies()):
            text = _("Redis may still hold copies in: %s.") % ", ".join(held)
            self.message_user(request, text, messages.WARNING)
        return response

    @method_decorator(require_http_methods(["GET", "POST"]))
    @guarded
    def owner_data_view(self, request: HttpRequest, key: str) -> Any:
        """POST downloads all data of an owner; GET, which follows a failure, leads to the list."""
        may = self.has_owner_data_permission(request)
        address = self.index_at(key, request, may=may)
        form = ExactOwnerForm(request.POST)
        if request.method == "GET" or not form.is_valid():
            for error in form.errors.get("owner", []) if request.method == "POST" else []:
                self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(self.list_url(address))
        owner = form.cleaned_data["owner"]
        response = _download(request, OwnerExport(address.index(), owner), owner, *_OWNER_DATA)
        text = _("Downloaded all data of owner “%s”.") % label(owner)
        self.log_index(request, address, text)
        return response

    def index_page(
        self, request: HttpRequest, template: str, address: Address, context: dict[str, Any]
    ) -> HttpResponse:
        url = self.list_url(address)
        about = {"address": address, "list_url": url, "parents": [(url, address.index_name)]}
        return self.page(request, f"conversation/{template}", about | context)

    def finish(self, request: HttpRequest, address: Address, text: str) -> HttpResponse:
        """Tell the user and the history of the index what was done, and lead to its list."""
        self.log_index(request, address, text)
        self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(self.list_url(address))

    def log_index(self, request: HttpRequest, address: Address, text: str) -> None:
        index = Index(id=str(address), alias=address.alias, name=address.name)
        self.log_change(request, index, text)


# The ending and the type of a file.
_ARCHIVE = (".jsonl", "application/x-ndjson")
_OWNER_DATA = (".zip", "application/zip")


def _download(
    request: HttpRequest, dump: Dump, name: str, ending: str, content_type: str
) -> StreamingHttpResponse:
    name = f"{file_name(name)}-{datetime.now(UTC):%Y%m%d-%H%M%S}{ending}"
    headers = {"Content-Disposition": content_disposition_header(True, name)}
    # An error now is a message. A later one cuts the file short, which every reader of an archive
    # or a ZIP notices.
    if isinstance(request, ASGIRequest):  # Django would collect a sync iterator in memory
        dump.index.count()
        content: Any = aiter(dump)
    else:
        chunks = iter(dump)
        content = chain([next(chunks, b"")], chunks)
    return StreamingHttpResponse(content, content_type=content_type, headers=headers)


def _held(copies: Copies) -> list[str]:
    """Where a server may hold data that was deleted, and what rewrites that."""
    held = []
    if copies.append_only_file:
        held.append(_("its append-only file (run BGREWRITEAOF)"))
    if copies.saved:
        held.append(_("its snapshot (run BGSAVE)"))
    if count := copies.replicas:
        text = ngettext("%d replica (run both there)", "%d replicas (run both there)", count)
        held.append(text % count)
    return held
