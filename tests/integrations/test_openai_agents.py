"""Agents of the OpenAI Agents SDK whose session is a conversation."""

import asyncio
from importlib.util import find_spec
from unittest import SkipTest

from conversation_memory.exceptions import ConversationNotFound
from conversation_memory.message_list import MessageList

from ..utils import RedisTestCase, close_connections, each_layout
from .openai_items import ITEMS

if not find_spec("agents"):
    raise SkipTest("openai-agents is not installed")

from agents import Agent, RunConfig, Runner, SessionSettings, SQLiteSession, function_tool, handoff
from agents.memory import OpenAIResponsesCompactionSession, Session
from agents.memory.session import _session_accepts_wrapper
from agents.testing import ScriptedModel, assistant_message, function_call

from conversation_memory.integrations.openai_agents import ConversationSession

QUIET = RunConfig(tracing_disabled=True)
LOOK = [function_call("look", {"place": "tower"}, call_id="t1", item_id="fc1")]


@function_tool
def look(place: str) -> str:
    """Look at a place."""
    return f"A lamp is in the {place}."


class SessionCase(RedisTestCase):
    """Runs the coroutine of a test, and closes the connections of its loop."""

    def run_async(self, coroutine):
        async def run():
            try:
                return await coroutine
            finally:
                await close_connections()

        return asyncio.run(run())

    def session(self, id="c", **options):
        return ConversationSession(self.index.driver(id, **options))


def agent_of(*steps, **options):
    return Agent(name="Guide", model=ScriptedModel(steps), tools=[look], **options)


async def both_answer(session, *steps, run=None, **options):
    """Ask an agent with our session, and one with the SDK's own. Returns the items of both."""
    stock = SQLiteSession("c")
    try:
        for each in (session, stock):
            agents = agent_of(*steps, **options)
            for question in ("Where is the lamp?", "And now?"):
                await (run or ask)(agents, question, each)
        return await session.get_items(), await stock.get_items()
    finally:
        stock.close()


async def ask(agent, question, session):
    return (await Runner.run(agent, question, session=session, run_config=QUIET)).final_output


async def ask_streamed(agent, question, session):
    result = Runner.run_streamed(agent, question, session=session, run_config=QUIET)
    async for _ in result.stream_events():
        pass


@each_layout
class OpenAIAgentsTests:
    case = SessionCase

    def test_an_agent_remembers_as_with_the_session_of_the_sdk(self):
        steps = [LOOK, [assistant_message("In the tower.")], [assistant_message("Still there.")]]
        for name, run in (("at once", ask), ("streamed", ask_streamed)):
            found, expected = self.run_async(both_answer(self.session(name), *steps, run=run))
            assert found == expected and len(found) == 6, name
            [first, second] = self.index.driver(name).load()[0]
            assert (first.input.text, first.output.text) == ("Where is the lamp?", "In the tower.")
            roles = [one["role"] for one in self.index.driver(name).messages()]
            assert roles == ["user", "assistant", "tool", "assistant", "user", "assistant"]

    def test_an_agent_hands_over_to_another(self):
        async def run():
            other = Agent(name="Other", model=ScriptedModel([[assistant_message("Mine.")]]))
            call = [function_call("transfer_to_other", "{}", call_id="h1")]
            for session in (self.session(), stock):
                other.model = ScriptedModel([[assistant_message("Mine.")]])
                await ask(agent_of(call, handoffs=[handoff(other)]), "Who?", session)
            return await self.session().get_items(), await stock.get_items()

        stock = SQLiteSession("c")
        self.addCleanup(stock.close)
        found, expected = self.run_async(run())
        assert found == expected
        assert [one.get("type") for one in found][1:3] == ["function_call", "function_call_output"]

    def test_a_second_attempt_follows_a_model_that_failed(self):
        async def run():
            for session in (self.session(), stock):
                agent = agent_of(LOOK, RuntimeError("overloaded"), [assistant_message("There.")])
                with self.assertRaisesRegex(RuntimeError, "overloaded"):
                    await ask(agent, "Where?", session)
                assert await ask(agent, "Where, please?", session) == "There."
            return await self.session().get_items(), await stock.get_items()

        stock = SQLiteSession("c")
        self.addCleanup(stock.close)
        found, expected = self.run_async(run())
        assert found == expected
        assert self.index.driver("c").open_runs() == []

    def test_items_of_every_kind_come_back_unchanged(self):
        async def run():
            await self.session().add_items(ITEMS)
            assert await self.session().get_items() == ITEMS
            for item in ITEMS:
                await self.session("one by one").add_items([item])
            assert await self.session("one by one").get_items() == ITEMS
            for count in range(1, len(ITEMS)):
                assert await self.session().get_items(count) == ITEMS[-count:]

        self.run_async(run())
        assert self.index.driver("c").load()[0][0].output.text == "In the tower."

    def test_the_limit_is_that_of_the_call_or_else_of_the_settings(self):
        async def run():
            await self.session().add_items(ITEMS)
            for settings in ({"limit": 2}, SessionSettings(limit=2)):
                session = ConversationSession(self.index.driver("c"), session_settings=settings)
                assert await session.get_items() == ITEMS[-2:]
                assert await session.get_items(limit=1) == ITEMS[-1:]
                assert await session.get_items(0) == []
            assert len(await self.session().get_items()) == len(ITEMS)

        self.run_async(run())
        with self.assertRaisesRegex(Exception, "limits"):
            ConversationSession(self.index.driver("c"), session_settings={"limits": 2})

    def test_it_fulfils_the_protocol_and_gets_the_context_of_a_run(self):
        session = self.session("42")
        assert isinstance(session, Session) and session.session_id == "42"
        assert _session_accepts_wrapper(session)

    def test_sessions_of_other_owners_see_nothing(self):
        async def run():
            await self.session(owner="ann").add_items(ITEMS)
            bob = self.session(owner="bob")
            assert await bob.get_items() == [] and await bob.pop_item() is None
            await bob.clear_session()
            with self.assertRaises(ConversationNotFound):
                await bob.add_items(ITEMS)
            assert await self.session(owner="ann").get_items() == ITEMS

        self.run_async(run())

    def test_a_session_expires_with_its_conversation(self):
        async def run():
            await self.session(ttl=60).add_items(ITEMS)

        self.run_async(run())
        assert self.index.driver("c").record().expires is not None

    def test_what_other_programs_wrote_arrives_as_items(self):
        MessageList(self.index.driver("c"), "anthropic").add(
            [
                {"role": "user", "content": "Where?"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {}}],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "t", "content": "A lamp."}],
                },
            ]
        )

        async def run():
            model = ScriptedModel([[assistant_message("There.")], [assistant_message("Yes.")]])
            agent = Agent(name="Guide", model=model)
            await ask(agent, "And now?", self.session())
            return [item.get("type", item.get("role")) for item in model.last_call.input]

        found = ["user", "function_call", "function_call_output", "user"]
        assert self.run_async(run()) == found

    def test_two_sessions_of_one_conversation_lose_nothing(self):
        async def run():
            steps = [LOOK, [assistant_message("There.")]]
            asked = [ask(agent_of(*steps), f"Where {n}?", self.session()) for n in range(4)]
            assert await asyncio.gather(*asked) == ["There."] * 4
            return await self.session().get_items()

        found = self.run_async(run())
        kinds = [item.get("type", item.get("role")) for item in found]
        assert [kinds.count(kind) for kind in ("user", "message", "function_call_output")] == [
            4
        ] * 3

    def test_a_change_is_finished_before_a_cancellation_is_raised(self):
        async def run():
            for cancel_again in (False, True):
                session = self.session(f"{cancel_again}")
                task = asyncio.create_task(session.add_items(ITEMS))
                await asyncio.sleep(0)
                for _ in range(1 + cancel_again):
                    task.cancel()
                    await asyncio.sleep(0)
                with self.assertRaises(asyncio.CancelledError):
                    await task
                assert await session.get_items() == ITEMS

        self.run_async(run())

    def test_the_compaction_of_the_sdk_replaces_the_items(self):
        class Responses:
            async def compact(self, **options):
                made = {"type": "compaction", "id": "cmp", "encrypted_content": "x"}
                return type("Compacted", (), {"output": [made], "usage": None})

        async def run():
            client = type("Client", (), {"responses": Responses()})
            session = OpenAIResponsesCompactionSession(
                "c", self.session(), client=client, compaction_mode="input"
            )
            await session.add_items(ITEMS[:1] + ITEMS[-1:])
            await session.run_compaction({"force": True})
            return await self.session().get_items()

        [item] = self.run_async(run())
        assert item["type"] == "compaction"
