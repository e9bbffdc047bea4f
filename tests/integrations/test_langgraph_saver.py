from importlib.util import find_spec
from unittest import skipUnless

import pytest

from conversation_memory import Run

from ..utils import RedisTestCase, counted, each_layout, wait_for

HAS_LANGGRAPH = find_spec("langgraph") is not None
if HAS_LANGGRAPH:
    from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command

    from conversation_memory.integrations.langgraph import ConversationSaver

    from .langgraph_agents import agent, human, thread


def shown(driver):
    """Id, input and output of each run of a conversation."""
    return [(run.id, run.input.text, run.output.text) for run in driver.load()[0]]


def open_ids(driver):
    return [run.run_id for run in driver.open_runs()]


def contents(state):
    return [message.content for message in state.values.get("messages", ())]


@skipUnless(HAS_LANGGRAPH, "needs langgraph")
@each_layout
class AgentTests:
    def setUp(self):
        super().setUp()
        self.saver = ConversationSaver(self.index)
        self.agent = agent(self.saver)
        self.driver = self.index.driver("t")

    def ask(self, text, id=None, **configurable):
        return self.agent.invoke(human(text, id), thread(**configurable))

    def test_the_messages_of_a_thread_are_the_runs_of_its_conversation(self):
        self.ask("hello", "h1")
        self.ask("weather in Lisbon?", "h2")
        assert shown(self.driver) == [
            ("h1", "hello", "You said: hello"),
            ("h2", "weather in Lisbon?", "It is 24 °C."),
        ]
        roles = [message["role"] for message in self.driver.messages(max_runs=1)]
        assert roles == ["user", "assistant", "tool", "assistant"]
        assert open_ids(self.driver) == []
        [summary] = self.index.select()
        assert summary.record.title == "hello"

    def test_the_async_methods_do_the_same(self):
        async def use():
            for id, text in (("h1", "hello"), ("h2", "weather in Lisbon?")):
                await self.agent.ainvoke(human(text, id), thread())
            return [state async for state in self.agent.aget_state_history(thread())]

        history = wait_for(use())
        assert [text for _, _, text in shown(self.driver)] == ["You said: hello", "It is 24 °C."]
        assert len(history) == 8
        assert contents(history[0])[-1] == "It is 24 °C."

    def test_it_keeps_what_the_saver_in_memory_keeps(self):
        def states(saver):
            graph = agent(saver)
            for text in ("hello", "weather in Lisbon?", "weather in Atlantis?"):
                graph.invoke(human(text, text), thread())
            graph.invoke(Command(resume="wet"), thread())
            graph.update_state(thread(), human("more", "more"), as_node="model")
            return [
                (
                    contents(state),
                    state.next,
                    {**state.metadata},
                    [
                        (task.name, task.interrupts and task.interrupts[0].value)
                        for task in state.tasks
                    ],
                )
                for state in graph.get_state_history(thread())
            ]

        assert states(self.saver) == states(InMemorySaver())

    def test_a_turn_without_an_answer_is_an_open_run(self):
        self.ask("hello", "h1")
        self.ask("weather in Atlantis?", "h2")
        assert [id for id, *_ in shown(self.driver)] == ["h1"]
        assert open_ids(self.driver) == ["h2"]
        roles = [one["role"] for one in self.driver.messages(run_id="h2", max_runs=1)]
        assert roles[-2:] == ["user", "assistant"]
        self.agent.invoke(Command(resume="wet"), thread())
        assert shown(self.driver)[1:] == [("h2", "weather in Atlantis?", "It is wet.")]
        assert open_ids(self.driver) == []

    def test_the_conversation_shows_the_newest_checkpoint_after_time_travel(self):
        for number in range(3):
            self.ask(f"text {number}", f"h{number}")
        [past] = [
            state
            for state in self.agent.get_state_history(thread())
            if state.next == ("model",) and len(state.values["messages"]) == 3
        ]
        self.agent.invoke(None, past.config)  # answers "text 1" again
        assert [id for id, *_ in shown(self.driver)] == ["h0", "h1"]
        self.ask("other", "h9")
        assert [id for id, *_ in shown(self.driver)] == ["h0", "h1", "h9"]

    def test_edited_and_removed_messages_change_their_runs_only(self):
        for number in range(3):
            self.ask(f"text {number}", f"h{number}")
        self.driver.annotate("h0", {"rating": 5})
        self.agent.update_state(thread(), human("edited", "h0"))
        assert shown(self.driver)[0] == ("h0", "edited", "You said: text 0")
        assert self.driver.load()[0][0].meta["rating"] == 5
        messages = self.agent.get_state(thread()).values["messages"][2:4]
        removed = {"messages": [RemoveMessage(one.id) for one in messages]}
        self.agent.update_state(thread(), removed)
        assert [id for id, *_ in shown(self.driver)] == ["h0", "h2"]

    def test_runs_of_others_stay_where_they_are(self):
        self.ask("hello", "h0")
        self.driver.append(Run("theirs", "ours", id="foreign"))
        self.ask("more", "h1")
        self.agent.update_state(thread(), human("edited", "h0"))
        assert [id for id, *_ in shown(self.driver)] == ["h0", "foreign", "h1"]
        self.driver.remove("h1")
        self.agent.update_state(thread(), human("again", "h0"))
        assert [id for id, *_ in shown(self.driver)] == ["h0", "foreign"]
        self.driver.store([Run("stored", "over", id="all")])
        self.ask("last", "h2")
        assert [id for id, *_ in shown(self.driver)] == ["all", "h2"]

    def test_several_answers_in_a_turn_are_one_run(self):
        self.ask("hello", "h0")
        for text in ("one more thing", "and another"):
            self.agent.update_state(thread(), {"messages": [AIMessage(text)]}, as_node="model")
        assert shown(self.driver) == [("h0", "hello", "and another")]
        assert len(self.driver.messages()) == 4

    def test_threads_do_not_see_each_other(self):
        self.ask("hello", "h1")
        self.ask("other", "h1", thread_id="u")
        assert contents(self.agent.get_state(thread("u"))) == ["other", "You said: other"]
        assert [one[1] for one in shown(self.driver)] == ["hello"]

    def test_a_projection_that_was_interrupted_is_made_up_for(self):
        self.ask("hello", "h0")
        append, layout = self.index._layout.append, self.index._layout

        def fail(*args):
            raise ConnectionError("killed")
            yield

        layout.append = fail
        with pytest.raises(ConnectionError):
            self.ask("lost", "h1")
        layout.append = append
        assert [id for id, *_ in shown(self.driver)] == ["h0"]
        self.ask("found", "h2")
        assert [id for id, *_ in shown(self.driver)] == ["h0", "h1", "h2"]
        assert open_ids(self.driver) == []

    def test_messages_in_other_forms_are_shown_or_left_alone(self):
        saver, config = self.saver, thread(checkpoint_ns="")
        from langgraph.checkpoint.base import empty_checkpoint

        def put(value, version):
            checkpoint = empty_checkpoint()
            checkpoint["channel_values"] = {"messages": value}
            checkpoint["channel_versions"] = {"messages": version}
            saver.put(config, checkpoint, {}, {"messages": version})
            return saver.get_tuple(config).checkpoint["channel_values"]["messages"]

        dicts = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
        assert put(dicts, "1") == dicts
        assert [one[1:] for one in shown(self.driver)] == [("hi", "ho")]
        for n, value in enumerate(("text", 5, None, {"a": 1}, [3], [{"x": 1}], b"\xff"), 2):
            put(value, str(n))
            assert [one[1:] for one in shown(self.driver)] == [("hi", "ho")]
        odd = [
            HumanMessage([{"type": "odd", "x": 1}, {"type": "text", "text": "seen"}]),
            AIMessage(""),
        ]
        assert put(odd, "20") == odd
        assert "seen" in shown(self.driver)[0][1]
        assert put([], "21") == []
        assert shown(self.driver) == []

    def test_without_messages_nothing_is_shown(self):
        self.agent = agent(ConversationSaver(self.index, messages=None))
        self.ask("hello")
        assert self.driver.load() == ([], {})
        assert contents(self.agent.get_state(thread())) == ["hello", "You said: hello"]

    def test_round_trips(self):
        self.ask("warm up")
        config = thread(checkpoint_ns="")
        assert len([*self.saver.list(config)]) == 3  # the server knows the scripts now
        with counted() as sent:
            found = self.saver.get_tuple(config)
        assert len(sent) == 1
        found.checkpoint["id"] = found.checkpoint["id"][:-1] + "z"
        with counted() as sent:
            self.saver.put(found.config, found.checkpoint, found.metadata, {})
        assert len(sent) == 1
        with counted() as sent:
            self.saver.put_writes(found.config, [("a", 1), ("b", 2)], "task")
        assert len(sent) == 1
        with counted() as sent:
            assert len([*self.saver.list(config)]) == 4
        assert len(sent) == 2


@skipUnless(HAS_LANGGRAPH, "needs langgraph")
class SaverTests(RedisTestCase):
    def test_versions_grow_and_branches_differ(self):
        saver, version, seen = ConversationSaver(self.index), None, []
        for _ in range(12):
            version = saver.get_next_version(version, None)
            seen.append(version)
        assert seen == sorted(seen)
        assert saver.get_next_version(seen[3], None) != seen[4]
        assert saver.get_next_version(9, None) > saver.get_next_version(8, None)

    def test_the_sync_and_the_async_methods_are_there(self):
        for name in ("get_tuple", "put", "put_writes", "delete_thread", "copy_thread", "prune"):
            assert getattr(ConversationSaver, f"a{name}").__doc__ == f"See {name}()."
