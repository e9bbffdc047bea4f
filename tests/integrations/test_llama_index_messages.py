"""Messages as the stores for LlamaIndex dump and load them, compared with what pydantic does."""

import json
import pickle
import warnings
from unittest import skipUnless

from django.test import SimpleTestCase

try:
    from llama_index.core.base.llms.types import ChatMessage, TextBlock
    from pydantic import ValidationError

    from conversation_memory.integrations import llama_index

    from .llama_index_chats import RICH, said

    class OwnMessage(ChatMessage):
        more: int = 2

    class OwnBlock(TextBlock):
        more: int = 2

    class OwnText(str):
        pass

    HAS_LLAMA_INDEX = True
except ImportError:  # pragma: no cover
    HAS_LLAMA_INDEX = False


@skipUnless(HAS_LLAMA_INDEX, "LlamaIndex is not installed")
class ChatMessageTests(SimpleTestCase):
    def test_messages_are_dumped_as_pydantic_does(self):
        plain = said("user", "Hi")
        for message in (
            *RICH,
            plain,
            said("assistant", ""),
            said("system", "\ud800"),
            said("user", "Hi", a=None),
            ChatMessage(role="model", blocks=[TextBlock(text="a"), TextBlock(text="b")]),
            ChatMessage(),
            OwnMessage(role="user", content="Hi"),
            ChatMessage(blocks=[OwnBlock(text="Hi")]),
            plain.model_copy(update={"additional_kwargs": None}),
            plain.model_copy(update={"blocks": [TextBlock.model_construct(text=None)]}),
            plain.model_copy(update={"blocks": [TextBlock.model_construct(text=OwnText("a"))]}),
            plain.model_copy(update={"blocks": [TextBlock.model_construct(block_type="x")]}),
        ):
            expected = message.model_dump(mode="json", warnings=False)
            with warnings.catch_warnings(action="ignore"):
                [found] = llama_index._dumped([message])
            assert json.dumps(found) == json.dumps(expected)

    def test_messages_are_loaded_as_pydantic_does(self):
        for message in (
            *(one.model_dump(mode="json") for one in RICH),
            said("user", "Hi").model_dump(mode="json"),
            {},
            {"role": "user", "content": "Hi"},
            {"role": "user", "content": None},
            {"role": "model", "content": [{"block_type": "text", "text": "a"}]},
            {"role": "user", "blocks": [], "unknown": 1, "status": "archived"},
        ):
            [found], expected = llama_index._loaded([message]), ChatMessage.model_validate(message)
            assert type(found) is ChatMessage and found == expected
            assert found.model_fields_set == expected.model_fields_set
            assert pickle.dumps(found) == pickle.dumps(expected)
        for wrong in ({"role": "nobody"}, {"blocks": 3}, {"blocks": [{"block_type": "x"}]}):
            with self.assertRaises(ValidationError) as ours:
                llama_index._loaded([wrong])
            with self.assertRaises(ValidationError) as theirs:
                ChatMessage.model_validate(wrong)
            assert ours.exception.errors() == theirs.exception.errors()
