"""The index in RediSearch, created when first needed, and its state."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Any

from ..exceptions import (
    ConversationMemoryError,
    RedisDenied,
    RedisMisconfigured,
    RedisReadOnly,
)
from ..keys import COUNT, Keys, decode
from ..redis_io.operations import Command, Operation, info, single
from ..redis_io.step_kinds import Pause
from .reasons import Reason
from .schema import Schema

# For how many seconds each state is kept; others are asked for every time.
_KEPT = {"ready": 5, "absent": 60, "denied": 60, "missing": 5}


@dataclass(frozen=True, slots=True)
class SearchState:
    """The state of the search of an index.

    `kind` is "ready"; "building" (RediSearch is still indexing), "incomplete" (some runs have no
    documents, or outdated ones: `reindexconversations` writes them; or a shard is down); "absent"
    (no RediSearch), "denied" (this user may not use it), "missing" (the index cannot be created
    here), "partial" (a cluster that does not merge the results of its nodes); or "off" (no SEARCH
    in settings).

    RediSearch `answers` in the first three, from the index `name`, which has the `fields` (name ->
    kind, "digest" for a tag that is encrypted). While a changed definition is being built, these
    are of the old one. Unless results are `complete`, `reason` says why not.
    """

    kind: str
    reason: Reason | None = None
    name: bytes = b""
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def answers(self) -> bool:
        return self.kind in ("ready", "building", "incomplete")

    @property
    def complete(self) -> bool:
        return self.kind == "ready"


@dataclass(frozen=True, slots=True)
class _Information:
    """The parts of FT.INFO that matter, and our own count of documents just `before` it."""

    documents: int
    indexed: float
    is_building: bool
    attributes: list[Any]
    before: int = 0

    @classmethod
    def of(cls, reply: Any) -> _Information:
        """From a map (RESP3) or a flat list (RESP2)."""
        if not isinstance(reply, dict):
            reply = dict(zip(reply[::2], reply[1::2], strict=True))
        return cls(
            int(float(reply.get(b"num_docs") or 0)),
            float(reply.get(b"percent_indexed") or 0),
            float(reply.get(b"indexing") or 0) > 0,
            reply.get(b"attributes") or [],
        )

    @property
    def fields(self) -> dict[str, str]:
        """Name -> kind of FIELDS."""
        fields = {}
        for column in self.attributes:
            # A map over RESP3; over RESP2, pairs followed by flags.
            is_map = isinstance(column, dict)
            attribute = column[b"attribute"] if is_map else column[column.index(b"attribute") + 1]
            kind, _, name = decode(attribute).partition("_")
            if name:
                fields[name] = kind
        return fields


OFF = SearchState("off", Reason("off"))


class IndexState:
    """Creates the index of a schema, and knows its state."""

    def __init__(self, schema: Schema):
        self.schema = schema
        self._keys = schema.keys
        self._state: SearchState | None = None
        self._until = 0.0
        self._is_probed = False

    def forget(self) -> None:
        self._state = None

    def wants_documents(self) -> Operation[bool]:
        """True if writes must write search documents. Seldom costs a round trip."""
        state = self._state
        if state is None or not (state.answers or time.monotonic() < self._until):
            state = yield from self.ready()
        return state.kind != "absent"  # other users may search, or this one later

    def ready(self) -> Operation[SearchState]:
        """Create the index if there is none. Returns its state, which is kept for seconds."""
        if self._state is not None and time.monotonic() < self._until:
            return self._state
        state = yield from self._look()
        self._state, self._until = state, time.monotonic() + _KEPT.get(state.kind, 0)
        return state

    def built(self) -> Operation[None]:
        """Wait until RediSearch has indexed all documents."""
        while (yield from self._info_of_created()).is_building:
            yield Pause(0.1)

    def surplus(self) -> Operation[int]:
        """How much too high our count of documents is; negative if too low, 0 while building."""
        calls = (("HGET", self._keys.search(), COUNT), ("FT.INFO", self.schema.name))
        count, reply = yield Command(calls)
        information = _Information.of(reply)
        return 0 if information.is_building else int(count or 0) - information.documents

    def recount(self, surplus: int) -> Command[int]:
        # An increment, as others may write meanwhile.
        return single("HINCRBY", self._keys.search(), COUNT, -surplus)

    def finish(self) -> Operation[list[bytes]]:
        """Record that all runs have documents of this schema, and drop the indexes of others.

        Returns the names of the dropped indexes.
        """
        if surplus := (yield from self.surplus()):
            yield self.recount(surplus)
        names = yield from self._others()
        yield from self._record("HSET")
        if names:
            # FT.DROPINDEX keeps the documents, which the new index has too.
            yield [single("FT.DROPINDEX", name) for name in names]
            yield single("HDEL", self._keys.search(), *map(_digest, names))
        self.forget()
        return names

    def _record(self, command: str) -> Operation[None]:
        """Record by HSET or HSETNX since when all runs have documents of this schema."""
        now = yield single("TIME")
        yield single(command, self._keys.search(), self.schema.digest, now[0])

    def _look(self) -> Operation[SearchState]:
        try:
            information = yield from self._info_of_created()
        except RedisDenied:
            return SearchState("denied", Reason("denied"))
        except RedisReadOnly:
            return SearchState("missing", Reason("read_only"))
        except RedisMisconfigured as error:
            if is_unknown_command(error):
                return SearchState("absent", Reason("absent"))
            if "db != 0" in str(error.__cause__):
                return SearchState("absent", Reason("database"))
            return SearchState("absent", Reason("not_created", detail=str(error)))
        if not (yield from self._merges()):
            return SearchState("partial", Reason("partial"))
        return (yield from self._state_of(information))

    def _info_of_created(self) -> Operation[_Information]:
        try:
            return (yield from self._info(self.schema.name))
        except RedisMisconfigured as error:
            if is_unknown_command(error):
                raise
        try:
            yield single(*self.schema.create())
        except RedisMisconfigured as error:
            if "already exists" not in str(error.__cause__):  # another process was faster
                raise
        if not (yield single("HLEN", self._keys.index)):  # no conversation can lack documents
            yield from self._record("HSETNX")
        return (yield from self._info(self.schema.name))

    def _info(self, name: bytes) -> Operation[_Information]:
        count, reply = yield [single("HGET", self._keys.search(), COUNT), single("FT.INFO", name)]
        return replace(_Information.of(reply), before=int(count or 0))

    def _state_of(self, information: _Information) -> Operation[SearchState]:
        since = yield single("HGET", self._keys.search(), self.schema.digest)
        name, fields = self.schema.name, self.schema.columns
        if since is None or information.is_building:
            other = yield from self._other()
            if other is None and since is None:
                return SearchState("incomplete", Reason("older"), name, fields)
            if other is None:
                reason = Reason("building", round(information.indexed * 100))
                return SearchState("building", reason, name, fields)
            name, information = other
            fields = information.fields
        gap = yield from self._gap(information)
        return SearchState("incomplete" if gap else "ready", gap, name, fields)

    def _gap(self, information: _Information) -> Operation[Reason | None]:
        """The documents that are missing according to the counts."""
        conversations, known, stale, count = yield [
            single("HLEN", self._keys.index),
            single("HLEN", self._keys.tokens()),
            single("SCARD", self._keys.stale()),
            single("HGET", self._keys.search(), COUNT),
        ]
        # Others write between the commands: FT.INFO must be below the counts before and after it.
        lost = min(int(count or 0), information.before) - information.documents
        missing = conversations - known
        if missing > 0:
            return Reason("not_indexed", missing)
        if stale:
            return Reason("partly_indexed", stale)
        if lost > 0:
            return Reason("lost", lost)
        return None

    def _other(self) -> Operation[tuple[bytes, _Information] | None]:
        """Name and FT.INFO of a complete index that answers until this one is complete."""
        # Queries have the words of the present LANGUAGE and TOOL_CALLS.
        words = self.schema.name.rpartition(b"-")[0]
        for name in (yield from self._others()):
            if name.rpartition(b"-")[0] != words:
                continue
            since = yield single("HGET", self._keys.search(), _digest(name))
            if since is not None:
                return name, (yield from self._info(name))
        return None

    def _others(self) -> Operation[list[bytes]]:
        names = yield single("FT._LIST")
        ours = self._keys.definition()
        return [name for name in names if name.startswith(ours) and name != self.schema.name]

    def _merges(self) -> Operation[bool]:
        if self._is_probed or (yield from info("cluster")).get("cluster_enabled") != "1":
            return True
        # All documents of an index are in one slot, but a proxy may ask another node.
        token = token_hex(8).encode()
        probes = [self._keys.document(token, suffix) for suffix in (b"a", b"b")]
        query = b'@c:{"%b"}' % token
        search = ("ft.search", self.schema.name, query, "NOCONTENT", "DIALECT", 2)
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


def drop_all(keys: Keys) -> Operation[None]:
    """Drop every definition. RediSearch keeps words of documents that were deleted."""
    try:
        names = yield single("FT._LIST")
        names = [name for name in names if name.startswith(keys.definition())]
        if names:
            yield [single("FT.DROPINDEX", name) for name in names]
            yield single("HDEL", keys.search(), *map(_digest, names))
    except (RedisDenied, RedisMisconfigured):  # there is no RediSearch, or not for this user
        return


def is_unknown_command(error: ConversationMemoryError) -> bool:
    return "nknown command" in str(error.__cause__)


def _digest(name: bytes) -> bytes:
    return name.rpartition(b"-")[2]


def _total(reply: Any) -> int:
    return int(reply[b"total_results"] if isinstance(reply, dict) else reply[0])
