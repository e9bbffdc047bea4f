"""Who answers: a function `respond(runs, text)` named by settings.CHAT_RESPONDER.

It gets the earlier runs, oldest first, and the new message; it returns a str or an artifact, and
raises ResponderError with a sentence for the visitor when it has no answer.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.utils.module_loading import import_string


class ResponderError(Exception):
    """Why there is no reply, in words for the visitor."""


def get_responder() -> Callable:
    return import_string(settings.CHAT_RESPONDER)
