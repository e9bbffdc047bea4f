"""The example site answers through frameworks, on the conversations that it has."""

import asyncio

import pytest
from django.test import override_settings

from conversation_memory import Run

from .test_example_views import ChatTestCase


@override_settings(CHAT_THINKING_SECONDS=0, CHAT_WORD_SECONDS=0)
class FrameworkTests(ChatTestCase):
    def check(self, name, package):
        pytest.importorskip(package)
        self.driver().store([Run("My name is Ada", "Pleased to meet you.", id="r1")])
        before = self.driver().load()[0][0].to_wire()
        with self.settings(CHAT_RESPONDER=name):
            self.write("Who am I?")
        first, second = self.driver().load()[0]
        assert second.output.text.startswith("Your name is Ada.")
        assert second.meta["model"] == f"{name}/offline" and second.meta["asked"]
        assert first.to_wire() == before
        self.write("Who am I?")  # another responder goes on
        assert self.driver().tail(1)[0].output.text == second.output.text

    def test_griptape(self):
        self.check("griptape", "griptape")

    def test_langchain(self):
        self.check("langchain", "langchain_core")

    def test_llama_index(self):
        self.check("llama-index", "llama_index.core")

    def test_openai_agents(self):
        self.check("openai-agents", "agents")

    def test_pydantic_ai(self):
        # Its sync calls take the event loop of the thread, or leave one there.
        with asyncio.Runner() as runner:
            runner.get_loop()
            self.check("pydantic-ai", "pydantic_ai")
