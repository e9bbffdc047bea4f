"""The memory of LLM conversations, in Redis."""

from __future__ import annotations

from .drivers import BaseConversationMemoryDriver, RedisConversationMemoryDriver
from .indexes import ConversationIndex, indexes
from .records import Conversation, Page, Record
from .runs import Artifact, Run

__all__ = [
    "Artifact",
    "BaseConversationMemoryDriver",
    "Conversation",
    "ConversationIndex",
    "Page",
    "Record",
    "RedisConversationMemoryDriver",
    "Run",
    "indexes",
]
