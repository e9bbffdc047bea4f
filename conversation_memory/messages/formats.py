"""The formats of chat messages, and how messages of anyone are taken in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..wire import MAX_DEPTH, too_deep
from . import (
    agent_framework_format,
    anthropic,
    chat,
    langchain_format,
    llama_index_format,
    pydantic_ai_format,
    responses,
    ui,
)
from .parts import SYSTEM, Message, said


@dataclass(frozen=True, slots=True)
class Format:
    """Messages as one API takes them, and their way to chat messages and back.

    `roles` are those that its messages may have; none for any message.
    """

    name: str
    roles: Sequence[str]
    fault: Callable[[Message], str]
    to_chat: Callable[[Sequence[Message]], list[Message]]
    from_chat: Callable[[Sequence[Message], str], list[Message]]
    has_items: bool = False  # True if some are items without a role
    # A quicker from_chat(), of a question and an answer that have a message each.
    from_texts: Callable[[str, str], list[Message]] | None = None

    def exchange(self, question: str, answer: str, run_id: str) -> list[Message]:
        """The messages of a question and its answer, without an empty one."""
        if self.from_texts is None or not (question or answer):
            return self.from_chat(said(question, answer), run_id)
        both = self.from_texts(question or answer, answer or question)
        return both if question and answer else both[:1] if question else both[1:]

    def begins(self, message: Message) -> bool:
        """True for a message of a user, not for the result of a tool."""
        return begins(self.to_chat([message]))

    def is_system(self, message: Message) -> bool:
        return is_system(self.to_chat([message]))


def begins(chat: Sequence[Message]) -> bool:
    """See Format.begins(); of the chat messages of one message."""
    return [role for role in _roles(chat) if role not in SYSTEM][:1] == ["user"]


def is_system(chat: Sequence[Message]) -> bool:
    """See Format.is_system()."""
    roles = _roles(chat)
    return bool(roles) and all(role in SYSTEM for role in roles)


def _roles(chat: Sequence[Message]) -> list[str]:
    return [one["role"] for one in chat if isinstance(one.get("role"), str)]


FORMATS = {
    name: Format(
        name,
        room.ROLES,
        room.fault,
        room.to_chat,
        room.from_chat,
        room is responses,
        getattr(room, "from_texts", None),
    )
    for name, room in (
        ("openai", chat),
        ("openai-responses", responses),
        ("anthropic", anthropic),
        ("ui", ui),
        ("langchain", langchain_format),
        ("llama-index", llama_index_format),
        ("pydantic-ai", pydantic_ai_format),
        ("agent-framework", agent_framework_format),
    )
}
OPENAI = FORMATS["openai"]


def find_format(name: str) -> Format:
    """Raises ValueError for an unknown name."""
    if isinstance(name, str) and name in FORMATS:
        return FORMATS[name]
    raise ValueError(f"{name!r:.50} is not a format of messages. Choose {_or(FORMATS)}.")


def checked(messages: Any, format: Format) -> list[Message]:
    """The messages as JSON objects. Raises ValueError, naming the position of a wrong one."""
    return [_checked(one, position, format) for position, one in enumerate(plain(messages))]


def plain(messages: Any) -> list[Message]:
    """Any messages as JSON objects. Raises ValueError, naming the position of a wrong one."""
    if isinstance(messages, str | bytes | Mapping) or not hasattr(messages, "__iter__"):
        raise ValueError(f"Messages must be a list of dicts, not {type(messages).__name__}.")
    return [_object(message, f"messages[{position}]") for position, message in enumerate(messages)]


def _object(message: Any, where: str) -> Message:
    value = _plain(message, where)
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a dict, not {type(message).__name__}.")
    return value


def _checked(value: Message, position: int, format: Format) -> Message:
    where = f"messages[{position}]"
    role, kind = value.get("role"), value.get("type", "message")
    if not isinstance(kind, str) and format.has_items:
        raise ValueError(f"{where} must have a text as `type`.")
    is_item = format.has_items and kind != "message"
    if format.roles and role not in format.roles and not is_item:
        raise ValueError(f"{where} has the role {role!r:.50}. Choose {_or(format.roles)}.")
    if fault := format.fault(value):
        raise ValueError(f"{where} {fault} in the format {format.name!r}.")
    return value


def _plain(value: Any, where: str, depth: int = 1) -> Any:
    """`value` as JSON: a copy, with the objects of client libraries as dicts."""
    if depth > MAX_DEPTH:
        raise too_deep()
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(one, where, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, where, depth + 1) for one in value]
    if hasattr(value, "model_dump"):  # pydantic, as the clients of OpenAI and Anthropic use it
        return _plain(value.model_dump(mode="json", exclude_unset=True), where, depth + 1)
    raise ValueError(f"{where} has a value of the type {type(value).__name__}, which is not JSON.")


def _or(names: Any) -> str:
    *others, last = map(repr, names)
    return f"{', '.join(others)} or {last}"


_LONGEST = 4000


def estimate_message_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens messages have: four characters each, and at most 1,000 for a binary."""
    rest: list[Any] = [*messages]
    characters = 0
    while rest:  # of any depth, as others may have stored them
        value = rest.pop()
        if isinstance(value, dict):
            binary = value.get("data")
            if isinstance(binary, str):
                characters += min(len(binary), _LONGEST)
            rest += [one for name, one in value.items() if one is not binary or name != "data"]
        elif isinstance(value, list):
            rest += value
        elif isinstance(value, str):
            is_binary = value.startswith("data:")
            characters += min(len(value), _LONGEST) if is_binary else len(value)
    return characters // 4 + 1
