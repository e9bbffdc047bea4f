"""Three masters with a replica each, and a master with two replicas and three Sentinels."""

import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from conversation_memory.testing.embedded_redis.fetch import find_redis

from .servers import free_port

SLOTS = 16384
MASTERS = 3


class Node:
    """A server of a cluster, or a Sentinel, which a test may kill and start again."""

    def __init__(self, folder, port, *options):
        self.port, self.folder = port, Path(folder) / str(port)
        self.folder.mkdir()
        self.options = options
        self.client = Redis(port=port, retry=Retry(ConstantBackoff(0.02), 300), socket_timeout=5)
        self.start()

    def start(self):
        command = [find_redis().server, *self.arguments()]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self.folder)
        self.client.ping()

    def arguments(self):
        named = {"port": self.port, "bind": "127.0.0.1", "save": "", "dir": self.folder}
        given = [part for name, value in named.items() for part in (f"--{name}", str(value))]
        return [*given, *self.options]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        self.client.close()

    @property
    def address(self):
        return "127.0.0.1", self.port

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"


class Cluster:
    """Three masters and three replicas; node `n + 3` is at first the replica of node `n`."""

    def __init__(self, folder, *, timeout=1000):
        options = "--cluster-enabled", "yes", "--cluster-node-timeout", str(timeout)
        more = "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"
        self.nodes = [
            Node(folder, port, *options, "--cluster-port", str(bus), *more)
            for port, bus in _ports(2 * MASTERS)
        ]
        self._join()

    def _join(self):
        share = -(-SLOTS // MASTERS)
        for number, node in enumerate(self.nodes[:MASTERS]):
            last = min(SLOTS, (number + 1) * share) - 1
            node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        first, *others = self.nodes
        bus = first.options[first.options.index("--cluster-port") + 1]
        for number, node in enumerate(self.nodes, 1):
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number)
        for node in others:
            node.client.execute_command("CLUSTER", "MEET", "127.0.0.1", first.port, bus)
        self.wait(lambda: all(len(self._known(node)) == 6 for node in self.nodes))
        ids = [node.client.execute_command("CLUSTER", "MYID") for node in self.nodes]
        for number, node in enumerate(self.nodes[MASTERS:]):
            node.client.execute_command("CLUSTER", "REPLICATE", ids[number])
        self.wait(self.is_whole)

    def _known(self, node):
        found = node.client.execute_command("CLUSTER NODES")
        return [name for name, facts in found.items() if "handshake" not in facts["flags"]]

    def is_whole(self):
        """Every node is up and knows three shards with a replica in step."""
        return all(map(self._is_in_step, self.nodes))

    def _is_in_step(self, node):
        try:
            shards = node.client.execute_command("CLUSTER SLOTS")
            state, facts = node.client.execute_command("CLUSTER INFO"), node.client.info()
        except RedisError:
            return False
        linked = facts.get("master_link_status", "up") == "up"
        return state["cluster_state"] == "ok" and linked and len(str(shards)) > 0

    @property
    def urls(self):
        return [node.url for node in self.nodes]

    def wait(self, condition, seconds=30):
        wait_until(condition, seconds)

    def close(self):
        for node in self.nodes:
            node.close()


class Watched:
    """A master with two replicas and three Sentinels, which call it "mymaster"."""

    def __init__(self, folder, *, down_after=1000):
        ports = iter([port for port, _ in _ports(6)])
        master, *options = next(ports), "--repl-diskless-sync-delay", "0"
        self.nodes = [Node(folder, master, *options)]
        replicate = ("--replicaof", f"127.0.0.1 {master}")
        self.nodes += [Node(folder, next(ports), *options, *replicate) for _ in range(2)]
        self.sentinels = [_Sentinel(folder, port, master, down_after) for port in ports]
        wait_until(self.is_whole, 30)

    def is_whole(self):
        facts = [node.client.sentinel_master("mymaster") for node in self.sentinels]
        known = all(fact["num-slaves"] == 2 and fact["num-other-sentinels"] == 2 for fact in facts)
        return known and all(self._is_linked(node) for node in self.nodes)

    def _is_linked(self, node):
        return node.client.info("replication").get("master_link_status", "up") == "up"

    @property
    def addresses(self):
        return [node.address for node in self.sentinels]

    def master(self):
        """The node that the first Sentinel names."""
        _, port = self.sentinels[0].client.sentinel_get_master_addr_by_name("mymaster")
        return next(node for node in self.nodes if node.port == port)

    def close(self):
        for node in (*self.sentinels, *self.nodes):
            node.close()


class _Sentinel(Node):
    def __init__(self, folder, port, master, down_after):
        self.text = (
            f"port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {master} 2\n"
            f"sentinel down-after-milliseconds mymaster {down_after}\n"
            "sentinel failover-timeout mymaster 10000\n"
        )
        super().__init__(folder, port)

    def arguments(self):
        config = self.folder / "sentinel.conf"
        if not config.exists():
            config.write_text(self.text)
        return [config, "--sentinel"]


@contextmanager
def started(kind, **options):
    """A Cluster or a Watched that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="redis-nodes-") as folder, ExitStack() as stack:
        servers = kind(folder, **options)
        stack.callback(servers.close)
        yield servers


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "The servers did not become ready."
        time.sleep(0.02)


def _ports(count):
    return [(free_port(), free_port()) for _ in range(count)]
