"""Chat messages: a conversation as messages of a model's API, and back."""

from typing import TYPE_CHECKING, Any

from .steps import Step, steps_of, tool_calls
from .turns import chat_messages, said

if TYPE_CHECKING:
    from .message_list import MessageList
    from .messaging import MessagingDriver

__all__ = [
    "MessageList",
    "MessagingDriver",
    "Step",
    "chat_messages",
    "said",
    "steps_of",
    "tool_calls",
]


def __getattr__(name: str) -> Any:
    # Search needs the formats, and what writes messages needs search: so this is imported later.
    if name == "MessageList":
        from .message_list import MessageList

        return MessageList
    if name == "MessagingDriver":
        from .messaging import MessagingDriver

        return MessagingDriver
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
