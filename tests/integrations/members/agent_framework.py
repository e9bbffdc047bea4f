from agent_framework import Content, Message

from conversation_memory.integrations.agent_framework import ConversationHistoryProvider

from .member import (
    ANSWER,
    ARGUMENTS,
    CALL_ID,
    FILE,
    FILE_TYPE,
    PICTURE,
    PICTURE_TYPE,
    RESULT,
    THOUGHT,
    TOOL,
    Member,
)


class AgentFramework(Member):
    name = "Agent Framework"

    @property
    def provider(self):
        return ConversationHistoryProvider(self.index, owner=self.owner)

    def add(self, id, messages):
        self.run(self.provider.save_messages(id, messages))

    def read(self, id):
        return [message.to_dict() for message in self.run(self.provider.get_messages(id))]

    def asked(self, text, *parts):
        return Message("user", [Content.from_text(text), *parts])

    def picture(self):
        return Content.from_data(PICTURE, PICTURE_TYPE)

    def file(self):
        return Content.from_data(FILE, FILE_TYPE)

    def called(self):
        call = Content.from_function_call(CALL_ID, TOOL, arguments=ARGUMENTS)
        return Message("assistant", [call])

    def returned(self):
        return Message("tool", [Content.from_function_result(CALL_ID, result=RESULT)])

    def reasoned(self):
        thought = Content.from_text_reasoning(text=THOUGHT)
        return [Message("assistant", [thought, Content.from_text(ANSWER)])]

    def said(self, text):
        return Message("assistant", [Content.from_text(text)])
