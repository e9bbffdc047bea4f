"""Messages of pydantic-ai: requests and responses, as its ModelMessagesTypeAdapter writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .parts import (
    REASONING,
    SYSTEM,
    Message,
    assistant,
    call,
    calls_of,
    content_of,
    data_url,
    dicts,
    file_part,
    image_part,
    inline,
    is_said,
    joined,
    member,
    parts_of,
    result,
    string,
    text_of,
    text_part,
)

ROLES = ()

# Of messages that others wrote, pydantic-ai wants a time, and compares it.
_UNKNOWN = "1970-01-01T00:00:00Z"


def fault(message: Message) -> str:
    return ""


def to_chat(messages: Sequence[Message]) -> list[Message]:
    return [one for message in messages for one in _chat(message)]


def _chat(message: Message) -> Iterator[Message]:
    parts = dicts(message.get("parts"))
    if message.get("kind") == "response":
        texts = "".join(_said(parts, "text"))
        calls = [
            call(one.get("tool_call_id"), one.get("tool_name"), one.get("args") or {})
            for one in parts
            if one.get("part_kind") == "tool-call"
        ]
        yield assistant(texts, calls, "\n".join(_said(parts, "thinking")))
        return
    for part in parts:
        yield from _asked(part)


def _said(parts: Sequence[Message], kind: str) -> Iterator[str]:
    return (string(one.get("content")) for one in parts if one.get("part_kind") == kind)


def _asked(part: Message) -> Iterator[Message]:
    kind, content = part.get("part_kind"), part.get("content")
    if kind == "system-prompt":
        yield {"role": "system", "content": string(content)}
    elif kind == "user-prompt":
        items = content if isinstance(content, list) else [content]
        yield {"role": "user", "content": content_of([*filter(None, map(_chat_part, items))])}
    elif kind == "tool-return" or (kind == "retry-prompt" and part.get("tool_name")):
        failed = kind == "retry-prompt" or part.get("outcome") == "failed"
        yield result(part.get("tool_call_id"), content, is_failed=failed)


def _chat_part(item: Any) -> Message | None:
    if isinstance(item, str):
        return text_part(item)
    item = item if isinstance(item, dict) else {}
    kind, media_type = item.get("kind"), string(item.get("media_type"))
    if kind == "image-url":
        return image_part(item.get("url"))
    if kind == "document-url":
        return file_part(file_data=item.get("url"))
    if kind == "uploaded-file":
        return file_part(file_id=item.get("file_id"))
    if kind == "text-content":
        return text_part(item.get("content"))
    if kind != "binary":
        return None
    # It writes the base64 of URLs, everybody else the usual one.
    data = string(item.get("data")).replace("-", "+").replace("_", "/")
    if media_type.startswith("audio/"):
        audio = {"data": data, "format": media_type.removeprefix("audio/")}
        return {"type": "input_audio", "input_audio": audio}
    url = data_url(media_type, data)
    return image_part(url) if media_type.startswith("image/") else file_part(file_data=url)


def from_chat(messages: Sequence[Message], run_id: str) -> list[Message]:
    """Requests and responses; what stands between two responses is one request."""
    names = {
        string(one.get("id")): member(one, "function").get("name")
        for message in messages
        for one in calls_of(message)
    }
    made: list[Message] = []
    for message in filter(is_said, messages):
        if message.get("role") == "assistant":
            made.append({"parts": _answered(message), "timestamp": _UNKNOWN, "kind": "response"})
            continue
        if not made or made[-1]["kind"] == "response":
            made.append({"parts": [], "kind": "request"})
        made[-1]["parts"].append(_part(message, names))
    return made


def _answered(message: Message) -> list[Message]:
    # Without a signature, pydantic-ai sends a reasoning only to models that take it so.
    said = (("thinking", string(message.get(REASONING))), ("text", text_of(message)))
    parts: list[Message] = [{"content": text, "part_kind": kind} for kind, text in said if text]
    for one in calls_of(message):
        function = member(one, "function")
        made: Message = {
            "tool_name": string(function.get("name")),
            "args": function.get("arguments"),
        }
        parts.append({**made, "tool_call_id": one.get("id"), "part_kind": "tool-call"})
    return parts


def _part(message: Message, names: dict[str, Any]) -> Message:
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        id = string(message.get("tool_call_id"))
        part: Message = {"tool_name": string(names.get(id)), "content": text_of(message)}
        part |= {"tool_call_id": id, "part_kind": "tool-return"}
    elif role in SYSTEM:
        part = {"content": joined(parts_of(content)), "part_kind": "system-prompt"}
    else:
        items = content if isinstance(content, str) else _items(content)
        part = {"content": items, "part_kind": "user-prompt"}
    return {**part, "timestamp": _UNKNOWN}


def _items(content: Any) -> list[Any]:
    return [*filter(None, map(_item, parts_of(content)))]


def _item(part: Message) -> Any:
    kind, file, audio = part.get("type"), member(part, "file"), member(part, "input_audio")
    if kind == "text":
        return string(part.get("text"))
    if kind == "image_url":
        url = member(part, "image_url").get("url")
        return _binary(*found) if (found := inline(url)) else {"url": url, "kind": "image-url"}
    if kind == "file" and (found := inline(file.get("file_data"))):
        return _binary(*found)
    if kind == "file" and file.get("file_data"):
        return {"url": file["file_data"], "kind": "document-url"}
    if kind == "input_audio" and audio.get("data"):
        return _binary(f"audio/{audio.get('format')}", audio["data"])
    return None


def _binary(media_type: str, data: Any) -> Message:
    encoded = string(data).replace("+", "-").replace("/", "_")
    return {"data": encoded, "media_type": media_type, "kind": "binary"}
