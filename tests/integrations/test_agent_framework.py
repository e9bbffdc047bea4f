"""Agents of Microsoft's Agent Framework whose history is a conversation."""

import asyncio
import json
from importlib.util import find_spec
from unittest import SkipTest

from django.test import SimpleTestCase

from conversation_memory import Run
from conversation_memory.exceptions import (
    ConversationCorrupt,
    ConversationNotFound,
    OwnerRequired,
)
from conversation_memory.messages.formats import find_format

from ..test_agent_framework_format import AGENT_FRAMEWORK
from ..test_messages import TURNS
from ..utils import RedisTestCase, close_connections, each_layout

if not find_spec("agent_framework"):
    raise SkipTest("agent-framework-core is not installed")

from agent_framework import (
    Agent,
    AgentSession,
    BaseChatClient,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    tool,
)

from conversation_memory.integrations.agent_framework import (
    ConversationHistoryProvider,
    _loaded,
)


class ScriptedClient(FunctionInvocationLayer, BaseChatClient):
    """Stands for a model: answers with the next contents, or raises them."""

    def __init__(self, *script, **options):
        super().__init__(**options)
        self.script, self.asked = [*script], []

    def _inner_get_response(self, *, messages, stream, options, **kwargs):
        self.asked.append([*messages])
        contents = self.script.pop(0)
        if stream:
            return self._build_response_stream(self.updates(contents))
        return self.answer(contents)

    async def answer(self, contents):
        if isinstance(contents, Exception):
            raise contents
        return ChatResponse(messages=[Message("assistant", contents)])

    async def updates(self, contents):
        for one in contents:
            yield ChatResponseUpdate(role="assistant", contents=[Content.from_text(one)])


@tool(approval_mode="never_require")
def find(thing: str) -> str:
    """Find a thing."""
    return f"The {thing} is in the tower."


FIND = [Content.from_function_call("t1", "find", arguments={"thing": "lamp"})]


class ProviderCase(RedisTestCase):
    """Runs the coroutine of a test, and closes the connections of its loop."""

    def run_async(self, coroutine):
        async def run():
            try:
                return await coroutine
            finally:
                await close_connections()

        return asyncio.run(run())

    def provider(self, **options):
        return ConversationHistoryProvider(self.index, **options)

    def agent(self, *script, **options):
        client, provider = ScriptedClient(*script), self.provider(**options)
        return Agent(client, tools=[find], context_providers=[provider]), client


def dicts(messages):
    return json.loads(json.dumps([message.to_dict() for message in messages]))


@each_layout
class AgentFrameworkTests:
    case = ProviderCase

    def test_an_agent_remembers(self):
        async def run():
            agent, client = self.agent(FIND, ["In the tower."], ["Still there."])
            for question in ("Where is the lamp?", "And now?"):
                await agent.run(question, session=AgentSession(session_id="c"))
            return client.asked[-1]

        asked = self.run_async(run())
        roles = [message.role for message in asked]
        assert roles == ["user", "assistant", "tool", "assistant", "user"]
        assert asked[2].contents[0].result == "The lamp is in the tower."
        [first, second] = self.index.driver("c").load()[0]
        assert (first.input.text, first.output.text) == ("Where is the lamp?", "In the tower.")
        assert (second.input.text, second.output.text) == ("And now?", "Still there.")

    def test_an_agent_that_streams_remembers(self):
        async def run():
            agent, _ = self.agent(["In the ", "tower."])
            session = AgentSession(session_id="c")
            async for _ in agent.run("Where?", session=session, stream=True):
                pass

        self.run_async(run())
        [run] = self.index.driver("c").load()[0]
        assert (run.input.text, run.output.text) == ("Where?", "In the tower.")

    def test_nothing_is_kept_of_a_model_that_failed(self):
        async def run():
            agent, client = self.agent(RuntimeError("overloaded"), ["There."])
            session = AgentSession(session_id="c")
            with self.assertRaisesRegex(Exception, "overloaded"):
                await agent.run("Where?", session=session)
            await agent.run("Where, please?", session=session)
            return [message.text for message in await self.provider().get_messages("c")]

        assert self.run_async(run()) == ["Where, please?", "There."]

    def test_messages_of_every_kind_come_back_equal(self):
        messages = [*map(Message.from_dict, AGENT_FRAMEWORK)]
        messages.append(Message("assistant", [Content.from_error(message="no", error_code="e")]))
        messages.append(Message("user", [Content.from_hosted_file("f")]))

        async def run():
            await self.provider().save_messages("c", messages)
            for message in messages:
                await self.provider().save_messages("one by one", [message])
            return [await self.provider().get_messages(id) for id in ("c", "one by one")]

        for found in self.run_async(run()):
            assert dicts(found) == dicts(messages)

    def test_what_others_wrote_is_what_the_framework_writes(self):
        format = find_format("agent-framework")
        for name, turn in TURNS.items():
            made = format.from_chat(find_format(name).to_chat(turn), "1")
            assert dicts(map(Message.from_dict, made)) == made, name
            self.index.driver(name).append_messages(turn, format=name)
            found = self.run_async(self.provider().get_messages(name))
            assert found[-1].text == "In the tower.", name

    def test_what_the_framework_cannot_load_is_told_with_the_conversation(self):
        for contents in (5, [5], [{"type": "text", "text": "a"}, {"data": "secret"}]):
            stored = [{"type": "message", "role": "assistant", "contents": contents}]
            meta = {"messages": stored, "messages_format": "agent-framework"}
            output = "a" if isinstance(contents, list) and len(contents) > 1 else ""
            self.index.driver("c").store([Run("", output, meta)], {})
            with self.assertRaisesRegex(ConversationCorrupt, "'c'.*not a Message of") as found:
                self.run_async(self.provider().get_messages("c"))
            assert "secret" not in str(found.exception)

    def test_a_transcript_that_is_sent_again_is_not_added_twice(self):
        first = [Message("user", ["a"]), Message("assistant", ["b"], message_id="m1")]
        second = [Message("user", ["a"]), Message("assistant", ["b"], message_id="m2")]
        plain = [Message("user", ["Yes"]), Message("assistant", ["OK"])]

        async def run():
            provider = self.provider()
            for added in (first, first, [*first, *second], second, plain, plain):
                await provider.save_messages("c", added)
            return [message.text for message in await provider.get_messages("c")]

        assert self.run_async(run()) == ["a", "b", "a", "b", "Yes", "OK", "Yes", "OK"]

    def test_the_owner_is_fixed_or_found_in_the_state_of_the_session(self):
        def owner(state):
            return state.get("owner")

        async def run():
            agent, _ = self.agent(["Hello!"], ["No."], owner=owner)
            session = AgentSession(session_id="c")
            with self.assertRaises(OwnerRequired):
                await agent.run("Hi", session=session)
            session.state["conversation_memory"] = {"owner": 7}
            await agent.run("Hi", session=session)
            assert len(await self.provider(owner=7).get_messages("c")) == 2
            bob = self.provider(owner=8)
            assert await bob.get_messages("c") == []
            with self.assertRaises(ConversationNotFound):
                await bob.save_messages("c", [Message("user", ["Hi"])])
            await bob.clear("c")
            await self.provider(owner=7).clear("c")
            assert await self.provider(owner=7).get_messages("c") == []

        self.run_async(run())
        assert self.index.driver("c").record().owner == "7"

    def test_the_options_of_the_framework_say_what_is_stored(self):
        async def run():
            for option, expected in (
                ({"store_inputs": False}, ["There."]),
                ({"store_outputs": False}, ["Where?"]),
                ({"load_messages": False, "source_id": "audit"}, ["Where?", "There."]),
            ):
                agent, client = self.agent(["There."], **option)
                id = str(option)
                await agent.run("Where?", session=AgentSession(session_id=id))
                found = await self.provider().get_messages(id)
                assert [message.text for message in found] == expected, option

        self.run_async(run())

    def test_sessions_expire_and_need_an_id(self):
        async def run():
            provider = self.provider(ttl=60)
            said = [Message("user", ["Hi"]), Message("assistant", ["Hello"])]
            await provider.save_messages("c", said)
            await provider.save_messages("c", [])
            for id in (None, ""):
                with self.assertRaisesRegex(ValueError, "session id is required"):
                    await provider.get_messages(id)

        self.run_async(run())
        assert self.index.driver("c").record().expires is not None
        assert len(self.index.driver("c").load()[0]) == 1


class SpokenTests(SimpleTestCase):
    def test_messages_of_a_text_are_those_that_the_framework_parses(self):
        texts = [Message("user", ["a"]), Message("assistant", [""], message_id="1")]
        others = [
            Message("user", ["a"], author_name="b"),
            Message("user", ["a", "b"]),
            Message("user", []),
            Message("user", ["a"], additional_properties={"b": {}}),
            Message("user", [Content.from_text("a", additional_properties={"b": 1})]),
            Message("user", [Content.from_uri("https://a.example", media_type="text/html")]),
        ]
        stored = [one.to_dict() for one in [*texts, *others]]
        stored += [{"role": "user", "contents": ["a"]}, {"role": "user"}]
        stored += [{**stored[0], "message_id": None}]
        for one in stored:
            assert facts(*_loaded([one])) == facts(Message.from_dict(one))


def facts(message):
    return {**vars(message), "contents": [*map(vars, message.contents)]}
