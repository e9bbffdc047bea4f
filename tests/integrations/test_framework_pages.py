"""The views of the pages about LlamaIndex and pydantic-ai, as their readers would call them."""

import asyncio
import json
import warnings
from importlib.util import find_spec
from unittest import skipUnless

from django.test import AsyncRequestFactory

from conversation_memory import indexes

from ..test_howtos import PageTestCase, user
from ..utils import close_connections

HAS_PYDANTIC_AI = bool(find_spec("pydantic_ai"))
HAS_AG_UI = HAS_PYDANTIC_AI and bool(find_spec("ag_ui"))
HAS_LLAMA_INDEX = bool(find_spec("llama_index"))


class AsyncPageTestCase(PageTestCase):
    def request(self, pk=7, *args, **kwargs):
        async def auser():
            return user(pk)

        request = AsyncRequestFactory().post("/", *args, **kwargs)
        request.auser = auser
        return request

    def call(self, awaitable):
        async def run():
            try:
                return await awaitable
            finally:
                await close_connections()

        return asyncio.run(run())


@skipUnless(HAS_LLAMA_INDEX, "LlamaIndex is not installed")
class LlamaIndexPageTests(AsyncPageTestCase):
    page = "../frameworks/llama-index"

    def test_a_view_answers_and_remembers(self):
        for number in (1, 2):
            response = self.call(self.chat(self.request(7, {"question": "Why?"}), "c"))
            assert response.status_code == 200
            assert [run.input.text for run in self.runs("c")] == ["Why?"] * number
        assert self.call(self.forgotten("c", "7")) == []
        buffer = self.buffer_of("c", "7")
        assert [message.content for message in buffer.get_all()][::2] == ["Why?", "Why?"]
        assert self.buffer_of("c", "8").get_all() == []


@skipUnless(HAS_PYDANTIC_AI, "pydantic-ai is not installed")
class PydanticAIPageTests(AsyncPageTestCase):
    page = "../frameworks/pydantic-ai"

    def ui(self, text, id="c", pk=7):
        message = {"id": text, "role": "user", "parts": [{"type": "text", "text": text}]}
        body = {"trigger": "submit-message", "id": id, "messages": [message]}
        return self.request(pk, json.dumps(body), content_type="application/json")

    def ag_ui(self, text, pk=7):
        message = {"id": text, "role": "user", "content": text}
        body = {"threadId": "c", "runId": text, "state": {}, "messages": [message]}
        body |= {"tools": [], "context": [], "forwardedProps": {}}
        return self.request(pk, json.dumps(body), content_type="application/json")

    def events(self, view, request):
        """The events of the stream of a view."""

        async def read():
            response = await view(request)
            assert response.status_code == 200
            chunks = [chunk async for chunk in response.streaming_content]
            lines = b"".join(chunks).decode().splitlines()
            found = [line.removeprefix("data: ") for line in lines if line.startswith("data: {")]
            return [json.loads(line) for line in found]

        return self.call(read())

    def test_a_view_streams_an_answer_and_remembers(self):
        first = self.events(self.chat, self.ui("Where?"))
        kinds = [event["type"] for event in first]
        assert "tool-output-available" in kinds
        said = "".join(event["delta"] for event in first if event["type"] == "text-delta")
        assert said == "In the tower."
        assert "data-conversation-saved" in kinds
        self.events(self.chat, self.ui("Sure?"))
        texts = [(run.input.text, run.output.text) for run in self.runs("c")]
        assert texts == [("Where?", "In the tower."), ("Sure?", "In the tower.")]
        [call] = indexes["default"].driver("c").messages()[1]["tool_calls"]
        assert call["function"]["name"] == "find"

    def test_a_user_does_not_reach_the_conversation_of_another(self):
        self.events(self.chat, self.ui("Where?"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self.events(self.chat, self.ui("Mine!", pk=8))
        assert "was not found" in [e["errorText"] for e in found if e["type"] == "error"][0]
        assert len(self.runs("c")) == 1

    def test_what_is_not_a_message_is_a_bad_request(self):
        request = self.request(7, "{}", content_type="application/json")
        assert self.call(self.chat(request)).status_code == 400

    @skipUnless(HAS_AG_UI, "ag-ui-protocol is not installed")
    def test_a_view_for_ag_ui_goes_on_with_the_same_conversation(self):
        self.events(self.chat, self.ui("Where?"))
        kinds = [event["type"] for event in self.events(self.run_ag_ui, self.ag_ui("Sure?"))]
        assert kinds[0] == "RUN_STARTED" and kinds[-1] == "RUN_FINISHED"
        assert [run.input.text for run in self.runs("c")] == ["Where?", "Sure?"]

    @property
    def run_ag_ui(self):
        return self.names["run"]

    def test_a_conversation_goes_on_without_a_browser(self):
        assert self.call(self.answer("c", "7", "Where?")) == "In the tower."
        assert self.call(self.regenerate("c", "7")) == "In the tower."
        fork = self.call(self.fork("c", "7"))
        assert len(self.runs(fork)) == len(self.runs("c")) == 1
        store = self.store
        record = self.call(store.read_record("c"))
        assert len(record.branches) == 1 and record.scope == "7"
        assert record.usage.requests > 2

    def test_a_tool_that_waits_is_approved(self):
        from pydantic_ai import Agent, DeferredToolRequests
        from pydantic_ai.conversation import Conversation
        from pydantic_ai.models.test import TestModel

        agent = Agent(
            TestModel(custom_output_text="Done."), output_type=[str, DeferredToolRequests]
        )

        @agent.tool_plain(requires_approval=True)
        def remove(thing: str) -> str:
            return "removed"

        async def ask():
            result = await agent.run("Remove it.", conversation=Conversation(conversation_id="c"))
            await self.store.save(result, scope="7")

        self.call(ask())
        [run] = self.runs("c")
        assert (run.input.text, run.output.text) == ("Remove it.", "")
        assert self.call(self.approve(agent, "c", "7")) == "Done."
        [run] = self.runs("c")
        assert (run.input.text, run.output.text) == ("Remove it.", "Done.")
        roles = [message["role"] for message in indexes["default"].driver("c").messages()]
        assert roles == ["user", "assistant", "tool", "assistant"]
