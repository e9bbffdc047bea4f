"""Messages of pydantic-ai as chat messages, and back."""

from base64 import b64encode, urlsafe_b64encode

from django.test import SimpleTestCase

from conversation_memory.messages.formats import find_format
from conversation_memory.messages.parts import data_url

BYTES = b"\xfb\xef\xbe\xff\xff\xff"  # of which each alphabet of base64 makes another text
pydantic_ai = find_format("pydantic-ai")


def binary(media_type):
    data = urlsafe_b64encode(BYTES).decode()
    return {"data": data, "media_type": media_type, "kind": "binary"}


def prompt(*items):
    part = {"content": [*items], "part_kind": "user-prompt", "timestamp": "1970-01-01T00:00:00Z"}
    return {"parts": [part], "kind": "request"}


class PydanticAIFormatTests(SimpleTestCase):
    def test_binaries_have_the_alphabet_of_base64_that_their_readers_know(self):
        usual = b64encode(BYTES).decode()
        request = prompt(*map(binary, ("image/png", "application/pdf", "audio/wav")))
        [message] = chat = pydantic_ai.to_chat([request])
        assert message["content"] == [
            {"type": "image_url", "image_url": {"url": data_url("image/png", usual)}},
            {"type": "file", "file": {"file_data": data_url("application/pdf", usual)}},
            {"type": "input_audio", "input_audio": {"data": usual, "format": "wav"}},
        ]
        assert pydantic_ai.from_chat(chat, "r") == [request]

    def test_a_reasoning_precedes_the_answer(self):
        message = {"role": "assistant", "content": "In the tower.", "reasoning_content": "Hm."}
        [response] = pydantic_ai.from_chat([message], "r")
        assert [part["part_kind"] for part in response["parts"]] == ["thinking", "text"]
        assert pydantic_ai.to_chat([response]) == [message]
