"""LangGraph: threads whose messages are conversations, and a store for what agents remember."""

from .saver import ConversationSaver

__all__ = ["ConversationSaver"]
