"""What staff see when Redis fails: a sentence on a page, never a 500."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from ..exceptions import ConversationMemoryError
from ..models import Index

View = Callable[..., HttpResponse]


def guarded(view: View) -> View:
    """A view, a method of a ModelAdmin, that answers an error of Redis.

    What only reads becomes a page with status 503; what was to write, a message on the page that
    it was sent from.
    """

    @wraps(view)
    def answering(
        self: ModelAdmin[Any], request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        try:
            return view(self, request, *args, **kwargs)
        except ConversationMemoryError as error:
            if request.method == "POST":
                self.message_user(request, str(error), messages.ERROR)
                return HttpResponseRedirect(request.get_full_path())
            return unavailable(self, request, error)

    return answering


def unavailable(
    model_admin: ModelAdmin[Any], request: HttpRequest, error: ConversationMemoryError
) -> HttpResponse:
    """A page that says what failed."""
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": _("Redis does not answer as it should"),
        "error": str(error),
        "indexes_url": reverse(
            f"{model_admin.admin_site.name}:{Index._meta.app_label}_{Index._meta.model_name}_changelist"
        ),
    }
    template = "admin/conversation_memory/unavailable.html"
    return TemplateResponse(request, template, context, status=503)
