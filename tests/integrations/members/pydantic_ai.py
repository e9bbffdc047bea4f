from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from conversation_memory.integrations.pydantic_ai import RedisConversationStore

from .member import (
    ANSWER,
    ARGUMENTS,
    CALL_ID,
    FILE,
    FILE_TYPE,
    OPEN,
    PICTURE,
    PICTURE_TYPE,
    RESULT,
    THOUGHT,
    TOOL,
    Member,
)


class PydanticAI(Member):
    name = "pydantic-ai"
    lacks = (OPEN,)  # a run that was not finished is not saved
    alphabet = b"-_"
    refusal = ConversationConflict

    def add(self, id, messages):
        self.run(self.save(id, messages))

    async def save(self, id, messages):
        store = RedisConversationStore(self.index, owner=self.owner)
        found = await store.load(id) or Conversation(conversation_id=id)
        found.messages += messages
        await store.save(found)

    def read(self, id):
        store = RedisConversationStore(self.index, owner=self.owner)
        found = self.run(store.load(id))
        messages = found.messages if found else []
        return ModelMessagesTypeAdapter.dump_python(messages, mode="json")

    def asked(self, text, *parts):
        return ModelRequest([UserPromptPart([text, *parts] if parts else text)])

    def picture(self):
        return BinaryContent(PICTURE, media_type=PICTURE_TYPE)

    def file(self):
        return BinaryContent(FILE, media_type=FILE_TYPE)

    def called(self):
        return ModelResponse([ToolCallPart(TOOL, ARGUMENTS, CALL_ID)])

    def returned(self):
        return ModelRequest([ToolReturnPart(TOOL, RESULT, CALL_ID)])

    def reasoned(self):
        return [ModelResponse([ThinkingPart(THOUGHT), TextPart(ANSWER)])]

    def said(self, text):
        return ModelResponse([TextPart(text)])
