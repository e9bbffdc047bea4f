"""Views of the parts of a conversation: its JSON, a run, a file in a run."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from ..exceptions import RunNotFound
from ..models import Conversation
from ..rendering import Look, label, pick, visible
from ..rendering.serving import download, plain, serve
from ..runs import Artifact, Run
from .redis_admin import RedisAdmin, guarded
from .transcript import MAX_CHARACTERS, SIDES, damage, tag_of
from .transcript import messages as messages_of

# Indenting more would keep the user waiting; the exact bytes are sent at once.
MOST_INDENTED = 8 * 1024 * 1024


class RunViews(RedisAdmin):
    """The views that the page of a conversation links to."""

    def get_urls(self) -> list[URLPattern]:
        run = "<str:object_id>/runs/<int:position>/<str:tag>/"
        views = {
            "raw": ("<str:object_id>/raw/", require_GET(self.raw_view)),
            "run": (run, require_GET(self.run_view)),
            "file": (run + "file/<str:path>/", require_GET(self.file_view)),
            "remove": (run + "remove/", require_http_methods(["GET", "POST"])(self.remove_view)),
        }
        ours = [
            path(route, self.admin_site.admin_view(view), name=self.view_name(name))
            for name, (route, view) in views.items()
        ]
        return ours + super().get_urls()

    @guarded
    def raw_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The JSON, indented; with `exact`, the stored bytes as a file."""
        found = self._visible(request, object_id)
        raw = found.address.driver().raw()
        if raw is None:
            raise Http404
        name = f"{found.conversation_id}.json"
        return download(raw, name) if "exact" in request.GET else _readable(raw, name)

    @guarded
    def run_view(
        self, request: HttpRequest, object_id: str, position: int, tag: str
    ) -> HttpResponse:
        run = self._run(self._visible(request, object_id), position, tag)
        return _readable(run.to_wire(), f"run-{position + 1}")

    @guarded
    def file_view(
        self, request: HttpRequest, object_id: str, position: int, tag: str, path: str
    ) -> HttpResponse:
        """A picture, another binary as a download, or a text that is too long for the page."""
        run = self._run(self._visible(request, object_id), position, tag)
        artifact = _at(run, path)
        if artifact is None:
            raise Http404
        return serve(artifact) or plain(visible(artifact.text).encode())

    @guarded
    def remove_view(
        self, request: HttpRequest, object_id: str, position: int, tag: str
    ) -> HttpResponse:
        found = self._visible(request, object_id)
        if not self.has_change_permission(request, found):
            raise PermissionDenied
        run = self._run(found, position, tag)
        page = self.link("change", object_id)
        if request.method == "GET":
            return self._ask(request, found, run, position, page)
        try:
            found.address.driver().remove(run.id)
        except RunNotFound:
            self.message_user(request, _("This run was removed already."), messages.WARNING)
            return HttpResponseRedirect(page)
        self.log_change(request, found, [{"deleted": {"name": _("run"), "object": label(run.id)}}])
        self.message_user(request, _("The run was removed."), messages.SUCCESS)
        return HttpResponseRedirect(page)

    def _ask(
        self, request: HttpRequest, found: Conversation, run: Run, position: int, page: str
    ) -> HttpResponse:
        link = self.link
        key, tag = str(found.address), tag_of(run)
        look = Look(url=lambda path: link("file", key, position, tag, path), limit=MAX_CHARACTERS)
        context = {
            "title": _("Remove a run"),
            "subtitle": str(found),
            "messages_of_run": list(messages_of(run, look)),
            "number": position + 1,
            "run_id": label(run.id),
            "page": page,
        }
        return self.page(request, "conversation/remove.html", context)

    def _visible(self, request: HttpRequest, object_id: str) -> Conversation:
        """The conversation, if the user may see it."""
        found: Conversation | None = self.get_object(request, object_id)
        if not self.has_view_permission(request, found):
            raise PermissionDenied
        if found is None:
            raise Http404
        return found

    def _run(self, found: Conversation, position: int, tag: str) -> Run:
        """The run at a position, if it is still the one that the page showed."""
        page = found.address.driver().excerpt(before=position + 1, limit=1, strict=False)
        if page.start != position or not page.runs or tag_of(page.runs[0]) != tag:
            raise Http404
        run: Run = page.runs[0]
        return run


def _at(run: Run, path: str) -> Artifact | None:
    side, *inside = path.split(".")
    if side not in SIDES or damage(run):
        return None
    artifact: Artifact = getattr(run, side)
    return pick(artifact, inside)


def _readable(raw: bytes, name: str) -> HttpResponse:
    """Indented JSON; a download if `raw` is not JSON, or very long."""
    if len(raw) > MOST_INDENTED:
        return download(raw, name)
    try:
        value: Any = json.loads(raw)
        return plain(visible(json.dumps(value, ensure_ascii=False, indent=2)).encode())
    except (ValueError, RecursionError):
        return download(raw, name)
