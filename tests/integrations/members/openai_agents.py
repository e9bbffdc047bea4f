import json

from conversation_memory.integrations.openai_agents import ConversationSession
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


class OpenAIAgents(Member):
    name = "OpenAI Agents"

    def add(self, id, messages):
        self.run(ConversationSession(self.driver(id)).add_items(messages))

    def read(self, id):
        return self.run(ConversationSession(self.driver(id)).get_items())

    def asked(self, text, *parts):
        content = [{"type": "input_text", "text": text}, *parts] if parts else text
        return {"role": "user", "content": content}

    def picture(self):
        url = data_url(PICTURE_TYPE, self.base64(PICTURE))
        return {"type": "input_image", "detail": "auto", "image_url": url}

    def file(self):
        data = data_url(FILE_TYPE, self.base64(FILE))
        return {"type": "input_file", "filename": FILE_NAME, "file_data": data}

    def called(self):
        named = {"name": TOOL, "arguments": json.dumps(ARGUMENTS), "status": "completed"}
        return {"type": "function_call", "id": "fc_1", "call_id": CALL_ID, **named}

    def returned(self):
        return {"type": "function_call_output", "call_id": CALL_ID, "output": RESULT}

    def reasoned(self):
        summary = [{"type": "summary_text", "text": THOUGHT}]
        return [{"type": "reasoning", "id": "rs_1", "summary": summary}, self.said(ANSWER)]

    def said(self, text):
        content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
        members = {"id": "msg_1", "type": "message", "status": "completed"}
        return {**members, "role": "assistant", "content": content}
