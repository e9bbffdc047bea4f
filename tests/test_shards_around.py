"""What observes, watches and tests an index over several shards, and who else writes into it."""

import json
import unittest
from importlib.util import find_spec
from unittest import skipUnless

import pytest
from django.conf import settings
from django.test import RequestFactory, SimpleTestCase

from conversation_memory import Run, indexes
from conversation_memory.check.findings import WRONG_SHARD
from conversation_memory.exceptions import RedisMisconfigured, RedisUnavailable
from conversation_memory.gauges import IndexGauges
from conversation_memory.management.exit_codes import Exit
from conversation_memory.readiness import ready
from conversation_memory.signals import conversations_anonymised, conversations_erased
from conversation_memory.testing import IndexTestMixin

from .commands import called, fails
from .sharding import SHARDS, ShardsTestCase, ids, run
from .utils import both


class Noting:
    """A sink that keeps what it is told of."""

    is_on = True

    def __init__(self):
        self.seen = []

    def begin(self, seen):
        return None

    def end(self, seen, begun):
        self.seen.append((seen.operation, seen.index.name))


class TelemetryTests(ShardsTestCase):
    @both
    def test_operations_are_those_of_the_index(self, index):
        sink = Noting()
        self.index._layout.telemetry._sinks = [sink]
        driver = index.driver("c1", owner="ann")
        driver.append(run(1))
        driver.load()
        index.count()
        index.recent()
        index.erase(owner="ann")
        names = ["append", "load", "count", "recent", "erase"]
        assert sink.seen == [(name, self.index.name) for name in names]

    @both
    def test_a_signal_is_sent_once(self, index):
        sent = []

        def note(signal, **event):
            sent.append((event["index"], event["owner"]))

        for signal in (conversations_erased, conversations_anonymised):
            signal.connect(note)
            self.addCleanup(signal.disconnect, note)
        for number in range(10):
            self.index.driver(f"c{number}", owner="ab"[number % 2]).append(run(number))
        index.erase(owner="a")
        index.anonymise(owner="b")
        assert [owner for _, owner in sent] == ["a", "b"]


class ReadinessTests(ShardsTestCase):
    def state(self):
        response = ready(RequestFactory().get("/ready"))
        return response.status_code, json.loads(response.content)

    def test_it_is_ready_unless_a_shard_is_down(self):
        assert self.state()[0] == 200
        self.break_off(1)
        status, content = self.state()
        assert status == 503 and content["findings"]["reachable"] == "failed"
        name = self.index.shards[1].name
        assert name in self.index.health(within=1.0)["reachable"].detail

    @skipUnless(find_spec("prometheus_client"), "needs prometheus-client")
    def test_gauges_are_sums(self):
        entry = {**settings.REDIS["default"], "TELEMETRY": ["prometheus"]}
        with self.settings(REDIS={"default": entry}):
            for number in range(12):
                indexes["default"].driver(f"c{number}").append(run(number))
            indexes["default"].driver("c1").begin("a question")
            samples = [sample for family in IndexGauges(30).collect() for sample in family.samples]
        found = {sample.name.partition("_index_")[2]: sample.value for sample in samples}
        assert (found["conversations"], found["open_runs"], found["up"]) == (12, 1, 1)
        assert {sample.labels["index"] for sample in samples} == {self.index.name}


class CommandTests(ShardsTestCase):
    def test_what_is_not_about_shards_does_not_name_them(self):
        with pytest.raises(RedisMisconfigured) as caught:
            self.index.rotate_keys()
        assert str(caught.value) == "Alias 'default' has no ENCRYPTION."

    def test_a_shard_that_is_down_is_named(self):
        self.write(12)
        name = self.break_off(3)
        for command in ("dumpconversations", "checkconversations", "listconversations"):
            with fails(Exit.UNAVAILABLE, name):
                called(command, "--using", "default")
        with pytest.raises(RedisUnavailable, match=name):
            self.index.count()


class OwnIndexTests(SimpleTestCase):
    def test_a_test_has_shards_of_its_own_and_leaves_nothing(self):
        names = []

        class Tests(IndexTestMixin, SimpleTestCase):
            def runTest(self):
                names.append(self.index.name)
                for number in range(12):
                    self.index.driver(f"c{number}").append(Run("q", "a"))
                assert len(self.index.shards) == SHARDS
                assert self.index.search("q").total == 12

        entry = {"URL": settings.REDIS_URL, "INDEX": "chats", "SHARDS": SHARDS, "SEARCH": True}
        with self.settings(REDIS={"default": entry}):
            result = unittest.TestResult()
            Tests().run(result)
            assert not result.errors and not result.failures, result
            client = indexes["default"]._connection.client
            assert [*client.scan_iter(f"*{names[0]}*", count=10_000)] == []


class MisplacedTests(ShardsTestCase):
    @both
    def test_a_check_names_what_is_in_another_shard_than_that_of_its_id(self, index):
        right = self.index.shard_of("c1")
        wrong = next(shard for shard in self.index.shards if shard is not right)
        self.index.driver("c2").append(run(2))
        self.redis.hset(wrong.name, "c1", '{"runs": [], "metadata": {}}')
        assert index.count() == 2 and ids(index.recent()) == ["c2"]
        for fix in (False, True):
            problem = index.check(fix=fix).problems[WRONG_SHARD]
            assert (problem.found, problem.left, problem.examples) == (1, 1, ("c1",))
        self.redis.hdel(wrong.name, "c1")


@skipUnless(find_spec("griptape"), "needs griptape")
class GriptapeTests(ShardsTestCase):
    entry = {"LAYOUT": "hash"}

    def test_a_stock_driver_works_with_a_shard(self):
        from griptape.artifacts import TextArtifact
        from griptape.drivers.memory.conversation.redis_conversation_memory_driver import (
            RedisConversationMemoryDriver,
        )
        from griptape.memory.structure import Run as GriptapeRun

        self.index.driver("42").append(run(1))
        stock = RedisConversationMemoryDriver(
            host="localhost", port=1, index=self.index.shard_of("42").name, conversation_id="42"
        )
        stock.client = self.redis
        runs, metadata = stock.load()
        assert [one.output.value for one in runs] == ["answer 1"]
        more = GriptapeRun(input=TextArtifact("q"), output=TextArtifact("from Griptape"))
        stock.store([*runs, more], metadata)
        assert self.index.driver("42").load()[0][-1].output.text == "from Griptape"
        assert self.index.count() == 1
