"""Chat messages: a conversation as messages of a model's API, and back."""

from .steps import Step, steps_of, tool_calls
from .turns import chat_messages, said

__all__ = ["Step", "chat_messages", "said", "steps_of", "tool_calls"]
