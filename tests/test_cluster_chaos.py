"""Writers go on while nodes are killed, handed over and given other slots.

They write for a third of CHAOS_SECONDS before and after; without it, nothing is run here. `pytest
-s` prints what was acknowledged, what of it was lost, and how long no write was possible.
"""

import os
import time

import pytest

from conversation_memory import indexes

from .clusters import Cluster, Watched, started, wait_until
from .utils import RedisTestCase
from .writers import written

SECONDS = float(os.environ.get("CHAOS_SECONDS", 0)) / 3
WAIT = {"replicas": 1, "timeout": 500}


@pytest.mark.skipif(not SECONDS, reason="CHAOS_SECONDS is not set")
class FailingTestCase(RedisTestCase):
    entry = {"LAYOUT": "list"}

    def go(self, fail, **options):
        """The outcome of writers, told for whoever measures."""

        def during():
            time.sleep(SECONDS)
            fail()
            time.sleep(SECONDS)

        outcome = written(indexes["default"], during, **options)
        print(f"{self.id().rpartition('.')[2]}: {outcome}")
        assert outcome.acknowledged
        assert outcome.doubled == 0
        return outcome

    def wipe(self):
        """The servers end with the test."""

    drop = wipe


class ClusterChaosTests(FailingTestCase):
    def servers_of(self, name):
        self.cluster = self.enterContext(started(Cluster))
        return {"CLUSTER": self.cluster.urls}, self.cluster.master_of(name).url

    def kill(self):
        master, replica = self.cluster.nodes_of(self.index.name)
        master.server.kill()
        wait_until(lambda: replica.link()["role"] == "master")

    def test_a_master_is_killed(self):
        """Replication is asynchronous: what the replica had not got is lost, a few runs at most."""
        outcome = self.go(self.kill)
        assert outcome.failures
        assert outcome.lost < 100

    def test_a_master_is_killed_and_writes_wait(self):
        assert self.go(self.kill, wait=WAIT).lost == 0

    def test_a_master_hands_over(self):
        _, replica = self.cluster.nodes_of(self.index.name)

        def hand_over():
            replica.ask("CLUSTER", "FAILOVER")
            wait_until(lambda: replica.link()["role"] == "master")

        assert self.go(hand_over).lost == 0

    def test_the_slot_moves(self):
        def move():
            with self.cluster.moving(self.index.name):
                time.sleep(0.5)

        assert self.go(move).lost == 0


class SentinelChaosTests(FailingTestCase):
    def servers_of(self, name):
        self.watched = self.enterContext(started(Watched))
        entry = {"SENTINELS": self.watched.addresses, "SERVICE": "mymaster"}
        return entry, self.watched.nodes[0].url

    def kill(self):
        old = self.watched.nodes[0]
        old.server.kill()
        wait_until(lambda: self.watched.master() not in (old, None))

    def hand_over(self):
        """As an operator does; the old master is a replica some ten seconds later."""
        old = self.watched.nodes[0]
        self.watched.sentinels[1].client.execute_command("SENTINEL FAILOVER mymaster")
        wait_until(lambda: old.link()["role"] == "slave")

    def test_a_master_is_killed_and_writes_wait(self):
        assert self.go(self.kill, wait=WAIT).lost == 0

    def test_a_failover_by_hand(self):
        """None is lost unless the machine holds a writer up for longer than Sentinel waits."""
        assert self.go(self.hand_over).lost < 20

    def test_a_failover_by_hand_and_writes_wait_for_all(self):
        outcome = self.go(self.hand_over, wait={"replicas": 2, "timeout": 500})
        assert outcome.lost == 0
        assert outcome.unreplicated
