"""The promises of an integration, kept by the adapters that are lists of messages."""

from importlib.util import find_spec
from unittest import skipUnless

from django.test import SimpleTestCase

from conversation_memory import indexes
from conversation_memory.testing import IndexTestMixin, IntegrationTestMixin

from ..utils import wait_for

CALL = "call-1"


class Said:
    """Adds all messages of a turn at once."""

    def add(self, driver, question, answer):
        self.say(driver, self.user(question), self.assistant(answer))

    def add_question(self, driver, question):
        self.say(driver, self.user(question))


@skipUnless(find_spec("agents"), "openai-agents is not installed")
class OpenAIAgentsConformanceTests(Said, IntegrationTestMixin, IndexTestMixin, SimpleTestCase):
    def session(self, driver):
        from conversation_memory.integrations.openai_agents import ConversationSession

        return ConversationSession(driver)

    def user(self, text):
        return {"role": "user", "content": text}

    def assistant(self, text):
        return {"role": "assistant", "content": text}

    def say(self, driver, *items):
        wait_for(self.session(driver).add_items([*items]))

    def read(self, driver):
        return [item["content"] for item in wait_for(self.session(driver).get_items())]

    def add_call(self, driver, question, name, result, answer):
        call = {"type": "function_call", "call_id": CALL, "name": name, "arguments": "{}"}
        output = {"type": "function_call_output", "call_id": CALL, "output": result}
        self.say(driver, self.user(question), call, output, self.assistant(answer))


@skipUnless(find_spec("langchain_core"), "langchain-core is not installed")
class LangChainConformanceTests(Said, IntegrationTestMixin, IndexTestMixin, SimpleTestCase):
    def history(self, driver):
        from conversation_memory.integrations.langchain import ConversationChatMessageHistory

        return ConversationChatMessageHistory(driver)

    def user(self, text):
        from langchain_core.messages import HumanMessage

        return HumanMessage(text)

    def assistant(self, text, **more):
        from langchain_core.messages import AIMessage

        return AIMessage(text, **more)

    def say(self, driver, *messages):
        self.history(driver).add_messages([*messages])

    def read(self, driver):
        return [message.content for message in self.history(driver).messages]

    def add_call(self, driver, question, name, result, answer):
        from langchain_core.messages import ToolMessage

        called = self.assistant("", tool_calls=[{"name": name, "args": {}, "id": CALL}])
        told = ToolMessage(result, tool_call_id=CALL)
        self.say(driver, self.user(question), called, told, self.assistant(answer))


@skipUnless(find_spec("llama_index"), "llama-index-core is not installed")
class LlamaIndexConformanceTests(Said, IntegrationTestMixin, IndexTestMixin, SimpleTestCase):
    def store(self, driver):
        from conversation_memory.integrations.llama_index import AsyncConversationChatStore

        return AsyncConversationChatStore(indexes[driver.alias], owner=driver.owner)

    def user(self, text, role="user", **more):
        from llama_index.core.llms import ChatMessage

        return ChatMessage(text, role=role, **more)

    def assistant(self, text):
        return self.user(text, role="assistant")

    def say(self, driver, *messages):
        wait_for(self.store(driver).add_messages(driver.conversation_id, [*messages]))

    def read(self, driver):
        found = wait_for(self.store(driver).get_messages(driver.conversation_id))
        return [message.content for message in found]

    def add_call(self, driver, question, name, result, answer):
        from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock

        block = ToolCallBlock(tool_call_id=CALL, tool_name=name, tool_kwargs={})
        called = ChatMessage(role="assistant", blocks=[block])
        told = self.user(result, role="tool", additional_kwargs={"tool_call_id": CALL})
        self.say(driver, self.user(question), called, told, self.assistant(answer))


@skipUnless(find_spec("agent_framework"), "agent-framework-core is not installed")
class AgentFrameworkConformanceTests(Said, IntegrationTestMixin, IndexTestMixin, SimpleTestCase):
    def provider(self, driver):
        from conversation_memory.integrations.agent_framework import ConversationHistoryProvider

        return ConversationHistoryProvider(indexes[driver.alias], owner=driver.owner)

    def user(self, *contents, role="user"):
        from agent_framework import Message

        return Message(role, [*contents])

    def assistant(self, *contents):
        return self.user(*contents, role="assistant")

    def say(self, driver, *messages):
        wait_for(self.provider(driver).save_messages(driver.conversation_id, [*messages]))

    def read(self, driver):
        found = wait_for(self.provider(driver).get_messages(driver.conversation_id))
        return [message.text for message in found]

    def add_call(self, driver, question, name, result, answer):
        from agent_framework import Content

        called = Content.from_function_call(CALL, name, arguments="{}")
        told = self.user(Content.from_function_result(CALL, result=result), role="tool")
        said = self.assistant(called), told, self.assistant(answer)
        self.say(driver, self.user(question), *said)
