"""ChatMessages of LlamaIndex, as `model_dump(mode="json")` writes them: contents are blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .parts import (
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
    parsed,
    parts_of,
    result,
    string,
    text_of,
    text_part,
)

ROLES = ()

_ASSISTANTS = ("assistant", "chatbot", "model")
_TOOLS = ("tool", "function")


def fault(message: Message) -> str:
    return ""


def to_chat(messages: Sequence[Message]) -> list[Message]:
    return [_chat(message) for message in messages]


def _chat(message: Message) -> Message:
    role, blocks = message.get("role"), dicts(message.get("blocks"))
    kwargs = member(message, "additional_kwargs")
    if len(blocks) == 1 and not kwargs and role in ("user", "assistant"):  # as most messages are
        text = blocks[0].get("text")
        if blocks[0].get("block_type") == "text" and isinstance(text, str):
            return {"role": role, "content": text}
    parts = [*filter(None, map(_chat_part, blocks))]
    if role in _ASSISTANTS:
        thoughts = (one.get("content") for one in blocks if one.get("block_type") == "thinking")
        reasoning = "\n".join(map(string, thoughts))
        return assistant(joined(parts, ""), _calls(blocks, kwargs), reasoning)
    if role in _TOOLS:
        return result(kwargs.get("tool_call_id"), joined(parts))
    return {"role": role if role in SYSTEM else "user", "content": content_of(parts)}


def _calls(blocks: Sequence[Message], kwargs: Message) -> list[Message]:
    """The tool calls among the blocks, or else where some clients of models put them."""
    made = [one for one in blocks if one.get("block_type") == "tool_call"]
    if made:
        return [
            call(one.get("tool_call_id"), one.get("tool_name"), one.get("tool_kwargs", {}))
            for one in made
        ]
    others = ((one, member(one, "function")) for one in calls_of(kwargs))
    return [call(one.get("id"), of.get("name"), of.get("arguments")) for one, of in others]


def _chat_part(block: Message) -> Message | None:
    kind = block.get("block_type")
    if kind == "text":
        return text_part(block.get("text"))
    if kind == "image" and (url := _url(block, "image", "image_mimetype", "image/png")):
        return image_part(url, block.get("detail"))
    if kind == "document":
        url = _url(block, "data", "document_mimetype", "application/octet-stream")
        return file_part(filename=block.get("title"), file_data=url) if url else None
    if kind == "audio" and block.get("audio"):
        audio = {"data": block["audio"], "format": block.get("format") or "wav"}
        return {"type": "input_audio", "input_audio": audio}
    if kind in ("citable", "citation"):
        content = block.get("content", block.get("cited_content"))
        return text_part(joined(dicts(content) or dicts([content])))
    return None


def _url(block: Message, data: str, media_type: str, otherwise: str) -> str:
    if block.get(data):
        return data_url(block.get(media_type) or otherwise, block[data])
    return string(block.get("url"))


def from_chat(messages: Sequence[Message], run_id: str) -> list[Message]:
    return [_message(message) for message in messages if is_said(message)]


def from_texts(question: str, answer: str) -> list[Message]:
    return [_said("user", question), _said("assistant", answer)]


def _said(role: str, text: str) -> Message:
    # As _made() does, without a call for each part: most messages are these.
    blocks = [{"block_type": "text", "text": text}]
    return {"role": role, "additional_kwargs": {}, "blocks": blocks}


def _made(role: Any, blocks: list[Message], kwargs: Message) -> Message:
    return {"role": role, "additional_kwargs": kwargs, "blocks": blocks}


def _message(message: Message) -> Message:
    role, content = message.get("role"), message.get("content")
    kwargs: Message = {}
    if role == "assistant":
        text = text_of(message)
        blocks = [_text(text)] if text else []
        blocks += map(_call, calls_of(message))
    elif role == "tool":
        blocks, kwargs = [_text(text_of(message))], {"tool_call_id": message.get("tool_call_id")}
    else:
        blocks = [*filter(None, map(_block, parts_of(content)))]
    return _made(role, blocks, kwargs)


def _text(text: Any) -> Message:
    return {"block_type": "text", "text": string(text)}


def _call(made: Message) -> Message:
    function = member(made, "function")
    return {
        "block_type": "tool_call",
        "tool_call_id": made.get("id"),
        "tool_name": string(function.get("name")),
        "tool_kwargs": parsed(function.get("arguments")),
    }


def _block(part: Message) -> Message | None:
    kind, file, audio = part.get("type"), member(part, "file"), member(part, "input_audio")
    if kind == "text":
        return _text(part.get("text"))
    if kind == "image_url":
        url = member(part, "image_url").get("url")
        found = inline(url)
        image = {"image": found[1], "image_mimetype": found[0]} if found else {"url": url}
        return {"block_type": "image", **image}
    if kind == "file" and (found := inline(file.get("file_data"))):
        document = {"data": found[1], "document_mimetype": found[0]}
        return {"block_type": "document", "title": file.get("filename"), **document}
    if kind == "input_audio" and audio.get("data"):
        return {"block_type": "audio", "audio": audio["data"], "format": audio.get("format")}
    return None
