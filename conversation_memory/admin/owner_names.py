"""The names of owners, which are those of Django's users unless a project says otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.http import HttpRequest

from ..rendering import label
from .redis_admin import RedisAdmin

MOST_NAMED = 20


class OwnerNames(RedisAdmin):
    """Three methods to override where owners are not the primary keys of users.

    By default they tell no more than the page of users in the same admin shows to the same member
    of staff: without that page, or the permission to view it, owners have no names.
    """

    def get_owner_names(self, request: HttpRequest, owners: Iterable[str]) -> dict[str, str]:
        """The names of `owners`, of a page of the list or of one conversation, by owner.

        Called once for a page; owners without a name may be missing.
        """
        users = self._users(request)
        keys = [key for key in map(_primary_key, owners) if key is not None] if users else []
        found = users.get_queryset(request).filter(pk__in=keys) if keys else []
        return {str(user.pk): _name(user) for user in found}

    def find_owners(self, request: HttpRequest, name: str) -> dict[str, str]:
        """At most 20 owners with such a name, and their names."""
        users = self._users(request)
        if not users or not users.get_search_fields(request):
            return {}
        found, _ = users.get_search_results(request, users.get_queryset(request), name)
        return {str(user.pk): _name(user) for user in islice(found.distinct(), MOST_NAMED)}

    def get_owner_url(self, request: HttpRequest, owner: str) -> str | None:
        """The page of an owner that has a name, None if there is none."""
        return (
            self.link("change", quote(owner), model=get_user_model())
            if self._users(request)
            else None
        )

    def _users(self, request: HttpRequest) -> Any:
        """The admin of users on this site, None if it is closed to the user of the request."""
        try:
            model = get_user_model()
        except ImproperlyConfigured:  # a project may have no users
            return None
        users = self.admin_site._registry.get(model)
        return users if users and users.has_view_permission(request) else None


def _primary_key(owner: str) -> Any:
    """The primary key of a user, None if `owner` cannot be one."""
    try:
        key = get_user_model()._meta.pk.clean(owner, None)
    except (ValidationError, ValueError, TypeError, OverflowError):
        return None
    return key if str(key) == owner else None


def _name(user: Any) -> str:
    full = getattr(user, "get_full_name", str)()
    return label(str(full or user.get_username()))
