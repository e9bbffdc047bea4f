"""Agents of Griptape on this memory: tools, images, streams, threads, a server that fails."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async
from griptape.artifacts import ImageArtifact, ModelArtifact, TextArtifact
from griptape.common import ToolAction
from griptape.configs.drivers import DriversConfig
from griptape.drivers.memory.conversation import BaseConversationMemoryDriver
from griptape.memory.structure import ConversationMemory, Run, SummaryConversationMemory
from griptape.structures import Agent, Pipeline
from griptape.tasks import PromptTask
from griptape.tools import CalculatorTool
from griptape.utils import Conversation, Stream
from pydantic import BaseModel

from conversation_memory.exceptions import InvalidIndexError, RedisReadOnly
from conversation_memory.integrations.griptape import ConversationMemoryDriver

from ..servers import SECRET, ServerTestCase
from ..test_secrets import error_of, production_report, where
from ..utils import each_layout
from .griptape_agents import GriptapeMemoryTestCase, ScriptedPromptDriver


@each_layout
class AgentTests:
    case = GriptapeMemoryTestCase

    def test_an_agent_goes_on_where_another_stopped(self):
        self.agent("Hello Ada!").run("My name is Ada.")
        agent = self.agent("Ada.")
        agent.run("What is my name?")
        assert self.texts() == [("My name is Ada.", "Hello Ada!"), ("What is my name?", "Ada.")]
        [prompt] = agent.prompt_driver.prompts
        assert prompt[-3:] == ["My name is Ada.", "Hello Ada!", "What is my name?"]
        assert "Hello Ada!" in str(Conversation(agent.conversation_memory))

    def test_an_agent_with_a_tool(self):
        call = ToolAction(
            tag="1",
            name="CalculatorTool",
            path="calculate",
            input={"values": {"expression": "2 + 2"}},
        )
        self.agent(call, "It is 4.", tools=[CalculatorTool()]).run("How much is 2 + 2?")
        assert self.texts() == [("How much is 2 + 2?", "It is 4.")]

    def test_an_agent_with_an_image(self):
        image = ImageArtifact(b"\x89PNG", format="png", width=1, height=2)
        self.agent("A lamp.").run(["What is this?", image])
        [run] = self.memory().runs
        assert run.input.value[1] == image
        agent = self.agent("Yes.")
        agent.run("Is it on?")
        stack = agent.conversation_memory.to_prompt_stack()
        assert stack.messages[0].content[1].artifact == image

    def test_an_agent_with_a_structured_output(self):
        class Answer(BaseModel):
            text: str

        self.agent('{"text": "yes"}', output_schema=Answer).run("Is it on?")
        [run] = self.memory().runs
        assert isinstance(run.output, ModelArtifact)
        assert run.output.value.model_dump() == {"text": "yes"}

    def test_an_agent_that_streams(self):
        stream = Stream(self.agent("one two three", stream=True))
        assert "".join(chunk.value for chunk in stream.run("Count!")).split() == [
            "one",
            "two",
            "three",
        ]
        assert self.texts() == [("Count!", "one two three ")]

    def test_both_strategies_store_what_they_are_to(self):
        for strategy, expected in (
            ("per_structure", [("go", "second")]),
            ("per_task", [("go", "first"), ("first", "second")]),
        ):
            driver = ScriptedPromptDriver(answers=["first", "second"])
            memory = self.memory(strategy)
            pipeline = Pipeline(conversation_memory=memory, conversation_memory_strategy=strategy)
            inputs = "{{ args[0] }}", "{{ parent_output }}"
            pipeline.add_tasks(*[PromptTask(input, prompt_driver=driver) for input in inputs])
            pipeline.run("go")
            assert self.texts(strategy) == expected

    def test_two_agents_in_threads_keep_the_runs_of_each_other(self):
        def talk(name):
            agent = self.agent(memory=self.memory())
            for number in range(10):
                agent.run(f"{name} {number}")

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(talk, "ab"))
        stored = [input for input, _ in self.texts()]
        for name in "ab":
            own = [input for input in stored if input.startswith(name)]
            assert own == [f"{name} {number}" for number in range(10)]

    def test_threads_with_one_memory_store_every_run_once(self):
        memory = self.memory()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: memory.add_run(_run(f"{n}")), range(40)))
        assert sorted(input for input, _ in self.texts()) == sorted(f"{n}" for n in range(40))

    def test_an_agent_in_a_coroutine(self):
        async def ask():
            agent = await sync_to_async(self.agent)("Hello!")
            return await sync_to_async(agent.run)("Hi.")

        assert asyncio.run(ask()).output.value == "Hello!"
        assert self.texts() == [("Hi.", "Hello!")]

    def test_a_summary_that_is_put_into_meta_is_kept(self):
        def memory(*answers):
            driver = ScriptedPromptDriver(answers=[*answers])
            return SummaryConversationMemory(
                conversation_memory_driver=self.driver(), prompt_driver=driver, offset=1
            )

        first = memory("They met.")
        first.add_run(_run("1"))
        first.add_run(_run("2"))
        first.meta |= {"summary": first.summary, "summary_index": first.summary_index}
        first.conversation_memory_driver.store(first.runs, first.meta)
        second = memory("They met again.")
        assert (second.summary, second.summary_index, len(second.runs)) == ("They met.", 1, 2)
        second.add_run(_run("3"))
        assert memory().summary == "They met."


class SavingTests(GriptapeMemoryTestCase):
    options = {"owner": "ada", "ttl": 3600}

    def test_a_driver_comes_back_from_its_dict(self):
        driver = self.driver(**self.options)
        data = driver.to_dict()
        assert data == {
            "type": "ConversationMemoryDriver",
            "module_name": "conversation_memory.integrations.griptape",
            "alias": "default",
            "index": self.index.name,
            "conversation_id": "42",
            "owner": "ada",
            "ttl": 3600.0,
        }
        for restored in (
            BaseConversationMemoryDriver.from_dict(data),
            ConversationMemoryDriver.from_dict(data),
            ConversationMemoryDriver.from_json(driver.to_json()),
            BaseConversationMemoryDriver.from_dict(self.driver().to_dict()),
        ):
            assert isinstance(restored, ConversationMemoryDriver)
            ConversationMemory(conversation_memory_driver=restored).add_run(_run("1"))
            expected = data if restored.owner else data | {"owner": None, "ttl": None}
            assert restored.to_dict() == expected
        assert self.index.driver("42").record().owner == "ada"
        assert len(self.texts()) == 4

    def test_an_index_that_settings_do_not_name_is_not_opened(self):
        data = self.driver().to_dict()
        for changes in ({"alias": "other"}, {"index": "other"}):
            with pytest.raises(InvalidIndexError):
                BaseConversationMemoryDriver.from_dict(data | changes)

    def test_a_config_of_drivers_holds_it(self):
        config = DriversConfig(
            prompt_driver=ScriptedPromptDriver(), conversation_memory_driver=self.driver()
        )
        data = {"conversation_memory_driver": config.to_dict()["conversation_memory_driver"]}
        restored = DriversConfig.from_dict(data | {"type": "DriversConfig"})
        assert restored.conversation_memory_driver.conversation_id == "42"

    def test_agents_take_it_from_the_defaults(self):
        config = DriversConfig(
            prompt_driver=ScriptedPromptDriver(), conversation_memory_driver=self.driver()
        )
        with config:
            Agent().run("1")
            agent = Agent()
            agent.run("2")
            saved = agent.conversation_memory.to_dict()
            assert [run.input.value for run in agent.conversation_memory.runs] == ["1", "2"]
        assert "conversation_memory_driver" not in saved
        assert [input for input, _ in self.texts()] == ["1", "2"]


class FailureTests(ServerTestCase):
    def test_errors_of_redis_arrive_as_ours_and_the_next_run_stores_both(self):
        driver = ConversationMemoryDriver(driver=self.index.driver("42"))
        agent = Agent(
            prompt_driver=ScriptedPromptDriver(),
            conversation_memory=ConversationMemory(conversation_memory_driver=driver),
        )
        agent.run("1")
        with self.config(maxmemory="1"), pytest.raises(RedisReadOnly):
            agent.run("2")
        agent.run("3")
        runs, _ = self.index.driver("42").load()
        assert [run.input.text for run in runs] == ["1", "2", "3"]

    def test_an_error_report_has_no_text_in_a_frame_of_this_app(self):
        driver = ConversationMemoryDriver(driver=self.index.driver("42"))
        driver.store([_run("1")], {})
        runs, metadata = driver.load()
        runs[0].output.value, metadata["note"] = SECRET, SECRET
        runs.append(_run(SECRET))
        given = iter([(runs, metadata), (runs[:1], metadata), ([], metadata)])
        with self.config(maxmemory="1"):
            for _ in range(3):  # an append, an edit, the metadata
                report = production_report(error_of(lambda: driver.store(*next(given))))
                if SECRET in report:
                    self.fail(where(report))


def _run(text):
    return Run(input=TextArtifact(text), output=TextArtifact("a"))
