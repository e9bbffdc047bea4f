"""Making redis-py clients, sync and async: our own, and those borrowed from CACHES.

None of this opens a connection; redis-py does that at the first command. EMBEDDED starts a server.
"""

import os
from dataclasses import replace
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.connection
import redis.asyncio.sentinel
import redis.cluster
import redis.connection
import redis.sentinel
from django.core.cache import InvalidCacheBackendError, caches
from django.core.exceptions import ImproperlyConfigured
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.connection import parse_url
from redis.driver_info import DriverInfo
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from ..conf import IndexSettings, embedded_redis
from ..exceptions import InvalidIndexError, RedisUnavailable, sensitive
from ..keys import encode
from . import sentinels, slots
from .async_connections import quicken
from .traffic import AsyncTimedPool, TimedPool, note_retry

LENDERS = (
    "Use django_redis.cache.RedisCache with its default or its Sentinel client, or "
    "django.core.cache.backends.redis.RedisCache, or give the entry of REDIS a URL."
)

_ADDRESS = ("host", "port", "db", "username", "password")

# The options that an async client takes over from a borrowed pool. The others belong to the sync
# parser, or to objects that must not be shared.
_LENT = frozenset(
    {*_ADDRESS, "path", "credential_provider", "protocol"}
    | {"socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options"}
    | {"client_name", "ssl_keyfile", "ssl_certfile", "ssl_password", "ssl_cert_reqs"}
    | {"ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_check_hostname", "ssl_min_version"}
    | {"ssl_ciphers"}
)

_DRIVER_INFO = DriverInfo().add_upstream_driver("conversation-memory", "0.1")

LONGEST_WAIT = 15.0  # in seconds; of commands that wait

# No health checks: a server that cannot save to its disk rejects their PING, although it would
# serve the read that follows.
_DEFAULTS: dict[str, Any] = {
    "socket_timeout": 5.0,
    "socket_connect_timeout": 2.0,
    "max_connections": 100,
    "timeout": 5,  # how long to wait for a free connection, in seconds
    "driver_info": _DRIVER_INFO,
}


_SENTINEL_DEFAULTS: dict[str, Any] = {
    "socket_timeout": 1.0,
    "socket_connect_timeout": 1.0,
    "driver_info": _DRIVER_INFO,
}


class _Reconnecting:
    """Up to three more attempts after a lost connection, at once: our writes may be repeated."""

    # Not after a time-out, where each attempt would cost a web worker the whole time again.
    def __init__(self) -> None:
        backoff = ExponentialWithJitterBackoff(base=0.02, cap=0.5)
        super().__init__(backoff, 3, supported_errors=(RedisConnectionError,))  # type: ignore[call-arg]

    def call_with_retry(self, do: Any, fail: Any, is_retryable: Any = None, **kwargs: Any) -> Any:
        # redis-py counts rejected credentials as a lost connection.
        wanted = is_retryable or (lambda error: not isinstance(error, AuthenticationError))

        def counted(*args: Any) -> Any:
            note_retry()
            return fail(*args)

        return super().call_with_retry(do, counted, wanted, **kwargs)  # type: ignore[misc]


class ReconnectingRetry(_Reconnecting, Retry):  # type: ignore[misc]
    """The retry of sync clients."""


class AsyncReconnectingRetry(_Reconnecting, AsyncRetry):  # type: ignore[misc]
    """The retry of async clients."""


@sensitive
def own(settings: IndexSettings, *, on_replica: bool = False) -> redis.Redis:
    """A sync client for the address of `settings`, or for the replicas of that server."""
    options = {**_DEFAULTS, "retry": ReconnectingRetry(), **dict(settings.options)}
    return redis.Redis.from_pool(_pool(redis, settings, options, on_replica=on_replica))


@sensitive
def own_async(settings: IndexSettings, *, on_replica: bool = False) -> Any:
    """See own(); an async client."""
    options = {**_DEFAULTS, "retry": AsyncReconnectingRetry(), **dict(settings.options)}
    retry = options["retry"]
    if isinstance(retry, Retry):  # OPTIONS has one for both clients, and redis-py two kinds
        errors: Any = retry._supported_errors
        options["retry"] = AsyncRetry(retry._backoff, retry.get_retries(), errors)
    pool = _pool(redis.asyncio, settings, options, on_replica=on_replica)
    return redis.asyncio.Redis.from_pool(pool)


@sensitive
def _pool(
    module: Any, settings: IndexSettings, options: dict[str, Any], *, on_replica: bool
) -> Any:
    try:
        if settings.sentinels:
            pool = _sentinel_pool(module, settings, options, on_replica=on_replica)
        elif settings.cluster:
            pool = _slot_pool(module, settings, options, on_replica=on_replica)
        else:
            pool = _server_pool(module, settings, options)
        pool.connection_class(**pool.connection_kwargs)  # rejects a wrong argument now
        return pool if module is redis else quicken(pool)
    except (TypeError, ValueError, RedisError) as error:
        # Their texts name an argument, not its value; but their frames hold the password.
        reason = str(error)
    raise InvalidIndexError(
        f"redis-py does not take the URL or OPTIONS of alias {settings.alias!r}: {reason}"
    )


@sensitive
def _server_pool(module: Any, settings: IndexSettings, options: dict[str, Any]) -> Any:
    if options.pop("ssl", False):  # an argument of the client, but not of its pool
        options["connection_class"] = module.SSLConnection
    # A blocking pool: one request more than there are connections waits instead of failing.
    kind: Any = TimedPool if module is redis else AsyncTimedPool
    if url := embedded(settings) if settings.embedded else settings.url:
        return kind.from_url(url, **options)
    return kind(**{key: getattr(settings, key) for key in _ADDRESS}, **options)


@sensitive
def _slot_pool(
    module: Any, settings: IndexSettings, options: dict[str, Any], *, on_replica: bool
) -> Any:
    nodes = [parse_url(url) for url in settings.cluster]  # type: ignore[no-untyped-call]
    given = {key: value for key, value in nodes[0].items() if key not in ("host", "port", "db")}
    is_tls = given.pop("connection_class", None) is not None
    options = {**_credentials(settings), **options, **given}
    options["ssl"] = is_tls or options.get("ssl", False)
    addresses = [(node.get("host", "localhost"), node.get("port", 6379)) for node in nodes]
    index = encode(settings.index)
    return slots.pool(module, index, addresses, options, on_replica=on_replica)


@sensitive
def _sentinel_pool(
    module: Any, settings: IndexSettings, options: dict[str, Any], *, on_replica: bool
) -> Any:
    is_async = module is redis.asyncio
    retry = AsyncReconnectingRetry() if is_async else ReconnectingRetry()
    asking = {**_SENTINEL_DEFAULTS, "retry": retry, **dict(settings.sentinel_options)}
    manager = (sentinels.AsyncMasterSentinel if is_async else sentinels.MasterSentinel)(
        settings.sentinels, sentinel_kwargs=asking
    )
    kind = sentinels.AsyncBlockingMasterPool if is_async else sentinels.BlockingMasterPool
    options = {**_credentials(settings), "db": settings.db, **options, "is_master": not on_replica}
    return kind(settings.service, manager, **options)


def _credentials(settings: IndexSettings) -> dict[str, Any]:
    named = {"username": settings.username, "password": settings.password}
    return {key: value for key, value in named.items() if value is not None}


def embedded(settings: IndexSettings) -> str:
    """The URL for EMBEDDED: REDIS_URL of the environment, or else that of the project's Redis.

    Raises `RedisUnavailable` if there is no such server and it cannot be started.
    """
    if url := os.environ.get("REDIS_URL"):
        return url
    from ..testing.embedded_redis import EmbeddedRedisError, shared_redis

    try:
        return shared_redis(*embedded_redis(settings.embedded))
    except EmbeddedRedisError as error:
        reason = f"The embedded Redis of alias {settings.alias!r} cannot be started: {error}"
        raise RedisUnavailable(reason) from error


def borrow(settings: IndexSettings) -> Any:
    """The client of an alias of CACHES: of django-redis, or of Django's own backend."""
    try:
        cache = caches[settings.cache or ""]
        lender = getattr(cache, "client", None) or getattr(cache, "_cache", None)
        return lender.get_client(write=True)  # type: ignore[union-attr]
    except (AttributeError, TypeError, NotImplementedError, InvalidCacheBackendError):
        reason = "cannot lend a Redis client"
    except (ImproperlyConfigured, ValueError, RedisError):  # their frames hold the password
        reason = "has a LOCATION or OPTIONS that its backend does not take"
    raise InvalidIndexError(
        f"The cache {settings.cache!r}, which alias {settings.alias!r} borrows from, {reason}."
    )


@sensitive
def async_twin(client: Any) -> Any:
    """An async client for the server of a sync one, since no cache backend lends one."""
    pool = client.connection_pool
    options = {key: pool.connection_kwargs[key] for key in _LENT if key in pool.connection_kwargs}
    options |= {"retry": AsyncReconnectingRetry(), "driver_info": _DRIVER_INFO}
    if isinstance(pool, SentinelConnectionPool):
        return _async_sentinel(pool, options)
    kind = redis.asyncio.Connection
    for name in ("SSLConnection", "UnixDomainSocketConnection"):
        # A project may have a connection class of its own, which is derived from one of these.
        if issubclass(pool.connection_class, getattr(redis.connection, name)):
            kind = getattr(redis.asyncio, name)
    twin = AsyncTimedPool(connection_class=kind, timeout=5, **options)
    return redis.asyncio.Redis.from_pool(quicken(twin))


@sensitive
def _async_sentinel(pool: Any, options: dict[str, Any]) -> Any:
    manager = pool.sentinel_manager
    clients = [sentinel.connection_pool.connection_kwargs for sentinel in manager.sentinels]
    addresses = [(client["host"], client["port"]) for client in clients]
    known = {key: value for key, value in manager.sentinel_kwargs.items() if key in _LENT}
    sentinel = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
        addresses, sentinel_kwargs={"socket_timeout": 1.0, **known}
    )
    # Sentinel tells host and port.
    options = {key: value for key, value in options.items() if key not in ("host", "port")}
    ssl = issubclass(pool.connection_class, redis.connection.SSLConnection)
    client = sentinel.master_for(pool.service_name, ssl=ssl, **options)
    quicken(client.connection_pool)
    return client


def is_cluster(client: Any) -> bool:
    """True for a cluster client of redis-py, sync or async."""
    return isinstance(client, redis.cluster.RedisCluster | redis.asyncio.RedisCluster)


@sensitive
def settings_of(client: Any, settings: IndexSettings) -> IndexSettings:
    """`settings` with the nodes, the credentials and the options of a cluster client."""
    manager = client.nodes_manager
    given = manager.connection_kwargs
    options = {key: given[key] for key in _LENT if given.get(key) is not None}
    options = {key: value for key, value in options.items() if key not in (*_ADDRESS, "path")}
    kind = given.get("connection_class", redis.Connection)
    tls = (redis.SSLConnection, redis.asyncio.SSLConnection)
    scheme = "rediss" if given.get("ssl") or issubclass(kind, tls) else "redis"
    nodes = [(node.host, node.port) for node in manager.startup_nodes.values()]
    hosts = sorted((f"[{host}]" if ":" in host else host, port) for host, port in nodes)
    return replace(
        settings,
        cluster=tuple(f"{scheme}://{host}:{port}" for host, port in hosts),
        username=given.get("username"),
        password=given.get("password"),
        options=tuple(sorted(options.items())),
    )


@sensitive
def waiting(client: Any) -> Any:
    """A client of the same kind and server for commands that wait, such as XREAD with BLOCK."""
    pool = client.connection_pool
    options = {k: v for k, v in pool.connection_kwargs.items() if k != "connection_pool"}
    options |= {"socket_timeout": LONGEST_WAIT + 5.0, "connection_class": pool.connection_class}
    options["max_connections"] = 2**31  # MAX_FOLLOWERS is the limit; that of redis-py is 100
    kind = redis.asyncio if isinstance(client, redis.asyncio.Redis) else redis
    if hasattr(pool, "sentinel_manager"):
        own = sentinels.unlimited(type(pool))(pool.service_name, pool.sentinel_manager, **options)
    else:
        own = kind.ConnectionPool(**options)
    return kind.Redis.from_pool(own)


def close(client: Any) -> None:
    """Close a client of ours, and those that tell it where the server is."""
    client.close()
    pool = client.connection_pool
    if manager := getattr(pool, "sentinel_manager", None):
        manager.close()
    if nodes := pool.connection_kwargs.get("nodes"):
        nodes.close()


async def aclose(client: Any) -> None:
    """See close()."""
    await client.aclose()
    pool = client.connection_pool
    if manager := getattr(pool, "sentinel_manager", None):
        await manager.aclose()
    if nodes := pool.connection_kwargs.get("nodes"):
        await nodes.aclose()
