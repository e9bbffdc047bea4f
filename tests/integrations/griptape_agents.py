"""Agents of Griptape that need no model: what they are to say is written down."""

from attrs import define, field
from griptape.artifacts import ActionArtifact
from griptape.common import (
    ActionCallMessageContent,
    DeltaMessage,
    Message,
    TextDeltaMessageContent,
    ToolAction,
)
from griptape.drivers.memory.conversation.redis_conversation_memory_driver import (
    RedisConversationMemoryDriver as StockDriver,
)
from griptape.drivers.prompt import BasePromptDriver
from griptape.memory.structure import ConversationMemory
from griptape.structures import Agent
from griptape.tokenizers import SimpleTokenizer

from conversation_memory.integrations.griptape import ConversationMemoryDriver

from ..utils import RedisTestCase


@define(kw_only=True)
class ScriptedPromptDriver(BasePromptDriver):
    """Says `answers` in turn, each a text or a ToolAction, and keeps what it was asked."""

    model: str = field(default="scripted")
    tokenizer: SimpleTokenizer = field(
        factory=lambda: SimpleTokenizer(
            characters_per_token=4, max_input_tokens=10_000, max_output_tokens=1_000
        )
    )
    answers: list = field(factory=list)
    prompts: list = field(factory=list, init=False)

    def try_run(self, prompt_stack):
        answer = self.next(prompt_stack)
        if isinstance(answer, ToolAction):
            content = [ActionCallMessageContent(ActionArtifact(answer))]
            return Message(content, role=Message.ASSISTANT_ROLE)
        return Message(answer, role=Message.ASSISTANT_ROLE)

    def try_stream(self, prompt_stack):
        for word in self.next(prompt_stack).split(" "):
            yield DeltaMessage(content=TextDeltaMessageContent(f"{word} "))

    def next(self, prompt_stack):
        self.prompts.append([message.to_text() for message in prompt_stack.messages])
        return self.answers.pop(0) if self.answers else f"answer {len(self.prompts)}"


class GriptapeMemoryTestCase(RedisTestCase):
    def driver(self, conversation_id="42", **options):
        return ConversationMemoryDriver(driver=self.index.driver(conversation_id, **options))

    def memory(self, conversation_id="42", **options):
        return ConversationMemory(
            conversation_memory_driver=self.driver(conversation_id), **options
        )

    def stock(self, conversation_id="42"):
        """Griptape's own driver of the same conversation."""
        return StockDriver(
            host="",
            port=0,
            index=self.index.name,
            conversation_id=conversation_id,
            client=self.redis,
        )

    def agent(self, *answers, memory=None, **options):
        """An agent that says `answers`, with the memory of the conversation."""
        driver = ScriptedPromptDriver(
            answers=[*answers], stream=options.pop("stream", False), use_native_tools=True
        )
        memory = memory or self.memory()
        return Agent(prompt_driver=driver, conversation_memory=memory, **options)

    def texts(self, conversation_id="42"):
        """The inputs and outputs that are stored."""
        runs, _ = self.index.driver(conversation_id).load()
        return [(run.input.text, run.output.text) for run in runs]
