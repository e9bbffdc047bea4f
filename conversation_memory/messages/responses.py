"""Items of OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .chat import are_typed
from .parts import (
    FAILED,
    SYSTEM,
    Message,
    assistant,
    call,
    calls_of,
    content_of,
    dicts,
    file_part,
    image_part,
    is_said,
    joined,
    member,
    parts_of,
    result,
    said,
    string,
    text_of,
    text_part,
)

ROLES = ("assistant", "developer", "system", "user")

from_texts = said


def fault(item: Message) -> str:
    """What is wrong with the shape of an item, empty if nothing."""
    kind, content = item.get("type", "message"), item.get("content")
    if kind == "message":
        if isinstance(content, str) or (isinstance(content, list) and are_typed(content)):
            return ""
        return "must have a text or a list of parts with a `type` as `content`"
    is_call = kind in ("function_call", "function_call_output")
    return "must have a text as `call_id`" if is_call and not _has_id(item) else ""


def _has_id(item: Message) -> bool:
    return isinstance(item.get("call_id"), str)


def to_chat(items: Sequence[Message]) -> list[Message]:
    """The items as chat messages; those of one answer become one message."""
    chat: list[Message] = []
    reasoning = ""
    for item in items:
        kind = item.get("type", "message")
        if kind == "reasoning":
            reasoning = _reasoning(item)
        elif kind == "function_call":
            made = call(item.get("call_id"), item.get("name"), item.get("arguments"))
            message = _answer(chat, reasoning)
            message["tool_calls"] = [*calls_of(message), made]
            reasoning = ""
        elif kind == "function_call_output":
            made = result(
                item.get("call_id"), _output(item.get("output")), is_failed=bool(item.get(FAILED))
            )
            chat.append(made)
        elif kind == "message" and item.get("role") == "assistant":
            _say(chat, joined(parts_of(item.get("content"))), reasoning)
            reasoning = ""
        elif kind == "message":
            content = item.get("content")
            parts = [*map(_chat_part, dicts(content))]
            said = content if isinstance(content, str) else content_of([*filter(None, parts)])
            chat.append({"role": string(item.get("role")), "content": said})
    return chat


def _answer(chat: list[Message], reasoning: str = "") -> Message:
    """The message of the assistant at the end of `chat`, a new one if there is none."""
    if not chat or chat[-1]["role"] != "assistant" or reasoning:
        chat.append({**assistant(reasoning=reasoning), "content": None})
    return chat[-1]


def _say(chat: list[Message], text: str, reasoning: str) -> None:
    # A text behind calls stands in the same message: their results have to follow it.
    is_new = not chat or chat[-1]["role"] != "assistant" or reasoning or not calls_of(chat[-1])
    if is_new:
        chat.append(assistant(text, reasoning=reasoning))
    else:
        chat[-1]["content"] = "\n".join(filter(None, (chat[-1]["content"], text)))


def _reasoning(item: Message) -> str:
    return joined(dicts(item.get("content"))) or joined(dicts(item.get("summary")))


def _output(output: Any) -> str:
    return joined(dicts(output)) if isinstance(output, list) else string(output)


def _chat_part(part: Message) -> Message | None:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return text_part(part.get("text"))
    if kind == "input_image" and part.get("image_url"):
        detail = part.get("detail")  # required here, optional in chat messages
        return image_part(part["image_url"], None if detail == "auto" else detail)
    if kind == "input_file" and (part.get("file_data") or part.get("file_id")):
        return file_part(**{k: part.get(k) for k in ("filename", "file_data", "file_id")})
    return None


def from_chat(messages: Sequence[Message], run_id: str) -> list[Message]:
    return [item for message in messages for item in _items(message)]


def _items(message: Message) -> Iterator[Message]:
    role, content = message.get("role"), message.get("content")
    if role == "user":
        parts = [*filter(None, map(_item_part, parts_of(content)))]
        yield {"role": "user", "content": content if isinstance(content, str) else parts}
    elif role in SYSTEM:
        yield {"role": role, "content": text_of(message)}
    elif role == "tool":
        output = {"call_id": message.get("tool_call_id"), "output": text_of(message)}
        yield {"type": "function_call_output", **output}
    elif role == "assistant" and is_said(message):
        if text := text_of(message):
            yield {"role": "assistant", "content": text}
        for one in calls_of(message):
            made = member(one, "function")
            named = {"name": string(made.get("name")), "arguments": string(made.get("arguments"))}
            yield {"type": "function_call", "call_id": one.get("id"), **named}


def _item_part(part: Message) -> Message | None:
    kind = part.get("type")
    if kind == "text":
        return {"type": "input_text", "text": string(part.get("text"))}
    if kind == "image_url":
        image = member(part, "image_url")
        detail = image.get("detail", "auto")
        return {"type": "input_image", "image_url": image.get("url"), "detail": detail}
    return {"type": "input_file", **member(part, "file")} if kind == "file" else None
