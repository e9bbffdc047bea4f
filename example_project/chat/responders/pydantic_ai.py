"""Answers from an agent of pydantic-ai, whose store has the conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import async_to_sync
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, UserPromptPart
from pydantic_ai.models.function import FunctionModel

from conversation_memory import RedisConversationMemoryDriver, indexes
from conversation_memory.integrations.pydantic_ai import RedisConversationStore
from example_project.chat.responders import offline, reads_conversation


async def words(messages: list[ModelMessage], info: Any) -> AsyncIterator[str]:
    parts = (part for message in messages for part in message.parts)
    questions = [str(part.content) for part in parts if isinstance(part, UserPromptPart)]
    for word in offline.words(questions):
        yield word


@reads_conversation
def respond(driver: RedisConversationMemoryDriver, text: str) -> Iterator[str | dict[str, Any]]:
    store = RedisConversationStore(indexes[driver.alias], owner=driver.owner)
    found = async_to_sync(store.load)(driver.conversation_id)
    agent = Agent(FunctionModel(stream_function=words, model_name=offline.NAME))
    result = agent.run_stream_sync(text, message_history=found.messages if found else None)
    yield from result.stream_text(delta=True)
    yield {"model": f"pydantic-ai/{offline.NAME}"}
