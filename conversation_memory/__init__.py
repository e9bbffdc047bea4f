"""The memory of LLM conversations, in Redis."""

from .artifacts import Artifact
from .collection.erase import Erasure
from .collection.selection import Selection
from .drivers import BaseConversationMemoryDriver, RedisConversationMemoryDriver
from .indexes import ConversationIndex, indexes
from .owners import owner_of
from .records import ConversationState, Page, Record
from .replies import Chunk, OpenRun, Reply, astream_reply, stream_reply
from .runs import Run

__all__ = [
    "Artifact",
    "BaseConversationMemoryDriver",
    "Chunk",
    "ConversationState",
    "ConversationIndex",
    "Erasure",
    "OpenRun",
    "Page",
    "Record",
    "Reply",
    "RedisConversationMemoryDriver",
    "Run",
    "Selection",
    "astream_reply",
    "indexes",
    "owner_of",
    "stream_reply",
]
