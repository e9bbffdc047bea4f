"""Who may see which index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.contrib.admin import ModelAdmin
from django.http import HttpRequest

from ..indexes import indexes

if TYPE_CHECKING:
    Admin = ModelAdmin[Any]
else:  # which takes no type at run time
    Admin = ModelAdmin


class IndexPermissions(Admin):
    """Limits staff to some of the indexes, on top of Django's permissions."""

    def has_index_permission(self, request: HttpRequest, alias: str) -> bool:
        """Whether the user of `request` may see anything of `alias`. Override it to limit staff."""
        return True

    def permitted_aliases(self, request: HttpRequest) -> Iterator[str]:
        return (alias for alias in indexes if self.has_index_permission(request, alias))
