"""Who owns a conversation: a user of Django, as the key that conversations are stored under."""

from __future__ import annotations

from typing import Any

from .exceptions import OwnerRequired


def owner_of(user: Any) -> str:
    """The owner that stands for a user, as of `request.user`: the primary key, as text.

    Raises `OwnerRequired`, which Django answers with "403 Forbidden", for a user who is not logged
    in or not saved: without an owner a driver may do all.
    """
    is_saved = not getattr(getattr(user, "_state", None), "adding", False)
    if not getattr(user, "is_authenticated", False) or user.pk in (None, "") or not is_saved:
        raise OwnerRequired("A user who is not logged in, or not saved yet, owns no conversation.")
    return str(user.pk)
