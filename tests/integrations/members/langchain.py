from langchain_core.messages import AIMessage, HumanMessage, ToolMessage, messages_to_dict

from conversation_memory.integrations.langchain import ConversationChatMessageHistory

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


class LangChain(Member):
    name = "LangChain"

    def history(self, id):
        return ConversationChatMessageHistory(self.driver(id))

    def add(self, id, messages):
        self.history(id).add_messages(messages)

    def read(self, id):
        return messages_to_dict(self.history(id).messages)

    def asked(self, text, *parts):
        return HumanMessage([{"type": "text", "text": text}, *parts] if parts else text)

    def picture(self):
        return {"type": "image", "base64": self.base64(PICTURE), "mime_type": PICTURE_TYPE}

    def file(self):
        named = {"mime_type": FILE_TYPE, "extras": {"filename": FILE_NAME}}
        return {"type": "file", "base64": self.base64(FILE), **named}

    def called(self):
        return AIMessage("", tool_calls=[{"name": TOOL, "args": ARGUMENTS, "id": CALL_ID}])

    def returned(self):
        return ToolMessage(RESULT, tool_call_id=CALL_ID, name=TOOL)

    def reasoned(self):
        thought = {"type": "reasoning", "reasoning": THOUGHT}
        return [AIMessage([thought, {"type": "text", "text": ANSWER}])]

    def said(self, text):
        return AIMessage(text)
