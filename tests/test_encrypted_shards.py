"""ENCRYPTION of an index with SHARDS: each shard has values of its own, all have the same keys."""

from importlib.util import find_spec
from unittest import mock, skipUnless

from django.conf import settings

from conversation_memory import Run, indexes

from .encrypting import HAS_CRYPTOGRAPHY, EncryptedTestCase, encryption, key


@skipUnless(HAS_CRYPTOGRAPHY, "cryptography is not installed")
class EncryptedShardsTests(EncryptedTestCase):
    entry = {"ENCRYPTION": encryption("a"), "SHARDS": 3}

    def wipe(self):
        for name in self.redis.scan_iter(f"*{self.index.name}*", count=1000):
            self.redis.delete(name)

    def fill(self, index, *words):
        for number in range(6):
            driver = index.driver(f"c{number}")
            for word in words:
                driver.append(Run(word, "a", id=f"{word}-{number}"))

    def test_conversations_are_rotated_in_every_shard(self):
        self.fill(self.index, "lighthouse", "harbour")
        with self.keys_are("b", "a") as index:
            self.fill(index, "buoy")
            assert index.rotate_keys().rotated == 6
            assert index.rotate_keys().rotated == 0
        with self.keys_are("b") as index:
            assert index.health(within=10)["encryption"].state == "ok"
            for number in range(6):
                texts = [run.input.text for run in index.driver(f"c{number}").load()[0]]
                assert texts == ["lighthouse", "harbour", "buoy"]
        with self.keys_are("c") as index:
            finding = index.health(within=10)["encryption"]
            assert finding.state == "warning" and "key 'b'" in finding.detail

    def test_a_key_is_fetched_once_for_all(self):
        fetch = mock.Mock(return_value=key("a")["key"])
        entry = {**settings.REDIS["default"], "ENCRYPTION": {"KEYS": [{"id": "a", "key": fetch}]}}
        with self.settings(REDIS={"default": entry}):
            self.fill(indexes["default"], "lighthouse")
            assert indexes["default"].health(within=10)["encryption"].state == "ok"
        assert fetch.call_count == 1

    @skipUnless(find_spec("langgraph"), "langgraph is not installed")
    def test_items_are_rotated_in_the_shard_of_their_owner(self):
        from conversation_memory.integrations.langgraph import ConversationBaseStore

        owners = ("ann", "bob", "cecil")
        for owner in owners:
            ConversationBaseStore(self.index, owner=owner).put(("likes",), "k", {"n": owner})
        with self.keys_are("b", "a") as index:
            assert index.rotate_keys().items == 3
        with self.keys_are("b") as index:
            for owner in owners:
                store = ConversationBaseStore(index, owner=owner)
                assert store.search((), filter={"n": owner})[0].value == {"n": owner}
