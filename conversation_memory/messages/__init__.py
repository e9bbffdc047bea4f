"""Chat messages: a conversation as messages of a model's API, and back."""

from .turns import calling_messages, chat_messages, said

__all__ = ["calling_messages", "chat_messages", "said"]
