"""Threads of LangGraph, and items of its store, in an index over several shards."""

from importlib.util import find_spec
from unittest import skipUnless

import pytest

from conversation_memory.exceptions import ConversationConflict, ConversationNotFound

from .encrypting import HAS_CRYPTOGRAPHY, encryption
from .sharding import ShardsTestCase
from .utils import each_layout, wait_for

HAS_LANGGRAPH = find_spec("langgraph") is not None
if HAS_LANGGRAPH:
    from conversation_memory.integrations.langgraph import (
        ConversationBaseStore,
        ConversationSaver,
    )

    from .integrations.langgraph_agents import agent, human, thread

NAMES = [f"u{number}" for number in range(8)]  # in all shards but one


@skipUnless(HAS_LANGGRAPH, "needs langgraph")
class ThreadTestCase(ShardsTestCase):
    def setUp(self):
        super().setUp()
        self.saver = ConversationSaver(self.index)

    def ask(self, text, id="t", owner="ann"):
        agent(self.saver).invoke(human(text), thread(thread_id=id, owner=owner))

    def texts(self, id):
        found = self.saver.get_tuple(thread(thread_id=id, owner="ann"))
        return [one.content for one in found.checkpoint["channel_values"]["messages"]]


@each_layout
class CopiedThreadTests:
    case = ThreadTestCase

    def test_a_copy_in_any_shard_goes_its_own_way(self):
        self.ask("hello")
        for id in NAMES:
            self.saver.copy_thread("t", id)
            self.ask("copy", id)
            assert self.texts(id) == ["hello", "You said: hello", "copy", "You said: copy"]
            runs, _ = self.index.driver(id, owner="ann").load()
            assert [run.input.text for run in runs] == ["hello", "copy"]
            with pytest.raises(ConversationConflict):
                self.saver.copy_thread("t", id)
        assert len(self.texts("t")) == 2
        with pytest.raises(ConversationNotFound):
            self.saver.copy_thread("absent", "v")
        assert not self.index.check().problems

    def test_all_threads_are_listed_and_deleted(self):
        for id in NAMES[:6]:
            self.ask("hello", id)
        listed = [one.config["configurable"]["thread_id"] for one in self.saver.list(None)]
        assert {*listed} == {*NAMES[:6]}
        self.saver.delete_thread("u1")
        assert self.index.count() == 5


@skipUnless(HAS_CRYPTOGRAPHY, "needs cryptography")
class EncryptedThreadTests(ThreadTestCase):
    entry = {"ENCRYPTION": encryption("a")} if HAS_CRYPTOGRAPHY else {}

    def test_a_copy_is_encrypted_for_its_shard(self):
        self.ask("hello")
        for id in NAMES:
            wait_for(self.saver.acopy_thread("t", id))
            self.ask("copy", id)
            assert self.texts(id) == ["hello", "You said: hello", "copy", "You said: copy"]
        assert not self.index.check().problems


class ItemTests(ThreadTestCase):
    def test_the_items_of_an_owner_are_searched_whole(self):
        for owner in (None, "ann", "bob"):
            store = ConversationBaseStore(self.index, owner=owner)
            for number in range(10):
                store.put(("facts", str(number)), "key", {"number": number, "owner": owner})
            assert len(store.search(("facts",), limit=20)) == 10
            assert len(store.list_namespaces()) == 10
        assert self.index.erase(owner="ann").conversations == 0
        left = [
            len(ConversationBaseStore(self.index, owner=owner).search(("facts",), limit=20))
            for owner in (None, "ann", "bob")
        ]
        assert left == [10, 0, 10]
