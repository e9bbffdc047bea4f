"""System checks of settings.REDIS. Only those of `check --deploy` contact a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from . import conf, layouts, masking
from .exceptions import ConversationMemoryError, InvalidIndexError
from .indexes import indexes
from .redis_io import clients
from .redis_io.operations import info

_OFF = ("none", "false", "0", "no", "verifymode.cert_none")


@register("conversation_memory")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    entries = getattr(settings, "REDIS", {})
    if not isinstance(entries, Mapping):
        return [
            Error(
                "settings.REDIS is not a dict of dicts.",
                hint='Write REDIS = {"default": {"URL": "redis://localhost:6379/0"}}.',
                id="conversation_memory.E001",
            )
        ]
    messages = [message for alias, entry in entries.items() for message in _check(alias, entry)]
    return messages or list(_check_sharing(entries))


_HINTS = {
    "incomplete": "Run `manage.py reindexconversations --using {}`.",
    "absent": "Use a Redis with RediSearch, or remove SEARCH.",
    "denied": "ACL SETUSER ... +ft.info +ft.create +ft.search +ft.aggregate +ft._list",
}


@register("conversation_memory", deploy=True)
def check_search(**kwargs: Any) -> list[CheckMessage]:
    return _of_each(_check_state)


def _of_each(check: Callable[[str], Iterator[CheckMessage]]) -> list[CheckMessage]:
    """The messages about each alias, unless the settings have errors, which E001… report."""
    if any(message.is_serious() for message in check_settings()):
        return []
    return [message for alias in getattr(settings, "REDIS", {}) for message in check(alias)]


def _check_state(alias: str) -> Iterator[CheckMessage]:
    if conf.get(alias).search is None:
        return
    try:
        state = indexes[alias].search_state()
        kind, reason = state.kind, "" if state.complete else state.reason
    except ConversationMemoryError as error:
        kind, reason = "", str(error)
    if reason:
        yield Warning(
            f"Searches in settings.REDIS[{alias!r}] may be incomplete. {reason}",
            hint=_HINTS.get(kind, "").format(alias) or None,
            id="conversation_memory.W004",
        )


@register("conversation_memory", deploy=True)
def check_eviction(**kwargs: Any) -> list[CheckMessage]:
    return _of_each(_check_eviction)


def _check_eviction(alias: str) -> Iterator[CheckMessage]:
    memory: dict[str, str] = {}
    with suppress(ConversationMemoryError):  # an unreachable server evicts nothing
        memory = indexes[alias]._run(info("memory"))
    policy = memory.get("maxmemory_policy", "")
    if policy.startswith("allkeys-") and memory.get("maxmemory", "0") != "0":
        yield Warning(
            f"The Redis of settings.REDIS[{alias!r}] has the maxmemory-policy {policy}: when its "
            "memory is full, it deletes conversations and even whole indexes.",
            hint="Set maxmemory-policy to noeviction, in redis.conf or with your provider. On a "
            "server that is also a cache, volatile-lru keeps keys without a TTL.",
            id="conversation_memory.W005",
        )


@register("conversation_memory", deploy=True)
def check_secrets(**kwargs: Any) -> list[CheckMessage]:
    return [
        Warning(
            f"settings.{name} contains a password of settings.REDIS or settings.CACHES, which "
            "Django's error reports show.",
            hint="Put PASS into its name, or mask it in your DEFAULT_EXCEPTION_REPORTER_FILTER.",
            id="conversation_memory.W006",
        )
        for name in masking.shown_settings()
    ]


def _check(alias: str, entry: Any) -> Iterator[CheckMessage]:
    faults = list(conf.find_faults(alias, entry))
    for fault in faults:
        yield Error(
            fault,
            hint="See the table of settings in the README of django-conversation-memory.",
            id="conversation_memory.E002",
        )
    if not faults:
        yield from _check_layout(alias)
        yield from _check_client(conf.get(alias))
        yield from _check_tls(alias, entry)
        yield from _check_search(conf.get(alias))


def _check_layout(alias: str) -> Iterator[CheckMessage]:
    try:
        layouts.layout(conf.get(alias))
    except InvalidIndexError as error:
        yield Error(str(error), hint="Without LAYOUT, it is 'hash'.", id="conversation_memory.E003")
    except ImproperlyConfigured as error:
        yield Error(
            f"LANGUAGE in SEARCH of settings.REDIS[{alias!r}] cannot be used. {error}",
            hint="Without LANGUAGE, words are found only as they are written.",
            id="conversation_memory.E007",
        )


def _check_client(index: conf.IndexSettings) -> Iterator[CheckMessage]:
    make = clients.borrow if index.cache else clients.own
    try:
        make(index)  # opens no connection
    except InvalidIndexError as error:
        if index.cache:
            yield Error(str(error), hint=clients.LENDERS, id="conversation_memory.E004")
        else:
            yield Error(
                str(error),
                hint="OPTIONS takes the keyword arguments of redis.Redis().",
                id="conversation_memory.E005",
            )


def _check_sharing(entries: Mapping[str, Any]) -> Iterator[CheckMessage]:
    found: dict[tuple[Any, ...], conf.IndexSettings] = {}
    for index in map(conf.get, entries):
        other = found.setdefault((index.server, index.index), index)
        if other.layout != index.layout:
            yield Error(
                f"settings.REDIS[{other.alias!r}] and settings.REDIS[{index.alias!r}] share the "
                f"index {index.index!r} but have different layouts, which hides runs.",
                hint="Give one of them another INDEX, or both the same LAYOUT.",
                id="conversation_memory.E006",
            )
        if other.search != index.search:
            yield Warning(
                f"settings.REDIS[{other.alias!r}] and settings.REDIS[{index.alias!r}] share the "
                f"index {index.index!r} but have different SEARCH settings: a search does not "
                "find runs written through the other alias.",
                hint="Give both the same SEARCH.",
                id="conversation_memory.W003",
            )


def _check_search(index: conf.IndexSettings) -> Iterator[CheckMessage]:
    if index.search is None:
        return
    if index.db:
        yield Warning(
            f"settings.REDIS[{index.alias!r}] has SEARCH but uses database {index.db}. RediSearch "
            "indexes only database 0, so searches have to read all conversations.",
            hint="Use database 0.",
            id="conversation_memory.W002",
        )
    if index.search.embed:
        try:
            import_string(index.search.embed)
        except ImportError as error:
            yield Error(
                f"EMBED in SEARCH of settings.REDIS[{index.alias!r}] cannot be imported: {error}.",
                hint="Name a callable, as in 'project.embeddings.embed'.",
                id="conversation_memory.E008",
            )


def _check_tls(alias: str, entry: Mapping[str, Any]) -> Iterator[CheckMessage]:
    query = parse_qs(urlsplit(str(entry.get("URL", ""))).query, keep_blank_values=True)
    given = {key: values[-1] for key, values in query.items()} | dict(entry.get("OPTIONS", {}))
    for key in ("ssl_cert_reqs", "ssl_check_hostname"):
        if key in given and str(given[key]).lower() in _OFF:
            yield Warning(
                f"settings.REDIS[{alias!r}] disables TLS verification ({key}): an attacker on the "
                "network can read and change every conversation.",
                hint="Name the certificate authority of the server with ssl_ca_certs instead.",
                id="conversation_memory.W001",
            )
