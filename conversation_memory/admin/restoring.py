"""Restoring an uploaded archive after a preview.

Between the two requests, the upload is a file in the temporary folder. Its name is in the session,
so that no other user restores it. A site on several machines sends both requests to one of them,
or shares FILE_UPLOAD_TEMP_DIR.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile, gettempdir
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from .. import archive
from ..exceptions import ConversationMemoryError
from ..indexes import ConversationIndex
from ..rendering import label
from .addresses import Address
from .formatting import grouped
from .index_views import IndexViews
from .redis_admin import guarded

_KEY = "conversation_memory_upload"
_PREFIX, _SUFFIX = "conversation-memory-", ".upload"
_is_ours = re.compile(r"conversation-memory-\w+\.upload").fullmatch
_LASTS = 60 * 60  # seconds

_EFFECTS = (
    ("new", gettext_lazy("new: restored")),
    ("same", gettext_lazy("identical: skipped")),
    ("replaced", gettext_lazy("different: replaced")),
    ("skipped", gettext_lazy("different: skipped")),
    ("conflicts", gettext_lazy("in conflict: nothing is restored")),
    ("expired", gettext_lazy("expired: skipped")),
    ("unreadable", gettext_lazy("unreadable in the archive: restored unchanged")),
    ("kept", gettext_lazy("unreadable in this index: skipped")),
)


class RestoreForm(forms.Form):
    archive = forms.FileField(label=gettext_lazy("Archive"))
    on_conflict = forms.ChoiceField(
        label=gettext_lazy("If a conversation exists and differs"),
        choices=[
            ("fail", gettext_lazy("restore nothing")),
            ("skip", gettext_lazy("keep the existing one")),
            ("newest", gettext_lazy("keep the newer of the two")),
            ("replace", gettext_lazy("replace it with the one in the archive")),
        ],
        initial="fail",  # as in the command
    )
    ignore_expiry = forms.BooleanField(
        label=gettext_lazy("Ignore expiry: keep restored conversations forever"), required=False
    )

    @property
    def options(self) -> dict[str, Any]:
        return {key: self.cleaned_data[key] for key in ("on_conflict", "ignore_expiry")}


class SizeLimit(FileUploadHandler):
    """Stops an upload that exceeds `most` bytes, and sets `was_reached`."""

    def __init__(self, request: HttpRequest, most: int):
        super().__init__(request)
        self.most = most
        self.size = 0
        self.was_reached = False

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        self.size += len(raw_data)
        if self.size > self.most:
            self.was_reached = True
            raise StopUpload(connection_reset=False)
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None


class Restoring(IndexViews):
    max_upload_bytes = 256 * 1024 * 1024
    # Of an uploaded archive, unpacked: it is read twice while the user waits for the page.
    max_archive_bytes = 1024 * 1024 * 1024
    max_archive_conversations = 100_000

    # Django's CSRF middleware would read the body before its size is limited.
    @method_decorator([csrf_exempt, require_http_methods(["GET", "POST"])])
    def restore_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """GET asks for the file, POST shows the effect, POST with `confirmed` restores."""
        limit = SizeLimit(request, self.max_upload_bytes)
        request.upload_handlers.insert(0, limit)
        return self._restoring(request, key, limit)

    @method_decorator(csrf_protect)
    @guarded
    def _restoring(self, request: HttpRequest, key: str, limit: SizeLimit) -> HttpResponse:
        address = self.index_at(key, request, may=self.has_restore_permission(request))
        if request.method == "GET":
            return self._form(request, address, RestoreForm())
        if "confirmed" in request.POST:
            return self._restore(request, address)
        return self._preview(request, address, limit)

    def _form(self, request: HttpRequest, address: Address, form: RestoreForm) -> HttpResponse:
        most = filesizeformat(self.max_upload_bytes)
        context = {"title": _("Restore an archive"), "form": form, "most": most}
        return self.index_page(request, "restore.html", address, context)

    def _preview(self, request: HttpRequest, address: Address, limit: SizeLimit) -> HttpResponse:
        form = RestoreForm(request.POST, request.FILES)
        if limit.was_reached:
            most = filesizeformat(self.max_upload_bytes)
            text = _("The file is larger than the limit of %s.") % most
            form.errors["archive"] = form.error_class([text])
        if not form.is_valid():
            return self._form(request, address, form)
        file = form.cleaned_data["archive"]
        try:
            with self._archive(address.index(), _keep(request, file, address), file.name) as opened:
                counts = archive.Restore(address.index(), opened, **form.options).plan()
        except ConversationMemoryError as error:
            _discard(request)
            form.add_error(None, str(error))
            return self._form(request, address, form)
        context = {
            "title": _("Restore an archive"),
            "file": label(file.name),
            "lines": list(_effects(counts, form.options["on_conflict"])),
            "writes": _writes(counts, form.options["on_conflict"]),
            "options": form.options,
        }
        return self.index_page(request, "restore_preview.html", address, context)

    def _restore(self, request: HttpRequest, address: Address) -> HttpResponse:
        form = RestoreForm(request.POST)
        del form.fields["archive"]
        path = _kept(request, address)
        if path is None or not form.is_valid():
            text = _("The uploaded file is no longer available. Choose it again.")
            self.message_user(request, text, messages.ERROR)
            return self._form(request, address, RestoreForm())
        name = request.session[_KEY]["as"]
        with self._archive(address.index(), path, name) as opened:
            counts = archive.Restore(address.index(), opened, **form.options).run()
        _discard(request)
        return self.finish(request, address, _outcome(counts, name))

    @contextmanager
    def _archive(
        self, index: ConversationIndex, path: Path, name: str | None
    ) -> Iterator[archive.Archive]:
        most, most_bytes = self.max_archive_conversations, self.max_archive_bytes
        shown = f"“{label(name or path.suffix)}”"  # not that of the temporary file
        with (
            path.open("rb") as file,
            archive.open_archive(
                file, most=most, most_bytes=most_bytes, name=shown, keyring=index.keyring
            ) as opened,
        ):
            yield opened


def _effects(counts: Any, policy: str) -> Iterator[dict[str, Any]]:
    """The number of conversations for each effect, with examples; new and identical always."""
    for key, name in _EFFECTS:
        count = getattr(counts, key) if key != "conflicts" or policy == "fail" else 0
        if count or key in ("new", "same"):
            examples = [label(id) for id in counts.examples.get(key, ())]
            yield {"name": name, "count": count, "examples": examples}


def _writes(counts: Any, policy: str) -> bool:
    """True if restoring changes anything."""
    is_refused = policy == "fail" and counts.conflicts
    return bool(counts.new or counts.replaced) and not is_refused


def _outcome(counts: Any, name: str) -> str:
    text = _(
        "Restored “%(name)s”: %(new)s new, %(replaced)s replaced, %(same)s unchanged, "
        "%(skipped)s skipped."
    )
    numbers = {key: grouped(getattr(counts, key)) for key in ("new", "replaced", "same")}
    numbers["skipped"] = grouped(counts.skipped + counts.expired)
    text %= {"name": label(name), **numbers}
    if not counts.kept:
        return text
    kept = ngettext(
        "%(count)s was kept because the conversation stored here is unreadable: %(ids)s.",
        "%(count)s were kept because the conversations stored here are unreadable: %(ids)s.",
        counts.kept,
    )
    ids = ", ".join(label(id)[:60] for id in counts.examples["kept"])
    return f"{text} {kept % {'count': grouped(counts.kept), 'ids': ids}}"


def _keep(request: HttpRequest, file: UploadedFile[Any], address: Address) -> Path:
    """Keep `file` for the user of the request, and remove old files that nobody restored."""
    _discard(request)
    for upload in _folder().glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):  # owned by another user, or removed in the meantime
            if _is_ours(upload.name) and upload.stat().st_mtime < time.time() - _LASTS:
                upload.unlink()
    with NamedTemporaryFile(prefix=_PREFIX, suffix=_SUFFIX, dir=_folder(), delete=False) as target:
        target.writelines(file.chunks())
    path = Path(target.name)
    request.session[_KEY] = {"name": path.name, "where": str(address), "as": file.name or ""}
    return path


def _kept(request: HttpRequest, address: Address | None = None) -> Path | None:
    """The file of the user, if it still exists and is kept for that index."""
    kept = request.session.get(_KEY, {})
    name = str(kept.get("name", ""))
    path = _folder() / name
    if not _is_ours(name) or not path.is_file():
        return None
    return path if address is None or kept["where"] == str(address) else None


def _discard(request: HttpRequest) -> None:
    if path := _kept(request):
        path.unlink(missing_ok=True)
    request.session.pop(_KEY, None)


def _folder() -> Path:
    return Path(settings.FILE_UPLOAD_TEMP_DIR or gettempdir())
