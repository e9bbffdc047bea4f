"""What a conversation shows of a thread, whatever happens to both."""

import asyncio
from urllib.parse import urlsplit

from django.conf import settings
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from conversation_memory import Run, indexes

from ..servers import LossyProxy
from ..utils import RedisTestCase, close_connections, each_layout
from .langgraph_threads import HAS_LANGGRAPH, HistoryTestCase

if HAS_LANGGRAPH:
    from langchain_core.messages import (
        AIMessage,
        HumanMessage,
        SystemMessage,
        ToolMessage,
        messages_from_dict,
    )
    from langgraph.checkpoint.base import empty_checkpoint
    from langgraph.types import Command

    from conversation_memory.integrations.langgraph import ConversationSaver

    from .langgraph_agents import agent, human, thread


@each_layout
class ProjectionTests(HistoryTestCase):
    def test_the_conversation_always_shows_the_newest_messages_once(self):
        case = self

        class Machine(RuleBasedStateMachine):
            @initialize()
            def begin(self):
                case.wipe()
                self.driver = case.index.driver("t")
                self.messages, self.past, self.count = [], [[]], 0
                self.foreign, self.removed = [], set()

            def next(self):
                self.count += 1
                return f"{self.count:05}"

            def show(self):
                self.past.append([*self.messages])
                number = self.next()
                if self.count % 3:
                    case.put({"messages": [*self.messages]}, number)
                else:
                    checkpoint = empty_checkpoint()
                    checkpoint["channel_values"] = {"messages": [*self.messages]}
                    checkpoint["channel_versions"] = {"messages": number}
                    put = case.saver.aput(
                        thread(checkpoint_ns=""), checkpoint, {}, {"messages": number}
                    )
                    runner.run(put)
                self.check()

            def check(self):
                runs = self.driver.load()[0]
                ids = [run.id for run in runs]
                turns = []
                for message in self.messages:
                    if isinstance(message, HumanMessage) and (
                        not turns or turns[-1][-1].type != "human"
                    ):
                        turns.append([])
                    if not turns:
                        turns.append([])
                    turns[-1].append(message)
                whole = [turn for turn in turns if turn[-1].type == "ai"]
                expected = {turn[0].id: turn for turn in whole}
                shown = [id for id in ids if id not in self.foreign]
                wanted = [id for id in expected if id in shown or id not in self.removed]
                assert shown == wanted
                assert [id for id in ids if id in self.foreign] == self.foreign
                for run in runs:
                    if run.id in expected:
                        assert run.output.text == expected[run.id][-1].text
                asked = [turn[0].id for turn in turns[-1:] if turn[-1].type == "human"]
                open = [run.run_id for run in self.driver.open_runs()]
                # What was shown before may be forgotten as a question for some minutes.
                assert open in (asked, [])

            @rule(text=st.text(min_size=1, max_size=5))
            def ask(self, text):
                self.messages.append(HumanMessage(text, id=f"h{self.next()}"))
                self.show()

            @rule(text=st.text(min_size=1, max_size=5))
            def answer(self, text):
                if self.messages:
                    self.messages.append(AIMessage(text, id=f"a{self.next()}"))
                    self.show()

            @rule(data=st.data())
            def edit(self, data):
                if self.messages:
                    place = data.draw(st.integers(0, len(self.messages) - 1))
                    message = self.messages[place]
                    self.messages[place] = type(message)(f"edited {self.next()}", id=message.id)
                    self.show()

            @rule(data=st.data())
            def travel(self, data):
                self.messages = [*data.draw(st.sampled_from(self.past))]
                self.show()

            @rule()
            def append(self):
                id = f"f{self.next()}"
                self.driver.append(Run("theirs", "ours", id=id))
                self.foreign.append(id)
                self.check()

            @rule(data=st.data())
            def remove(self, data):
                ids = [run.id for run in self.driver.load()[0] if run.id not in self.foreign]
                if ids:
                    id = data.draw(st.sampled_from(ids))
                    self.driver.remove(id)
                    self.removed.add(id)
                    self.check()

        options = {
            "max_examples": 20,
            "stateful_step_count": 15,
            "deadline": None,
        }
        with asyncio.Runner() as runner:
            try:
                run_state_machine_as_test(Machine, settings=hypothesis_settings(**options))
            finally:
                runner.run(close_connections())

    def test_a_system_prompt_and_a_greeting_are_parts_of_a_turn(self):
        messages = [
            SystemMessage("Be brief.", id="s"),
            HumanMessage("hi", id="h"),
            AIMessage("ho", id="a"),
        ]
        self.put({"messages": messages}, "1")
        driver = self.index.driver("t")
        assert [(run.id, run.input.text) for run in driver.load()[0]] == [("h", "hi")]
        assert driver.messages()[0] == {"role": "system", "content": "Be brief."}
        self.put({"messages": [AIMessage("Welcome!", id="w"), *messages[1:]]}, "2")
        outputs = [(run.input.text, run.output.text) for run in driver.load()[0]]
        assert outputs == [("", "Welcome!"), ("hi", "ho")]

    def test_messages_that_are_not_json_are_shown_by_their_texts(self):
        call = {"name": "look", "args": {"at": "it"}, "id": "c"}
        messages = [
            HumanMessage("Look!", id="h"),
            AIMessage("", tool_calls=[call]),
            ToolMessage("seen", tool_call_id="c", artifact={1, 2}),
            AIMessage("I see."),
        ]
        self.put({"messages": messages}, "1")
        driver = self.index.driver("t")
        said = [(one["role"], one["content"]) for one in driver.messages()]
        assert said == [
            ("user", "Look!"),
            ("assistant", ""),
            ("tool", "seen"),
            ("assistant", "I see."),
        ]
        kept = self.saver.get_tuple(thread()).checkpoint["channel_values"]["messages"]
        assert kept == messages

    def test_messages_of_langchain_come_back_unchanged(self):
        messages = [
            HumanMessage([{"type": "text", "text": "hi"}], id="h", name="ann"),
            AIMessage("ho", id="a", response_metadata={"model": "m"}),
        ]
        self.put({"messages": messages}, "1")
        stored = self.index.driver("t").messages(format="langchain")
        assert messages_from_dict(stored) == messages

    def test_the_resumed_turn_replaces_the_open_run(self):
        graph = agent(self.saver)
        graph.invoke(human("weather in Atlantis?", "h"), thread())
        driver = self.index.driver("t")
        with driver.reply("h") as reply:  # a worker answers it meanwhile
            reply.write("Nobody knows.")
        graph.invoke(Command(resume="wet"), thread())
        assert [run.id for run in driver.load()[0]] == ["h"]
        assert driver.open_runs() == []

    def test_a_checkpoint_that_is_sent_twice_is_shown_once(self):
        proxy = LossyProxy(urlsplit(settings.REDIS_URL).port)
        self.addCleanup(proxy.listener.close)
        entry = {**settings.REDIS["default"], "URL": proxy.url}
        question, answer = HumanMessage("hi", id="h"), AIMessage("ho", id="a")
        with self.settings(REDIS={**settings.REDIS, "lossy": entry}):
            saver = ConversationSaver(indexes["lossy"])

            def put(number):
                self.wipe()
                self.put({"messages": [question]}, "1")
                proxy.lose(number)
                self.put({"messages": [question, answer]}, "2", saver)
                assert proxy.lost is None
                driver = self.index.driver("t")
                assert [run.id for run in driver.load()[0]] == ["h"]
                assert driver.open_runs() == []
                assert len([*self.saver.list(thread())]) == 2
                return proxy.exchanges

            put(None)
            for number in range(put(None)):
                put(number)


class SearchTests(HistoryTestCase, RedisTestCase):
    entry = {"SEARCH": True}

    def test_the_messages_of_a_thread_are_found(self):
        graph = agent(self.saver)
        graph.invoke(human("weather in Lisbon?", "h"), thread())
        graph.update_state(thread(), human("Is it warm?", "h"))
        graph.invoke(human("weather in Porto?"), thread())
        found = {
            word: [one.run.id for one in self.index.search(word)] for word in ("warm", "Lisbon")
        }
        assert found == {"warm": ["h"], "Lisbon": []}
        assert not self.index.check().problems
