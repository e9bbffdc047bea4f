"""The errors of an entry of settings.REDIS that are about its servers."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings
from redis.connection import parse_url

_ADDRESS = ("HOST", "PORT", "DB", "USERNAME", "PASSWORD")
_CREDENTIALS = {"DB", "USERNAME", "PASSWORD"}  # what may stand beside CLUSTER and SENTINELS
_WAYS = ("CACHE", "URL", "CLUSTER", "SENTINELS")
_OF_SENTINELS = ("SERVICE", "SENTINEL_OPTIONS")
_SOCKET_TIMEOUT = 5.0
WAIT_TIMEOUT = 1000  # in ms


def find_server_faults(where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """The errors, one sentence each; contacts no server."""
    yield from _way_faults(where, entry)
    if "CACHE" in entry and entry["CACHE"] not in settings.CACHES:
        yield f"{where} names the cache {entry['CACHE']!r}, which is not in settings.CACHES."
    if "URL" in entry:
        yield from url_faults(f"The URL of {where}", entry["URL"])
    if "CLUSTER" in entry:
        yield from _cluster_faults(where, entry)
    yield from _sentinel_faults(where, entry)
    yield from _replica_faults(where, entry)


def _way_faults(where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    ways = [way for way in _WAYS if way in entry]
    ways += ["EMBEDDED"] if entry.get("EMBEDDED") else []
    beside = _CREDENTIALS if {"CLUSTER", "SENTINELS"} & {*ways} else set()
    ways += filter(None, [", ".join(key for key in _ADDRESS if key in entry and key not in beside)])
    if len(ways) != 1:
        found = " and ".join(ways) or "none of them"
        wanted = "CACHE, URL, CLUSTER, SENTINELS, EMBEDDED, or HOST and its companions"
        yield f"{where} requires one of {wanted}; it has {found}."


def url_faults(what: str, url: str, *, unix: bool = True) -> Iterator[str]:
    """Why `url`, which `what` names, is not that of a Redis, in sentences without its password."""
    schemes = ("redis://", "rediss://", *(["unix://"] if unix else []))
    if not url.startswith(schemes):
        known = ", ".join(schemes[:-1])
        yield f"{what} must start with {known} or {schemes[-1]}."
        return
    try:
        parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError:  # do not chain: its text may quote a part of the password
        yield (
            f"{what} cannot be parsed. In a user name or password, percent-encode special "
            "characters, such as %2F for a slash."
        )


def _cluster_faults(where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    urls = [entry["CLUSTER"]] if isinstance(entry["CLUSTER"], str) else entry["CLUSTER"]
    if not _is_list_of(urls, str) or not urls:
        yield f"CLUSTER of {where} must be the URL of a node, or a list of such URLs."
        return
    for url in urls:
        yield from url_faults(f"A URL in CLUSTER of {where}", url, unix=False)
    if entry.get("DB"):
        yield f"DB of {where} must be 0: a cluster has one database."
    if any("*" in pattern or "?" in pattern for pattern in map(str, entry.get("INDEXES", ()))):
        yield f"INDEXES of {where} must be names without * and ?, as it has CLUSTER."


def _sentinel_faults(where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    if "SENTINELS" not in entry:
        for key in _OF_SENTINELS:
            if key in entry:
                yield f"{key} of {where} has no effect without SENTINELS."
        return
    if not _are_addresses(entry["SENTINELS"]):
        yield f"SENTINELS of {where} must be a list of pairs of host and port."
    if not entry.get("SERVICE"):
        yield f"SENTINELS of {where} requires SERVICE, the name of the master."
    options = entry.get("SENTINEL_OPTIONS", {})
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        yield f"SENTINEL_OPTIONS of {where} is not a dict of keyword arguments."


def _replica_faults(where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    read_from = entry.get("READ_FROM", "primary")
    if read_from not in ("primary", "replica"):
        yield f"READ_FROM of {where} must be 'primary' or 'replica'."
    elif read_from == "replica" and not {"CLUSTER", "SENTINELS"} & entry.keys():
        yield f"READ_FROM 'replica' of {where} requires CLUSTER or SENTINELS."
    if (wait := entry.get("WAIT")) is None:
        return
    options = entry.get("OPTIONS", {})
    if fault := wait_fault(wait, options if isinstance(options, Mapping) else {}):
        yield f"WAIT of {where} {fault}."


def wait_fault(wait: Any, options: Mapping[str, Any]) -> str:
    """What is wrong with a value of WAIT, for OPTIONS; '' if nothing is."""
    if not isinstance(wait, Mapping) or not {*wait} <= {"replicas", "timeout"}:
        return "must be a dict such as {'replicas': 1, 'timeout': 500}"
    for key in ("replicas", "timeout"):
        number = wait.get(key, 1)
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            return f"has {key!r} that is not an integer of at least 1"
    given = options.get("socket_timeout", _SOCKET_TIMEOUT)
    socket_timeout = given if isinstance(given, int | float) else math.inf
    if wait.get("timeout", WAIT_TIMEOUT) >= socket_timeout * 1000:
        return f"has a timeout (ms) that is not below the socket_timeout of {socket_timeout:g} s"
    return ""


def _are_addresses(pairs: Any) -> bool:
    return bool(pairs) and _is_list_of(pairs, list | tuple) and all(map(_is_address, pairs))


def _is_address(pair: Sequence[Any]) -> bool:
    return len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], int)


def _is_list_of(values: Any, kind: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, kind) for value in values)
