"""Making redis-py clients, sync and async: our own, and those borrowed from CACHES.

None of this opens a connection; redis-py does that at the first command.
"""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
import redis.asyncio.connection
import redis.asyncio.sentinel
import redis.connection
from django.core.cache import InvalidCacheBackendError, caches
from django.core.exceptions import ImproperlyConfigured
from django.views.decorators.debug import sensitive_variables
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import AbstractRetry, Retry
from redis.sentinel import SentinelConnectionPool

from ..conf import IndexSettings
from ..exceptions import InvalidIndexError

LENDERS = (
    "Use django_redis.cache.RedisCache with its default or its Sentinel client, or "
    "django.core.cache.backends.redis.RedisCache, or give the entry of REDIS a URL."
)

# What an async client takes over from a borrowed pool. The rest belongs to the sync parser, or to
# objects that must not be shared.
_LENT = frozenset(
    {"host", "port", "path", "db", "username", "password", "credential_provider", "protocol"}
    | {"socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options"}
    | {"client_name", "ssl_keyfile", "ssl_certfile", "ssl_password", "ssl_cert_reqs"}
    | {"ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_check_hostname", "ssl_min_version"}
    | {"ssl_ciphers"}
)


def _is_worth_a_retry(error: Exception) -> bool:
    return not isinstance(error, AuthenticationError)  # which redis-py counts as a lost connection


class ReconnectingRetry(Retry):
    """Up to three more attempts after a lost connection, at once: our writes may be repeated.

    None after a time-out, where each attempt would cost a web worker the whole time again.
    """

    def __init__(self) -> None:
        backoff = ExponentialWithJitterBackoff(base=0.02, cap=0.5)
        super().__init__(backoff, 3, supported_errors=(RedisConnectionError,))

    def call_with_retry(  # type: ignore[override]
        self, do: Any, fail: Any, is_retryable: Any = None, **kwargs: Any
    ) -> Any:
        return super().call_with_retry(do, fail, is_retryable or _is_worth_a_retry, **kwargs)


class AsyncReconnectingRetry(AsyncRetry):
    """See ReconnectingRetry."""

    def __init__(self) -> None:
        backoff = ExponentialWithJitterBackoff(base=0.02, cap=0.5)
        super().__init__(backoff, 3, supported_errors=(RedisConnectionError,))

    async def call_with_retry(  # type: ignore[override]
        self, do: Any, fail: Any, is_retryable: Any = None, **kwargs: Any
    ) -> Any:
        return await super().call_with_retry(do, fail, is_retryable or _is_worth_a_retry, **kwargs)


@sensitive_variables()
def own(settings: IndexSettings) -> redis.Redis:
    """A sync client for the address of `settings`."""
    options = {**_defaults(), "retry": ReconnectingRetry(), **dict(settings.options)}
    return redis.Redis.from_pool(_pool(redis, settings, options))


@sensitive_variables()
def own_async(settings: IndexSettings) -> Any:
    """An async client for the address of `settings`."""
    options = {**_defaults(), "retry": AsyncReconnectingRetry(), **dict(settings.options)}
    if isinstance(options["retry"], Retry):
        options["retry"] = _as_async(options["retry"])
    return redis.asyncio.Redis.from_pool(_pool(redis.asyncio, settings, options))


def _defaults() -> dict[str, Any]:
    # No health checks: those are PINGs, which a server refuses that cannot save to its disk,
    # although it would serve the read behind them.
    return {
        "socket_timeout": 5.0,
        "socket_connect_timeout": 2.0,
        "max_connections": 100,
        "timeout": 5,  # how long to wait for a free connection, in seconds
        "driver_info": _driver_info(),
    }


def _driver_info() -> DriverInfo:
    return DriverInfo().add_upstream_driver("conversation-memory", "0.1")


def _as_async(retry: AbstractRetry[Any]) -> AsyncRetry:
    """OPTIONS has one `retry` for both clients, and redis-py two kinds."""
    return AsyncRetry(retry._backoff, retry.get_retries(), retry._supported_errors)


@sensitive_variables()
def _pool(module: Any, settings: IndexSettings, options: dict[str, Any]) -> Any:
    if options.pop("ssl", False):  # an argument of the client, which is none of its pool
        options["connection_class"] = module.SSLConnection
    # A blocking pool: one request more than there are connections waits instead of failing.
    kind = module.BlockingConnectionPool
    try:
        pool = (
            kind.from_url(settings.url, **options)
            if settings.url
            else kind(**_address(settings), **options)
        )
        pool.connection_class(**pool.connection_kwargs)  # or the first command finds what is wrong
        return pool
    except (TypeError, ValueError, RedisError) as error:
        # Their texts name an argument, not its value; but their frames hold the password.
        reason = str(error)
    raise InvalidIndexError(
        f"redis-py does not take the URL or OPTIONS of alias {settings.alias!r}: {reason}"
    )


def _address(settings: IndexSettings) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "db": settings.db,
        "username": settings.username,
        "password": settings.password,
    }


def borrow(settings: IndexSettings) -> Any:
    """The client of an alias of CACHES: of django-redis, or of Django's own backend."""
    try:
        cache = caches[settings.cache or ""]
        lender = getattr(cache, "client", None) or getattr(cache, "_cache", None)
        return lender.get_client(write=True)  # type: ignore[union-attr]
    except (AttributeError, TypeError, NotImplementedError, InvalidCacheBackendError):
        reason = "cannot lend a Redis client"
    except (ImproperlyConfigured, ValueError, RedisError):  # whose frames hold the password
        reason = "has a LOCATION or OPTIONS that its backend does not take"
    raise InvalidIndexError(
        f"The cache {settings.cache!r}, which alias {settings.alias!r} borrows from, {reason}."
    )


@sensitive_variables()
def async_twin(client: Any) -> Any:
    """An async client for the server of a sync one. No backend lends any."""
    pool = client.connection_pool
    options = {key: pool.connection_kwargs[key] for key in _LENT if key in pool.connection_kwargs}
    options |= {"retry": AsyncReconnectingRetry(), "driver_info": _driver_info()}
    if isinstance(pool, SentinelConnectionPool):
        return _async_sentinel(pool, options)
    kind = _async_kind(pool.connection_class)
    twin = redis.asyncio.BlockingConnectionPool(connection_class=kind, timeout=5, **options)
    return redis.asyncio.Redis.from_pool(twin)


def _async_kind(kind: type[Any]) -> type[Any]:
    """The async class for a connection class, perhaps of the project's own."""
    if issubclass(kind, redis.connection.SSLConnection):
        return redis.asyncio.SSLConnection
    if issubclass(kind, redis.connection.UnixDomainSocketConnection):
        return redis.asyncio.UnixDomainSocketConnection
    return redis.asyncio.Connection


@sensitive_variables()
def _async_sentinel(pool: Any, options: dict[str, Any]) -> Any:
    manager = pool.sentinel_manager
    clients = [sentinel.connection_pool.connection_kwargs for sentinel in manager.sentinels]
    addresses = [(client["host"], client["port"]) for client in clients]
    known = {key: value for key, value in manager.sentinel_kwargs.items() if key in _LENT}
    sentinel = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
        addresses, sentinel_kwargs={"socket_timeout": 1.0, **known}
    )
    options = {key: value for key, value in options.items() if key not in ("host", "port")}
    ssl = issubclass(pool.connection_class, redis.connection.SSLConnection)
    return sentinel.master_for(pool.service_name, ssl=ssl, **options)


async def aclose(client: Any) -> None:
    """Close an async client of ours, and those of its Sentinels."""
    await client.aclose()
    if manager := getattr(client.connection_pool, "sentinel_manager", None):
        await manager.aclose()
