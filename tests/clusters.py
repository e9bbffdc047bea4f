"""Three masters with a replica each, and a master with two replicas and three Sentinels."""

import atexit
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.crc import key_slot
from redis.exceptions import RedisError
from redis.retry import Retry

from conversation_memory.testing.embedded_redis import EmbeddedRedis

from .servers import free_port

SLOTS = 16384
MASTERS = 3
SHARE = -(-SLOTS // MASTERS)
LOCAL = "127.0.0.1"
# Replicas connect at once, instead of after some seconds in which others might come.
REPLICATION = {"repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1"}


class Node:
    """A server that a test may kill and start again, and a client of it."""

    def __init__(self, *, search=False, **options):
        named = {name.replace("_", "-"): value for name, value in options.items()}
        self.server = EmbeddedRedis(search=search, options={**REPLICATION, **named})
        self.port, self.url = self.server.port, self.server.url
        self.client = _client(self.port)

    @property
    def pid(self):
        return self.server.pid

    def ask(self, *command):
        return self.client.execute_command(*command)

    def link(self):
        """The facts about replication."""
        return self.client.info("replication")

    def close(self):
        self.client.close()
        self.server.close()


class Cluster:
    """Three masters and three replicas; node `n + 3` is at first the replica of node `n`."""

    search = False

    def __init__(self, *, timeout=1000):
        def node(bus):
            return Node(search=self.search, cluster_enabled="yes", cluster_port=str(bus), **options)

        options = {"cluster_node_timeout": str(timeout), "cluster_replica_validity_factor": "0"}
        self.nodes = _all(node, [free_port() for _ in range(2 * MASTERS)])
        self._join()

    def _join(self):
        first, *others = self.nodes
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < MASTERS:
                last = min(SLOTS, (number + 1) * SHARE) - 1
                node.ask("CLUSTER", "ADDSLOTSRANGE", number * SHARE, last)
        for node in others:
            node.ask("CLUSTER", "MEET", LOCAL, first.port, first.server.options["cluster-port"])
        ids = [node.ask("CLUSTER", "MYID").decode() for node in self.nodes]
        wait_until(lambda: all({*ids} == _known(node) for node in self.nodes))
        for node, id in zip(self.nodes[MASTERS:], ids, strict=False):
            node.ask("CLUSTER", "REPLICATE", id)
        wait_until(self.is_whole)

    def is_whole(self):
        """Every node is up, and knows that each shard has a replica, which is in step."""
        return all(map(_is_whole, self.nodes))

    def master_of(self, key):
        """The node that serves the slot of a key now."""
        return self.nodes_of(key)[0]

    def nodes_of(self, key):
        """That node and its replicas, as a node that lives knows them."""
        ports = _ports(next(node for node in self.nodes if node.server.pid), key)
        return [node for port in ports for node in self.nodes if node.port == port]

    def agrees_on(self, key):
        """Every node says of the same one that it serves the slot of a key."""
        return len({_ports(node, key)[0] for node in self.nodes}) == 1

    @contextmanager
    def moving(self, key):
        """The slot of a key is on its way during the block, and has moved at its end."""
        slot, source = key_slot(key.encode()), self.master_of(key)
        masters = [node for node in self.nodes if node.link()["role"] == "master"]
        target = next(node for node in masters if node is not source)
        id, from_id = (node.ask("CLUSTER", "MYID") for node in (target, source))
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", from_id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", id)
        yield
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", LOCAL, target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source, *masters):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", id)
        wait_until(lambda: self.agrees_on(key))
        assert self.master_of(key) is target

    @property
    def urls(self):
        return [node.url.removesuffix("/0") for node in self.nodes]

    def close(self):
        for node in self.nodes:
            node.close()


class SearchingCluster(Cluster):
    """Each of its nodes has RediSearch, which knows nothing of the others."""

    search = True


class Watched:
    """A master with two replicas, and three Sentinels that call it "mymaster"."""

    def __init__(self, *, down_after=1000):
        master = Node()
        more = _all(lambda _: Node(replicaof=f"{LOCAL} {master.port}"), range(2))
        self.nodes = [master, *more]
        self.sentinels = [Sentinel(master.port, down_after) for _ in range(3)]
        wait_until(self.is_whole)

    def is_whole(self):
        """Everybody knows everybody, and the replicas are in step."""
        facts = [sentinel.client.sentinel_master("mymaster") for sentinel in self.sentinels]
        known = all(fact["num-slaves"] == 2 and fact["num-other-sentinels"] == 2 for fact in facts)
        return known and all(_is_in_step(node) for node in self.nodes)

    def master(self):
        """The node that all Sentinels name; None while they differ."""
        ports = {it.client.sentinel_master("mymaster")["port"] for it in self.sentinels}
        return next((node for node in self.nodes if {node.port} == ports), None)

    @property
    def addresses(self):
        return [(LOCAL, sentinel.port) for sentinel in self.sentinels]

    def close(self):
        for server in (*self.sentinels, *self.nodes):
            server.close()


class Sentinel:
    def __init__(self, master, down_after, *, password=None):
        secured = f"requirepass {password}\n" if password else ""
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="sentinel-")
        config = Path(self.folder.name) / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind {LOCAL}\nsentinel monitor mymaster {LOCAL} {master} 2\n"
            f"sentinel down-after-milliseconds mymaster {down_after}\n"
            f"sentinel failover-timeout mymaster 10000\n{secured}"
        )
        command = [_installation().server, config, "--sentinel"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.pid = self.process.pid
        self.client = _client(self.port, password)
        self.client.ping()

    def close(self):
        self.client.close()
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


@contextmanager
def started(kind, **options):
    """A Cluster or a Watched that ends with the block."""
    with ExitStack() as stack:
        servers = kind(**options)
        stack.callback(servers.close)
        yield servers


@cache
def shared(kind):
    """The Cluster or the Watched of this process, for tests that leave it as it is."""
    # No node is taken for dead while the machine is busy.
    servers = kind(timeout=15000) if issubclass(kind, Cluster) else kind(down_after=30000)
    atexit.register(servers.close)
    return servers


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "The servers did not become ready."
        time.sleep(0.02)


def _client(port, password=None):
    return Redis(
        port=port, password=password, retry=Retry(ConstantBackoff(0.02), 200), socket_timeout=5
    )


def _installation():
    from conversation_memory.testing.embedded_redis.fetch import find_redis

    return find_redis()


def _all(function, values):
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(function, values))


def _known(node):
    """The ids of the nodes with which a node has shaken hands."""
    facts = node.ask("CLUSTER NODES").values()
    return {fact["node_id"] for fact in facts if "handshake" not in fact["flags"]}


def _ports(node, key):
    """The ports of the master and the replicas of the slot of a key, as a node knows them."""
    slot = key_slot(key.encode())
    shards = node.ask("CLUSTER SLOTS")
    [nodes] = [nodes for first, last, *nodes in shards if first <= slot <= last]
    return [port for _, port, *_ in nodes]


def _is_whole(node):
    try:
        state, shards = node.ask("CLUSTER INFO"), node.ask("CLUSTER SLOTS")
    except RedisError:
        return False
    # First slot, last slot, two nodes. A slot that moved has divided a shard.
    complete = all(len(shard) == 4 for shard in shards)
    return state["cluster_state"] == "ok" and complete and _is_in_step(node)


def _is_in_step(node):
    return node.link().get("master_link_status", "up") == "up"
