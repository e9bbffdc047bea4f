"""Answers from an agent of the OpenAI Agents SDK, whose session is the conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage
from asgiref.sync import async_to_sync
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from conversation_memory import RedisConversationMemoryDriver
from conversation_memory.integrations.openai_agents import ConversationSession
from example_project.chat.responders import offline, reads_conversation


class OfflineModel(Model):
    async def get_response(
        self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any
    ) -> Any:
        questions = [text_of(item) for item in input if item.get("role") == "user"]
        text = ResponseOutputText(
            text="".join(offline.words(questions)), type="output_text", annotations=[]
        )
        said = ResponseOutputMessage(
            id="offline", content=[text], role="assistant", status="completed", type="message"
        )
        return ModelResponse(output=[said], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        raise NotImplementedError


def text_of(item: dict[str, Any]) -> str:
    content = item["content"]
    return content if isinstance(content, str) else "\n".join(it.get("text", "") for it in content)


@reads_conversation
def respond(driver: RedisConversationMemoryDriver, text: str) -> Iterator[str | dict[str, Any]]:
    yield ""  # a sign of life
    yield async_to_sync(answer)(driver, text)
    yield {"model": f"openai-agents/{offline.NAME}"}


async def answer(driver: RedisConversationMemoryDriver, text: str) -> str:
    # The session is only read: the worker stores the answer.
    items = await ConversationSession(driver).get_items()
    agent = Agent(name="Keepsake", model=OfflineModel())
    question = {"role": "user", "content": text}
    config = RunConfig(tracing_disabled=True)
    return str((await Runner.run(agent, [*items, question], run_config=config)).final_output)
