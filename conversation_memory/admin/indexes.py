"""The indexes."""

from __future__ import annotations

from django.contrib import admin

from ..models import Index
from .permissions import IndexPermissions


@admin.register(Index)
class IndexAdmin(IndexPermissions):
    pass
