"""Messages of LlamaIndex for tests, and a model that says what is written down."""

from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    ChatResponse,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    LLMMetadata,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection

from ..strategies import texts

PNG = b"\x89PNG\r\n\x1a\nabc"


def said(role, text, **kwargs):
    return ChatMessage(role=role, content=text, additional_kwargs=kwargs)


RICH = [
    ChatMessage(
        role="user",
        blocks=[
            TextBlock(text="What is this?"),
            ImageBlock(image=PNG),
            ImageBlock(url="https://example.org/a.png", detail="low"),
            DocumentBlock(data=b"%PDF-1", title="a.pdf", document_mimetype="application/pdf"),
            AudioBlock(audio=b"RIFFxxxx", format="wav"),
            CitableBlock(title="t", source="s", content="cited"),
        ],
    ),
    ChatMessage(
        role="assistant",
        blocks=[
            ThinkingBlock(content="Hm.", additional_information={"signature": "s"}),
            ToolCallBlock(tool_call_id="c1", tool_name="look", tool_kwargs={"at": [1, None]}),
        ],
        additional_kwargs={"model": {"name": "x"}},
    ),
    said("tool", "A lamp.", tool_call_id="c1", name="look"),
    said("assistant", "It is a lamp."),
]

messages = st.sampled_from(RICH) | st.builds(
    said, st.sampled_from(["user", "user", "assistant", "assistant", "system", "tool"]), texts
)


class ScriptedModel(FunctionCallingLLM):
    """Says `answers` in turn, each a message; `prompts` are the messages that it was sent."""

    answers: list = []
    prompts: list = []

    @property
    def metadata(self):
        return LLMMetadata(is_function_calling_model=True)

    @classmethod
    def class_name(cls):
        return "ScriptedModel"

    def _prepare_chat_with_tools(self, tools, user_msg=None, chat_history=None, **kwargs):
        return {"messages": [*(chat_history or []), *([user_msg] if user_msg else [])]}

    def get_tool_calls_from_response(self, response, error_on_no_tool_call=True, **kwargs):
        blocks = response.message.blocks
        return [
            ToolSelection(
                tool_id=one.tool_call_id, tool_name=one.tool_name, tool_kwargs=one.tool_kwargs
            )
            for one in blocks
            if isinstance(one, ToolCallBlock)
        ]

    def chat(self, messages, **kwargs):
        self.prompts.append([*messages])
        return ChatResponse(message=self.answers.pop(0))

    async def achat(self, messages, **kwargs):
        return self.chat(messages)

    def stream_chat(self, messages, **kwargs):
        response = self.chat(messages)
        response.delta = response.message.content
        yield response

    async def astream_chat(self, messages, **kwargs):
        async def stream():
            for one in self.stream_chat(messages):
                yield one

        return stream()

    def complete(self, *args, **kwargs):
        raise NotImplementedError

    stream_complete = acomplete = astream_complete = complete
