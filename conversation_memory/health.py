"""Is an index fit for use? What its server tells, as named findings without any text."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .clock import now
from .collection.listing import counting
from .encryption.sealing import Sealing
from .exceptions import ConversationMemoryError, RedisDenied, RedisMisconfigured, RedisUnavailable
from .keys import decode
from .layouts import Layout
from .layouts.proof import is_proof, proofs
from .redis_io.operations import Operation, allowed, info, single
from .redis_io.scripts import WRITES
from .redis_io.step_kinds import Ahead
from .search_index.reasons import explained

NAMES = (
    *("reachable", "permissions", "writes", "memory", "eviction"),
    *("persistence", "clock", "replicas", "search", "encryption", "size"),
)

# In seconds. Deadlines are right up to an hour; beyond a minute, times on pages look wrong.
_SKEW = 60
_FULL = 0.8
# Conversations in one hash. Redis deletes it in some 10 us each, if another program asks for that.
_LARGE = 500_000

_READS = "EXISTS HGET HLEN HMGET HSCAN LLEN LRANGE TYPE XREAD XREVRANGE ZCARD ZRANGE ZSCORE".split()

_SEARCH_HINTS = {
    "incomplete": "Run `manage.py reindexconversations --using {}`.",
    "absent": "Use a Redis with RediSearch, or remove SEARCH.",
    "denied": "ACL SETUSER ... +ft.info +ft.create +ft.search +ft.aggregate +ft._list "
    "+ft.dropindex +ft.spellcheck",
}

_KEYS_HINT = (
    "Put each key back under its id, in the settings of every process. An older one is needed "
    "until `manage.py rotatekeys` has encrypted everything anew."
)


@dataclass(frozen=True, slots=True)
class HealthFinding:
    """One thing that was looked at.

    `state` is "ok", "warning", "failed", or "unknown" where the server does not tell. `detail` is
    a sentence for operators, `hint` what to do. Neither has a text of a conversation.
    """

    name: str
    state: str
    detail: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """The findings about an index and its server, one for each of the names."""

    findings: tuple[HealthFinding, ...]

    @property
    def is_ready(self) -> bool:
        """True if conversations can be read and written: no finding is "failed"."""
        return all(finding.state != "failed" for finding in self.findings)

    @property
    def states(self) -> dict[str, str]:
        """Name -> state."""
        return {finding.name: finding.state for finding in self.findings}

    def __getitem__(self, name: str) -> HealthFinding:
        return next(finding for finding in self.findings if finding.name == name)


def unusable(reason: str) -> Health:
    """The health of an index of which nothing else is known."""
    hint = (
        "Start the server, or correct the entry. errors.md of the documentation names the cure of "
        "each message."
    )
    first, *others = NAMES
    unknown = (HealthFinding(name, "unknown") for name in others)
    return Health((HealthFinding(first, "failed", reason, hint), *unknown))


def examined(layout: Layout) -> Operation[Health]:
    """The health of an index. Raises only if the server cannot be used at all."""
    begin = time.time()
    server_time, conversations = yield [now(), counting(layout.keys)]
    skew = server_time / 1000 - (begin + time.time()) / 2
    facts = yield from info("default")
    config = yield from _config()
    permissions = yield from _permissions(layout, facts)
    search = yield from _search(layout)
    encryption = yield from _encryption(layout)
    return Health(
        (
            HealthFinding("reachable", "ok"),
            permissions,
            _writes(facts, config),
            _memory(facts),
            _eviction(facts),
            _persistence(facts, config),
            _clock(skew),
            _replicas(facts),
            search,
            encryption,
            _size(conversations),
        )
    )


def _config() -> Operation[dict[str, str]]:
    """Some parameters of the server; empty if it does not tell."""
    names = ("save", "min-replicas-to-write")
    with suppress(RedisDenied, RedisMisconfigured):  # CONFIG is often forbidden, or renamed
        replies = yield [single("CONFIG", "GET", name) for name in names]
        return dict(pair for reply in replies for pair in _pairs(reply))
    return {}


def _pairs(reply: Any) -> Iterator[tuple[str, str]]:
    # A map over RESP3, a flat list over RESP2.
    flat = [part for pair in reply.items() for part in pair] if isinstance(reply, dict) else reply
    texts = [bytes(part).decode("utf-8", "replace") for part in flat]
    return zip(texts[::2], texts[1::2], strict=True)


def _permissions(layout: Layout, facts: Mapping[str, str]) -> Operation[HealthFinding]:
    try:
        yield allowed([layout.keys.content(b""), layout.keys.record(b"")], [*WRITES, *_READS])
    except RedisDenied as error:
        denied = re.search(r"may not run '(\w+)'", str(error.__cause__))
        which = f" The first is {denied[1]}." if denied else ""
        hint = "ACL SETUSER, as the page 'Connect to Redis' of the documentation shows."
        return HealthFinding("permissions", "failed", f"{error}{which}", hint)
    # Before version 7, a script cannot ask.
    version = facts.get("redis_version", "").partition(".")[0]
    return HealthFinding(
        "permissions", "ok" if version.isdigit() and int(version) >= 7 else "unknown"
    )


def _writes(facts: Mapping[str, str], config: Mapping[str, str]) -> HealthFinding:
    if not facts:
        return HealthFinding("writes", "unknown")
    wanted = config.get("min-replicas-to-write", "0")
    fault = hint = ""
    if facts.get("role") == "slave":
        fault, hint = "is a replica, which rejects writes", "Use the address of the primary."
    elif "err" in (facts.get("aof_last_write_status"), facts.get("rdb_last_bgsave_status")):
        fault = "could not save to its disk, and may reject writes"
        hint = "Look into the log of Redis, and at the disk."
    elif int(facts.get("connected_slaves", 0)) < int(wanted):
        fault = f"has fewer replicas than min-replicas-to-write ({wanted}), and rejects writes"
        hint = "Start the replicas."
    if fault:
        return HealthFinding("writes", "failed", f"The server {fault}.", hint)
    return HealthFinding("writes", "ok")


def _memory(facts: Mapping[str, str]) -> HealthFinding:
    most, used = (int(facts.get(name, 0)) for name in ("maxmemory", "used_memory"))
    if not used:
        return HealthFinding("memory", "unknown")
    if not most or used < most * _FULL:
        return HealthFinding("memory", "ok")
    evicts = facts.get("maxmemory_policy", "noeviction") != "noeviction"
    state = "failed" if used >= most and not evicts else "warning"
    detail = f"The server uses {used / most:.0%} of its maxmemory. A full server rejects writes."
    return HealthFinding("memory", state, detail, "Delete conversations, or raise maxmemory.")


def _eviction(facts: Mapping[str, str]) -> HealthFinding:
    policy = facts.get("maxmemory_policy")
    if policy is None:
        return HealthFinding("eviction", "unknown")
    if not policy.startswith("allkeys-") or facts.get("maxmemory", "0") == "0":
        return HealthFinding("eviction", "ok")
    return HealthFinding(
        "eviction",
        "warning",
        f"The server has the maxmemory-policy {policy}: when its memory is full, it deletes "
        "conversations and even whole indexes.",
        "Set maxmemory-policy to noeviction, in redis.conf or with your provider. On a server that "
        "is also a cache, volatile-lru keeps keys without a TTL.",
    )


def _persistence(facts: Mapping[str, str], config: Mapping[str, str]) -> HealthFinding:
    if facts.get("aof_enabled") == "1" or config.get("save"):
        return HealthFinding("persistence", "ok")
    if "aof_enabled" not in facts or "save" not in config:
        return HealthFinding("persistence", "unknown")
    return HealthFinding(
        "persistence",
        "warning",
        "The server keeps neither an append-only file nor snapshots: a restart deletes every "
        "conversation.",
        "Set `appendonly yes`, in redis.conf or with your provider.",
    )


def _clock(skew: float) -> HealthFinding:
    if abs(skew) < _SKEW:
        return HealthFinding("clock", "ok")
    detail = f"The clocks of the server and of this machine differ by {abs(skew):,.0f} seconds."
    return HealthFinding("clock", "warning", detail, "Let both synchronise their clocks (NTP).")


def _replicas(facts: Mapping[str, str]) -> HealthFinding:
    if "role" not in facts:
        return HealthFinding("replicas", "unknown")
    if facts["role"] == "slave":
        is_up = facts.get("master_link_status") == "up"
        detail = "" if is_up else "This replica has lost its primary, and its data is old."
        hint = "" if is_up else "Look into the log of Redis, and at its connection to the primary."
        return HealthFinding("replicas", "ok" if is_up else "failed", detail, hint)
    replicas = [value for name, value in facts.items() if re.fullmatch(r"slave\d+", name)]
    late = [value for value in replicas if "state=online" not in value]
    if late:
        detail = f"{len(late)} of {len(replicas)} replicas are not in step."
        return HealthFinding("replicas", "warning", detail, "Look into the logs of the replicas.")
    return HealthFinding("replicas", "ok", f"Replicas: {len(replicas)}.")


def _size(conversations: int) -> HealthFinding:
    if conversations < _LARGE:
        return HealthFinding("size", "ok")
    return HealthFinding(
        "size",
        "warning",
        f"The index has {conversations:,} conversations in one hash. A server that deletes such a "
        "key, or moves it to another node, answers nobody for seconds.",
        "Spread the index over shards with SHARDS, or divide it into several indexes.",
    )


def _search(layout: Layout) -> Operation[HealthFinding]:
    if layout.schema is None:
        return HealthFinding("search", "ok", "SEARCH is off.")
    kind = ""
    try:
        state = yield from layout.search_state()
        if state.complete:
            return HealthFinding("search", "ok")
        kind, reason = state.kind, explained([state.reason])
    except RedisUnavailable:
        raise
    except ConversationMemoryError as error:
        reason = str(error)
    hint = _SEARCH_HINTS.get(kind, "").format(layout.alias)
    return HealthFinding("search", "warning", f"Searches may be incomplete. {reason}", hint)


def _encryption(layout: Layout) -> Operation[HealthFinding]:
    if layout.sealing is None:
        return HealthFinding("encryption", "ok", "ENCRYPTION is off.")
    stored = yield from proofs(layout.keys)
    faults = yield (yield Ahead(layout.sealing.keyring.faults))  # a key service may be slow
    if "" in faults:
        return HealthFinding("encryption", "failed", faults[""], _KEYS_HINT)
    return _keys(layout.sealing, faults, {decode(id): proof for id, proof in stored.items()})


def _keys(
    sealing: Sealing, faults: Mapping[str, str], stored: Mapping[str, bytes]
) -> HealthFinding:
    ids = sealing.keyring.ids
    usable = [id for id in ids if id in stored and id not in faults]
    wrong = [id for id in usable if not is_proof(sealing, stored[id])]
    other = "is another one than that which the index has under this id"
    problems = [*faults.values(), *(f"Key {id!r} {other}." for id in wrong)]
    for id in sorted({*stored} - {*ids}):
        problems.append(f"Stored values may need key {id!r}, which is not in KEYS.")
    if not problems:
        return HealthFinding("encryption", "ok")
    state = "failed" if ids[0] in (*faults, *wrong) else "warning"
    return HealthFinding("encryption", state, " ".join(problems), _KEYS_HINT)
