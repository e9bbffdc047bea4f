"""Messages of OpenAI's chat API, which most other services take too."""

from __future__ import annotations

from collections.abc import Sequence

from .parts import FAILED, REASONING, SYSTEM, Message, is_said, said

ROLES = ("assistant", "developer", "system", "tool", "user")

from_texts = said


def fault(message: Message) -> str:
    """What is wrong with the shape of a message, empty if nothing."""
    role, content, calls = message["role"], message.get("content"), message.get("tool_calls")
    if not isinstance(content, str | list | None) or (
        content is None and role in ("user", *SYSTEM)
    ):
        return "must have a text or a list of parts as `content`"
    if isinstance(content, list) and not are_typed(content):
        return "must have parts with a `type` in `content`"
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        return "must have the id of a tool call as `tool_call_id`"
    if calls is None:
        return ""
    if role != "assistant" or not isinstance(calls, list):
        return "may have a list of `tool_calls` only as `assistant`"
    if all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in calls):
        return ""
    return "must have `tool_calls` with an `id`"


def are_typed(parts: Sequence[object]) -> bool:
    """True if all parts are objects with a `type`."""
    return all(isinstance(one, dict) and isinstance(one.get("type"), str) for one in parts)


def to_chat(messages: Sequence[Message]) -> list[Message]:
    return [*messages]


def from_chat(messages: Sequence[Message], run_id: str) -> list[Message]:
    # OpenAI rejects members that it does not know.
    return [
        {name: value for name, value in one.items() if name not in (FAILED, REASONING)}
        for one in messages
        if is_said(one)
    ]
