import json

from conversation_memory.messages.parts import data_url

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


def messages_of(driver, format):
    """What a model is sent that is to answer the open question, if there is one."""
    open = driver.open_runs()
    return driver.messages(format=format, run_id=open[-1].run_id if open else None)


class ChatMessages(Member):
    name = "Chat messages"

    def add(self, id, messages):
        self.driver(id).append_messages(messages)

    def read(self, id):
        return messages_of(self.driver(id), "openai")

    def asked(self, text, *parts):
        content = [{"type": "text", "text": text}, *parts] if parts else text
        return {"role": "user", "content": content}

    def picture(self):
        url = data_url(PICTURE_TYPE, self.base64(PICTURE))
        return {"type": "image_url", "image_url": {"url": url}}

    def file(self):
        data = data_url(FILE_TYPE, self.base64(FILE))
        return {"type": "file", "file": {"filename": FILE_NAME, "file_data": data}}

    def called(self):
        function = {"name": TOOL, "arguments": json.dumps(ARGUMENTS)}
        calls = [{"id": CALL_ID, "type": "function", "function": function}]
        return {"role": "assistant", "content": None, "tool_calls": calls}

    def returned(self):
        return {"role": "tool", "tool_call_id": CALL_ID, "content": RESULT}

    def reasoned(self):
        return [{**self.said(ANSWER), "reasoning_content": THOUGHT}]

    def said(self, text):
        return {"role": "assistant", "content": text}
