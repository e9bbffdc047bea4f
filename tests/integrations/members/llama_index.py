from llama_index.core.base.llms.types import (
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from conversation_memory.integrations.llama_index import (
    AsyncConversationChatStore,
    ConversationChatStore,
)

from .member import (
    ANSWER,
    ARGUMENTS,
    CALL_ID,
    FILE,
    FILE_NAME,
    FILE_TYPE,
    PICTURE,
    PICTURE_TYPE,
    RESULT,
    THOUGHT,
    TOOL,
    Member,
)


class LlamaIndex(Member):
    """Written by one of the stores, and read by the other."""

    name = "LlamaIndex"

    def add(self, id, messages):
        store = AsyncConversationChatStore(self.index, owner=self.owner)
        self.run(store.add_messages(id, messages))

    def read(self, id):
        store = ConversationChatStore(self.index, owner=self.owner)
        return [message.model_dump(mode="json") for message in store.get_messages(id)]

    def asked(self, text, *parts):
        return ChatMessage(role="user", blocks=[TextBlock(text=text), *parts])

    def picture(self):
        return ImageBlock(image=PICTURE, image_mimetype=PICTURE_TYPE)

    def file(self):
        return DocumentBlock(data=FILE, title=FILE_NAME, document_mimetype=FILE_TYPE)

    def called(self):
        made = ToolCallBlock(tool_call_id=CALL_ID, tool_name=TOOL, tool_kwargs=ARGUMENTS)
        return ChatMessage(role="assistant", blocks=[made])

    def returned(self):
        kwargs = {"tool_call_id": CALL_ID}
        return ChatMessage(role="tool", content=RESULT, additional_kwargs=kwargs)

    def reasoned(self):
        blocks = [ThinkingBlock(content=THOUGHT), TextBlock(text=ANSWER)]
        return [ChatMessage(role="assistant", blocks=blocks)]

    def said(self, text):
        return ChatMessage(role="assistant", content=text)
