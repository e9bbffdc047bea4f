"""Responders: settings.CHAT_RESPONDER names a function `respond(runs, text)`.

It receives the earlier runs, oldest first, and the new message. It yields the pieces of a text, or
raises ResponderError with a sentence for the visitor, also between two pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.conf import settings
from django.utils.module_loading import import_string


class ResponderError(Exception):
    """There is no reply; the message is a sentence for the visitor."""


def get_responder() -> Callable[..., Iterator[str]]:
    return import_string(settings.CHAT_RESPONDER)
