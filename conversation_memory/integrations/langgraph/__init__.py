"""LangGraph: threads whose messages are conversations, and a store for what agents remember."""

from .base_store import ConversationBaseStore
from .saver import ConversationSaver

__all__ = ["ConversationBaseStore", "ConversationSaver"]
