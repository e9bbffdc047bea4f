"""Parts of a conversation by an address of their own: its JSON, a run, a file in it."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from ..exceptions import RunNotFound
from ..models import Conversation
from ..rendering import Look, label, pick, visible
from ..rendering.serving import download, plain, serve
from ..runs import Artifact, Run
from .conversation_page import ConversationPage
from .failures import guarded
from .transcript import MAX_CHARACTERS, SIDES, damage, tag_of
from .transcript import messages as messages_of

# Beyond, indenting would take longer than one wants to wait; the exact bytes are no slower.
MOST_INDENTED = 8 * 1024 * 1024


class ConversationParts(ConversationPage):
    """Serves what the page of a conversation links to, and takes runs out."""

    def get_urls(self) -> list[URLPattern]:
        run = "<str:object_id>/runs/<int:position>/<str:tag>/"
        views = {
            "raw": ("<str:object_id>/raw/", require_GET(self.raw_view)),
            "run": (run, require_GET(self.run_view)),
            "file": (run + "file/<str:place>/", require_GET(self.file_view)),
            "remove": (run + "remove/", require_http_methods(["GET", "POST"])(self.remove_view)),
        }
        ours = [
            path(route, self.admin_site.admin_view(view), name=self.view_name(name))
            for name, (route, view) in views.items()
        ]
        return ours + super().get_urls()

    @guarded
    def raw_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The JSON, indented for reading; with `exact`, the very bytes as a file."""
        found = self._visible(request, object_id)
        raw = found.address.driver().raw()
        if raw is None:
            raise Http404
        indented = None if "exact" in request.GET else _indented(raw)
        if indented is None:
            return download(raw, f"{found.conversation_id}.json")
        return plain(indented)

    @guarded
    def run_view(
        self, request: HttpRequest, object_id: str, position: int, tag: str
    ) -> HttpResponse:
        run = self._run(self._visible(request, object_id), position, tag)
        indented = _indented(run.to_wire())
        return (
            download(run.to_wire(), f"run-{position + 1}") if indented is None else plain(indented)
        )

    @guarded
    def file_view(
        self, request: HttpRequest, object_id: str, position: int, tag: str, place: str
    ) -> HttpResponse:
        """A picture, a binary as a download, or a text that was too long for the page."""
        run = self._run(self._visible(request, object_id), position, tag)
        artifact = _at(run, place)
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
            self.message_user(request, _("The run was gone already."), messages.WARNING)
            return HttpResponseRedirect(page)
        self.log_change(request, found, [{"deleted": {"name": _("run"), "object": label(run.id)}}])
        self.message_user(request, _("The run was removed."), messages.SUCCESS)
        return HttpResponseRedirect(page)

    def _ask(
        self, request: HttpRequest, found: Conversation, run: Run, position: int, page: str
    ) -> HttpResponse:
        link = self.link
        key, tag = str(found.address), tag_of(run)
        look = Look(url=lambda place: link("file", key, position, tag, place), limit=MAX_CHARACTERS)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Remove a run"),
            "subtitle": str(found),
            "messages_of_run": list(messages_of(run, look)),
            "number": position + 1,
            "run_id": label(run.id),
            "page": page,
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        template = "admin/conversation_memory/conversation/remove.html"
        return TemplateResponse(request, template, context)

    def _visible(self, request: HttpRequest, object_id: str) -> Conversation:
        """The conversation, if the user may see it."""
        found = self.get_object(request, object_id)
        if not self.has_view_permission(request, found):
            raise PermissionDenied
        if found is None:
            raise Http404
        return found

    def _run(self, found: Conversation, position: int, tag: str) -> Run:
        """The run at a position, if it is still the one that the page was made of."""
        page = found.address.driver().excerpt(before=position + 1, limit=1, strict=False)
        if page.start != position or not page.runs or tag_of(page.runs[0]) != tag:
            raise Http404
        run: Run = page.runs[0]
        return run


def _at(run: Run, place: str) -> Artifact | None:
    side, *inside = place.split(".")
    if side not in SIDES or damage(run):
        return None
    artifact: Artifact = getattr(run, side)
    return pick(artifact, inside)


def _indented(raw: bytes) -> bytes | None:
    """JSON for reading, None for what is none or very long."""
    if len(raw) > MOST_INDENTED:
        return None
    try:
        value: Any = json.loads(raw)
        return visible(json.dumps(value, ensure_ascii=False, indent=2)).encode()
    except (ValueError, RecursionError):
        return None
