"""The index in RediSearch, created when first needed, and its state."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from ..exceptions import (
    ConversationMemoryError,
    RedisDenied,
    RedisMisconfigured,
    RedisReadOnly,
    counted,
)
from ..keys import COUNT, decode
from ..redis_io.operations import Command, Operation, Pause, info, single
from .schema import Schema

# For how many seconds each state is kept; others are asked for every time.
_KEPT = {"ready": 5, "absent": 60, "denied": 60, "missing": 5}

# Our count of documents, added to the reply of FT.INFO.
_BEFORE = "documents before"


@dataclass(frozen=True, slots=True)
class State:
    """The state of the search of an index.

    `kind` is "ready"; "building" (RediSearch is still indexing), "incomplete" (some runs have no
    documents, or outdated ones: `reindexconversations` writes them); "absent" (no RediSearch),
    "denied" (this user may not use it), "missing" (the index cannot be created here), "partial" (a
    cluster that does not merge the results of its nodes); or "off" (no SEARCH in settings).

    RediSearch `answers` in the first three, from the index `name`, which has the `fields` (name ->
    kind). While a changed definition is being built, these are of the old one. Unless results are
    `complete`, `reason` says in a sentence why not.
    """

    kind: str
    reason: str = ""
    name: bytes = b""
    fields: Mapping[str, str] = ()  # type: ignore[assignment]

    @property
    def answers(self) -> bool:
        return self.kind in ("ready", "building", "incomplete")

    @property
    def complete(self) -> bool:
        return self.kind == "ready"


OFF = State("off", "SEARCH is not switched on for this alias.")
_OLDER = "Runs from before SEARCH was set are not searchable yet. Run reindexconversations."


class IndexState:
    """Creates the index of a schema, and knows its state."""

    def __init__(self, schema: Schema):
        self.schema = schema
        self._keys = schema.keys
        self._state: State | None = None
        self._until = 0.0
        self._is_probed = False

    def forget(self) -> None:
        """Ask the server next time, as after a reply that does not fit the state."""
        self._state = None

    def wants_documents(self) -> Operation[bool]:
        """True if writes must write search documents. Seldom costs a round trip."""
        state = self._state
        if state is None or not (state.answers or time.monotonic() < self._until):
            state = yield from self.ready()
        return state.kind != "absent"  # other users may search, or this one later

    def ready(self) -> Operation[State]:
        """Create the index if there is none. Returns its state, which is kept for seconds."""
        if self._state is not None and time.monotonic() < self._until:
            return self._state
        state = yield from self._look()
        self._state, self._until = state, time.monotonic() + _KEPT.get(state.kind, 0)
        return state

    def built(self) -> Operation[None]:
        """Wait until RediSearch has indexed all documents."""
        while _is_building((yield from self._information())):
            yield Pause(0.1)

    def surplus(self) -> Operation[int]:
        """How much too high our count of documents is; negative if too low, 0 while building."""
        count, information = yield Command(
            (("HGET", self._keys.search(), COUNT), ("FT.INFO", self.schema.name)),
            lambda replies: (int(replies[0] or 0), _mapping(replies[1])),
        )
        if _is_building(information):
            return 0
        return count - _documents(information)  # type: ignore[no-any-return]

    def recount(self, surplus: int) -> Command[int]:
        """Correct the count, even while others write."""
        return single("HINCRBY", self._keys.search(), COUNT, -surplus)

    def finish(self) -> Operation[list[bytes]]:
        """Record that all runs have documents of this schema, and drop the indexes of others.

        Returns the names of the dropped indexes.
        """
        surplus = yield from self.surplus()
        if surplus:
            yield self.recount(surplus)
        names = yield from self._others()
        digests = [_digest(name) for name in names]
        now = yield single("TIME")
        yield single("HSET", self._keys.search(), self.schema.digest, now[0])
        if names:
            # FT.DROPINDEX keeps the documents, which the new index has too.
            yield [single("FT.DROPINDEX", name) for name in names]
            yield single("HDEL", self._keys.search(), *digests)
        self.forget()
        return names

    def _look(self) -> Operation[State]:
        try:
            information = yield from self._information()
        except RedisDenied:
            return State(
                "denied",
                "The ACL of this user does not allow RediSearch: FT.INFO, FT.CREATE, FT.SEARCH, "
                "FT.AGGREGATE and FT._LIST are required.",
            )
        except RedisReadOnly:
            return State("missing", "There is no search index yet, and this server is read-only.")
        except RedisMisconfigured as error:
            return _impossible(error)
        if not (yield from self._merges()):
            return State("partial", "This cluster returns only a part of the results.")
        return (yield from self._state_of(information))

    def _information(self) -> Operation[dict[str, Any]]:
        """FT.INFO of the index, which is created if there is none."""
        try:
            return (yield from self._asked(self.schema.name))
        except RedisMisconfigured as error:
            if is_unknown_command(error):
                raise
        try:
            yield single(*self.schema.create())
        except RedisMisconfigured as error:
            if "already exists" not in str(error.__cause__):  # another process was faster
                raise
        if not (yield single("HLEN", self._keys.index)):  # no conversation can lack documents
            now = yield single("TIME")
            yield single("HSETNX", self._keys.search(), self.schema.digest, now[0])
        return (yield from self._asked(self.schema.name))

    def _asked(self, name: bytes) -> Operation[dict[str, Any]]:
        """FT.INFO, and the count of documents just before it."""
        count, information = yield [
            single("HGET", self._keys.search(), COUNT),
            single("FT.INFO", name, decode=_mapping),
        ]
        return {**information, _BEFORE: int(count or 0)}

    def _state_of(self, information: dict[str, Any]) -> Operation[State]:
        since = yield single("HGET", self._keys.search(), self.schema.digest)
        name, fields = self.schema.name, self.schema.fields
        if since is None or _is_building(information):
            other = yield from self._other()
            if other is None and since is None:
                return State("incomplete", _OLDER, name, fields)
            if other is None:
                percent = float(information.get("percent_indexed") or 0) * 100
                reason = f"RediSearch is still indexing ({percent:.0f} % done)."
                return State("building", reason, name, fields)
            name, fields, information = other
        reason = yield from self._gap(information)
        return State("incomplete" if reason else "ready", reason, name, fields)

    def _gap(self, information: dict[str, Any]) -> Operation[str]:
        """A sentence on the documents that are missing according to the counts; '' if none are.

        Writers go on meanwhile, so documents are missing only if FT.INFO has fewer of them than
        the count before and the count after it.
        """
        conversations, known, stale, count = yield [
            single("HLEN", self._keys.index),
            single("HLEN", self._keys.tokens()),
            single("SCARD", self._keys.stale()),
            single("HGET", self._keys.search(), COUNT),
        ]
        lost = min(int(count or 0), information[_BEFORE]) - _documents(information)
        missing = conversations - known
        if missing > 0:
            verb = "is" if missing == 1 else "are"
            what = f"{counted(missing, 'conversation')} {verb} not searchable yet"
        elif stale:
            verb = "is" if stale == 1 else "are"
            what = f"{counted(stale, 'conversation')} {verb} only partly searchable"
        elif lost > 0:
            what = f"Redis lost {counted(lost, 'search document')}"
        else:
            return ""
        return f"{what}. Run reindexconversations."

    def _other(self) -> Operation[tuple[bytes, Mapping[str, str], dict[str, Any]] | None]:
        """Name, FIELDS and FT.INFO of a complete index of another definition, with the same words.

        It answers until the new one is complete.
        """
        language = self.schema.name.rpartition(b"-")[0]
        for name in (yield from self._others()):
            if name.rpartition(b"-")[0] != language:
                continue
            since = yield single("HGET", self._keys.search(), _digest(name))
            if since is not None:
                information = yield from self._asked(name)
                return name, _fields(information), information
        return None

    def _others(self) -> Operation[list[bytes]]:
        names = yield single("FT._LIST")
        ours = self._keys.definition()
        return [name for name in names if name.startswith(ours) and name != self.schema.name]

    def _merges(self) -> Operation[bool]:
        """True if a search finds everything. On a cluster, a probe proves it once.

        All documents of an index are in one slot, but a proxy may ask another node.
        """
        if self._is_probed or not (yield from self._is_cluster()):
            return True
        token = token_hex(8).encode()
        probes = [self._keys.document(token, suffix) for suffix in (b"a", b"b")]
        query = b'@c:{"%b"}' % token
        search = ("FT.SEARCH", self.schema.name, query, "NOCONTENT", "DIALECT", 2)
        try:
            replies = yield [
                *(single("HSET", key, "c", token) for key in probes),
                single(*search, decode=_total),
                *(single("DEL", key) for key in probes),
            ]
        except (RedisReadOnly, RedisDenied):
            return False
        self._is_probed = replies[len(probes)] == len(probes)
        return self._is_probed

    def _is_cluster(self) -> Operation[bool]:
        return (yield from info("cluster")).get("cluster_enabled") == "1"


def _impossible(error: ConversationMemoryError) -> State:
    if is_unknown_command(error):
        return State("absent", "This server has no RediSearch.")
    if "db != 0" in str(error.__cause__):
        return State("absent", "RediSearch indexes database 0 only.")
    return State("absent", f"RediSearch cannot create the index. {error}")


def is_unknown_command(error: ConversationMemoryError) -> bool:
    return "nknown command" in str(error.__cause__)


def _digest(name: bytes) -> bytes:
    return name.rpartition(b"-")[2]


def _mapping(reply: Any) -> dict[str, Any]:
    """A map (RESP3) or a flat list (RESP2) as a dict with str keys."""
    if not isinstance(reply, dict):
        reply = dict(zip(reply[::2], reply[1::2], strict=True))
    return {decode(key): value for key, value in reply.items()}


def _total(reply: Any) -> int:
    if isinstance(reply, dict):
        return int(_mapping(reply)["total_results"])
    return int(reply[0])


def _is_building(information: dict[str, Any]) -> bool:
    return float(information.get("indexing") or 0) > 0


def _documents(information: dict[str, Any]) -> int:
    return int(float(information.get("num_docs") or 0))


def _fields(information: dict[str, Any]) -> dict[str, str]:
    """Name -> kind of FIELDS, from the attributes of FT.INFO."""
    parts = [decode(_attribute(column)).partition("_") for column in information["attributes"]]
    return {name: kind for kind, _, name in parts if name}


def _attribute(column: Any) -> bytes:
    """The name of an attribute: a map over RESP3; over RESP2, pairs followed by flags."""
    if isinstance(column, dict):
        return _mapping(column)["attribute"]  # type: ignore[no-any-return]
    return column[column.index(b"attribute") + 1]  # type: ignore[no-any-return]
