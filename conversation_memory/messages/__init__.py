"""Chat messages: a conversation as messages of a model's API, and back."""

from .message_list import MessageList
from .messaging import MessagingDriver
from .turns import calling_messages, chat_messages, said

__all__ = ["MessageList", "MessagingDriver", "calling_messages", "chat_messages", "said"]
