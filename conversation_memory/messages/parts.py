"""The parts of the content of a message, and the chat form, through which others are converted.

Nothing here raises: stored messages may come from anyone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

Message = dict[str, Any]

SYSTEM = ("system", "developer")
# Of chat messages, between two conversions.
REASONING = "reasoning_content"
FAILED = "is_error"

_inline = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,([A-Za-z0-9+/]*={0,2})").fullmatch


def inline(url: Any) -> tuple[str, str] | None:
    """The media type and the base64 of a data URL; None for any other."""
    found = _inline(url) if isinstance(url, str) else None
    return (found[1], found[2]) if found else None


def data_url(media_type: Any, data: Any) -> str:
    return f"data:{media_type};base64,{data}"


def dicts(value: Any) -> list[Message]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def member(value: Any, name: str) -> dict[str, Any]:
    """The object `name` of an object, empty if it has none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def string(value: Any) -> str:
    """A text as it is, nothing as "", any other value as JSON."""
    if isinstance(value, str):
        return value
    try:
        return "" if value is None else json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return ""


def parsed(arguments: Any) -> dict[str, Any]:
    """The arguments of a tool call as an object; what is not one stands under `input`."""
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        value = arguments
    return value if isinstance(value, dict) else {"input": value} if value else {}


def text_part(text: Any) -> Message:
    return {"type": "text", "text": string(text)}


def image_part(url: Any, detail: Any = None) -> Message:
    image = {"url": url} if detail is None else {"url": url, "detail": detail}
    return {"type": "image_url", "image_url": image}


def file_part(**members: Any) -> Message:
    return {"type": "file", "file": {k: v for k, v in members.items() if v is not None}}


def parts_of(content: Any) -> list[Message]:
    """The parts of the content of a chat message, of which each is an object."""
    if isinstance(content, str):
        return [text_part(content)] if content else []
    return dicts(content)


def content_of(parts: Sequence[Message]) -> Any:
    """A text for at most one part that is a text, else the parts."""
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else [*parts]


def joined(parts: Iterable[Message], by: str = "\n") -> str:
    """The texts of parts that have one, refusals among them."""
    found = [part.get("text", part.get("refusal")) for part in parts]
    return by.join([text for text in found if isinstance(text, str)])


def text_of(message: Message) -> str:
    """The text of a chat message."""
    content = message.get("content")
    if isinstance(content, str) and content:
        return content
    return joined(parts_of(content)) or string(message.get("refusal"))


def said(question: Any, answer: Any) -> list[Message]:
    """The messages of a question and an answer, without empty ones."""
    pairs = (("user", question), ("assistant", answer))
    return [{"role": role, "content": content} for role, content in pairs if content]


def call(id: Any, name: Any, arguments: Any) -> Message:
    function = {"name": string(name), "arguments": string(arguments)}
    return {"id": string(id), "type": "function", "function": function}


def assistant(content: str = "", calls: Sequence[Message] = (), reasoning: str = "") -> Message:
    """A message of the assistant; its content is None only beside calls."""
    message: Message = {"role": "assistant", "content": content or (None if calls else "")}
    if calls:
        message["tool_calls"] = [*calls]
    return {**message, REASONING: reasoning} if reasoning else message


def result(id: Any, content: Any, *, is_failed: bool = False) -> Message:
    made = {"role": "tool", "tool_call_id": string(id), "content": string(content)}
    return {**made, FAILED: True} if is_failed else made


def calls_of(message: Message) -> list[Message]:
    return dicts(message.get("tool_calls"))


def is_said(message: Message) -> bool:
    """False for a message of the assistant that has neither a text nor a call."""
    content = message.get("content")
    if isinstance(content, str) and content:  # as most have
        return True
    return message.get("role") != "assistant" or bool(text_of(message) or calls_of(message))
