"""RediSearch on a cluster, where each node searches its own shards only."""

from contextlib import suppress
from unittest import mock

import pytest
from redis.exceptions import ResponseError

from conversation_memory import Run
from conversation_memory.exceptions import RedisUnavailable
from conversation_memory.redis_io import slots
from conversation_memory.sharding import across

from .clusters import SearchingCluster, shared, started, wait_until
from .embedders import DIMENSIONS
from .sharding import ids
from .utils import RedisTestCase, both, wait_for

SHARDS = 6
CONVERSATIONS = 30
STOCK = (
    b'{"runs": [{"type": "Run", "id": "s", "meta": null, '
    b'"input": {"type": "TextArtifact", "value": "haystack"}, '
    b'"output": {"type": "TextArtifact", "value": ""}}], "metadata": {}}'
)


class ClusterSearchCase(RedisTestCase):
    entry = {
        "SHARDS": SHARDS,
        "SEARCH": {
            "FIELDS": {"topic": "tag"},
            "EMBED": "tests.embedders.embed",
            "DIMENSIONS": DIMENSIONS,
        },
    }

    def servers_of(self, name):
        self.cluster = self.servers()
        wait_until(self.cluster.is_whole)
        return {"CLUSTER": self.cluster.urls}, self.cluster.master_of(name).url

    def servers(self):
        return shared(SearchingCluster)

    def setUp(self):
        super().setUp()
        wait_until(self.is_complete)

    def fill(self):
        for number in range(CONVERSATIONS):
            meta = {"topic": f"t{number % 3}"}
            text = Run("needle " * (number % 5 + 1), f"answer {number}", id=f"r{number}", meta=meta)
            self.index.driver(f"c{number}", owner="ab"[number % 2]).append(text)

    def is_complete(self):
        return self.index.search_state().complete

    def drop(self):
        for node in self.masters():
            for name in node.ask("FT._LIST"):
                with suppress(ResponseError):  # of a slot that has moved to another node
                    node.ask("FT.DROPINDEX", name)

    def wipe(self):
        for node in self.masters():
            for key in node.client.scan_iter(f"*{self.index.name}*", count=1000):
                node.client.delete(key)

    def masters(self):
        return [node for node in self.cluster.nodes if node.link()["role"] == "master"]

    def found(self, *args, **options):
        return {hit.run_id for hit in self.index.search(*args, limit=100, **options)}


class FindingTests(ClusterSearchCase):
    @both
    def test_finds_what_all_nodes_have(self, index):
        self.fill()
        results = index.search("needle", limit=100)
        assert (results.total, results.complete, results.scanned) == (CONVERSATIONS, True, False)
        assert {hit.run_id for hit in results} == {f"r{n}" for n in range(CONVERSATIONS)}
        assert index.search("needle", owner="a").total == CONVERSATIONS / 2
        assert ids([hit.record for hit in index.search('"answer 7"')]) == ["c7"]
        assert dict(index.facets("topic", "needle")) == {"t0": 10, "t1": 10, "t2": 10}
        assert [*index.activity("day").values()] == [CONVERSATIONS]

    def test_pages_follow_each_other(self):
        self.fill()
        for order in ("relevance", "-time"):
            after, found = None, []
            while after or not found:
                page = self.index.search("needle", order_by=order, limit=7, after=after)
                found += [hit.run_id for hit in page]
                after = page.next
            assert sorted(found) == sorted(f"r{n}" for n in range(CONVERSATIONS))

    @both
    def test_finds_by_likeness_and_by_title(self, index):
        self.fill()
        self.index.driver("c7").set_title("Zebra crossing")
        assert index.embed() == CONVERSATIONS
        assert next(iter(index.search(like="answer 7"))).run_id == "r7"
        assert ids(index.titled("zebra")) == ["c7"]

    def test_each_node_has_the_definitions_of_its_shards(self):
        for node in self.masters():
            known = {name.split(b"}")[0][1:].decode() for name in node.ask("FT._LIST")}
            names = [shard.name for shard in self.index.shards]
            own = {name for name in names if self.cluster.master_of(name) is node}
            assert {name for name in known if name in names} == own

    @both
    def test_reindexing_writes_what_is_missing_in_every_node(self, index):
        names = [f"stock{number}" for number in range(3 * SHARDS)]
        for name in names:
            shard = self.index.shard_of(name).name
            self.cluster.master_of(shard).client.hset(shard, name, STOCK)
        assert index.reindex().indexed == len(names)
        assert self.is_complete()
        assert {hit.conversation_id for hit in index.search("haystack", limit=100)} == {*names}


class MovingTests(ClusterSearchCase):
    def test_a_shard_whose_slot_is_on_its_way_is_named(self):
        self.fill()
        shard = self.index.shard_of("c1")
        with mock.patch.object(slots, "_PAUSE", 0.01), self.cluster.moving(shard.name):
            results = self.index.search("needle", limit=100)
            assert [(it.code, it.detail) for it in results.reasons] == [("shards", shard.name)]
            assert 0 < results.total < CONVERSATIONS
        wait_until(lambda: self.index.search("needle").complete)

    def test_its_new_node_indexes_a_shard_that_was_moved(self):
        self.fill()
        shard = self.index.shard_of("c1")
        with self.cluster.moving(shard.name):
            pass
        for first in (self.index.search("needle"), wait_for(self.index.asearch("needle"))):
            assert first.total == CONVERSATIONS or not first.complete
        wait_until(lambda: self.index.search("needle").complete)
        assert len(self.found("needle")) == CONVERSATIONS
        self.index.driver("c1").append(Run("the needle", "again", id="late"))
        with self.cluster.moving(shard.name):
            pass
        wait_until(lambda: self.index.search("needle").complete)
        assert "late" in self.found("needle")
        assert self.index.reindex().indexed == 0 and not self.index.check().problems


class KilledTests(ClusterSearchCase):
    def servers(self):
        return self.enterContext(started(SearchingCluster))

    def wipe(self):
        """The servers end with the test."""

    drop = wipe

    def test_a_replica_searches_and_without_one_the_shards_are_named(self):
        self.fill()
        for node in self.cluster.nodes:  # or all shards would be down for a second
            node.client.config_set("cluster-require-full-coverage", "no")
        master, replica = self.cluster.nodes_of(self.index.shards[0].name)
        shards = [it.name for it in self.index.shards]
        lost = [name for name in shards if self.cluster.master_of(name) is master]
        wait_until(
            lambda: replica.link()["master_repl_offset"] == master.link()["master_repl_offset"]
        )
        master.server.kill()
        wait_until(lambda: self.index.search("needle").complete)
        assert len(self.found("needle")) == CONVERSATIONS
        replica.server.kill()
        self.named(lost)
        with mock.patch.object(across, "perform_all", wraps=across.perform_all) as together:
            self.named(lost)  # without one of its shards waiting for the next
        jobs = [job for call in together.call_args_list for job in call.args[0]]
        assert all(slots.node_of(job.client) for job in jobs)
        wait_until(lambda: self.index.search_state().kind == "incomplete")
        assert self.index.search_state().reason.detail == ", ".join(lost)
        with pytest.raises(RedisUnavailable, match=lost[0]):
            self.index.reindex()

    def named(self, lost):
        for results in (self.index.search("needle"), wait_for(self.index.asearch("needle"))):
            assert [(it.code, it.detail) for it in results.reasons] == [("shards", ", ".join(lost))]
            assert 0 < results.total < CONVERSATIONS
        assert not self.index.facets("topic").complete
