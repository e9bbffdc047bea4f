"""Answers from a chat engine of LlamaIndex, whose memory is the conversation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
)
from llama_index.core.llms import CustomLLM

from conversation_memory import RedisConversationMemoryDriver, indexes
from conversation_memory.integrations.llama_index import ConversationChatStore
from example_project.chat.responders import offline, reads_conversation


class OfflineLLM(CustomLLM):
    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=offline.NAME)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="".join(offline.words([prompt])))

    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> Iterator[CompletionResponse]:
        for word in offline.words([prompt]):
            yield CompletionResponse(text="", delta=word)

    def stream_chat(self, messages: Any, **kwargs: Any) -> Iterator[ChatResponse]:
        for word in offline.words([it.content or "" for it in messages if it.role == "user"]):
            yield ChatResponse(message=ChatMessage(role="assistant"), delta=word)


@reads_conversation
def respond(driver: RedisConversationMemoryDriver, text: str) -> Iterator[str | dict[str, Any]]:
    store = ConversationChatStore(indexes[driver.alias], owner=driver.owner)
    messages = store.get_messages(driver.conversation_id)
    for response in OfflineLLM().stream_chat([*messages, ChatMessage(role="user", content=text)]):
        yield response.delta or ""
    yield {"model": f"llama-index/{offline.NAME}"}
