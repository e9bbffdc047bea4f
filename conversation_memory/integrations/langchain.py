"""Conversations as chat message histories of LangChain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    message_chunk_to_message,
    messages_from_dict,
    messages_to_dict,
)

from ..exceptions import sensitive
from ..message_list import MessageList
from ..messaging import MessagingDriver
from ..redis_io.cancellation import uncancelled

# Messages that have only a text, and what they are stored as.
_EMPTY = {
    one.type: (one, messages_to_dict([one])[0]["data"])
    for one in messages_from_dict(messages_to_dict([HumanMessage(""), AIMessage("")]))
}


class ConversationChatMessageHistory(BaseChatMessageHistory):  # type: ignore[misc, unused-ignore]
    """A history that keeps the messages of a chain in a conversation.

    `driver` is that of the conversation, as `indexes["default"].driver(…)` returns it. LangChain
    has deprecated histories, and recommends the checkpointers of LangGraph instead.

    Messages that were added come back equal; chunks as whole messages. Turns that other programs
    have added are converted. What lacks an answer is an open run, and part of the history too.

    A history reads the conversation once, until it adds or clears messages itself: while a model
    answers, `RunnableWithMessageHistory` relies on the number of messages. So make one for each
    call. Raises the exceptions of this app.
    """

    def __init__(self, driver: MessagingDriver):
        self.driver = driver
        self._list = MessageList(driver, "langchain")
        self._known: list[BaseMessage] | None = None

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override, unused-ignore]
        """All messages, oldest first."""
        if self._known is None:
            self._known = self._loaded(self._list.read())
        return [*self._known]

    async def aget_messages(self) -> list[BaseMessage]:
        """See messages."""
        if self._known is None:
            self._known = self._loaded(await self._list.aread())
        return [*self._known]

    @sensitive
    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages at the end. Raises ValueError for one that has a value that is not JSON."""
        self._known = None
        self._list.add(_stored(messages))

    @sensitive
    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """See add_messages()."""
        self._known = None
        await uncancelled(self._list.aadd(_stored(messages)))

    def clear(self) -> None:
        """Remove all messages; title, owner and metadata of the conversation stay."""
        self._known = None
        self._list.clear()

    async def aclear(self) -> None:
        """See clear()."""
        self._known = None
        await uncancelled(self._list.aclear())

    def _loaded(self, stored: list[dict[str, object]]) -> list[BaseMessage]:
        return self._list.loaded(stored, _messages, "a message of LangChain")


def _messages(stored: list[dict[str, Any]]) -> list[BaseMessage]:
    return [_spoken(one) or messages_from_dict([one])[0] for one in stored]


def _spoken(stored: dict[str, Any]) -> BaseMessage | None:
    """A message of a text, and of an id perhaps, in which nothing is left to validate."""
    empty, data = _EMPTY.get(stored["type"], (None, {}))
    members = stored["data"]
    if empty is None or len(members) != len(data) or {**members, "content": "", "id": None} != data:
        return None
    content, id = members["content"], members["id"]
    is_valid = type(content) is str and (id is None or type(id) is str)
    return empty.model_copy(update=members) if is_valid else None


def _stored(messages: Sequence[BaseMessage]) -> list[dict[str, object]]:
    # A chain that streams hands over chunks, which no prompt should hold.
    stored: list[dict[str, object]]
    stored = messages_to_dict([message_chunk_to_message(one) for one in messages])
    return stored
