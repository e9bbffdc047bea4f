"""What becomes of the conversations of a Django user who is deleted: ON_USER_DELETE."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models.signals import post_delete

from . import conf
from .exceptions import ConversationMemoryError
from .indexes import indexes

logger = logging.getLogger("conversation_memory")


def connect() -> None:
    """Listen to the user model and its proxies, which send signals of their own.

    Not to all models: each would lose its fast deletes to a receiver.
    """
    with suppress(ImproperlyConfigured):  # a project may have no users
        users = get_user_model()
        for model in apps.get_models():
            if model._meta.concrete_model is users:
                uid = "conversation_memory"
                post_delete.connect(_user_deleted, sender=model, dispatch_uid=uid)


def _user_deleted(*, instance: Any, using: str, **kwargs: Any) -> None:
    owner = str(instance.pk)  # Django takes it away after the signal
    transaction.on_commit(partial(_settle, owner), using=using, robust=True)


def _settle(owner: str) -> None:
    """Do as each entry of settings.REDIS says. The user is gone, whatever happens here."""
    for alias in indexes:
        try:
            wish = conf.get(alias).on_user_delete
            if wish == "erase":
                indexes[alias].erase(owner=owner)
            elif wish == "anonymise":
                indexes[alias].anonymise(owner=owner)
        except ConversationMemoryError as error:
            logger.error(
                "The conversations of the deleted user %r are still in the index of alias %r. %s "
                "Once that is mended, run: manage.py eraseconversations %s --using %s",
                owner,
                alias,
                error,
                owner,
                alias,
            )
