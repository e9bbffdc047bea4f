"""What is known of the nodes of a cluster, by all connections of a process or of an event loop."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

import redis.asyncio.cluster
import redis.cluster
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from ..exceptions import sensitive

UNKNOWN = "unknown"  # not the name of a node

_lock = Lock()


class KnownNodes:
    """A cluster client that knows the nodes, which the pools of all slots of a cluster share.

    `make` makes it on first use, of `given`: addresses which are asked again when it reaches no
    node that it knows.
    """

    def __init__(
        self,
        given: Sequence[tuple[str, int]],
        make: Callable[[Sequence[tuple[str, int]]], Any],
    ):
        self.given, self.make = list(given), make
        self.client: Any = None
        self.users: WeakSet[Any] = WeakSet()
        self._asked: float | None = None  # when the client asked for the nodes, on this machine
        self._lock = Lock()
        self._alock = asyncio.Lock()

    def ask(self, failed: str | None, since: float) -> None:
        """Ask for the nodes, if they are not known or one has failed since they were."""
        with self._lock:
            now = time.monotonic()
            try:
                if self.client is None:
                    self.client = self.make(self.given)  # which asks
                elif failed and since >= (self._asked or 0):
                    self.client.nodes_manager.initialize(self.given, last_failed_node_name=failed)
                else:
                    return
            except (RedisError, RedisClusterException) as error:
                raise _cause(error) from None
            self._asked = now

    async def aask(self, failed: str | None, since: float) -> None:
        """See ask()."""
        async with self._alock:
            now = time.monotonic()
            if self.client is None:
                self.client = self.make(self.given)
            manager = self.client.nodes_manager
            if self._asked is not None and not (failed and since >= self._asked):
                return
            try:
                await manager.initialize(last_failed_node_name=failed or UNKNOWN)
            except (RedisError, RedisClusterException) as error:
                # As given to initialize(), they would keep connections open.
                given = self.make(self.given).nodes_manager.startup_nodes
                manager.startup_nodes = {**given, **manager.startup_nodes}
                raise _cause(error) from None
            self._asked = now


def _cause(error: Exception) -> Exception:
    # The cluster client wraps what the last node that it tried has answered.
    cause = error.__cause__ or error
    return cause if isinstance(cause, RedisError) else ResponseError(str(cause))


# An async client works in one event loop only.
_shared: WeakKeyDictionary[Any, WeakValueDictionary[str, KnownNodes]] = WeakKeyDictionary()


@sensitive
def known_nodes(
    user: object,
    addresses: Sequence[tuple[str, int]],
    options: Mapping[str, Any],
    *,
    is_async: bool,
) -> KnownNodes:
    """What the connections of `user` share with others to the same cluster."""
    make = partial(_cluster, options=options, is_async=is_async)
    name = sha256(f"{[*addresses]} {options}".encode()).hexdigest()  # they have the password
    with _lock:
        place = _shared.setdefault(_loop() if is_async else KnownNodes, WeakValueDictionary())
        known = place.get(name)
        if known is None or not known.users:  # it was closed
            place[name] = known = KnownNodes(addresses, make)
        known.users.add(user)
        return known


def _loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.Lock()  # shared with nobody


@sensitive
def _cluster(
    addresses: Sequence[tuple[str, int]], options: Mapping[str, Any], *, is_async: bool
) -> Any:
    module = redis.asyncio.cluster if is_async else redis.cluster
    nodes = [module.ClusterNode(host, port) for host, port in addresses]
    # Another slot that no node serves is no reason to fail.
    return module.RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options)
