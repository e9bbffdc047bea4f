"""The admin: staff read, search and maintain the conversations of every index."""

from .conversation_admin import ConversationAdmin
from .index_admin import IndexAdmin

__all__ = ["ConversationAdmin", "IndexAdmin"]
