"""Messages of Anthropic's API, whose contents are blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .chat import are_typed
from .parts import (
    FAILED,
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
    joined,
    member,
    parsed,
    parts_of,
    result,
    string,
    text_of,
    text_part,
)

ROLES = ("assistant", "user")


def fault(message: Message) -> str:
    """What is wrong with the shape of a message, empty if nothing."""
    content = message.get("content")
    if isinstance(content, str):
        return ""
    if not isinstance(content, list) or not are_typed(content):
        return "must have a text or a list of blocks with a `type` as `content`"
    ids = {"tool_use": "id", "tool_result": "tool_use_id"}
    lacking = (b for b in content if not isinstance(b.get(ids.get(b["type"], "type")), str))
    return next((f"must have a text as `{ids[b['type']]}` of a block" for b in lacking), "")


def to_chat(messages: Sequence[Message]) -> list[Message]:
    return [one for message in messages for one in _chat(message)]


def _chat(message: Message) -> Iterator[Message]:
    content = message.get("content")
    blocks = parts_of(content)
    if message.get("role") == "assistant":
        calls = [
            call(block.get("id"), block.get("name"), block.get("input"))
            for block in blocks
            if block.get("type") == "tool_use"
        ]
        texts = joined((b for b in blocks if b.get("type") == "text"), "")
        thoughts = [b.get("thinking") for b in blocks if b.get("type") == "thinking"]
        yield assistant(texts, calls, "\n".join(map(string, thoughts)))
        return
    results = [block for block in blocks if block.get("type") == "tool_result"]
    for block in results:
        output = block.get("content")
        text = joined(dicts(output)) if isinstance(output, list) else string(output)
        yield result(block.get("tool_use_id"), text, is_failed=bool(block.get(FAILED)))
    parts = [*filter(None, map(chat_part, blocks))]
    if parts or not results:
        yield {"role": "user", "content": content_of(parts)}


def chat_part(block: Message) -> Message | None:
    """The part of a chat message that a block is; None for one that has no place there."""
    kind, source = block.get("type"), member(block, "source")
    data = data_url(source.get("media_type"), source.get("data"))
    if kind == "text":
        return text_part(block.get("text"))
    if kind == "image" and source.get("type") in ("base64", "url"):
        return image_part(data if source["type"] == "base64" else source.get("url"))
    if kind == "document" and source.get("type") == "base64":
        return file_part(filename=block.get("title"), file_data=data)
    if kind == "document" and source.get("type") == "text":
        return text_part(source.get("data"))
    return None


def from_chat(messages: Sequence[Message], run_id: str) -> list[Message]:
    """The messages as Anthropic takes them: without system prompts, the results of one in one."""
    made: list[Message] = []
    for message in messages:
        if message.get("role") != "tool":
            made += _message(message)
            continue
        block: Message = {"type": "tool_result", "tool_use_id": message.get("tool_call_id")}
        block["content"] = text_of(message)
        block |= {FAILED: True} if message.get(FAILED) else {}
        if not (made and made[-1]["role"] == "user" and _has_results(made[-1]["content"])):
            made.append({"role": "user", "content": []})
        made[-1]["content"].append(block)
    return made


def _has_results(content: Any) -> bool:
    return any(block.get("type") == "tool_result" for block in dicts(content))


def _message(message: Message) -> Iterator[Message]:
    role, content = message.get("role"), message.get("content")
    calls = [
        {
            "type": "tool_use",
            "id": one.get("id"),
            "name": string(member(one, "function").get("name")),
            "input": parsed(member(one, "function").get("arguments")),
        }
        for one in calls_of(message)
    ]
    if role == "assistant":
        text = text_of(message)
        blocks: Any = [*([text_part(text)] if text else []), *calls] if calls else text
    elif role == "user":
        blocks = content if isinstance(content, str) else _blocks(content)
    else:
        return
    if blocks:  # Anthropic rejects an empty content
        yield {"role": role, "content": blocks}


def _blocks(content: Any) -> list[Message]:
    return [*filter(None, map(_block, parts_of(content)))]


def _block(part: Message) -> Message | None:
    kind, file = part.get("type"), member(part, "file")
    if kind == "text":
        return text_part(part["text"]) if part.get("text") else None
    if kind == "image_url":
        return {"type": "image", "source": _source(member(part, "image_url").get("url"))}
    if kind == "file" and inline(file.get("file_data")):
        title = {"title": file["filename"]} if file.get("filename") else {}
        return {"type": "document", "source": _source(file["file_data"]), **title}
    return None


def _source(url: Any) -> Message:
    if found := inline(url):
        return {"type": "base64", "media_type": found[0], "data": found[1]}
    return {"type": "url", "url": url}
