"""Answers from a model of LangChain, with the conversation as its message history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from conversation_memory import RedisConversationMemoryDriver
from conversation_memory.integrations.langchain import ConversationChatMessageHistory
from example_project.chat.responders import offline, reads_conversation


class OfflineChatModel(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return offline.NAME

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        message = AIMessage("".join(words(messages)))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for word in words(messages):
            yield ChatGenerationChunk(message=AIMessageChunk(word))


def words(messages: list[BaseMessage]) -> Iterator[str]:
    return offline.words([str(it.text) for it in messages if isinstance(it, HumanMessage)])


@reads_conversation
def respond(driver: RedisConversationMemoryDriver, text: str) -> Iterator[str | dict[str, Any]]:
    history = ConversationChatMessageHistory(driver)
    for chunk in OfflineChatModel().stream([*history.messages, HumanMessage(text)]):
        yield str(chunk.text)
    yield {"model": f"langchain/{offline.NAME}"}
