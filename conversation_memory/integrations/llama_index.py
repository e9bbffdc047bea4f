"""Chat stores of LlamaIndex whose chats are conversations: their keys are conversation ids."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cached_property
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock
from llama_index.core.storage.chat_store.base import BaseChatStore
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus
from pydantic import BaseModel

from ..exceptions import sensitive
from ..indexes import ConversationIndex, indexes
from ..keys import Id, decode, encode
from ..messages.parts import Message
from ..redis_io.cancellation import uncancelled
from ..redis_io.operations import Operation, T, twins
from .llama_index_list import ARCHIVED, STATUS, ChatList, Choice

_PAGE = 500
_MOST_OPEN = 1000

_IS_ARCHIVED = {MessageStatus.ACTIVE: False, MessageStatus.ARCHIVED: True, None: None}


class _OfIndex(BaseModel):
    """What both stores are made of: an index, and whose conversations in it are meant.

    `index` is `indexes["alias"]`. With `owner`, the store sees and makes conversations of that
    owner only; without, it has full access. `ttl` is how long a conversation is kept after its last
    write, in seconds or as a timedelta.

    `to_dict()` and `model_dump()` have these four names, with which the store can be made again;
    none of them is secret.
    """

    alias: str = ""
    name: str = ""
    owner: str | None = None
    ttl: float | None = None

    def __init__(
        self,
        index: ConversationIndex | None = None,
        *,
        owner: Id | None = None,
        ttl: float | timedelta | None = None,
        alias: str = "",
        name: str = "",
    ):
        index = index if index is not None else indexes.open(alias, name)
        lifetime = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
        known = None if owner is None else decode(encode(owner))
        super().__init__(alias=index.alias, name=index.name, owner=known, ttl=lifetime)
        self.__dict__["_index"] = index

    # A private attribute of pydantic takes ten times as long to look up.
    @cached_property
    def _index(self) -> ConversationIndex:
        return indexes.open(self.alias, self.name)

    @cached_property
    def _lists(self) -> OrderedDict[str, ChatList]:
        return OrderedDict()

    def _list(self, key: str) -> ChatList:
        """The messages of a conversation, which know where the next one goes."""
        lists = self._lists
        found = lists.pop(key, None)
        if found is None:
            found = ChatList(self._index.driver(key, owner=self.owner, ttl=self.ttl))
        lists[key] = found
        while len(lists) > _MOST_OPEN:
            lists.popitem(last=False)
        return found

    def _on(self, key: str, operation: Callable[[ChatList], Operation[T]]) -> Operation[T]:
        """An operation on one conversation, whose errors name it."""
        driver = (opened := self._list(key)).driver
        return driver._layout.guarded(driver._seen, operation(opened))

    def _keys(self) -> Operation[list[str]]:
        found: list[str] = []
        before = None
        while True:
            page = yield from self._index._recent(_PAGE, owner=self.owner, before=before)
            found += (record.conversation_id for record in page.whole)
            before = page.next
            if before is None:
                return found

    def _run(self, operation: Operation[T], name: str = "other") -> T:
        return self._index._run(operation, name)

    async def _arun(self, operation: Operation[T], name: str = "other") -> T:
        return await uncancelled(self._index._arun(operation, name))


class ConversationChatStore(_OfIndex, BaseChatStore):
    """A chat store for `ChatMemoryBuffer` and whatever else takes one.

    Messages of other frameworks are converted; those of a question without an answer are in the
    list too. Raises the errors of `conversation_memory.exceptions`.
    """

    @classmethod
    def class_name(cls) -> str:
        return "ConversationChatStore"

    def _get_messages(self, key: str) -> Operation[list[ChatMessage]]:
        """All messages of a chat, oldest first."""
        return self._on(key, _reading)

    get_messages, aget_messages = twins(_get_messages)

    def _set_messages(self, key: str, messages: list[ChatMessage]) -> Operation[None]:
        """Let these be the messages of a chat. Runs whose messages stay are kept as they are."""
        return self._on(key, lambda chat: chat._replace(_dumped(messages)))

    set_messages, aset_messages = twins(_set_messages)

    def _add_message(self, key: str, message: ChatMessage) -> Operation[None]:
        """Add a message at the end."""
        return self._on(key, lambda chat: chat._extend(_dumped([message])))

    add_message, async_add_message = twins(_add_message)

    def _delete_messages(self, key: str) -> Operation[list[ChatMessage] | None]:
        """Delete the conversation. Returns its messages, None if there was none."""

        def deleting(chat: ChatList) -> Operation[list[ChatMessage] | None]:
            messages = yield from _reading(chat)
            deleted = yield from chat.deleting()
            return messages if deleted else None

        return self._on(key, deleting)

    delete_messages, adelete_messages = twins(_delete_messages)

    def _delete_message(self, key: str, idx: int) -> Operation[ChatMessage | None]:
        """Delete the message at an index, a negative one from the end. Returns it, or None."""
        return self._on(key, lambda chat: _loading_one(chat, chat._delete(idx)))

    delete_message, adelete_message = twins(_delete_message)

    def _delete_last_message(self, key: str) -> Operation[ChatMessage | None]:
        """Delete the last message. Returns it, None if there is none."""
        return self._on(key, lambda chat: _loading_one(chat, chat._pop()))

    delete_last_message, adelete_last_message = twins(_delete_last_message)

    def _get_keys(self) -> Operation[list[str]]:
        """The ids of all conversations (of the owner), read 500 at a time."""
        return self._keys()

    get_keys, aget_keys = twins(_get_keys)


class AsyncConversationChatStore(_OfIndex, AsyncDBChatStore):
    """A chat store for `Memory`, given as its `chat_store`. Archived messages stay stored.

    A message that is added as archived, or archived later, has the member `status` in the meta of
    its run. A run with messages in the form of another framework is marked as a whole.
    """

    @classmethod
    def class_name(cls) -> str:
        return "AsyncConversationChatStore"

    async def get_messages(
        self,
        key: str,
        status: MessageStatus | None = MessageStatus.ACTIVE,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[ChatMessage]:
        """The messages of a status, or all; `limit` and `offset` count from the oldest."""
        wanted = Choice(_IS_ARCHIVED[status], offset or 0, limit)
        return await self._aon(
            key, "get_messages", lambda chat: _loading(chat, chat.chosen(wanted))
        )

    async def count_messages(
        self, key: str, status: MessageStatus | None = MessageStatus.ACTIVE
    ) -> int:
        """The number of messages of a status, or of all."""
        wanted = Choice(_IS_ARCHIVED[status])
        return len(await self._aon(key, "count_messages", lambda chat: chat.chosen(wanted)))

    @sensitive
    async def add_message(
        self, key: str, message: ChatMessage, status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Add a message at the end."""
        await self.add_messages(key, [message], status)

    @sensitive
    async def add_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Add messages at the end."""
        await self._aon(key, "add_messages", lambda chat: chat._extend(_dumped(messages, status)))

    @sensitive
    async def set_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Let these be the messages of a chat; those of any status are replaced."""
        await self._aon(key, "set_messages", lambda chat: chat._replace(_dumped(messages, status)))

    async def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Delete the active message at an index, counted from the oldest. Returns it, or None."""
        if idx < 0:
            return None
        return next(iter(await self._sift(key, Choice(False, idx, 1))), None)

    async def delete_messages(self, key: str, status: MessageStatus | None = None) -> None:
        """Delete the messages of a status, or the whole conversation."""
        if status is None:
            await self._aon(key, "delete_messages", lambda chat: chat.deleting())
        else:
            await self._sift(key, Choice(_IS_ARCHIVED[status]))

    async def delete_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Delete the oldest active messages, and return them."""
        return await self._sift(key, Choice(False, 0, n))

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Archive the oldest active messages, and return them."""
        return await self._sift(key, Choice(False, 0, n), archives=True)

    async def get_keys(self) -> list[str]:
        """The ids of all conversations (of the owner), read 500 at a time."""
        return await self._arun(self._keys(), "get_keys")

    async def _sift(self, key: str, choice: Choice, *, archives: bool = False) -> list[ChatMessage]:
        name = "archive_messages" if archives else "delete_messages"
        return await self._aon(
            key, name, lambda chat: _loading(chat, chat.sifting(choice, archives=archives))
        )

    async def _aon(self, key: str, name: str, operation: Callable[[ChatList], Operation[T]]) -> T:
        return await self._arun(self._on(key, operation), name)


def _dumped(
    messages: Iterable[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
) -> list[Message]:
    marked = {STATUS: ARCHIVED} if status == MessageStatus.ARCHIVED else {}
    return [{**_dump(message), **marked} for message in messages]


def _dump(message: ChatMessage) -> Message:
    """As `model_dump(mode="json")` writes it, which takes longer for a text alone."""
    match message.blocks:
        case [block] if type(block) is TextBlock and block.block_type == "text":
            is_text = type(block.text) is str and message.additional_kwargs == {}
            if is_text and type(message) is ChatMessage and type(message.role) is MessageRole:
                blocks = [{"block_type": "text", "text": block.text}]
                return {"role": message.role.value, "additional_kwargs": {}, "blocks": blocks}
    return message.model_dump(mode="json")


def _reading(chat: ChatList) -> Operation[list[ChatMessage]]:
    return _loading(chat, chat._read())


def _loading(chat: ChatList, reading: Operation[list[Message]]) -> Operation[list[ChatMessage]]:
    messages = yield from reading
    return chat.loaded(messages, _loaded, "a ChatMessage of LlamaIndex")


def _loaded(messages: list[Message]) -> list[ChatMessage]:
    """As `model_validate()` reads each."""
    validate, found = ChatMessage.__pydantic_validator__.validate_python, []
    for message in messages:
        if "content" in message:  # an older member, which only the __init__() of the class knows
            found.append(ChatMessage.model_validate(message))
            continue
        # As the __init__() of pydantic does. A model with one of its own takes half as long again.
        found.append(made := ChatMessage.__new__(ChatMessage))
        validate(message, self_instance=made)
    return found


def _loading_one(
    chat: ChatList, reading: Operation[Message | None]
) -> Operation[ChatMessage | None]:
    message = yield from reading
    found: list[Any] = [] if message is None else [message]
    return next(iter((yield from _loading(chat, _just(found)))), None)


def _just(messages: list[Message]) -> Operation[list[Message]]:
    return messages
    yield
