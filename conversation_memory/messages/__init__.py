"""Chat messages: a conversation as messages of a model's API, and back."""

from .parts import said
from .steps import Step, steps_of, tool_calls
from .turns import chat_messages

__all__ = ["Step", "chat_messages", "said", "steps_of", "tool_calls"]
