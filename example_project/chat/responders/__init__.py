"""Responders: settings.CHAT_RESPONDER is one of NAMES, or the dotted path of another.

A responder is a function `respond(runs, text)`. It receives the earlier runs, oldest first, and the
new message. With the decorator `reads_conversation`, it gets the driver of the conversation instead
of the runs. It yields the pieces of a text, and dicts of what to keep in the `meta` of the run. Or
it raises ResponderError with a sentence for the visitor, also between two pieces.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from conversation_memory import RedisConversationMemoryDriver
from conversation_memory.exceptions import ConversationMemoryError

logger = logging.getLogger(__name__)

UNAVAILABLE = "The assistant is not available at the moment. Please try again later."

# Each is a module of this package. Those after the second need the framework of that name.
NAMES = ("rules", "openai", "griptape", "langchain", "llama-index", "openai-agents", "pydantic-ai")


class ResponderError(Exception):
    """There is no reply; the message is a sentence for the visitor."""


def reads_conversation(responder: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a responder that reads the conversation itself, through the memory of a framework."""
    responder.reads_conversation = True  # type: ignore[attr-defined]
    return responder


def find(name: str) -> Callable[..., Iterator[Any]]:
    """Raises ImproperlyConfigured for an unknown name."""
    if name in NAMES:
        name = f"{__name__}.{name.replace('-', '_')}.respond"
    elif "." not in name:
        known = ", ".join(NAMES)
        raise ImproperlyConfigured(
            f"CHAT_RESPONDER is {name!r}. Choose one of {known}, or the dotted path of a function."
        )
    return import_string(name)  # type: ignore[no-any-return]


def respond(driver: RedisConversationMemoryDriver, text: str) -> Iterator[str | dict[str, Any]]:
    """The pieces of a reply that has any text. Every failure is a ResponderError."""
    is_empty = True
    try:
        responder = find(settings.CHAT_RESPONDER)
        reads = getattr(responder, "reads_conversation", False)
        for piece in responder(driver if reads else driver.load()[0], text):
            is_empty = is_empty and (isinstance(piece, dict) or not piece.strip())
            yield piece
    except (ResponderError, ConversationMemoryError):
        raise
    # Whatever a responder raises, the visitor is shown a sentence.
    except Exception as error:
        logger.exception("The responder %s failed.", settings.CHAT_RESPONDER)
        raise ResponderError(UNAVAILABLE) from error
    if is_empty:
        raise ResponderError("The assistant had nothing to say. Please try again.")
