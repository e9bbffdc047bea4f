"""The index in RediSearch: made when it is first needed, and what can be said of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from ..exceptions import ConversationMemoryError, RedisDenied, RedisMisconfigured, RedisReadOnly
from ..keys import COUNT, decode
from ..redis_io.operations import Command, Operation, Pause, single
from ..text import counted
from .schema import Schema

# For how many seconds a good state is believed, and that there is no RediSearch.
_GOOD = 5
_ABSENT = 60

# The count of documents, beside what FT.INFO says.
_BEFORE = "documents before"

# Name, FIELDS, and what FT.INFO says.
Index = tuple[bytes, Mapping[str, str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class State:
    """What can be said of the search of an index.

    `kind` is "ready"; "building" (RediSearch still reads what is stored), "incomplete" (some runs
    have no documents, or old ones: `reindexconversations` writes them); "absent" (no RediSearch),
    "denied" (there is one, but this user may not use it), "missing" (its index cannot be made
    here), "partial" (a cluster that does not put the parts together); or "off" (no SEARCH in
    settings).

    `answers` says whether RediSearch can be asked, with `name` the index to ask and `fields` the
    name -> kind of FIELDS that it has: while a changed definition is being built, the old one.
    `complete` says whether the answer holds all there is, and `reason`, a sentence, why not.
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


class Lifecycle:
    """Makes the index of a schema, and knows its state."""

    def __init__(self, schema: Schema):
        self.schema = schema
        self._keys = schema.keys
        self._state: State | None = None
        self._until = 0.0
        self._is_probed = False

    def forget(self) -> None:
        """Ask the server anew next time, as after an answer that does not fit the state."""
        self._state = None

    def wants_documents(self) -> Operation[bool]:
        """Whether writes have to write search documents. Costs a round trip once in a while."""
        state = self._state
        if state is None or not (state.answers or time.monotonic() < self._until):
            state = yield from self.ready()
        return state.kind != "absent"  # elsewhere others may search, or this one may later

    def ready(self) -> Operation[State]:
        """Make the index if there is none yet. Returns the state, which is kept for seconds."""
        if self._state is not None and time.monotonic() < self._until:
            return self._state
        state = yield from self._look()
        kept = {"ready": _GOOD, "absent": _ABSENT, "denied": _ABSENT, "missing": _GOOD}
        self._state, self._until = state, time.monotonic() + kept.get(state.kind, 0)
        return state

    def built(self) -> Operation[None]:
        """Wait until RediSearch has read what is stored."""
        while _is_building((yield from self._information())):
            yield Pause(0.1)

    def surplus(self) -> Operation[int]:
        """By how many the count of documents is too high, negative if too low, at one moment.

        0 while RediSearch still reads what is stored.
        """
        count, information = yield Command(
            (("HGET", self._keys.search(), COUNT), ("FT.INFO", self.schema.name)),
            lambda replies: (int(replies[0] or 0), _mapping(replies[1])),
        )
        if _is_building(information):
            return 0
        return count - int(_number(information.get("num_docs")))  # type: ignore[no-any-return]

    def recount(self, surplus: int) -> Command[int]:
        """Put the count right, beside writers too."""
        return single("HINCRBY", self._keys.search(), COUNT, -surplus)

    def finish(self) -> Operation[list[bytes]]:
        """Say that all runs have documents of this schema. Drops the indexes of other ones.

        Returns the names of those.
        """
        surplus = yield from self.surplus()
        if surplus:
            yield self.recount(surplus)
        names = yield from self._others()
        digests = [_digest(name) for name in names]
        now = yield single("TIME")
        yield single("HSET", self._keys.search(), self.schema.digest, now[0])
        if names:
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
                "This server has RediSearch, but this user may not use it (ACL): FT.INFO, "
                "FT.CREATE, FT.SEARCH, FT.AGGREGATE and FT._LIST are needed.",
            )
        except RedisReadOnly:
            return State("missing", "The index is not there yet, and this server is read-only.")
        except RedisMisconfigured as error:
            return _impossible(error)
        if not (yield from self._merges()):
            return State("partial", "This cluster answers with a part of what was found.")
        return (yield from self._state_of(information))

    def _information(self) -> Operation[dict[str, Any]]:
        """FT.INFO of the index, which is made if there is none."""
        try:
            return (yield from self._asked(self.schema.name))
        except RedisMisconfigured as error:
            if _is_unknown_command(error):
                raise
        try:
            yield single(*self.schema.create())
        except RedisMisconfigured as error:
            if "already exists" not in str(error.__cause__):
                raise
        if not (yield single("HLEN", self._keys.index)):  # nothing that could lack documents
            now = yield single("TIME")
            yield single("HSETNX", self._keys.search(), self.schema.digest, now[0])
        return (yield from self._asked(self.schema.name))

    def _asked(self, name: bytes) -> Operation[dict[str, Any]]:
        """FT.INFO, and how many documents there should have been just before."""
        count, information = yield [
            single("HGET", self._keys.search(), COUNT),
            single("FT.INFO", name, decode=_mapping),
        ]
        return {**information, _BEFORE: int(count or 0)}

    def _state_of(self, information: dict[str, Any]) -> Operation[State]:
        since = yield single("HGET", self._keys.search(), self.schema.digest)
        is_building = _is_building(information)
        other = None
        if since is None or is_building:
            other = yield from self._other()
        if other is None and (since is None or is_building):
            return self._unready(information, is_known=since is not None)
        name, fields, information = other or (self.schema.name, self.schema.fields, information)
        reason = yield from self._gap(information)
        return State("incomplete" if reason else "ready", reason, name, fields)

    def _unready(self, information: dict[str, Any], *, is_known: bool) -> State:
        """Of an index that has not all documents yet, or of which nobody knows it."""
        mine = (self.schema.name, self.schema.fields)
        if not is_known:
            reason = "Runs from before SEARCH was set have no documents: run reindexconversations."
            return State("incomplete", reason, *mine)
        percent = _number(information.get("percent_indexed")) * 100
        reason = f"RediSearch is still reading what is stored, {percent:.0f} % by now."
        return State("building", reason, *mine)

    def _gap(self, information: dict[str, Any]) -> Operation[str]:
        """What the index lacks since, as far as counts tell; nothing if they say that it is whole.

        Writers go on meanwhile, so that documents are missing for sure only if there were fewer
        than before and than afterwards.
        """
        conversations, known, stale, count = yield [
            single("HLEN", self._keys.index),
            single("HLEN", self._keys.tokens()),
            single("SCARD", self._keys.stale()),
            single("HGET", self._keys.search(), COUNT),
        ]
        lost = min(int(count or 0), information[_BEFORE]) - int(_number(information["num_docs"]))
        if conversations > known:
            what = f"Without documents yet: {counted(conversations - known, 'conversation')}"
        elif stale:
            what = f"With documents of some runs only: {counted(stale, 'conversation')}"
        elif lost > 0:
            what = f"Lost by Redis: {counted(lost, 'search document')}"
        else:
            return ""
        return f"{what}; run reindexconversations."

    def _other(self) -> Operation[Index | None]:
        """An index of another definition that all runs have documents of, with the same words."""
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
        """Whether a search finds all there is. A cluster has to prove it, once.

        All documents of an index are in one slot; but who asks in between may ask one node of many.
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
        try:
            text = yield single("INFO", "cluster")
        except (RedisDenied, RedisMisconfigured):  # INFO may be forbidden, or renamed
            return False
        return b"cluster_enabled:1" in bytes(text)


def _impossible(error: ConversationMemoryError) -> State:
    if _is_unknown_command(error):
        return State("absent", "This server has no RediSearch.")
    if "db != 0" in str(error.__cause__):
        return State("absent", "RediSearch indexes database 0 only, and this is another.")
    return State("absent", f"RediSearch cannot make the index here. {error}")


def _is_unknown_command(error: ConversationMemoryError) -> bool:
    return "nknown command" in str(error.__cause__)


def _digest(name: bytes) -> bytes:
    return name.rpartition(b"-")[2]


def _mapping(reply: Any) -> dict[str, Any]:
    """A map of RESP3, or what RESP2 makes of one, with its keys as text."""
    if not isinstance(reply, dict):
        reply = dict(zip(reply[::2], reply[1::2], strict=True))
    return {decode(key): value for key, value in reply.items()}


def _total(reply: Any) -> int:
    if isinstance(reply, dict):
        return int(_mapping(reply)["total_results"])
    return int(reply[0])


def _is_building(information: dict[str, Any]) -> bool:
    return _number(information.get("indexing")) > 0


def _number(value: Any) -> float:
    return float(value or 0)


def _fields(information: dict[str, Any]) -> dict[str, str]:
    """Name -> kind of FIELDS, from what FT.INFO says of the columns."""
    found = {}
    for column in information["attributes"]:
        field = decode(_attribute(column))
        kind, _, name = field.partition("_")
        if name:
            found[name] = kind
    return found


def _attribute(column: Any) -> bytes:
    """The name of a column: a map of RESP3, or pairs and then flags that stand alone."""
    if isinstance(column, dict):
        return _mapping(column)["attribute"]  # type: ignore[no-any-return]
    return column[column.index(b"attribute") + 1]  # type: ignore[no-any-return]
