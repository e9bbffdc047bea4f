"""A master that Sentinels watch, and its replicas."""

import os
import signal
from contextlib import contextmanager
from functools import partial
from unittest import mock

import pytest

from conversation_memory import RedisConversationMemoryDriver, Run, indexes
from conversation_memory.exceptions import (
    InvalidIndexError,
    RedisDenied,
    RedisNotReplicated,
    RedisReadOnly,
    RedisUnavailable,
)
from conversation_memory.redis_io import connections, sentinels

from .clusters import Sentinel, Watched, shared, started, wait_until
from .test_failures import use_everything
from .utils import RedisTestCase, alternating, both, counted, monitored, wait_for

SERVICE = {"SERVICE": "mymaster"}


class SentinelTestCase(RedisTestCase):
    def servers_of(self, name):
        self.watched = shared(Watched)
        return {"SENTINELS": self.watched.addresses, **SERVICE}, self.watched.nodes[0].url

    @contextmanager
    def hanging(self, *nodes):
        """These servers answer nothing during the block."""
        for node in nodes:
            os.kill(node.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for node in nodes:
                os.kill(node.pid, signal.SIGCONT)


class AddressTests(SentinelTestCase):
    @both
    def test_works(self, index):
        driver = index.driver("a", owner=3)
        driver.append(Run("a question", "an answer"))
        assert [run.output.text for run in driver.load()[0]] == ["an answer"]
        assert index.count() == 1

    def test_everything_works(self):
        use_everything(self.index)

    def test_a_reply_is_followed(self):
        self.index.driver("a").begin("a question", run_id="r")
        with self.index.driver("a").reply("r") as reply:
            reply.write("an answer")
        assert [chunk.text for chunk in self.index.driver("a").follow("r")][0] == "an answer"

    def test_the_database_counts(self):
        entry = {"SENTINELS": self.watched.addresses, **SERVICE, "DB": 5, "INDEX": self.index.name}
        with self.settings(REDIS={"default": entry}):
            indexes["default"].driver("a").append(Run("a question", "an answer"))
            assert not self.redis.exists(self.index.name)
            assert indexes["default"].server == "mymaster/5"
            assert indexes["default"].delete("a") == 1

    def test_a_sentinel_that_does_not_answer_is_passed_over(self):
        addresses = [("127.0.0.1", 1), *self.watched.addresses]
        with self.settings(REDIS={"default": {"SENTINELS": addresses, **SERVICE}}):
            assert indexes["default"].count() == 0
            assert wait_for(indexes["default"].acount()) == 0

    def test_without_sentinels_calls_do_not_wait_for_them(self):
        self.index.count()
        with self.without_sentinels():
            self.index.count()  # notices that nobody answers
            with self.unasked():
                assert self.index.count() == 0

    def test_without_sentinels_async_calls_do_not_wait_for_them(self):
        async def count():
            await self.index.acount()
            with self.without_sentinels():
                await self.index.acount()
                with self.unasked():
                    return await self.index.acount()

        assert wait_for(count()) == 0

    @contextmanager
    def without_sentinels(self):
        patch = mock.patch.multiple(sentinels, _REST=600, _ASK_EVERY=0)
        with self.hanging(*self.watched.sentinels), patch:
            yield
        connections.close_all()  # what has noticed it

    @contextmanager
    def unasked(self):
        asked = mock.Mock(side_effect=AssertionError("A Sentinel was asked."))
        with (
            mock.patch.object(sentinels.MasterSentinel, "discover_master", asked),
            mock.patch.object(sentinels.AsyncMasterSentinel, "discover_master", asked),
        ):
            yield

    def test_a_service_that_no_sentinel_knows(self):
        entry = {"SENTINELS": self.watched.addresses, "SERVICE": "other"}
        with self.settings(REDIS={"default": entry}):
            for count in (indexes["default"].count, lambda: wait_for(indexes["default"].acount())):
                with pytest.raises(RedisUnavailable, match="no master known to Sentinel"):
                    count()

    def test_a_call_waits_for_the_end_of_a_failover_and_not_for_ever(self):
        failing = sentinels.FailoverInProgress("a failover is in progress")
        self.index.count()
        with (
            mock.patch.multiple(sentinels, _PATIENCE=0.1, _ASK_EVERY=0),
            mock.patch.object(sentinels, "_newest", side_effect=failing),
        ):
            for count in (self.index.count, lambda: wait_for(self.index.acount())):
                with pytest.raises(RedisUnavailable, match="is failing over to another master"):
                    count()
        assert self.index.count() == 0

    def test_credentials_of_both(self):
        for node in self.watched.nodes:
            node.ask("ACL", "SETUSER", "app", "on", ">word", "~*", "+@all")
            self.addCleanup(node.ask, "ACL", "DELUSER", "app")
        port = self.watched.nodes[0].port
        sentinel = Sentinel(port, 30000, password="secret")
        self.addCleanup(sentinel.close)
        entry = {"SENTINELS": [("127.0.0.1", sentinel.port)], **SERVICE, "USERNAME": "app"}
        options = {"SENTINEL_OPTIONS": {"password": "secret"}}
        with self.settings(REDIS={"default": {**entry, "PASSWORD": "word", **options}}):
            assert indexes["default"].count() == 0
            assert wait_for(indexes["default"].acount()) == 0
        with self.settings(REDIS={"default": {**entry, "PASSWORD": "wrong", **options}}):
            with pytest.raises(RedisDenied):
                indexes["default"].count()
        with self.settings(REDIS={"default": {**entry, "PASSWORD": "word"}}):
            with pytest.raises(RedisDenied, match="check SENTINEL_OPTIONS"):
                indexes["default"].count()


class ReplicaTests(SentinelTestCase):
    entry = {"READ_FROM": "replica"}

    def write(self):
        self.index.driver("a").append(Run("a question", "an answer"))
        assert self.index._connection.client.wait(2, 5000) == 2

    @both
    def test_listings_are_of_a_replica(self, index):
        self.write()
        with monitored(self.redis) as seen:
            assert index.count() == 1
            assert [record.conversation_id for record in index.recent().records] == ["a"]
            assert index.search("answer").total == 1
        assert not [one for one in seen if self.index.name in one["command"]]

    def test_a_replica_lists_what_others_wrote_without_adopting_it(self):
        self.put("other", b'{"runs": [], "metadata": {}}')
        self.index.driver("a", owner=1).append(Run("a question", "an answer"))
        assert self.index._connection.client.wait(2, 5000) == 2
        page = self.index.recent()
        assert ([record.conversation_id for record in page.records], page.unlisted) == (["a"], 1)

    def test_only_these_servers_have_replicas(self):
        with self.settings(REDIS={"default": {"URL": self.watched.nodes[0].url}}):
            with pytest.raises(InvalidIndexError, match="requires CLUSTER or SENTINELS"):
                indexes["default"].driver("a", read_from="replica")
        with pytest.raises(ValueError, match="must be 'primary' or 'replica'"):
            self.index.driver("a", read_from="secondary")

    def test_a_read_that_moves_the_deadline_is_for_the_primary(self):
        entry = {"SENTINELS": self.watched.addresses, **SERVICE, "INDEX": self.index.name}
        with self.settings(REDIS={"default": {**entry, "TTL": 60, "TTL_ON_READ": True}}):
            driver = indexes["default"].driver("a", read_from="replica")
            driver.append(Run("a question", "an answer"))
            with monitored(self.redis) as seen:
                driver.load()
        assert [one for one in seen if self.index.name in one["command"]]


class WaitTests(SentinelTestCase):
    entry = {"WAIT": {"replicas": 2, "timeout": 5000 - 1}, "LAYOUT": "list"}

    @both
    def test_a_write_that_replicas_have_returns(self, index):
        driver = index.driver("a")
        assert driver.append(Run("a question", "an answer", id="1")) == 1
        driver.annotate("1", {"rating": 1})
        driver.update_metadata({"topic": "refunds"})
        driver.set_title("A title")
        assert driver.delete()

    def test_it_waits_in_the_same_round_trip(self):
        self.index.driver("a").append(Run("1", "1"))
        with counted() as sent:
            self.index.driver("a").append(Run("2", "2"))
            self.index.driver("a").load()
        assert sent[0] == ["EVALSHA", "WAIT"]
        assert not any("WAIT" in commands for commands in sent[1:])

    def test_a_script_that_the_server_does_not_know_is_waited_for(self):
        self.redis.script_flush()
        with self.hanging(self.watched.nodes[1]), pytest.raises(RedisNotReplicated):
            self.driver().append(Run("1", "1"))

    def driver(self):
        return self.index.driver("a", wait={"replicas": 2, "timeout": 30})

    @both
    def test_a_write_that_replicas_lack_is_stored_and_says_so(self, index):
        driver = index.driver("a", wait={"replicas": 2, "timeout": 30})
        with self.hanging(self.watched.nodes[1]):
            with pytest.raises(RedisNotReplicated, match="only 1 of 2 replicas"):
                driver.append(Run("1", "1", id="1"))
            assert [run.id for run in self.index.driver("a").load()[0]] == ["1"]

    @both
    def test_a_write_that_is_repeated_waits_again(self, index):
        driver = index.driver("a", wait={"replicas": 2, "timeout": 30})
        with self.hanging(self.watched.nodes[1]):
            for _ in range(2):
                with pytest.raises(RedisNotReplicated):
                    driver.append(Run("1", "1", id="1"))
        assert index.driver("a").append(Run("1", "1", id="1")) == 0
        assert len(self.index.driver("a").load()[0]) == 1

    def test_a_reply_that_is_repeated_waits_again(self):
        with self.hanging(self.watched.nodes[1]):
            for _ in range(2):
                with pytest.raises(RedisNotReplicated):
                    self.driver().append(Run("1", "1"))
            for _ in range(2):
                with pytest.raises(RedisNotReplicated):
                    self.driver().begin("a question", run_id="r")

    def test_operations_of_many_steps_wait(self):
        for name in "abc":
            self.index.driver(name, owner=1).append(Run("1", "1"))
        with self.hanging(self.watched.nodes[1]):
            entry = {"SENTINELS": self.watched.addresses, **SERVICE, "INDEX": self.index.name}
            wait = {"WAIT": {"replicas": 2, "timeout": 30}}
            with self.settings(REDIS={"default": {**entry, **wait}}):
                with pytest.raises(RedisNotReplicated):
                    indexes["default"].erase(owner=1)
        assert self.index.count() == 0

    def test_a_driver_of_an_address_waits(self):
        host, port = "127.0.0.1", self.watched.nodes[0].port
        name, wait = self.index.name, {"replicas": 3, "timeout": 20}
        driver = RedisConversationMemoryDriver(host=host, port=port, index=name, wait=wait)
        with pytest.raises(RedisNotReplicated, match="only 2 of 3 replicas"):
            driver.append(Run("1", "1"))

    def test_a_wait_that_makes_no_sense(self):
        for wait in ({"replicas": 0}, {"timeout": 5000}, {"replica": 1}, 1, {"replicas": True}):
            with self.subTest(wait=wait), pytest.raises(ValueError, match="`wait` "):
                self.index.driver("a", wait=wait)


class FailoverTests(RedisTestCase):
    entry = {"LAYOUT": "list"}

    def servers_of(self, name):
        self.watched = self.enterContext(started(Watched, down_after=500))
        return {"SENTINELS": self.watched.addresses, **SERVICE}, self.watched.nodes[0].url

    def test_a_failover_by_hand_loses_nothing(self):
        with alternating(self.index) as each:
            for number in range(2):
                next(each).driver("a").append(Run("?", "!", id=str(number)))
            old, number = self.watched.nodes[0], 1
            self.watched.sentinels[1].client.execute_command("SENTINEL FAILOVER mymaster")
            while self.watched.master() in (old, None):
                number += 1
                wait_until(partial(self.goes_on, each, str(number)))
            stored = [run.id for run in next(each).driver("a").load()[0]]
            assert stored == [str(number) for number in range(number + 1)]

    def test_a_master_that_is_killed(self):
        with alternating(self.index) as each:
            for _ in range(2):
                next(each).driver("a").append(Run("?", "!", id=str(_)))
            assert self.index._connection.client.wait(2, 5000) == 2
            self.watched.nodes[0].server.kill()
            for _ in range(2):
                with pytest.raises(RedisUnavailable):
                    next(each).driver("a").append(Run("?", "!", id="2"))
            wait_until(partial(self.goes_on, each))
            assert [run.id for run in next(each).driver("a").load()[0]] == ["0", "1", "2"]

    def goes_on(self, each, id="2"):
        try:
            next(each).driver("a").append(Run("?", "!", id=id))
        except (RedisUnavailable, RedisReadOnly):
            return False
        return True

    def wipe(self):
        """The servers end with the test."""

    drop = wipe
