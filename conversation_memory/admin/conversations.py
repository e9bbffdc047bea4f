"""The conversations of an index."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from ..models import Conversation
from .permissions import IndexPermissions
from .queryset import ConversationQuerySet
from .selections import Reader


@admin.register(Conversation)
class ConversationAdmin(IndexPermissions):
    list_display = ("conversation_id", "title", "owner", "runs", "size", "updated", "expires")
    list_per_page = 100
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> Any:
        reader = Reader(lambda alias: self.has_index_permission(request, alias))
        return ConversationQuerySet.of(reader)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
