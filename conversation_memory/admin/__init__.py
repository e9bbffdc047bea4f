"""The admin: conversations of every index, read, searched and looked after by staff."""

from __future__ import annotations

from .conversations import ConversationAdmin
from .indexes import IndexAdmin

__all__ = ["ConversationAdmin", "IndexAdmin"]
