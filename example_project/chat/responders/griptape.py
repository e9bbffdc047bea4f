"""Answers from an agent of Griptape, whose memory is the conversation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import define, field
from griptape.common import DeltaMessage, Message, PromptStack, TextDeltaMessageContent
from griptape.drivers.prompt import BasePromptDriver
from griptape.events import TextChunkEvent
from griptape.memory.structure import ConversationMemory
from griptape.structures import Agent
from griptape.tokenizers import BaseTokenizer, SimpleTokenizer

from conversation_memory import RedisConversationMemoryDriver
from conversation_memory.integrations.griptape import ConversationMemoryDriver
from example_project.chat.responders import offline, reads_conversation


def tokenizer() -> SimpleTokenizer:
    return SimpleTokenizer(
        characters_per_token=4, max_input_tokens=100_000, max_output_tokens=4_000
    )


@define
class OfflinePromptDriver(BasePromptDriver):
    model: str = field(default=offline.NAME, kw_only=True)
    tokenizer: BaseTokenizer = field(factory=tokenizer, kw_only=True)

    def try_run(self, prompt_stack: PromptStack) -> Message:
        return Message("".join(self.words(prompt_stack)), role=Message.ASSISTANT_ROLE)

    def try_stream(self, prompt_stack: PromptStack) -> Iterator[DeltaMessage]:
        for word in self.words(prompt_stack):
            yield DeltaMessage(content=TextDeltaMessageContent(word))

    def words(self, prompt_stack: PromptStack) -> Iterator[str]:
        return offline.words([it.to_text() for it in prompt_stack.messages if it.is_user()])


class AnsweredByWorker(ConversationMemoryDriver):
    """Only reads: the worker stores the answer, word by word."""

    def store(self, runs: list[Any], metadata: dict[str, Any]) -> None:
        pass


@reads_conversation
def respond(driver: RedisConversationMemoryDriver, text: str) -> Iterator[str | dict[str, Any]]:
    memory = ConversationMemory(conversation_memory_driver=AnsweredByWorker(driver=driver))
    agent = Agent(prompt_driver=OfflinePromptDriver(stream=True), conversation_memory=memory)
    for event in agent.run_stream(text, event_types=[TextChunkEvent]):
        yield event.token
    yield {"model": f"griptape/{offline.NAME}"}
