"""The history of a thread: listed, pruned, serialized, and how much memory it takes."""

from threading import Barrier, Thread

from conversation_memory import Run

from ..utils import RedisTestCase, each_layout, wait_for
from .langgraph_threads import HAS_LANGGRAPH, HistoryTestCase

if HAS_LANGGRAPH:
    from typing import Annotated, TypedDict

    from langchain_core.messages import (
        AIMessage,
        HumanMessage,
    )
    from langgraph.channels.delta import DeltaChannel
    from langgraph.checkpoint.base import empty_checkpoint
    from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
    from langgraph.graph import END, START, StateGraph

    from conversation_memory.integrations.langgraph import ConversationSaver

    from .langgraph_agents import agent, human, thread


class Shift:
    """A cipher that nobody should use."""

    def encrypt(self, plain):
        self.nonce = getattr(self, "nonce", 0) + 1
        return "shift", bytes([self.nonce % 256]) + bytes(byte ^ 0x55 for byte in plain)

    def decrypt(self, name, text):
        assert name == "shift"
        return bytes(byte ^ 0x55 for byte in text[1:])


class ListTests(HistoryTestCase, RedisTestCase):
    def test_a_long_history_is_listed_in_pages(self):
        made = [
            self.put({"n": n}, f"{n:03}", metadata={"even": n % 2 == 0, "run_id": f"r{n}"})
            for n in range(45)
        ]
        config = thread()
        listed = [one.checkpoint["channel_values"]["n"] for one in self.saver.list(config)]
        assert listed == [*range(45)][::-1]
        options = {"filter": {"even": True}, "before": made[40], "limit": 3}
        listed = self.saver.list(config, **options)
        assert [one.checkpoint["channel_values"]["n"] for one in listed] == [38, 36, 34]
        assert [*self.saver.list(config, limit=0)] == []
        assert len([*self.saver.list(made[7])]) == 1

        async def use():
            return [one.metadata async for one in self.saver.alist(config, **options)]

        assert len(wait_for(use())) == 3

    def test_all_threads_are_listed_without_a_config(self):
        for id in ("t", "u", "v"):
            self.put({"n": id}, "1", thread_id=id)
        self.index.driver("without").append(Run("a", "b"))
        listed = [one.config["configurable"]["thread_id"] for one in self.saver.list(None)]
        assert sorted(listed) == ["t", "u", "v"]

    def test_pruning_frees_what_is_not_needed(self):
        graph = agent(self.saver)
        for number in range(5):
            graph.invoke(human(f"text {number}"), thread())
        state = graph.get_state(thread())
        before = self.redis.hlen(self.key())
        self.saver.prune(["t"])
        assert self.redis.hlen(self.key()) < before / 2
        assert graph.get_state(thread()).values == state.values
        assert len(self.index.driver("t").load()[0]) == 5
        graph.invoke(human("more"), thread())
        assert len(self.index.driver("t").load()[0]) == 6
        self.saver.prune(["t"], strategy="delete")
        assert [*self.saver.list(thread())] == []
        assert not self.redis.exists(self.key())
        assert len(self.index.driver("t").load()[0]) == 6

    def test_the_conversation_shows_what_is_left_after_runs_are_deleted(self):
        graph = agent(self.saver)
        for number in range(3):
            graph.invoke(
                human(f"text {number}"), {**thread(), "metadata": {"run_id": f"r{number}"}}
            )
        self.saver.delete_for_runs(["r2", "other"])
        inputs = [run.input.text for run in self.index.driver("t").load()[0]]
        assert inputs == ["text 0", "text 1"]
        self.saver.delete_for_runs(["r0", "r1"])
        assert self.index.driver("t").load()[0] == []
        assert self.saver.get_tuple(thread()) is None

    def test_writes_may_come_before_their_checkpoint(self):
        config = thread("new", checkpoint_ns="", checkpoint_id="c")
        self.saver.put_writes(config, [("a", 1)], "task")
        self.saver.put_writes(config, [("a", 2)], "task")
        self.saver.put_writes(config, [("__error__", "1")], "task")
        self.saver.put_writes(config, [("__error__", "2")], "task")
        self.saver.put(config, {**empty_checkpoint(), "id": "c"}, {}, {})
        writes = self.saver.get_tuple(config).pending_writes
        assert writes == [("task", "__error__", "2"), ("task", "a", 1)]

    def test_two_writers_on_a_new_thread_lose_nothing(self):
        barrier = Barrier(4)

        def write(number):
            barrier.wait()
            for n in range(5):
                self.put({"n": n}, f"{number}-{n}")

        threads = [Thread(target=write, args=(number,)) for number in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len([*self.saver.list(thread())]) == 20

    def test_delta_channels_are_put_together_after_pruning(self):
        class State(TypedDict):
            notes: Annotated[list, DeltaChannel(lambda old, new: [*old, *sum(new, [])], list)]

        graph = StateGraph(State)
        graph.add_node("node", lambda state: {"notes": [len(state["notes"])]})
        graph.add_edge(START, "node")
        graph.add_edge("node", END)
        compiled = graph.compile(checkpointer=self.saver)
        for number in range(3):
            compiled.invoke({"notes": [f"n{number}"]}, thread())
        state = compiled.get_state(thread()).values
        assert len(state["notes"]) == 6
        history = self.saver.get_delta_channel_history(config=thread(), channels=["notes"])
        assert history["notes"]["writes"]
        self.saver.prune(["t"])
        assert compiled.get_state(thread()).values == state


@each_layout
class SerializerTests(HistoryTestCase):
    def test_an_encrypted_serializer_keeps_every_checkpoint_unreadable(self):
        serde = EncryptedSerializer(Shift(), JsonPlusSerializer())
        saver = ConversationSaver(self.index, serde=serde, messages=None)
        graph = agent(saver)
        for text in ("a secret", "weather in Lisbon?"):
            graph.invoke(human(text), thread())
        assert len(graph.get_state(thread()).values["messages"]) == 6
        stored = b"".join(part for pair in self.redis.hgetall(self.key()).items() for part in pair)
        assert b"secret" not in stored and b"Lisbon" not in stored
        assert len([f for f in self.redis.hkeys(self.key()) if f[:1] == b"d"]) == 6

    def test_an_allowlist_makes_a_clone(self):
        strict = JsonPlusSerializer(allowed_msgpack_modules=[("some.module", "Other")])
        saver = ConversationSaver(self.index, serde=strict)
        clone = saver.with_allowlist([("some.module", "Name")])
        assert clone is not saver
        agent(clone).invoke(human("hello"), thread())
        assert len(self.saver.get_tuple(thread()).checkpoint["channel_values"]["messages"]) == 2

    def test_a_long_thread_grows_with_its_messages(self):
        messages = []

        def fill(turns):
            for _ in range(turns):
                number = len(messages)
                messages.append(HumanMessage("question " * 20, id=f"h{number}"))
                self.put({"messages": [*messages]}, f"{number:04}")
                messages.append(AIMessage("answer " * 20, id=f"a{number}"))
                self.put({"messages": [*messages]}, f"{number + 1:04}")
            return sum(map(len, self.redis.hvals(self.key())))

        first, second = fill(10), fill(10)
        assert second < 2.2 * first
