"""The memory of LLM conversations, in Redis."""

from .artifacts import Artifact
from .collection.erase import Erasure
from .collection.selection import Selection
from .drivers import BaseConversationMemoryDriver, RedisConversationMemoryDriver
from .indexes import ConversationIndex, indexes
from .owners import owner_of
from .records import ConversationState, Page, Record
from .runs import Run

__all__ = [
    "Artifact",
    "BaseConversationMemoryDriver",
    "ConversationState",
    "ConversationIndex",
    "Erasure",
    "Page",
    "Record",
    "RedisConversationMemoryDriver",
    "Run",
    "Selection",
    "indexes",
    "owner_of",
]
