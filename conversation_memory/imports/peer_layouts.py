"""How other libraries lay out conversations in Redis, each as a class that only reads."""

from __future__ import annotations

import json
import re
from base64 import b32decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from ..clock import milliseconds
from ..keys import decode, encode
from ..messages.parts import dicts
from ..redis_io.operations import Operation, T, single

_SCANNED = 1000
_SCOPE = ("tenant", "application", "agent", "source")
_glob = re.compile(rb"[*?\[\]\\^]").sub


class Unreadable(ValueError):
    """A conversation that is not as its library writes it. The message quotes nothing of it."""


class Gone(Unreadable):
    """A conversation that has expired or was deleted since its keys were found."""


@dataclass(frozen=True, slots=True)
class PeerConversation:
    """The messages of a conversation in a format of `messages/`, and what else is known of it.

    Times are in milliseconds.
    """

    messages: list[dict[str, Any]]
    owner: str | None = None
    title: str = ""
    created: int | None = None
    updated: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class PeerLayout:
    """One library: where its conversations are, and how to read one.

    `prefix` is that of its keys by default, None if the user chooses it there too.
    """

    format: ClassVar[str] = "openai"
    prefix: ClassVar[str | None] = None
    type: ClassVar[str] = "list"

    def __init__(self, prefix: str | None = None):
        self._prefix = (self.prefix or "") if prefix is None else prefix

    def find(self) -> Operation[dict[str, list[bytes]]]:
        """The keys of each conversation, by its id."""
        found: dict[str, set[bytes]] = {}
        prefix = encode(self._prefix)
        pattern = _glob(rb"\\\g<0>", prefix) + b"*"
        cursor: Any = b"0"
        while True:
            scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED, "TYPE", self.type)
            cursor, keys = yield single(*scan)
            for key in keys:
                if id := self.id_of(decode(key.removeprefix(prefix))):
                    found.setdefault(id, set()).add(key)
            if int(cursor) == 0:
                return {id: sorted(keys) for id, keys in sorted(found.items())}

    def id_of(self, name: str) -> str | None:
        """The conversation of a key without its prefix, None if it is none."""
        return name

    def read(self, keys: Sequence[bytes]) -> Operation[PeerConversation]:
        """The conversation in these keys. Raises `Unreadable`."""
        [key] = _only(keys)
        texts = yield single("LRANGE", key, 0, -1)
        return PeerConversation([*map(_object, _there(texts))])


class OpenAIAgents(PeerLayout):
    """openai-agents: `RedisSession`."""

    format = "openai-responses"
    prefix = "agents:session:"

    def id_of(self, name: str) -> str | None:
        return name.removesuffix(":messages") if name.endswith(":messages") else None

    def read(self, keys: Sequence[bytes]) -> Operation[PeerConversation]:
        [key] = _only(keys)
        texts, times = yield [
            single("LRANGE", key, 0, -1),
            single("HMGET", key.removesuffix(b":messages"), "created_at", "updated_at"),
        ]
        items = [*map(_object, _there(texts))]
        if any(item.get("__enc__") for item in items):
            raise Unreadable("it is encrypted")
        created, updated = map(_milliseconds, times)
        return PeerConversation(items, created=created, updated=updated)


class LangChainCommunity(PeerLayout):
    """langchain-community: `RedisChatMessageHistory`, the newest message first."""

    format = "langchain"
    prefix = "message_store:"

    def read(self, keys: Sequence[bytes]) -> Operation[PeerConversation]:
        found = yield from super().read(keys)
        return PeerConversation(found.messages[::-1])


class LangChainRedis(PeerLayout):
    """langchain-redis: `RedisChatMessageHistory`, a document of RedisJSON for each message."""

    format = "langchain"
    prefix = "chat:"
    type = "ReJSON-RL"

    def id_of(self, name: str) -> str | None:
        return name.rpartition(":")[0] or None

    def read(self, keys: Sequence[bytes]) -> Operation[PeerConversation]:
        texts = yield [single("JSON.GET", key) for key in keys]
        documents = map(_object, _there([text for text in texts if text is not None]))
        # Of equal times, the ULID in the key decides.
        found = sorted(documents, key=lambda one: _number(one.get("timestamp")))
        times = [_milliseconds(one.get("timestamp")) for one in found]
        messages = [{"type": one.get("type"), "data": _dict(one.get("data"))} for one in found]
        return PeerConversation(messages, created=times[0], updated=times[-1])


class LlamaIndex(PeerLayout):
    """llama-index: `RedisChatStore`, whose keys have no prefix of their own."""

    format = "llama-index"

    def id_of(self, name: str) -> str | None:
        return self._prefix + name

    def read(self, keys: Sequence[bytes]) -> Operation[PeerConversation]:
        found = yield from super().read(keys)
        if all("role" in one and ("blocks" in one or "content" in one) for one in found.messages):
            return found
        raise Unreadable("it is no list of messages of LlamaIndex")


class RedisVL(PeerLayout):
    """redisvl: `MessageHistory` and `SemanticMessageHistory`, a hash for each message."""

    type = "hash"

    def id_of(self, name: str) -> str | None:
        parts = name.removeprefix(":").rsplit(":", 2)
        return parts[0] if len(parts) == 3 else None

    def read(self, keys: Sequence[bytes]) -> Operation[PeerConversation]:
        names = ("role", "content", "timestamp", "tool_call_id", "metadata")
        found = yield [single("HMGET", key, *names) for key in keys]
        rows = sorted(_there([*filter(any, found)]), key=lambda row: _number(row[2]))
        messages = [*map(self._message, rows)]
        times = [_milliseconds(row[2]) for row in rows]
        return PeerConversation(messages, created=times[0], updated=times[-1])

    def _message(self, row: Sequence[bytes | None]) -> dict[str, Any]:
        values = (None if value is None else decode(value) for value in row)
        role, content, _, call, metadata = values
        if role is None or content is None:
            raise Unreadable("it is no message of redisvl")
        message = {"role": "assistant" if role == "llm" else role, "content": content}
        more = {"tool_call_id": call, "metadata": metadata}
        return {**message, **{name: value for name, value in more.items() if value is not None}}


class Agno(PeerLayout):
    """agno: `RedisDb`, whose sessions are JSON, with a key for each run."""

    prefix = "agno:sessions:"
    type = "string"

    def read(self, keys: Sequence[bytes]) -> Operation[PeerConversation]:
        [key] = _only(keys)
        session = _object((yield single("GET", key)))
        root = self._prefix.removesuffix("sessions:")
        by_session = f"{root}runs:by_session:{session.get('session_id')}"
        ids = yield single("ZRANGE", by_session, 0, -1)
        texts = (yield [single("GET", f"{root}runs:{decode(id)}") for id in ids]) if ids else []
        runs = [_object(text) for text in texts if text] or session.get("runs")
        owner, about = session.get("user_id"), _dict(session.get("session_data"))
        return PeerConversation(
            [message for run in dicts(runs) for message in _said(run)],
            owner=None if owner is None else str(owner),
            title=str(about.get("session_name") or ""),
            created=_milliseconds(session.get("created_at")),
            updated=_milliseconds(session.get("updated_at")),
            metadata=_dict(session.get("metadata")),
        )


def _said(stored: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if stored.get("parent_run_id"):  # of a member of a team, which the user did not talk to
        return
    run = _dict(stored.get("run_data")) or stored
    messages = run.get("messages")
    if isinstance(messages, list):
        # A run repeats what the model was told of the runs before it.
        yield from (one for one in dicts(messages) if not one.get("from_history"))
        return
    asked = _dict(run.get("input")).get("input_content")
    for role, content in (("user", asked), ("assistant", run.get("content"))):
        if isinstance(content, str) and content:
            yield {"role": role, "content": content}


class AgentFramework(PeerLayout):
    """Microsoft agent-framework: `RedisHistoryProvider`, with keys of either form."""

    format = "agent-framework"
    prefix = "chat_messages"

    def id_of(self, name: str) -> str | None:
        if name.startswith("|v2|"):
            return _segment(name.rpartition("|")[2])
        return name.removeprefix(":") if name.startswith(":") else None

    def read(self, keys: Sequence[bytes]) -> Operation[PeerConversation]:
        found = yield from super().read(keys)
        parts = zip(_SCOPE, decode(keys[0]).split("|")[2:-1], strict=False)
        scope = {name: _segment(part) for name, part in parts if part != "~none"}
        metadata = {"agent_framework": scope} if scope else {}
        return PeerConversation(found.messages, metadata=metadata)


def _segment(text: str) -> str:
    """The text of an encoded part of a key."""
    encoded = re.fullmatch(r"~redis-[\w-]+-([a-z2-7]+)", text)
    if encoded is None:
        return text
    code = encoded[1].upper()
    try:
        return b32decode(code + "=" * (-len(code) % 8)).decode("utf-8", "replace")
    except ValueError:  # no such part
        return text


class LangGraph(PeerLayout):
    """langgraph-checkpoint-redis: the messages of the newest checkpoint of a thread."""

    format = "langchain"
    prefix = "checkpoint_latest:"
    type = "string"

    def id_of(self, name: str) -> str | None:
        return name.removesuffix(":__empty__") if name.endswith(":__empty__") else None

    def read(self, keys: Sequence[bytes]) -> Operation[PeerConversation]:
        [key] = _only(keys)
        newest = yield single("GET", key)
        if newest is None:
            raise Gone
        checkpoint = _dict(_object((yield single("JSON.GET", newest))).get("checkpoint"))
        found = _dict(checkpoint.get("channel_values")).get("messages")
        if not isinstance(found, list):
            raise Unreadable("its newest checkpoint has no channel `messages`")
        return PeerConversation([*map(self._message, found)], updated=_iso(checkpoint.get("ts")))

    def _message(self, value: Any) -> dict[str, Any]:
        data = _dict(_dict(value).get("kwargs"))
        if not isinstance(data.get("type"), str):
            raise Unreadable("its newest checkpoint has what is no message of LangChain")
        return {"type": data["type"], "data": data}


PEERS: dict[str, type[PeerLayout]] = {
    "agent-framework": AgentFramework,
    "agno": Agno,
    "langchain-community": LangChainCommunity,
    "langchain-redis": LangChainRedis,
    "langgraph": LangGraph,
    "llama-index": LlamaIndex,
    "openai-agents": OpenAIAgents,
    "redisvl": RedisVL,
}


def _only(keys: Sequence[bytes]) -> Sequence[bytes]:
    if len(keys) > 1:
        names = " and ".join(repr(decode(key)) for key in keys[:2])
        raise Unreadable(f"it is in {names}: import them with a --prefix of their own")
    return keys


def _there(values: list[T]) -> list[T]:
    """The values of keys, of which none is left if they are gone."""
    if not values:
        raise Gone
    return values


def _object(text: bytes | None) -> dict[str, Any]:
    if text is None:
        raise Gone
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("it is not JSON") from None
    if not isinstance(value, dict):
        raise Unreadable("it is no JSON object")
    return value


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def _milliseconds(seconds: Any) -> int | None:
    """A time in seconds as one in milliseconds; None for one that is none."""
    found = _number(seconds)
    return int(found * 1000) if 0 < found < 2**40 else None


def _iso(text: Any) -> int | None:
    try:
        return milliseconds(datetime.fromisoformat(text))
    except (TypeError, ValueError):
        return None
