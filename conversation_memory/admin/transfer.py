"""Exporting conversations as an archive, and restoring an uploaded one after a preview."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from ..exceptions import ConversationMemoryError
from ..rendering import label
from . import archives, uploads
from .addresses import Address
from .failures import guarded
from .index_views import IndexViews

MAX_UPLOAD_BYTES = 256 * 1024 * 1024
# Of an uploaded archive, unpacked: it is read twice while somebody waits for the page.
MAX_ARCHIVE_BYTES = 1024 * 1024 * 1024
MAX_CONVERSATIONS = 100_000


class RestoreForm(forms.Form):
    archive = forms.FileField(label=gettext_lazy("Archive"))
    on_conflict = forms.ChoiceField(
        label=gettext_lazy("If a conversation is there and differs"),
        choices=[
            ("skip", gettext_lazy("keep the one that is there")),
            ("newest", gettext_lazy("keep the newer of the two")),
            ("replace", gettext_lazy("replace it by the one in the archive")),
            ("fail", gettext_lazy("restore nothing at all")),
        ],
        initial="skip",
    )
    ignore_expiry = forms.BooleanField(
        label=gettext_lazy("Keep for ever what has a deadline in the archive"), required=False
    )

    @property
    def options(self) -> dict[str, Any]:
        return {key: self.cleaned_data[key] for key in ("on_conflict", "ignore_expiry")}


class Transfer(IndexViews):
    """An action that exports, a page that restores."""

    max_upload_bytes = MAX_UPLOAD_BYTES
    max_archive_bytes = MAX_ARCHIVE_BYTES
    max_archive_conversations = MAX_CONVERSATIONS

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self._unread(self.restore_view))
        return [
            path("restore/<str:key>/", view, name=self.view_name("restore")),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "may_restore": self.has_restore_permission(request)}
        return super().changelist_view(request, context)

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.has_codename(request, "export_conversation")

    def has_restore_permission(self, request: HttpRequest) -> bool:
        return self.has_codename(request, "restore_conversation")

    @admin.action(permissions=["export"], description=gettext_lazy("Export selected conversations"))
    def export_selected(self, request: HttpRequest, queryset: Any) -> Any:
        """The ticked ones, or all that match without listing them."""
        selection = queryset.selection
        ids: list[bytes] | None = None
        if selection.chosen is not None or selection.text or selection.unreadable:
            found = list(queryset)
            ids = [conversation.address.conversation_id for conversation in found]
            addresses = {conversation.address.of_index for conversation in found}
            address = addresses.pop() if len(addresses) == 1 else None
        else:
            address = selection.index
        if address is None:
            return None
        response = archives.export(request, address.index(), selection, ids)
        number = number_format(queryset.count() if ids is None else len(ids), force_grouping=True)
        self.log_index(request, address, _("Exported %s conversations.") % number)
        return response

    def _unread(self, view: Any) -> Any:
        """`view` of a request whose body is bounded before anything reads it.

        A middleware that looks for the token would read it first: the view looks itself.
        """

        @csrf_exempt
        def bounded(request: HttpRequest, key: str) -> HttpResponse:
            limit = uploads.SizeLimit(request, self.max_upload_bytes)
            request.upload_handlers.insert(0, limit)
            return view(request, key, limit)  # type: ignore[no-any-return]

        return require_http_methods(["GET", "POST"])(bounded)

    @method_decorator(csrf_protect)
    @guarded
    def restore_view(
        self, request: HttpRequest, key: str, limit: uploads.SizeLimit
    ) -> HttpResponse:
        """GET asks for the file, POST shows what would happen, POST with `confirmed` does it."""
        address = self.permitted(request, key)
        if not self.has_restore_permission(request):
            raise PermissionDenied
        if request.method == "GET":
            return self._form(request, address, RestoreForm())
        if "confirmed" in request.POST:
            return self._restore(request, address)
        return self._preview(request, address, limit)

    def _form(self, request: HttpRequest, address: Address, form: RestoreForm) -> HttpResponse:
        context = {
            "title": _("Restore an archive"),
            "form": form,
            "most": filesizeformat(self.max_upload_bytes),
        }
        return self.page(request, "restore.html", address, **context)

    def _preview(
        self, request: HttpRequest, address: Address, limit: uploads.SizeLimit
    ) -> HttpResponse:
        form = RestoreForm(request.POST, request.FILES)
        if limit.was_reached:
            most = filesizeformat(self.max_upload_bytes)
            text = _("The file is larger than the %s that are allowed.") % most
            form.errors["archive"] = form.error_class([text])
        if not form.is_valid():
            return self._form(request, address, form)
        index, file = address.index(), form.cleaned_data["archive"]
        path = uploads.keep(request, file, str(address))
        try:
            header, counts = archives.plan(index, path, self._limits, **form.options)
        except ConversationMemoryError as error:
            uploads.discard(request)
            form.add_error(None, str(error))
            return self._form(request, address, form)
        context = {
            "title": _("Restore an archive"),
            "file": label(file.name),
            "header": header,
            "lines": list(_lines(counts, form.options["on_conflict"])),
            "options": form.options,
        }
        return self.page(request, "restore_preview.html", address, **context)

    @property
    def _limits(self) -> dict[str, Any]:
        return {"most": self.max_archive_conversations, "most_bytes": self.max_archive_bytes}

    def _restore(self, request: HttpRequest, address: Address) -> HttpResponse:
        form = RestoreForm(request.POST)
        del form.fields["archive"]
        kept = uploads.kept(request, str(address))
        if kept is None or not form.is_valid():
            text = _("The uploaded file is not there any more. Please choose it again.")
            self.message_user(request, text, messages.ERROR)
            return self._form(request, address, RestoreForm())
        path, name = kept
        counts = archives.restore(address.index(), path, self._limits, **form.options)
        uploads.discard(request)
        done = _("Restored “%(name)s”: %(new)s new, %(replaced)s replaced, %(same)s unchanged.") % {
            "name": label(name),
            **{key: number_format(getattr(counts, key), force_grouping=True) for key in _DONE},
        }
        self.log_index(request, address, done)
        self.message_user(request, done, messages.SUCCESS)
        return self.back(address)


_DONE = ("new", "replaced", "same")
_LINES = (
    ("new", gettext_lazy("new")),
    ("same", gettext_lazy("the same, left as they are")),
    ("replaced", gettext_lazy("replaced")),
    ("skipped", gettext_lazy("different, left as they are")),
    ("conflicts", gettext_lazy("in conflict: nothing would be restored")),
    ("expired", gettext_lazy("past their deadline, left out")),
    ("unreadable", gettext_lazy("unreadable, restored as they are")),
    ("kept", gettext_lazy("stored here unreadable, left as they are")),
)


def _lines(counts: Any, policy: str) -> Iterator[dict[str, Any]]:
    """What would happen to how many, and to which, for instance; new and same always."""
    for key, name in _LINES:
        count = getattr(counts, key) if key != "conflicts" or policy == "fail" else 0
        if count or key in ("new", "same"):
            examples = [label(id) for id in counts.examples.get(key, ())]
            yield {"name": name, "count": count, "examples": examples}
