"""A settings object -> a Redis client: sync, or async per event loop; owned or borrowed.

Clients are kept process-wide. redis-py's are safe across threads, and its pools notice a fork.
"""

from __future__ import annotations

import asyncio
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
import redis.asyncio.connection
import redis.asyncio.sentinel
import redis.connection
from django.core.cache import caches
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from .commands import Operation, T, aperform, perform
from .conf import IndexSettings
from .exceptions import InvalidIndexError

LENDERS = (
    "Use django_redis.cache.RedisCache with its default or its Sentinel client, or "
    "django.core.cache.backends.redis.RedisCache, or give the entry of REDIS a URL."
)

# What an async client takes over from a borrowed pool. The rest belongs to the sync parser, or to
# objects that must not be shared.
_LENT = frozenset(
    """
    host port path db username password credential_provider socket_timeout socket_connect_timeout
    socket_keepalive socket_keepalive_options health_check_interval client_name protocol
    ssl_keyfile ssl_certfile ssl_cert_reqs ssl_ca_certs ssl_ca_path ssl_ca_data
    ssl_check_hostname ssl_password ssl_min_version ssl_ciphers
    """.split()
)


def _retry(kind: type[Any]) -> Any:
    # A lost connection is worth another attempt at once: every write of ours may be repeated. A
    # server that hangs is not: each attempt would cost a web worker the whole time-out.
    backoff = ExponentialWithJitterBackoff(base=0.02, cap=0.5)
    return kind(backoff, 3, supported_errors=(RedisConnectionError,))


def _defaults() -> dict[str, Any]:
    return {
        "socket_timeout": 5.0,
        "socket_connect_timeout": 2.0,
        "health_check_interval": 30,
        "max_connections": 100,
        "timeout": 5,  # how long to wait for a free connection, in seconds
        "driver_info": DriverInfo().add_upstream_driver("conversation-memory", "0.1"),
    }


class Connection:
    """The clients of one server: one sync client, and one async client for each event loop."""

    def __init__(self, settings: IndexSettings):
        self.settings = settings
        self._client: Any = None
        self._async_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()

    @property
    def client(self) -> Any:
        """The sync client, made on first use."""
        if self._client is None:
            self._client = borrow(self.settings) if self.settings.cache else _own(self.settings)
        return self._client

    @property
    def async_client(self) -> Any:
        """The async client of the running event loop, made on first use."""
        loop = asyncio.get_running_loop()
        if loop not in self._async_clients:
            borrowed = self.settings.cache is not None
            self._async_clients[loop] = (
                _async_twin(self.client) if borrowed else _own_async(self.settings)
            )
        return self._async_clients[loop]

    def run(self, operation: Operation[T], alias: str) -> T:
        return perform(self.client, operation, alias)

    async def arun(self, operation: Operation[T], alias: str) -> T:
        """See run()."""
        return await aperform(self.async_client, operation, alias)

    def close(self) -> None:
        """Close the sync client, if it is ours."""
        client, self._client = self._client, None
        if client is not None and not self.settings.cache:
            client.close()

    async def aclose(self) -> None:
        """Close the async client of the running loop."""
        client = self._async_clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()


class LentConnection(Connection):
    """The connection of a driver that was given a client of the caller's."""

    def __init__(self, client: Any, settings: IndexSettings):
        super().__init__(settings)
        self._lent = client

    @property
    def client(self) -> Any:
        return self._lent

    @property
    def async_client(self) -> Any:
        loop = asyncio.get_running_loop()
        if loop not in self._async_clients:
            self._async_clients[loop] = _async_twin(self._lent)
        return self._async_clients[loop]

    def close(self) -> None:
        """The client is the caller's to close."""


_connections: dict[tuple[Any, ...], Connection] = {}
_lock = Lock()


def connect(settings: IndexSettings) -> Connection:
    """The connection of this process to the server of `settings`."""
    with _lock:
        if settings.server not in _connections:
            _connections[settings.server] = Connection(settings)
        return _connections[settings.server]


def close_all() -> None:
    """Close every sync client that is ours; the next use opens new ones."""
    with _lock:
        closing = list(_connections.values())
        _connections.clear()
    for connection in closing:
        connection.close()


async def aclose_all() -> None:
    """Close the async clients of the running loop."""
    for connection in list(_connections.values()):
        await connection.aclose()


def _own(settings: IndexSettings) -> Any:
    options = {**_defaults(), "retry": _retry(Retry), **dict(settings.options)}
    return redis.Redis.from_pool(_pool(redis, settings, options))


def _own_async(settings: IndexSettings) -> Any:
    options = {**_defaults(), "retry": _retry(AsyncRetry), **dict(settings.options)}
    return redis.asyncio.Redis.from_pool(_pool(redis.asyncio, settings, options))


def _pool(module: Any, settings: IndexSettings, options: dict[str, Any]) -> Any:
    # A blocking pool: one request more than there are connections waits instead of failing.
    if settings.url:
        return module.BlockingConnectionPool.from_url(settings.url, **options)
    return module.BlockingConnectionPool(
        host=settings.host,
        port=settings.port,
        db=settings.db,
        username=settings.username,
        password=settings.password,
        **options,
    )


def borrow(settings: IndexSettings) -> Any:
    """The client of an alias of CACHES: of django-redis, or of Django's own backend."""
    lender = _lender(caches[settings.cache or ""])
    try:
        return lender.get_client(write=True)
    except (AttributeError, TypeError, NotImplementedError):
        raise InvalidIndexError(
            f"The cache {settings.cache!r}, which REDIS[{settings.alias!r}] borrows from, cannot "
            "lend a Redis client."
        ) from None


def _lender(cache: Any) -> Any:
    return getattr(cache, "client", None) or getattr(cache, "_cache", None)


def _async_twin(client: Any) -> Any:
    """An async client for the server of a sync one. No backend lends any."""
    pool = client.connection_pool
    options = {key: pool.connection_kwargs[key] for key in _LENT if key in pool.connection_kwargs}
    options |= {"retry": _retry(AsyncRetry), "driver_info": _defaults()["driver_info"]}
    if isinstance(pool, SentinelConnectionPool):
        return _async_sentinel(pool, options)
    kind = getattr(redis.asyncio.connection, pool.connection_class.__name__, None)
    if kind is None:
        kind = _async_kind(pool.connection_class)
    twin = redis.asyncio.BlockingConnectionPool(connection_class=kind, timeout=5, **options)
    return redis.asyncio.Redis.from_pool(twin)


def _async_kind(kind: type[Any]) -> type[Any]:
    """The async class for a connection class of the project's own, by what it derives from."""
    if issubclass(kind, redis.connection.SSLConnection):
        return redis.asyncio.SSLConnection
    if issubclass(kind, redis.connection.UnixDomainSocketConnection):
        return redis.asyncio.UnixDomainSocketConnection
    return redis.asyncio.Connection


def _async_sentinel(pool: Any, options: dict[str, Any]) -> Any:
    manager = pool.sentinel_manager
    clients = [sentinel.connection_pool.connection_kwargs for sentinel in manager.sentinels]
    addresses = [(client["host"], client["port"]) for client in clients]
    known = {key: value for key, value in manager.sentinel_kwargs.items() if key in _LENT}
    sentinel = redis.asyncio.sentinel.Sentinel(addresses, sentinel_kwargs=known)  # type: ignore[no-untyped-call]
    options = {key: value for key, value in options.items() if key not in ("host", "port")}
    return sentinel.master_for(pool.service_name, **options)
