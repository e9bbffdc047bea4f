"""The views of the pages about frameworks, called as their readers would call them."""

import json
from importlib.util import find_spec
from unittest import skipUnless

from asgiref.sync import async_to_sync
from django.test import AsyncRequestFactory, RequestFactory

from conversation_memory import indexes

from ..test_howtos import PageTestCase, user
from ..utils import close_connections


class ViewCase(PageTestCase):
    def post(self, factory=AsyncRequestFactory):
        async def auser():
            return user(7)

        request = factory().post("/", {"question": "Where?"})
        request.user, request.auser = user(7), auser
        return request

    @async_to_sync
    async def called(self, view):
        """The body that an async view answers."""
        try:
            response = await view(self.post(), "view")
            if not response.streaming:
                return response.content
            return b"".join([piece async for piece in response])
        finally:
            await close_connections()

    def check(self, body):
        assert json.loads(body) == {"answer": "There."}
        assert [run.output.text for run in self.runs("view")] == ["There."]
        assert indexes["default"].driver("view").record().owner == "7"


@skipUnless(find_spec("agents"), "openai-agents is not installed")
class OpenAIAgentsPageTests(ViewCase):
    page = "../frameworks/openai-agents"

    def setUp(self):
        super().setUp()
        self.guide.model = self.ScriptedModel([[self.assistant_message("There.")]])

    def test_a_view_answers_and_remembers(self):
        self.check(self.called(self.ask))

    def test_a_view_streams(self):
        assert self.called(self.stream) == b"There."
        assert [run.output.text for run in self.runs("view")] == ["There."]


@skipUnless(find_spec("langchain_core"), "langchain-core is not installed")
class LangChainPageTests(ViewCase):
    page = "../frameworks/langchain"

    def setUp(self):
        super().setUp()
        self.model.messages = iter([self.AIMessage("There.")])

    def test_a_view_answers_and_remembers(self):
        self.check(self.ask(self.post(RequestFactory), "view").content)

    def test_an_async_view_answers_and_remembers(self):
        self.check(self.called(self.aask))


@skipUnless(find_spec("agent_framework"), "agent-framework-core is not installed")
class AgentFrameworkPageTests(ViewCase):
    page = "../frameworks/agent-framework"

    def test_a_view_answers_and_remembers(self):
        self.names["client"].script = [["There."]]
        self.check(self.called(self.ask))
