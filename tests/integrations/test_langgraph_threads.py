"""Checkpoints share the fate of their conversation, and are of its owner."""

from importlib.util import find_spec
from unittest import skipUnless

import pytest

from conversation_memory import Run, indexes
from conversation_memory.check import findings
from conversation_memory.exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationNotFound,
    ConversationTooLarge,
    RedisDenied,
    RedisMisconfigured,
    RedisReadOnly,
    RedisUnavailable,
)

from ..servers import ServerTestCase
from ..utils import each_layout, wait_for

HAS_LANGGRAPH = find_spec("langgraph") is not None
if HAS_LANGGRAPH:
    from langgraph.checkpoint.base import empty_checkpoint

    from conversation_memory.integrations.langgraph import ConversationSaver

    from .langgraph_agents import agent, human, thread


@skipUnless(HAS_LANGGRAPH, "needs langgraph")
class ThreadTestCase:
    def setUp(self):
        super().setUp()
        self.saver = ConversationSaver(self.index)
        self.agent = agent(self.saver)
        self.driver = self.index.driver("t")

    def ask(self, text, **configurable):
        self.agent.invoke(human(text), thread(**configurable))

    def texts(self, saver=None, **configurable):
        found = (saver or self.saver).get_tuple(thread(**configurable))
        return found and [one.content for one in found.checkpoint["channel_values"]["messages"]]

    def key(self, id="t"):
        return f"{{{self.index.name}}}:checkpoints:{id}"


@each_layout
class LifecycleTests(ThreadTestCase):
    def test_a_deletion_of_either_deletes_both(self):
        for delete in (
            self.driver.delete,
            lambda: self.index.delete("t"),
            lambda: self.saver.delete_thread("t"),
            lambda: wait_for(self.saver.adelete_thread("t")),
            lambda: self.index.erase(owner="ann"),
        ):
            self.ask("hello", owner="ann")
            assert self.redis.exists(self.key())
            delete()
            assert self.texts() is None
            assert self.keys() == set()
        self.saver.delete_thread("absent")

    def test_a_thread_has_another_id_after_a_rename(self):
        self.ask("hello")
        self.driver.rename("u")
        assert self.texts() is None
        assert self.texts(thread_id="u") == ["hello", "You said: hello"]
        self.ask("more", thread_id="u")
        assert len(self.driver.load()[0]) == 2
        assert not self.redis.exists(self.key())

    def test_an_owner_takes_the_thread_along(self):
        self.ask("hello", owner="ann")
        self.driver.move_to("bob")
        assert self.texts(owner="ann") is None
        assert self.texts(owner="bob") == ["hello", "You said: hello"]

    def test_checkpoints_expire_with_the_conversation(self):
        self.agent = agent(ConversationSaver(self.index, ttl=1000))
        self.ask("hello")
        before = self.redis.pexpiretime(self.key())
        assert before > 0
        self.ask("more")
        assert self.redis.pexpiretime(self.key()) > before
        while self.redis.pexpiretime(self.key()) == before:
            self.driver.update_metadata({"a": 1})
        self.driver.persist()
        assert self.redis.pttl(self.key()) == -1
        self.driver.expire(1000)
        self.redis.persist(self.key())
        self.redis.hset(f"{{{self.index.name}}}:record:t", "expires", 1)
        assert self.texts() is None
        assert [*self.saver.list(thread())] == []
        self.redis.zadd(f"{{{self.index.name}}}:expiry", {"t": 1})
        assert self.index.reap() == 1
        assert self.keys() == set()

    def test_a_conversation_that_is_begun_anew_has_no_checkpoints(self):
        self.ask("hello")
        self.redis.hdel(self.index.name, "t")  # as Griptape deletes it
        assert self.texts() is None
        self.driver.append(Run("a", "b"))
        assert self.texts() is None
        assert not self.redis.exists(self.key())

    def test_a_check_finds_checkpoints_of_no_conversation(self):
        self.ask("hello")
        assert not self.index.check().problems
        self.redis.hdel(self.index.name, "t")
        self.redis.delete(f"{{{self.index.name}}}:record:t")
        assert findings.STRAY_CHECKPOINTS in self.index.check().problems

    def test_a_conversion_keeps_checkpoints(self):
        self.ask("hello")
        other = {"hash": "list", "list": "hash"}[self.entry["LAYOUT"]]
        from django.conf import settings

        entry = {**settings.REDIS["default"], "LAYOUT": other}
        with self.settings(REDIS={"default": entry}):
            assert indexes["default"].convert().converted == 1
            saver = ConversationSaver(indexes["default"])
            assert self.texts(saver) == ["hello", "You said: hello"]

    def test_a_copy_goes_its_own_way(self):
        self.ask("hello", owner="ann")
        self.saver.copy_thread("t", "u")
        self.ask("copy", thread_id="u", owner="ann")
        self.ask("original", owner="ann")
        inputs = [
            [run.input.text for run in self.index.driver(id, owner="ann").load()[0]]
            for id in ("t", "u")
        ]
        assert inputs == [["hello", "original"], ["hello", "copy"]]
        with pytest.raises(ConversationConflict):
            self.saver.copy_thread("t", "u")
        with pytest.raises(ConversationNotFound):
            self.saver.copy_thread("absent", "v")

    def test_a_copy_never_replaces_another_thread(self):
        saver = ConversationSaver(self.index, messages=None)
        for id in "tu":
            agent(saver).invoke(human(id), thread(thread_id=id))
        for source, target in ("tu", "tt"):
            with pytest.raises(ConversationConflict, match="checkpoints"):
                saver.copy_thread(source, target)
        assert [self.texts(saver, thread_id=id)[0] for id in "tu"] == ["t", "u"]


@each_layout
class OwnerTests(ThreadTestCase):
    def test_a_thread_of_somebody_else_does_not_exist(self):
        self.ask("hello", owner="ann")
        assert self.index.driver("t", owner="ann").load()[0]
        [found] = self.saver.list(thread(owner="ann"), limit=1)
        assert "owner" not in found.metadata
        assert found.config["configurable"]["owner"] == "ann"
        bob = ConversationSaver(self.index, owner="bob")
        for saver, config in ((bob, thread()), (self.saver, thread(owner="bob"))):
            assert saver.get_tuple(config) is None
            assert [*saver.list(config)] == []
            with pytest.raises(ConversationNotFound):
                agent(saver).invoke(human("intruder"), config)
            config["configurable"]["checkpoint_id"] = "x"
            with pytest.raises(ConversationNotFound):
                saver.put_writes(config, [("a", 1)], "task")
        assert [*bob.list(None)] == []
        bob.delete_thread("t")
        bob.prune(["t"])
        bob.delete_for_runs([found.metadata.get("run_id") or "run"])
        with pytest.raises(ConversationNotFound):
            bob.copy_thread("t", "u")
        assert len([*self.saver.list(thread())]) == 3
        assert len([*ConversationSaver(self.index, owner="ann").list(None)]) == 3

    def test_a_config_cannot_name_another_owner(self):
        saver = ConversationSaver(self.index, owner=7)
        assert self.texts(saver, owner="7") is None
        with pytest.raises(ValueError, match="another owner"):
            saver.get_tuple(thread(owner=8))

    def test_trusted_code_continues_a_thread_of_an_owner(self):
        self.ask("hello", owner="ann")
        self.ask("more")
        assert len(self.index.driver("t", owner="ann").load()[0]) == 2


@each_layout
class FailureTests(ThreadTestCase):
    case = ServerTestCase

    def test_a_server_that_is_down_is_our_error(self):
        with self.settings(REDIS={"default": {"URL": "redis://127.0.0.1:1"}}):
            saver = ConversationSaver(indexes["default"])
            with pytest.raises(RedisUnavailable):
                saver.get_tuple(thread())
            with pytest.raises(RedisUnavailable):
                agent(saver).invoke(human("hello"), thread())

    def test_full_memory_is_our_error_and_leaves_no_half(self):
        self.ask("hello")
        before = self.dump()
        with self.config(maxmemory="1"), pytest.raises(RedisReadOnly):
            self.ask("more")
        assert self.dump() == before
        self.ask("more")
        assert len(self.driver.load()[0]) == 2

    def test_a_thread_needs_an_id(self):
        for configurable in ({"thread_id": None}, {"checkpoint_ns": ""}):
            with pytest.raises(ValueError, match="thread_id"):
                self.saver.get_tuple({"configurable": configurable})
            with pytest.raises(ValueError, match="thread_id"):
                self.agent.invoke(human("hello"), {"configurable": configurable})
        assert self.keys() == set()

    def test_a_key_of_another_type_is_told(self):
        self.ask("hello")
        self.redis.delete(self.key())
        self.redis.set(self.key(), "text")
        for use in (lambda: self.ask("more"), lambda: self.texts()):
            with pytest.raises((ConversationCorrupt, RedisMisconfigured), match="hash|type"):
                use()
        assert self.driver.load()[0]
        self.saver.delete_thread("t")
        assert self.keys() == set()

    def test_a_damaged_checkpoint_is_told(self):
        self.ask("hello")
        newest = self.saver.get_tuple(thread()).config["configurable"]["checkpoint_id"]
        field = b"c0:" + newest.encode()
        text = self.redis.hget(self.key(), field)
        for damage in (b"", b"x", text[:-5], text[3:], b"9" * 20 + b":", b"0:" * 6):
            self.redis.hset(self.key(), field, damage)
            with pytest.raises(ConversationCorrupt, match="checkpoint"):
                self.saver.get_tuple(thread())
        self.redis.hset(self.key(), field, text)
        for damage in ("x", '[[],"a","b",5]', '[[["a",5]],"","",""]', '[["ab"],"","",""]'):
            self.redis.hset(self.key(), "shown", damage)
            self.ask("more")
        assert len(self.driver.load()[0]) == 5
        for name in self.redis.hkeys(self.key()):
            if name.startswith(b"m") and name != b"messages":
                self.redis.hdel(self.key(), name)
        with pytest.raises(ConversationCorrupt):
            self.saver.get_tuple(thread())
        self.saver.prune(["t"], strategy="delete")
        self.ask("anew")
        assert [run.input.text for run in self.driver.load()[0]] == ["hello", *["more"] * 4, "anew"]

    def test_a_user_without_a_permission_changes_nothing(self):
        self.ask("hello")
        config, new = self.saver.get_tuple(thread()).config, empty_checkpoint()
        new["channel_values"] = new["channel_versions"] = {"a": 1}
        denied = {"put": [], "put_writes": [], "prune": []}
        for command in ("hset", "zadd", "time", "hmget"):
            url = self.user("+@all", "~*", f"-{command}")
            entry = {"URL": url, "INDEX": self.index.name, **self.entry}
            with self.settings(REDIS={"default": entry}):
                saver = ConversationSaver(indexes["default"])
                for name, write in (
                    ("put", lambda saver=saver: saver.put(config, new, {}, {"a": 1})),
                    ("put_writes", lambda saver=saver: saver.put_writes(config, [("a", 1)], "t")),
                    ("prune", lambda saver=saver: saver.prune(["t"])),
                ):
                    before = self.dump()
                    try:
                        write()
                    except RedisDenied:
                        denied[name].append(command)
                        assert self.dump() == before
        assert denied.pop("prune") == ["hset", "hmget"]  # which has no use for the others
        assert set(map(tuple, denied.values())) == {("hset", "zadd", "time", "hmget")}

    def test_a_checkpoint_that_is_too_large_is_refused(self):
        entry = {"URL": self.server.url, "INDEX": self.index.name, "MAX_BYTES": 20_000}
        entry |= {"MAX_RUN_BYTES": 10_000}
        with self.settings(REDIS={"default": {**entry, **self.entry}}):
            graph = agent(ConversationSaver(indexes["default"]))
            with pytest.raises(ConversationTooLarge):
                graph.invoke(human("x" * 30_000), thread())
