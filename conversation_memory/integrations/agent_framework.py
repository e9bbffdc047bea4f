"""Conversations as the history of Microsoft's Agent Framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from agent_framework import HistoryProvider, Message

from ..exceptions import OwnerRequired, sensitive
from ..indexes import ConversationIndex
from ..keys import Id
from ..message_list import MessageList
from ..messages.formats import plain
from ..redis_io.cancellation import uncancelled


class ConversationHistoryProvider(HistoryProvider):  # type: ignore[misc, unused-ignore]
    """A history provider that keeps each session of an agent in the conversation of its id.

    `index` is `indexes["default"]`. `owner` is that of all sessions, or a function that returns it
    for the state of a session: `session.state[provider.source_id]`. Without an owner, whoever
    chooses the session id reads that conversation. If the function returns None, `OwnerRequired` is
    raised. `ttl` is as for `index.driver()`; the other arguments are those of the framework.

    Messages that were saved come back equal. Turns that other programs have added are converted.
    What lacks an answer is an open run, and part of the history too. Raises the exceptions of this
    app, and ValueError without a session id.
    """

    def __init__(
        self,
        index: ConversationIndex,
        *,
        owner: Id | Callable[[dict[str, Any]], Id] | None = None,
        ttl: float | timedelta | None = None,
        source_id: str = "conversation_memory",
        load_messages: bool = True,
        store_inputs: bool = True,
        store_context_messages: bool = False,
        store_context_from: set[str] | None = None,
        store_outputs: bool = True,
    ):
        super().__init__(
            source_id,
            load_messages=load_messages,
            store_inputs=store_inputs,
            store_context_messages=store_context_messages,
            store_context_from=store_context_from,
            store_outputs=store_outputs,
        )
        self.index = index
        self.owner = owner
        self.ttl = ttl

    async def get_messages(
        self, session_id: str | None, *, state: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Message]:
        """All messages of a session, oldest first."""
        listed = self._list(session_id, state)
        return listed.loaded(await listed.aread(), _loaded, "a Message of Agent Framework")

    @sensitive
    async def save_messages(
        self,
        session_id: str | None,
        messages: Sequence[Message],
        *,
        state: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add messages at the end. Those of a transcript that is sent again are not added twice.

        Raises ValueError for one that has a value that is not JSON.
        """
        if messages:
            listed = self._list(session_id, state)
            await uncancelled(_save(listed, plain([one.to_dict() for one in messages])))

    async def clear(self, session_id: str | None, *, state: dict[str, Any] | None = None) -> None:
        """Remove all messages of a session; title and metadata of the conversation stay."""
        await uncancelled(self._list(session_id, state).aclear())

    def _list(self, session_id: str | None, state: dict[str, Any] | None) -> MessageList:
        if not session_id:
            raise ValueError("A session id is required: pass `session` to agent.run().")
        driver = self.index.driver(session_id, owner=self._owner(state), ttl=self.ttl)
        return MessageList(driver, "agent-framework")

    def _owner(self, state: dict[str, Any] | None) -> Id | None:
        if not callable(self.owner):
            return self.owner
        owner = self.owner(state or {})
        if owner is None:  # which would grant full access
            raise OwnerRequired("The function `owner` has returned None instead of an owner.")
        return owner


def _loaded(messages: list[dict[str, Any]]) -> list[Message]:
    return [_spoken(one) or Message.from_dict(one) for one in messages]


def _spoken(stored: dict[str, Any]) -> Message | None:
    """A message of one text, which is made in half the time if the framework need not parse it."""
    contents = stored.get("contents")
    if type(contents) is not list or len(contents) != 1 or type(contents[0]) is not dict:
        return None
    text, id = contents[0].get("text"), stored.get("message_id")
    plain: dict[str, Any] = {"type": "message", "role": stored.get("role"), "contents": contents}
    plain["additional_properties"] = {}
    if "message_id" in stored:
        plain["message_id"] = id
    if type(text) is not str or stored != plain:
        return None
    is_plain = contents[0] == {"type": "text", "text": text, "additional_properties": {}}
    return Message(plain["role"], [text], message_id=id) if is_plain else None


async def _save(listed: MessageList, messages: list[dict[str, Any]]) -> None:
    await listed.aadd(_new(await listed.aread(len(messages)), messages))


def _new(stored: list[dict[str, Any]], added: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The added messages without those that begin them and end the stored ones.

    Only the id of one tells that they were sent again, and not said again.
    """
    for count in range(min(len(stored), len(added)), 0, -1):
        again = added[:count]
        if stored[-count:] == again and any(one.get("message_id") for one in again):
            return added[count:]
    return added
