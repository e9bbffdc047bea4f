"""Responders: settings.CHAT_RESPONDER names a function `respond(runs, text)`.

It receives the earlier runs, oldest first, and the new message. It yields the pieces of a text, or
raises ResponderError with a sentence for the visitor, also between two pieces.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from django.conf import settings
from django.utils.module_loading import import_string

from conversation_memory import Run

logger = logging.getLogger(__name__)

UNAVAILABLE = "The assistant is not available at the moment. Please try again later."


class ResponderError(Exception):
    """There is no reply; the message is a sentence for the visitor."""


def respond(runs: Sequence[Run], text: str) -> Iterator[str]:
    """The pieces of a reply that has any text. Every failure is a ResponderError."""
    is_empty = True
    try:
        for piece in import_string(settings.CHAT_RESPONDER)(runs, text):
            is_empty = is_empty and not piece.strip()
            yield piece
    except ResponderError:
        raise
    # Whatever a responder raises, the visitor is shown a sentence.
    except Exception as error:
        logger.exception("The responder %s failed.", settings.CHAT_RESPONDER)
        raise ResponderError(UNAVAILABLE) from error
    if is_empty:
        raise ResponderError("The assistant had nothing to say. Please try again.")
