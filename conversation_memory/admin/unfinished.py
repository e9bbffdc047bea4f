"""The open runs on the page of a conversation, and failing them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from ..keys import encode
from ..models import Conversation
from ..rendering import Look, label, visible
from ..rendering.safe_text import cut
from ..replies.lifecycle import answered
from ..replies.open_runs import OpenRun
from ..runs import Run
from .conversation_page import ConversationPage, file_of
from .redis_admin import guarded
from .transcript import (
    MAX_CHARACTERS,
    MAX_VALUE,
    ShownMessage,
    beginning_of,
    damage_of,
    messages_of,
)

_STATES = {
    "waiting": gettext_lazy("Waiting for a worker"),
    "claimed": gettext_lazy("Being written"),
    "lost": gettext_lazy("Interrupted: the worker does not answer any more"),
    "failed": gettext_lazy("Failed"),
    "cancelled": gettext_lazy("Cancelled"),
}
_SETTLED = ("failed", "cancelled")


class FailForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        widget=AdminTextInputWidget,
        help_text=gettext_lazy("Users see it if the site shows reasons."),
    )


@dataclass(frozen=True, kw_only=True)
class ShownOpenRun:
    """An open run as `unfinished.html` shows it; `since` is when it got its state."""

    tag: str
    id: str
    state: str
    reason: str
    since: datetime | None
    messages: Sequence[ShownMessage] = ()
    damaged: str = ""
    beginning: str = ""
    fail_url: str = ""


class UnfinishedRuns(ConversationPage):
    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        found: Conversation = kwargs["obj"]
        link = partial(self._link, str(found.address))
        unfinished = found.address.index().unfinished(found.address.conversation_id)
        may_fail = self.has_change_permission(request)
        shown = [_shown(run, text, link, may_fail=may_fail) for run, text in unfinished.runs]
        context |= {"unfinished": shown, "unfinished_left": unfinished.left}
        return super().render_change_form(request, context, *args, **kwargs)

    def _link(self, key: str, view: str, *parts: object) -> str:
        return self.link(view, key, *parts)

    @method_decorator(require_GET)
    @guarded
    def open_file_view(
        self, request: HttpRequest, object_id: str, tag: str, path: str
    ) -> HttpResponse:
        """As `file_view`, of an open run."""
        opened = _open_run(self._visible(request, object_id), tag)
        if opened is None:
            raise Http404
        return file_of(_run(*opened), path)

    @method_decorator(require_http_methods(["GET", "POST"]))
    @guarded
    def fail_view(self, request: HttpRequest, object_id: str, tag: str) -> HttpResponse:
        """GET asks for the reason, POST fails the reply."""
        found = self._visible(request, object_id)
        if not self.has_change_permission(request, found):
            raise PermissionDenied
        page = self.link("change", quote(object_id))
        opened = _open_run(found, tag)
        if opened is None or opened[0].state in _SETTLED:
            return self._not_open(request, page)
        form = FailForm(request.POST or None)
        if not form.is_valid():
            return self._fail_page(request, found, page, form, opened)
        run_id, reason = opened[0].run_id, form.cleaned_data["reason"]
        if not found.address.driver().fail(run_id, reason):
            return self._not_open(request, page)
        text = _("Failed the answer of run %(id)s: %(reason)s")
        self.log_change(request, found, text % {"id": label(run_id), "reason": reason})
        self.message_user(request, _("The answer was failed."), messages.SUCCESS)
        return HttpResponseRedirect(page)

    def _not_open(self, request: HttpRequest, page: str) -> HttpResponse:
        text = _("This answer was finished or given up already.")
        self.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(page)

    def _fail_page(
        self,
        request: HttpRequest,
        found: Conversation,
        page: str,
        form: FailForm,
        opened: tuple[OpenRun, str],
    ) -> HttpResponse:
        address = found.address
        context = {
            "title": _("Fail an answer"),
            "subtitle": str(found),
            "parents": [(self.list_url(address), address.index_name), (page, str(found))],
            "address": address,
            "form": form,
            "run": _shown(*opened, partial(self._link, str(address)), may_fail=False),
            "page": page,
        }
        return self.page(request, "conversation/fail.html", context)


def _open_run(found: Conversation, tag: str) -> tuple[OpenRun, str] | None:
    runs: Iterator[tuple[OpenRun, str]] = iter(
        found.address.index().unfinished(found.address.conversation_id).runs
    )
    return next((opened for opened in runs if _tag(opened[0]) == tag), None)


def _tag(run: OpenRun) -> str:
    """A name for a URL, as the id may be anything."""
    return sha256(encode(run.run_id)).hexdigest()[:32]


def _run(opened: OpenRun, text: str) -> Run:
    """The run with the text so far as its output."""
    if damage_of(opened.question):
        return opened.question
    return answered(opened.question, text, None)


def _shown(opened: OpenRun, text: str, link: Callable[..., str], *, may_fail: bool) -> ShownOpenRun:
    tag, run = _tag(opened), _run(opened, text)
    damaged = damage_of(run)
    look = Look(url=partial(link, "open_file", tag), limit=MAX_CHARACTERS)
    return ShownOpenRun(
        tag=tag,
        id=label(opened.run_id),
        state=str(_STATES.get(opened.state, label(opened.state))),
        reason=cut(visible(opened.reason), MAX_VALUE)[0],
        since=opened.begun if opened.state == "waiting" else opened.changed,
        messages=() if damaged else list(messages_of(run, look)),
        damaged=damaged,
        beginning=beginning_of(run.to_wire()) if damaged else "",
        fail_url=link("fail", tag) if may_fail and opened.state not in _SETTLED else "",
    )
