"""An index in a Redis Cluster."""

import asyncio
import os
from unittest import mock

import pytest
import redis
import redis.asyncio
from django.conf import settings

from conversation_memory import RedisConversationMemoryDriver, Run, indexes
from conversation_memory.exceptions import (
    RedisDenied,
    RedisMisconfigured,
    RedisUnavailable,
)
from conversation_memory.redis_io import slots

from . import test_drivers, test_erasure, test_following, test_indexes
from .clusters import Cluster, shared, wait_until
from .utils import RedisTestCase, both, close_connections, monitored, wait_for


class ClusterTestCase(RedisTestCase):
    """`self.redis` is a client of the node that has the index."""

    def servers_of(self, name):
        self.cluster = shared(Cluster)
        # A node may be the last to learn of the failover in the test before.
        wait_until(lambda: self.cluster.is_whole() and self.cluster.agrees_on(name))
        return {"CLUSTER": self.cluster.urls[1:3]}, self.cluster.master_of(name).url

    @property
    def master(self):
        return self.cluster.master_of(self.index.name)

    def follow(self):
        """Let `self.redis` be a client of the node that has the index now."""
        wait_until(lambda: self.cluster.agrees_on(self.index.name))
        self.redis.close()
        self.redis = redis.Redis.from_url(self.master.url)
        self.addCleanup(self.redis.close)


# What a driver and an index promise, by the tests that show it on one server.
_CONTRACT = [
    (test_drivers.AppendTests, "list"),
    (test_drivers.RevisionTests, "hash"),
    (test_indexes.RecentTests, "hash"),
]
if "CHAOS_SECONDS" in os.environ:
    _CONTRACT += [
        (test_erasure.EraseTests, "list"),
        (test_drivers.LoadTests, "hash"),
        (test_drivers.OwnerTests, "list"),
        (test_indexes.AdoptionTests, "list"),
        (test_indexes.IterationTests, "hash"),
        (test_following.FollowTests, "list"),
    ]

for tests, layout in _CONTRACT:
    name = f"Cluster{tests.__name__}"
    body = {"entry": {**getattr(tests, "entry", {}), "LAYOUT": layout}, "__module__": __name__}
    globals()[name] = type(name, (tests, ClusterTestCase), body)
del tests


class IndexTests(ClusterTestCase):
    """Other indexes of the cluster are in other slots, most of them of other nodes."""

    def test_an_index_in_each_node(self):
        names = ["one", "two", "three", "four"]
        entries = {name: {"CLUSTER": self.cluster.urls, "INDEX": f"test-{name}"} for name in names}
        with self.settings(REDIS=entries):
            for name in names:
                indexes[name].driver("a").append(Run(name, name))
            for name in names:
                assert indexes[name].count() == 1
                assert indexes[name].search(name).total == 1
                assert not indexes[name].check().problems
                assert indexes[name].delete("a") == 1

    def test_named_indexes_are_each_on_a_node_of_their_own(self):
        entry = {"CLUSTER": self.cluster.urls, "INDEX": self.index.name, "INDEXES": ["b", "a"]}
        with self.settings(REDIS={"default": entry}):
            assert indexes["default"].discover().names == ["a", "b"]
            assert [indexes.open("default", name).count() for name in "ab"] == [0, 0]

    @both
    def test_a_reply_is_followed_to_its_end(self, index):
        self.index.driver("a").begin("a question", run_id="r")
        with self.index.driver("a").reply("r") as reply:
            reply.write("an answer")
        if index is self.index:
            chunks = list(index.driver("a").follow("r"))
        else:
            chunks = index.run(collected(self.index.driver("a").follow("r")))
        assert "".join(chunk.text for chunk in chunks) == "an answer"


async def collected(chunks):
    return [chunk async for chunk in chunks]


class ClientTests(ClusterTestCase):
    def driver(self, client):
        return RedisConversationMemoryDriver(
            host="ignored", port=1, index=self.index.name, conversation_id="a", client=client
        )

    def test_a_driver_takes_a_cluster_client(self):
        with redis.RedisCluster.from_url(self.cluster.urls[0]) as client:
            driver = self.driver(client)
            driver.append(Run("a question", "an answer"))
            assert [run.output.text for run in driver.load()[0]] == ["an answer"]
            assert self.redis.hexists(self.index.name, "a")
            assert len(wait_for(driver.aload())[0]) == 1

    def test_a_driver_takes_an_async_cluster_client(self):
        async def run():
            async with redis.asyncio.RedisCluster.from_url(self.cluster.urls[0]) as client:
                driver = self.driver(client)
                await driver.aappend(Run("a question", "an answer"))
                loaded, _ = await driver.aload()
            await close_connections()
            return loaded

        assert [run.output.text for run in asyncio.run(run())] == ["an answer"]

    def test_drivers_with_one_client_share_connections(self):
        with redis.RedisCluster.from_url(self.cluster.urls[0]) as client:
            assert self.driver(client).client is self.driver(client).client

    def test_the_address_has_no_credentials(self):
        for url in ("redis://u:word@h:7", "redis://h:7/0?password=w@rd", "redis://u:w%40rd@h:7"):
            with self.subTest(url), self.settings(REDIS={"default": {"CLUSTER": url}}):
                assert indexes["default"].server == "h:7 (cluster)"


class CredentialTests(ClusterTestCase):
    def setUp(self):
        super().setUp()
        for node in self.cluster.nodes:
            node.ask("ACL", "SETUSER", "app", "on", ">w/rd", "~*", "+@all")
            self.addCleanup(node.ask, "ACL", "DELUSER", "app")

    def count(self, **entry):
        urls = [url.replace("://", entry.pop("user", "://")) for url in self.cluster.urls]
        with self.settings(REDIS={"default": {"CLUSTER": urls, **entry}}):
            return indexes["default"].count(), wait_for(indexes["default"].acount())

    def test_in_the_entry(self):
        assert self.count(USERNAME="app", PASSWORD="w/rd") == (0, 0)

    def test_in_the_urls(self):
        assert self.count(user="://app:w%2Frd@") == (0, 0)

    def test_wrong_ones_are_denied(self):
        with pytest.raises(RedisDenied, match="rejects the user name or the password"):
            self.count(USERNAME="app", PASSWORD="wrong")
        with (
            self.settings(
                REDIS={
                    "default": {"CLUSTER": self.cluster.urls, "USERNAME": "no", "PASSWORD": "no"}
                }
            ),
            pytest.raises(RedisDenied, match="rejects the user name or the password"),
        ):
            wait_for(indexes["default"].acount())


class MistakenTests(ClusterTestCase):
    def test_a_server_that_is_no_cluster(self):
        with self.settings(REDIS={"default": {"CLUSTER": settings.REDIS_URL}}):
            for count in (indexes["default"].count, lambda: wait_for(indexes["default"].acount())):
                with pytest.raises(RedisMisconfigured, match="give its entry a URL"):
                    count()

    def test_a_node_of_a_cluster_by_its_url(self):
        other = next(node for node in self.cluster.nodes[:3] if node is not self.master)
        entry = {"URL": other.url, "INDEX": self.index.name}
        with (
            self.settings(REDIS={"default": entry}),
            pytest.raises(RedisMisconfigured, match="give its entry CLUSTER instead of URL"),
        ):
            indexes["default"].count()

    def test_nodes_that_are_all_others_by_now_are_found_from_the_entry(self):
        self.index.count()
        pool = self.index._connection.client.connection_pool
        self.forget_nodes(pool)
        pool.disconnect()
        assert self.index.count() == 0

    def test_nodes_that_are_all_others_by_now_are_found_async(self):
        async def count():
            await self.index.acount()
            pool = self.index._connection.async_client.connection_pool
            await pool.connection_kwargs["nodes"].aclose()
            self.forget_nodes(pool)
            await pool.disconnect()
            return await self.index.acount()

        assert wait_for(count()) == 0

    def forget_nodes(self, pool):
        """Let the nodes that are known be gone, as after a restart of all with other addresses."""
        nodes = pool.connection_kwargs["nodes"]
        gone = type(next(iter(nodes._manager.nodes_cache.values())))("127.0.0.1", 1)
        nodes._manager.startup_nodes = {gone.name: gone}
        nodes.lost("127.0.0.1", 1)

    def test_no_node_that_answers(self):
        entry = {"CLUSTER": "redis://127.0.0.1:1", "INDEX": self.index.name}
        with self.settings(REDIS={"default": entry}):
            for count in (indexes["default"].count, lambda: wait_for(indexes["default"].acount())):
                with pytest.raises(RedisUnavailable, match="cannot be reached"):
                    count()


class MovingTests(ClusterTestCase):
    entry = {"LAYOUT": "list"}

    @both
    def test_goes_on_after_a_failover(self, index):
        driver = index.driver("a")
        driver.append(Run("1", "1", id="1"))
        _, replica = self.cluster.nodes_of(self.index.name)
        replica.ask("CLUSTER", "FAILOVER")
        wait_until(lambda: replica.link()["role"] == "master")
        driver.append(Run("2", "2", id="2"))
        assert [run.id for run in driver.load()[0]] == ["1", "2"]
        wait_until(self.cluster.is_whole)
        self.follow()

    @both
    def test_a_script_that_the_node_does_not_know(self, index):
        index.driver("a").append(Run("1", "1"))
        self.redis.script_flush()
        index.driver("a").append(Run("2", "2"))
        assert len(index.driver("a").load()[0]) == 2

    @both
    def test_a_slot_that_moves(self, index):
        driver = index.driver("a")
        driver.append(Run("1", "1", id="1"))
        with self.cluster.moving(self.index.name), mock.patch.object(slots, "_PAUSE", 0.01):
            with pytest.raises(RedisUnavailable, match="is moving the index to another node"):
                driver.append(Run("2", "2", id="2"))
        self.follow()
        driver.append(Run("2", "2", id="2"))
        driver.append(Run("3", "3", id="3"))
        assert [run.id for run in driver.load()[0]] == ["1", "2", "3"]
        assert index.count() == 1


class ReplicaTests(ClusterTestCase):
    entry = {"READ_FROM": "replica"}

    def setUp(self):
        super().setUp()
        self.replica = self.cluster.nodes_of(self.index.name)[1]

    def write(self):
        self.index.driver("a", owner=7).append(Run("a question", "an answer", id="1"))
        assert self.index._connection.client.wait(1, 5000)

    @both
    def test_listings_and_searches_are_of_a_replica(self, index):
        self.write()
        with monitored(self.replica.client) as seen, monitored(self.master.client) as elsewhere:
            assert index.count() == 1
            assert [record.conversation_id for record in index.recent(owner=7).records] == ["a"]
            assert [record.conversation_id for record in index.recent().records] == ["a"]
            assert index.search("answer").total == 1
            assert [found.id for found in self.index.select()] == [b"a"]
        assert len(self.ours(seen)) >= 5
        assert not self.ours(elsewhere)

    @both
    def test_a_driver_reads_from_the_primary_unless_told(self, index):
        self.write()
        with monitored(self.replica.client) as seen:
            assert len(index.driver("a").load()[0]) == 1
        assert not self.ours(seen)
        with monitored(self.replica.client) as seen:
            assert len(index.driver("a", read_from="replica").load()[0]) == 1
        assert self.ours(seen)

    @both
    def test_what_a_write_is_based_on_is_read_from_the_primary(self, index):
        self.write()
        driver = index.driver("a", read_from="replica")
        with monitored(self.replica.client) as seen:
            driver.store([], revision=driver.read().revision)
            driver.append(Run("a question", "an answer", id="2"))
            driver.annotate("2", {"rating": 5})
            driver.update_metadata({"topic": "refunds"})
        assert not self.ours(seen)

    def test_the_primary_answers_for_a_replica_that_does_not(self):
        nodes = self.index._connection.replica.connection_pool.connection_kwargs["nodes"]
        replica = nodes.address()
        assert replica == ("127.0.0.1", self.replica.port)
        nodes.lost(*replica)
        assert nodes.address() == ("127.0.0.1", self.master.port)
        assert nodes.address() == replica

    def ours(self, seen):
        """The reads of the index in what a server was sent. A replica gets writes of its master."""
        reads = ("HGET", "HMGET", "LRANGE", "EVALSHA_RO", "EVAL_RO", "EVALSHA", "ZRANGE", "HSCAN")
        return [
            one for one in seen
            if one["command"].startswith(reads) and one["client_type"] != "lua"
            and self.index.name in one["command"]
        ]  # fmt: skip
