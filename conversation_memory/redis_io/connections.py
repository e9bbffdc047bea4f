"""The clients of each server: a sync client for the process, an async one for each event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

import redis.asyncio
from redis.connection import parse_url

from ..conf import IndexSettings
from ..exceptions import InvalidIndexError, TooManyFollowers
from . import clients

Guard = AsyncGenerator[None, None]


# redis-py's sync clients are safe across threads, and their pools notice a fork. An async client
# works in one event loop only, and must be closed before that loop is.
class AsyncClients:
    """An async client for each event loop, closed when the loop ends."""

    def __init__(self) -> None:
        self._clients = WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Any, Guard]]()

    def get(self, make: Callable[[], Any]) -> Any:
        """The client of the running loop; `make` makes it at the first use."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            # A client holds its loop, so that the dictionary keeps both of a closed one.
            for closed in [known for known in list(self._clients) if known.is_closed()]:
                self._clients.pop(closed, None)
            client = make()
            guard = _closing(client)
            with suppress(StopIteration):
                guard.__anext__().send(None)  # to the yield, so that the loop knows of it
            self._clients[loop] = client, guard
        return self._clients[loop][0]

    def close(self) -> None:
        """Let every loop close its client as soon as it runs."""
        for loop in list(self._clients):
            _, guard = self._clients.pop(loop, (None, None))
            if guard is not None and not loop.is_closed():
                loop.call_soon_threadsafe(loop.create_task, guard.aclose())

    async def aclose(self) -> None:
        """Close the client of the running loop."""
        _, guard = self._clients.pop(asyncio.get_running_loop(), (None, None))
        if guard is not None:
            await guard.aclose()


# asyncio.run(), async_to_sync() and Django's test cases close the asynchronous generators of a loop
# before they close the loop.
async def _closing(client: Any) -> Guard:
    try:
        yield
    finally:
        await clients.aclose(client)


class Connection:
    """The clients of one server: one sync client, and one async client for each event loop."""

    def __init__(self, settings: IndexSettings):
        self.settings = settings
        self._is_borrowed = bool(settings.cache)
        self._client: Any = None
        self._lock = Lock()
        self._async_clients = AsyncClients()
        self._follower: Any = None
        self._async_followers = AsyncClients()
        self._replica: Any = None
        self._async_replicas = AsyncClients()
        self._followers = 0
        self._reads = WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, Any]]()

    @property
    def client(self) -> Any:
        """The sync client, made on first use."""
        client = self._client
        return self._made() if client is None else client

    def _made(self) -> Any:
        with self._lock:
            if self._client is None:
                contacted.add(self.settings.server)
                make = clients.borrow if self._is_borrowed else clients.own
                self._client = make(self.settings)
            return self._client

    @property
    def async_client(self) -> Any:
        """The async client of the running event loop, made on first use."""
        return self._async_clients.get(self._make_async)

    def _make_async(self) -> Any:
        contacted.add(self.settings.server)
        if self._is_borrowed:
            return clients.async_twin(self.client)
        return clients.own_async(self.settings)

    @property
    def replica(self) -> Any:
        """A sync client for the replicas of the server; only with CLUSTER or SENTINELS."""
        with self._lock:
            if self._replica is None:
                self._replica = clients.own(self.settings, on_replica=True)
            return self._replica

    @property
    def async_replica(self) -> Any:
        """See `replica`; that of the running event loop."""
        make = partial(clients.own_async, self.settings, on_replica=True)
        return self._async_replicas.get(make)

    @property
    def follower(self) -> Any:
        """A sync client whose commands may wait, with connections besides those of the others."""
        client = self.client
        with self._lock:
            if self._follower is None:
                self._follower = clients.waiting(client)
            return self._follower

    @property
    def async_follower(self) -> Any:
        """See `follower`; that of the running event loop."""
        return self._async_followers.get(lambda: clients.waiting(self.async_client))

    @property
    def reads(self) -> dict[Any, Any]:
        """The reads of the running event loop that several followers wait for together."""
        return self._reads.setdefault(asyncio.get_running_loop(), {})

    @contextmanager
    def following(self, alias: str, limit: int) -> Iterator[None]:
        """Count one of those who wait. Raises `TooManyFollowers` beyond `limit`."""
        with self._lock:
            if self._followers >= limit:
                raise TooManyFollowers(
                    f"This process follows {limit:,} replies of the Redis of alias {alias!r} at "
                    "once, which is the limit (MAX_FOLLOWERS)."
                )
            self._followers += 1
        try:
            yield
        finally:
            with self._lock:
                self._followers -= 1

    @property
    def address(self) -> str:
        """The address of the server without credentials: `localhost:6379/0`."""
        pool = self.client.connection_pool
        options = pool.connection_kwargs
        if self.settings.cluster:
            return f"{', '.join(map(_node, self.settings.cluster))} (cluster)"
        server = f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        server = getattr(pool, "service_name", options.get("path", server))
        return f"{server}/{options.get('db') or 0}"

    @property
    def _async_pools(self) -> tuple[AsyncClients, ...]:
        return self._async_clients, self._async_followers, self._async_replicas

    def close(self) -> None:
        """Close the clients of ours, the async ones when their loops run next."""
        client, self._client = self._client, None
        if client is not None and not self._is_borrowed:
            clients.close(client)
        replica, self._replica = self._replica, None
        if replica is not None:
            clients.close(replica)
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.close()
        for pool in self._async_pools:
            pool.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "A driver or an index cannot be pickled, since its connection holds the password. "
            "Hand over the alias and the conversation id."
        )

    def __deepcopy__(self, memo: Any) -> Connection:
        return self  # Django copies the attributes that setUpTestData() made


# A caller may make a driver for each request with one client. What is ours of them is kept for its
# pool, which no value may refer to: it would never be freed.
_shared: WeakKeyDictionary[Any, Connection] = WeakKeyDictionary()


class LentConnection(Connection):
    """The connection of a driver that was given a redis-py client, sync or async."""

    def __init__(self, client: Any, settings: IndexSettings):
        super().__init__(settings)
        self._is_borrowed = True
        self._client = client
        with _lock:
            self._shared = _shared.setdefault(client.connection_pool, Connection(settings))
        self._async_clients = self._shared._async_clients
        self._async_followers = self._shared._async_followers
        self._is_async = isinstance(client, redis.asyncio.Redis)

    @property
    def client(self) -> Any:
        if self._is_async:
            raise InvalidIndexError("A driver with an async client has only async methods.")
        return self._client

    @property
    def async_client(self) -> Any:
        return self._client if self._is_async else super().async_client

    @property
    def follower(self) -> Any:
        client, shared = self.client, self._shared
        with shared._lock:
            if shared._follower is None:
                shared._follower = clients.waiting(client)
            return shared._follower

    @property
    def reads(self) -> dict[Any, Any]:
        return self._shared.reads

    @contextmanager
    def following(self, alias: str, limit: int) -> Iterator[None]:
        with self._shared.following(alias, limit):
            yield


def lent(client: Any, settings: IndexSettings) -> Connection:
    """The connection of a driver that was given `client`."""
    if clients.is_cluster(client):
        # It cannot do all that a client of one server can: ours goes to the same nodes.
        return connect(clients.settings_of(client, settings))
    return LentConnection(client, settings)


# What test helpers have to clean: the servers for which this process has made a client.
contacted: set[tuple[Any, ...]] = set()

_connections: dict[tuple[Any, ...], Connection] = {}
_lock = Lock()


def connect(settings: IndexSettings) -> Connection:
    """The connection of this process to the server of `settings`."""
    with _lock:
        if settings.server not in _connections:
            _connections[settings.server] = Connection(settings)
        return _connections[settings.server]


def _node(url: str) -> str:
    """`redis://user:word@host:6379/0` as `host:6379`."""
    parts = parse_url(url)  # type: ignore[no-untyped-call]
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 6379)}"


def close_all() -> None:
    """Close every client of ours; the next use opens new ones."""
    with _lock:
        closing = list(_connections.values())
        _connections.clear()
    for connection in closing:
        connection.close()


async def aclose_all() -> None:
    """Close the async clients of the running loop."""
    for connection in list(_connections.values()):
        for pool in connection._async_pools:
            await pool.aclose()
