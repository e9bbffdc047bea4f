"""An index moves into other shards, on all nodes of a cluster, while others write."""

from conversation_memory import ConversationIndex, Run

from .clusters import Cluster, shared, wait_until
from .resharding import ReshardTestCase
from .sharding import ids
from .utils import Awaited
from .writers import written

MOVES = ((1, 5), (5, 3))


class ReshardedClusterTests(ReshardTestCase):
    entry = {"LAYOUT": "list"}

    def servers_of(self, name):
        self.cluster = shared(Cluster)
        wait_until(self.cluster.is_whole)
        return {"CLUSTER": self.cluster.urls[:2]}, self.cluster.master_of(name).url

    def wipe(self):
        for node in self.cluster.nodes[:3]:
            for key in node.client.scan_iter(f"*{self.index.name}*", count=1000):
                node.client.delete(key)

    def test_everything_moves_over_the_nodes(self):
        for twin in (lambda index: index, Awaited):
            for before, after in MOVES:
                old, new = self.at(before), self.at(after)
                for number in range(30):
                    driver = old.driver(f"c{number}", owner="ab"[number % 2])
                    driver.append(Run("a question", "x" * 100, id=f"r{number}"))
                driver.begin("a question", run_id="open")
                archive = self.archived(old)
                done = twin(new).reshard()
                assert (done.converted, done.failed) == (30, 0)
                assert self.archived(new) == archive
                assert len(new.open_runs()) == 1 and new.count("a") == 15
                assert not new.check().problems
                if before > 1:
                    assert self.archived(old) == archive
                    assert old.driver("c1").append(Run("q", "a", id="r1")) == 0
                self.wipe()

    def test_writers_and_readers_go_on(self):
        self.at(4).count()
        processes = [self.at(4), self.at(4)]
        for number in range(200):
            processes[0].driver(f"c{number}", owner="ann").append(Run("q", "a", id="r"))
        seen = []

        def move():
            for shards in (3, 5, 3):
                assert self.at(shards).reshard().failed == 0
                seen.append({*ids(processes[1].recent(1000, owner="ann"))})

        outcome = written(processes[0], move, writers=4)
        assert outcome.acknowledged and outcome.lost == outcome.doubled == outcome.failures == 0
        assert seen == [{f"c{number}" for number in range(200)}] * 3
        assert isinstance(processes[0], ConversationIndex)


class ReplicaTests(ReshardedClusterTests):
    entry = {"LAYOUT": "list", "READ_FROM": "replica"}

    test_everything_moves_over_the_nodes = test_writers_and_readers_go_on = None

    def test_only_primaries_are_asked_during_a_move(self):
        self.at(2).driver("c").append(Run("q", "a"))
        new = self.begun(3)
        assert not any(shard._may_lag("recent") for shard in new.shards)
        new.reshard()
        assert all(shard._may_lag("recent") for shard in new.shards)
