"""Responders: settings.CHAT_RESPONDER names a function `respond(runs, text)`.

It receives the earlier runs, oldest first, and the new message. It returns a str or an artifact, or
raises ResponderError with a sentence for the visitor.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.utils.module_loading import import_string


class ResponderError(Exception):
    """There is no reply; the message is a sentence for the visitor."""


def get_responder() -> Callable:
    return import_string(settings.CHAT_RESPONDER)
