"""System checks of settings.REDIS. Only those of `check --deploy` contact a server."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from inspect import iscoroutinefunction
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from . import conf, layouts, masking
from .encryption.keyring import cipher_class
from .exceptions import ConversationMemoryError, InvalidIndexError, PackageMissing
from .indexes import indexes
from .redis_io import clients
from .redis_io.operations import info
from .telemetry import is_installed

_OFF = ("none", "false", "0", "no", "verifymode.cert_none")
# In seconds, for all that is asked of a server.
_LONGEST = 10.0

# By the names of the findings of health().
_IDS = {
    "reachable": "W009",
    "permissions": "W011",
    "writes": "W012",
    "memory": "W013",
    "eviction": "W005",
    "persistence": "W014",
    "clock": "W015",
    "replicas": "W016",
    "search": "W004",
    "encryption": "W019",
    "size": "W020",
}
_SENTENCES = {
    "reachable": "cannot be used",
    "permissions": "lacks permissions",
    "writes": "cannot be written",
    "memory": "has little memory left",
    "eviction": "may lose conversations",
    "persistence": "may lose conversations",
    "clock": "has another time",
    "replicas": "has replicas that lag",
    "search": "may miss something in searches",
    "encryption": "may not decrypt what is stored",
    "size": "is too large for one index",
}


@register("conversation_memory")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    try:
        entries = conf.entries()
    except InvalidIndexError as error:
        hint = 'Write REDIS = {"default": {"URL": "redis://localhost:6379/0"}}.'
        return [Error(str(error), hint=hint, id="conversation_memory.E001")]
    if not entries:
        return list(_check_default_cache())
    found = [message for alias, entry in entries.items() for message in _check_entry(alias, entry)]
    is_usable = not any(message.is_serious() for message in found)
    return [*found, *(_check_sharing(entries) if is_usable else ())]


def _check_default_cache() -> Iterator[CheckMessage]:
    """Without REDIS, the default cache lends its connection."""
    if "default" in conf.aliases():
        yield _clears("default")
        return
    yield Warning(
        "There is no settings.REDIS, and the cache 'default' does not use Redis: "
        "indexes['default'] cannot be used.",
        hint='Write REDIS = {"default": {"URL": "redis://localhost:6379/0"}}.',
        id="conversation_memory.W008",
    )


def _clears(cache: str) -> Warning:
    return Warning(
        f"Conversations and the cache {cache!r} share a database of Redis: cache.clear() deletes "
        "every conversation.",
        hint="Give the entry of REDIS a URL instead of a CACHE, with another database than that "
        "of the cache. If nothing ever clears the cache, add 'CACHE_IS_SHARED': True.",
        id="conversation_memory.W007",
    )


def _check_entry(alias: str, entry: Any) -> Iterator[CheckMessage]:
    where = f"settings.REDIS[{alias!r}]"
    if faults := list(conf.find_faults(alias, entry)):
        hint = "See docs/reference/settings.md of django-conversation-memory."
        yield from (Error(fault, hint=hint, id="conversation_memory.E002") for fault in faults)
        return

    index = conf.get(alias)
    try:
        layouts.layout(replace(index, telemetry=()))
    except InvalidIndexError as error:
        yield Error(str(error), hint="Without LAYOUT, it is 'hash'.", id="conversation_memory.E003")
    except ImproperlyConfigured as error:
        yield Error(
            f"LANGUAGE in SEARCH of {where} cannot be used. {error}",
            hint="Without LANGUAGE, words are found only as they are written.",
            id="conversation_memory.E007",
        )
    yield from _check_client(index)
    yield from _check_tls(where, entry)
    yield from _check_paths(where, index)
    yield from _check_encryption(where, index)
    yield from _check_opt_in(where, index)
    if "prometheus" in index.telemetry and not is_installed("prometheus"):
        yield Error(
            f"TELEMETRY of {where} has 'prometheus', but prometheus-client is not installed.",
            hint="pip install 'django-conversation-memory[prometheus]'.",
            id="conversation_memory.E010",
        )
    if index.search and index.db:
        yield Warning(
            f"{where} has SEARCH but uses database {index.db}. RediSearch indexes only database 0, "
            "so searches have to read all conversations.",
            hint="Use database 0.",
            id="conversation_memory.W002",
        )


def _check_client(index: conf.IndexSettings) -> Iterator[CheckMessage]:
    make = clients.borrow if index.cache else clients.own
    try:
        make(replace(index, embedded=False))  # opens no connection, starts no server
    except InvalidIndexError as error:
        options = "OPTIONS takes the keyword arguments of redis.Redis()."
        yield Error(
            str(error),
            hint=clients.LENDERS if index.cache else options,
            id=f"conversation_memory.{'E004' if index.cache else 'E005'}",
        )
    else:
        if index.cache and not index.cache_is_shared:
            yield _clears(index.cache)


def _check_tls(where: str, entry: Mapping[str, Any]) -> Iterator[CheckMessage]:
    # redis-py also takes the arguments of the query, the last of each name.
    urls = entry.get("CLUSTER") or entry.get("URL", "")
    url = urls if isinstance(urls, str) else urls[0]
    query = parse_qs(urlsplit(str(url)).query, keep_blank_values=True)
    given = {key: values[-1] for key, values in query.items()} | dict(entry.get("OPTIONS", {}))
    yield from _check_verification(where, given)
    yield from _check_verification(
        f"SENTINEL_OPTIONS of {where}", entry.get("SENTINEL_OPTIONS", {})
    )


def _check_verification(where: str, given: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for key in ("ssl_cert_reqs", "ssl_check_hostname"):
        if key in given and str(given[key]).lower() in _OFF:
            yield Warning(
                f"{where} disables TLS verification ({key}): an attacker on the network can read "
                "and change every conversation.",
                hint="Name the certificate authority of the server with ssl_ca_certs instead.",
                id="conversation_memory.W001",
            )


def _check_paths(where: str, index: conf.IndexSettings) -> Iterator[CheckMessage]:
    embed = index.search.embed if index.search else None
    if embed and (fault := _fault_of(embed)):
        yield Error(
            f"EMBED in SEARCH of {where} {fault}.",
            hint="Name a callable, as in 'project.embeddings.embed'.",
            id="conversation_memory.E008",
        )
    if index.title is not None and (fault := _fault_of(index.title, may_be_async=False)):
        yield Error(
            f"TITLE of {where} {fault}.",
            hint="Name a function from a run to a text, as in 'project.titles.title', or None.",
            id="conversation_memory.E009",
        )


def _check_encryption(where: str, index: conf.IndexSettings) -> Iterator[CheckMessage]:
    if index.encryption is None:
        return
    try:
        cipher_class(index.encryption.algorithm)
    except PackageMissing as error:
        yield _encryption_fault(where, error)


def _check_opt_in(where: str, index: conf.IndexSettings) -> Iterator[CheckMessage]:
    chosen = index.search.stored_unencrypted if index.search else None
    if chosen:
        yield Warning(
            f"SEARCH of {where} stores these parts of an encrypted index unencrypted: "
            f"{', '.join(chosen)}. Whoever reads the memory, the files or the backups of Redis can "
            "read them.",
            hint="Remove from STORED_UNENCRYPTED what must not be read, and run "
            "reindexconversations. If all of it may be, put this id into SILENCED_SYSTEM_CHECKS.",
            id="conversation_memory.W018",
        )


def _encryption_fault(where: str, error: PackageMissing | str) -> Error:
    return Error(
        f"ENCRYPTION of {where} cannot be used. {error}",
        hint="See docs/howto/encrypt.md of django-conversation-memory.",
        id="conversation_memory.E012",
    )


@register("conversation_memory", deploy=True)
def check_keys(**kwargs: Any) -> list[CheckMessage]:
    """Fetches every key, which may ask a key service."""
    if any(message.is_serious() for message in check_settings()):
        return []
    found: list[CheckMessage] = []
    for alias in conf.entries():
        keyring = indexes[alias].keyring
        for fault in keyring.faults().values() if keyring else ():
            found.append(_encryption_fault(f"settings.REDIS[{alias!r}]", fault))
    return found


def _fault_of(path: str, *, may_be_async: bool = True) -> str:
    """What is wrong with the dotted path of a callable; '' if nothing is."""
    try:
        found = import_string(path)
    except ImportError as error:
        return f"cannot be imported: {error}"
    if not callable(found):
        return "is not callable"
    return "is async" if iscoroutinefunction(found) and not may_be_async else ""


def _check_sharing(entries: Mapping[str, Any]) -> Iterator[CheckMessage]:
    found: dict[tuple[Any, ...], conf.IndexSettings] = {}
    for index in map(conf.get, entries):
        other = found.setdefault((index.server, index.index), index)
        both = (
            f"settings.REDIS[{other.alias!r}] and settings.REDIS[{index.alias!r}] share the index "
            f"{index.index!r} but have different"
        )
        if other.layout != index.layout:
            yield Error(
                f"{both} layouts, which hides runs.",
                hint="Give one of them another INDEX, or both the same LAYOUT.",
                id="conversation_memory.E006",
            )
        if other.shards != index.shards:
            yield Error(
                f"{both} SHARDS.",
                hint="Give one of them another INDEX, or both the same SHARDS.",
                id="conversation_memory.E013",
            )
        if (other.encryption is None) != (index.encryption is None):
            yield Error(
                f"settings.REDIS[{other.alias!r}] and settings.REDIS[{index.alias!r}] share the "
                f"index {index.index!r}, but only one of them has ENCRYPTION.",
                hint="Give both the same ENCRYPTION, or one of them another INDEX.",
                id="conversation_memory.E011",
            )
        if other.search != index.search:
            yield Warning(
                f"{both} SEARCH settings: a search does not find runs written through the other "
                "alias.",
                hint="Give both the same SEARCH.",
                id="conversation_memory.W003",
            )


@register("conversation_memory", deploy=True)
def check_servers(**kwargs: Any) -> list[CheckMessage]:
    if any(message.is_serious() for message in check_settings()):
        return []
    aliases = [*conf.entries()] or [alias for alias in conf.aliases() if alias == "default"]
    return [message for alias in aliases for message in _check_alias(alias)]


def _check_alias(alias: str) -> Iterator[CheckMessage]:
    if not conf.get(alias).embedded or os.environ.get("REDIS_URL"):
        yield from _check_server(alias)
        return
    yield Warning(
        f"settings.REDIS[{alias!r}] has EMBEDDED, a Redis for development and tests: it has no "
        "password, and ends with the processes of this machine that use it.",
        hint="In production, give the entry the URL of a Redis, or set REDIS_URL.",
        id="conversation_memory.W010",
    )


def _check_server(alias: str) -> Iterator[CheckMessage]:
    health = indexes[alias].health(within=_LONGEST)
    for finding in health.findings:
        if finding.state in ("warning", "failed"):
            yield Warning(
                f"settings.REDIS[{alias!r}] {_SENTENCES[finding.name]}: {finding.detail}",
                hint=finding.hint or None,
                id=f"conversation_memory.{_IDS[finding.name]}",
            )
    yield from _check_replicas(alias, indexes[alias].settings.wait)


def _check_replicas(alias: str, wait: conf.WaitSettings | None) -> Iterator[CheckMessage]:
    if wait is None:
        return
    facts: dict[str, str] = {}
    with suppress(ConversationMemoryError):
        facts = indexes[alias]._run(info("replication"), "health")
    if int(facts.get("connected_slaves", wait.replicas)) < wait.replicas:
        yield Warning(
            f"WAIT of settings.REDIS[{alias!r}] asks for {wait.replicas} replicas, and its Redis "
            f"has {facts['connected_slaves']}: every write waits {wait.timeout} ms, and raises "
            "RedisNotReplicated.",
            hint="Connect the replicas, or ask for fewer.",
            id="conversation_memory.W017",
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
