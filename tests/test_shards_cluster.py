"""An index whose shards are on all nodes of a Redis Cluster."""

import pytest
from redis.crc import key_slot

from conversation_memory import Run, indexes
from conversation_memory.browse import Span
from conversation_memory.collection.selection import Selection
from conversation_memory.exceptions import RedisMisconfigured

from .clusters import Cluster, shared, wait_until
from .sharding import ids, run
from .utils import RedisTestCase, both

SHARDS = 12


class ShardedClusterTests(RedisTestCase):
    entry = {"SHARDS": SHARDS, "LAYOUT": "list", "SEARCH": True}

    def servers_of(self, name):
        self.cluster = shared(Cluster)
        wait_until(self.cluster.is_whole)
        return {"CLUSTER": self.cluster.urls[1:3]}, self.cluster.master_of(name).url

    def wipe(self):
        for node in self.cluster.nodes[:3]:
            for key in node.client.scan_iter(f"*{self.index.name}*", count=1000):
                node.client.delete(key)

    @both
    def test_works_as_on_one_server(self, index):
        for number in range(30):
            driver = index.driver(f"c{number}", owner="ab"[number % 2])
            driver.append(Run("the question", "an answer", id=f"r{number}"))
        assert index.count() == 30 and index.count("a") == 15
        assert {*ids(index.recent(50))} == {f"c{number}" for number in range(30)}
        assert ids(index.browse(Span(), 5, 10)) == ids(index.recent(50))[5:15]
        assert index.search("question", limit=5).total == 30
        fork = index.driver("c1").fork("elsewhere")
        assert len(fork.load()[0]) == 1
        assert not index.check().problems
        assert index.statistics().conversations == 31
        assert index.health().is_ready
        assert index.prune(Selection(ids=["elsewhere", "c1"])).conversations == 2
        assert index.erase(owner="a").conversations == 15
        assert index.anonymise(owner="b") == 14
        assert index.delete(*(f"c{number}" for number in range(30))) == 14

    def test_each_node_has_some_of_the_shards(self):
        masters = {self.cluster.master_of(shard.name).port for shard in self.index.shards}
        assert len(masters) == 3
        names = [shard.name for shard in self.index.shards]
        assert len({key_slot(name.encode()) for name in names}) == SHARDS

    def test_reads_of_one_node_are_sent_together(self):
        self.index.driver("c1").append(run(1))
        self.index.count()
        sent = []
        for node in self.cluster.nodes[:3]:
            sent.append(node.client.info("stats")["total_connections_received"])
        for _ in range(3):
            assert self.index.count() == 1
        for node, before in zip(self.cluster.nodes, sent, strict=False):
            assert node.client.info("stats")["total_connections_received"] == before

    @both
    def test_a_connection_that_broke_is_made_anew(self, index):
        self.index.driver("c1").append(run(1))
        assert index.count() == 1
        for node in self.cluster.nodes[:3]:
            node.client.client_kill_filter(_type="normal", skipme=True)
        assert index.count() == 1 and ids(index.recent()) == ["c1"]

    def test_scripts_that_a_node_has_forgotten_are_sent_again(self):
        self.index.driver("c1").append(run(1))
        for node in self.cluster.nodes[:3]:
            node.client.script_flush()
        assert self.index.count() == 1 and ids(self.index.recent()) == ["c1"]

    @both
    def test_a_key_of_another_type_is_an_error_that_names_the_shard(self, index):
        shard = self.index.shard_of("c1")
        node = self.cluster.master_of(shard.name).client
        node.set(shard.name, "text")
        for ask in (index.count, index.recent):
            with pytest.raises(RedisMisconfigured, match=shard.name):
                ask()
        node.delete(shard.name)

    def test_replicas_answer_what_may_be_a_moment_old(self):
        self.index.driver("c1").append(run(1))
        entry = {**self.entry, "CLUSTER": self.cluster.urls[:1], "READ_FROM": "replica"}
        with self.settings(REDIS={"default": {**entry, "INDEX": self.index.name}}):
            indexes.close()
            index = indexes["default"]
            wait_until(lambda: index.count() == 1)
            wait_until(lambda: ids(index.recent()) == ["c1"])
