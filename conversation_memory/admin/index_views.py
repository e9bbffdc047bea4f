"""What the views about all conversations of an index share."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.http import urlencode

from ..models import Index
from .addresses import Address
from .conversation_page import ConversationPage


class IndexViews(ConversationPage):
    """Views that are about a whole index, and logged as changes of it."""

    def permitted(self, request: HttpRequest, key: str) -> Address:
        """The index of that key, if the user may see it."""
        try:
            address = Address.parse(key)
        except ValueError:
            raise Http404 from None
        if address.conversation_id is not None:
            raise Http404
        if not self.has_index_permission(request, address.alias):
            raise PermissionDenied
        return address

    def has_codename(self, request: HttpRequest, codename: str) -> bool:
        """Whether the user has one of the permissions of conversations that are ours."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.{codename}"))

    def log_index(self, request: HttpRequest, address: Address, message: str) -> None:
        """Note in the history of the index what was done to it."""
        index = Index(id=str(address), alias=address.alias, name=address.name)
        self.log_change(request, index, message)

    def back(self, address: Address) -> HttpResponseRedirect:
        """To the list of the conversations of the index."""
        return HttpResponseRedirect(self.list_url(address))

    def list_url(self, address: Address) -> str:
        return f"{self.link('changelist')}?{urlencode({'index': str(address)})}"

    def page(
        self, request: HttpRequest, template: str, address: Address, **context: Any
    ) -> TemplateResponse:
        """A page of ours, complete: nothing of it is read from Redis after this."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "address": address,
            "list_url": self.list_url(address),
            **context,
        }
        request.current_app = self.admin_site.name
        folder = "admin/conversation_memory/conversation"
        return TemplateResponse(request, f"{folder}/{template}", context)
