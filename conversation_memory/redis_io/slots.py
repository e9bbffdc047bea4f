"""Connections that follow a slot of a cluster to the node that serves it, or to a replica.

All keys of an index are in one slot. So a plain client with such connections does on a cluster what
it does on one server: scripts, MULTI, pipelines and reads that wait. redis-py's cluster client
knows the nodes.
"""

import asyncio
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster
from redis.cluster import LoadBalancingStrategy
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    SlotNotCoveredError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..exceptions import sensitive
from .known_nodes import UNKNOWN, KnownNodes, known_nodes
from .traffic import AsyncTimedPool, TimedPool

# A slot that is being moved, or whose node has failed, is worth a moment: the retry of a connection
# tries four times.
_PAUSE = 0.25

# What a cluster client may take of the options of a connection, to ask for the nodes.
_ASKING = frozenset(
    {"username", "password", "credential_provider", "protocol", "client_name", "driver_info"}
    | {"socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options"}
    | {"ssl_keyfile", "ssl_certfile", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_data"}
    | {"ssl_check_hostname", "ssl_min_version", "ssl_ciphers"}
)

_REPLICAS = LoadBalancingStrategy.ROUND_ROBIN_REPLICAS

REDIRECTS = (AskError, ClusterDownError, TryAgainError)  # a MovedError is an AskError
_LOST = (RedisConnectionError, RedisTimeoutError)


class SlotNodes:
    """The nodes of a slot, as a cluster client knows them."""

    def __init__(
        self,
        slot: int,
        known: Callable[[Any], KnownNodes],
        *,
        on_replica: bool = False,
    ):
        self.slot, self.on_replica = slot, on_replica
        self._known = known(self)
        self._failed: str | None = None  # the name of a node, since the last look at the cluster
        self._failed_at = 0.0

    def address(self) -> tuple[str, int]:
        """Host and port of the node to connect to."""
        self._known.ask(self._failed, self._failed_at)
        failed, self._failed = self._failed, None
        return self._address(failed)

    async def aaddress(self) -> tuple[str, int]:
        """See address()."""
        await self._known.aask(self._failed, self._failed_at)
        failed, self._failed = self._failed, None
        return self._address(failed)

    def lost(self, host: str, port: int) -> None:
        """Ask for the nodes again before the next connection: this one could not be used."""
        self._failed, self._failed_at = f"{host}:{port}", time.monotonic()

    def moved(self, error: MovedError) -> Any:
        """Note the node that an answer named; to be awaited in an event loop."""
        return self._manager.move_slot(error)

    @property
    def node(self) -> str | None:
        """The name of the node that serves the slot, None if it is not known yet."""
        if self._known.client is None or self._failed:
            return None
        nodes = self._known.client.nodes_manager.slots_cache.get(self.slot)
        return nodes[0].name if nodes else None

    def is_write(self, error: Exception) -> bool:
        """True if a replica answered so because it was asked to write: nothing has moved."""
        if not self.on_replica or not isinstance(error, MovedError):
            return False
        primary = self._manager.get_node_from_slot(self.slot)
        return (primary.host, int(primary.port)) == (error.host, error.port)

    def close(self) -> None:
        if self._is_last() and self._known.client is not None:
            self._known.client.close()

    async def aclose(self) -> None:
        if self._is_last() and self._known.client is not None:
            await self._manager.aclose()
            await self._manager.aclose("startup_nodes")

    def _is_last(self) -> bool:
        self._known.users.discard(self)
        return not self._known.users

    @property
    def _manager(self) -> Any:
        return self._known.client.nodes_manager

    def _address(self, failed: str | None) -> tuple[str, int]:
        get, slot = self._manager.get_node_from_slot, self.slot
        try:
            node = get(slot, load_balancing_strategy=_REPLICAS if self.on_replica else None)
            if self.on_replica and node.name == failed:
                node = get(slot)  # the primary answers instead
        except SlotNotCoveredError:
            self._failed, self._failed_at = UNKNOWN, time.monotonic()
            raise RedisConnectionError("CLUSTERDOWN No node serves the slot") from None
        return node.host, int(node.port)


def _told(error: Exception) -> RedisConnectionError:
    # As a lost connection, which is tried again.
    if isinstance(error, ClusterDownError):
        return RedisConnectionError(f"CLUSTERDOWN {error}")
    return RedisConnectionError("The slot is being moved to another node")


class SlotConnection(redis.Connection):
    """A connection to one of `nodes`. A lost one is made anew, perhaps to another node."""

    def __init__(self, *, nodes: SlotNodes, **options: Any):
        self.nodes = nodes
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def connect_check_health(self, *args: Any, **options: Any) -> None:
        if self._sock is None:
            self.host, self.port = self.nodes.address()
        try:
            super().connect_check_health(*args, **options)
        except _LOST:
            self.nodes.lost(self.host, self.port)
            raise

    def on_connect_check_health(self, check_health: bool = True) -> None:
        super().on_connect_check_health(check_health)
        if self.nodes.on_replica:
            self.send_command("READONLY")  # type: ignore[no-untyped-call]
            self.read_response()

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)
        except REDIRECTS as error:
            if self.nodes.is_write(error):
                self.nodes.lost(self.host, self.port)  # it may serve another slot by now
                self.mark_for_reconnect()  # type: ignore[no-untyped-call]
                raise ReadOnlyError("You can't write against a read only replica.") from None
            if isinstance(error, MovedError):
                self.nodes.moved(error)
            elif not self.nodes.on_replica:
                time.sleep(_PAUSE)
            self.disconnect()  # type: ignore[no-untyped-call]
            raise _told(error) from None
        except _LOST:
            self.nodes.lost(self.host, self.port)
            raise


class SlotSSLConnection(SlotConnection, redis.SSLConnection):
    """See SlotConnection; over TLS."""


class AsyncSlotConnection(redis.asyncio.Connection):
    """See SlotConnection."""

    def __init__(self, *, nodes: SlotNodes, **options: Any):
        self.nodes = nodes
        super().__init__(**options)

    async def connect_check_health(self, *args: Any, **options: Any) -> None:
        if not self.is_connected:
            self.host, self.port = await self.nodes.aaddress()
        try:
            await super().connect_check_health(*args, **options)
        except _LOST:
            self.nodes.lost(self.host, self.port)
            raise

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        await super().on_connect_check_health(check_health)
        if self.nodes.on_replica:
            await self.send_command("READONLY")
            await self.read_response()

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except REDIRECTS as error:
            if self.nodes.is_write(error):
                self.nodes.lost(self.host, self.port)  # it may serve another slot by now
                self.mark_for_reconnect()  # type: ignore[no-untyped-call]
                raise ReadOnlyError("You can't write against a read only replica.") from None
            if isinstance(error, MovedError):
                await self.nodes.moved(error)
            elif not self.nodes.on_replica:
                await asyncio.sleep(_PAUSE)
            await self.disconnect()
            raise _told(error) from None
        except _LOST:
            self.nodes.lost(self.host, self.port)
            raise


class AsyncSlotSSLConnection(AsyncSlotConnection, redis.asyncio.SSLConnection):
    """See SlotConnection; over TLS."""


@sensitive
def pool(
    module: Any,
    index: bytes,
    addresses: Sequence[tuple[str, int]],
    options: Mapping[str, Any],
    *,
    on_replica: bool = False,
) -> Any:
    """A pool of connections to the node that serves the key `index`, or to its replicas.

    `module` is redis or redis.asyncio; `addresses` are of some nodes of the cluster.
    """
    options = dict(options)
    is_async, is_tls = module is redis.asyncio, bool(options.pop("ssl", False))
    asking = {key: value for key, value in options.items() if key in _ASKING}
    asking["ssl"] = is_tls
    kinds = {
        (False, False): SlotConnection,
        (False, True): SlotSSLConnection,
        (True, False): AsyncSlotConnection,
        (True, True): AsyncSlotSSLConnection,
    }
    known = partial(known_nodes, addresses=addresses, options=asking, is_async=is_async)
    options["nodes"] = SlotNodes(key_slot(index), known, on_replica=on_replica)
    kind: Any = AsyncTimedPool if is_async else TimedPool
    made = kind(connection_class=kinds[is_async, is_tls], **options)
    made.nodes = options["nodes"]
    return made


def node_of(client: Any) -> Hashable:
    """Equal for clients that send to the same node, None while it is not known."""
    nodes = getattr(client.connection_pool, "nodes", None)
    return id(client) if nodes is None else nodes.node
