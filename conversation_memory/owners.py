"""Django users as owners of conversations, and ON_USER_DELETE: what happens when one is deleted."""

import logging
from contextlib import suppress
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models.signals import post_delete

from . import conf
from .exceptions import ConversationMemoryError, OwnerRequired
from .indexes import indexes

logger = logging.getLogger("conversation_memory")

_REMAINING = (
    "The conversations of the deleted user %r remain in the index of alias %r. %s "
    "After fixing this, run: manage.py eraseconversations %s --using %s"
)


def owner_of(user: Any) -> str:
    """The owner string of a user such as `request.user`: the primary key as text.

    Raises `OwnerRequired`, which Django answers with "403 Forbidden", for a user who is not logged
    in or not saved, rather than returning None, which would grant a driver full access.
    """
    is_saved = not getattr(getattr(user, "_state", None), "adding", False)
    if not getattr(user, "is_authenticated", False) or user.pk in (None, "") or not is_saved:
        raise OwnerRequired("The user is not logged in or not saved, and cannot own conversations.")
    return str(user.pk)


def connect_user_deletion() -> None:
    from django.apps import apps
    from django.contrib.auth import get_user_model

    with suppress(ImproperlyConfigured):  # a project may have no users
        users = get_user_model()
        # A proxy sends signals of its own. A receiver for all models would cost each of them its
        # fast deletes.
        for model in apps.get_models():
            if model._meta.concrete_model is users:
                post_delete.connect(_user_deleted, sender=model, dispatch_uid="conversation_memory")


def _user_deleted(*, instance: Any, using: str, **kwargs: Any) -> None:
    owner = str(instance.pk)  # Django clears it after the signal
    transaction.on_commit(partial(_apply, owner), using=using, robust=True)


def _apply(owner: str) -> None:
    for alias in indexes:
        try:
            action = conf.get(alias).on_user_delete
            if action == "erase":
                indexes[alias].erase(owner=owner)
            elif action == "anonymise":
                indexes[alias].anonymise(owner=owner)
        except ConversationMemoryError as error:  # the user is deleted already
            logger.error(_REMAINING, owner, alias, error, owner, alias)
