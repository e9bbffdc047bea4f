"""Conversations as sessions of the OpenAI Agents SDK."""

from __future__ import annotations

from typing import Any, cast

from agents.items import TResponseInputItem
from agents.memory.session_settings import (
    SessionSettings,
    coerce_session_settings,
    resolve_session_limit,
)
from agents.run_context import RunContextWrapper

from ..message_list import MessageList
from ..messaging import MessagingDriver
from ..redis_io.cancellation import uncancelled


class ConversationSession:
    """A `Session` that keeps the items of an agent in a conversation.

    `driver` is that of the conversation, as `indexes["default"].driver(…)` returns it; its id is
    the `session_id`. `session_settings` are those of the SDK, or a dict of them.

    The items that a runner has added come back unchanged. Turns that other programs have added are
    converted to items. What lacks an answer is an open run, and part of the session too.

    A change that has begun is finished before a cancellation is raised. `wrapper`, the context of
    the run, is for subclasses. Raises the exceptions of this app.
    """

    session_settings: SessionSettings | None

    def __init__(
        self,
        driver: MessagingDriver,
        *,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ):
        self.driver = driver
        self.session_id = driver.conversation_id
        self.session_settings = coerce_session_settings(session_settings or SessionSettings())
        self._items = MessageList(driver, "openai-responses")

    async def get_items(
        self, limit: int | None = None, *, wrapper: RunContextWrapper[Any] | None = None
    ) -> list[TResponseInputItem]:
        """The last `limit` items, oldest first; by default as many as `session_settings` says."""
        limit = resolve_session_limit(limit, self.session_settings)
        return cast("list[TResponseInputItem]", await self._items.aread(limit))

    async def add_items(
        self, items: list[TResponseInputItem], *, wrapper: RunContextWrapper[Any] | None = None
    ) -> None:
        """Add items at the end. Raises ValueError for what is not JSON."""
        await uncancelled(self._items.aadd(items))

    async def pop_item(
        self, *, wrapper: RunContextWrapper[Any] | None = None
    ) -> TResponseInputItem | None:
        """Remove the last item and return it; None if there is none."""
        return cast("TResponseInputItem | None", await uncancelled(self._items.apop()))

    async def clear_session(self, *, wrapper: RunContextWrapper[Any] | None = None) -> None:
        """Remove all items; title, owner and metadata of the conversation stay."""
        await uncancelled(self._items.aclear())
