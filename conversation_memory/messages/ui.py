"""UIMessages of Vercel's AI SDK, which a chat in the browser shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .chat import are_typed
from .parts import (
    FAILED,
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
    member,
    parsed,
    parts_of,
    result,
    string,
    text_of,
    text_part,
)

ROLES = ("assistant", "system", "user")


def fault(message: Message) -> str:
    """What is wrong with the shape of a message, empty if nothing."""
    parts = message.get("parts")
    if not isinstance(parts, list) or not are_typed(parts):
        return "must have a list of parts with a `type` as `parts`"
    if all(isinstance(one.get("toolCallId"), str) for one in parts if _is_call(one)):
        return ""
    return "must have a text as `toolCallId` of each tool part"


def _is_call(part: Message) -> bool:
    kind = string(part.get("type"))
    return kind == "dynamic-tool" or kind.startswith("tool-")


def to_chat(messages: Sequence[Message]) -> list[Message]:
    chat: list[Message] = []
    for message in messages:
        parts = dicts(message.get("parts"))
        if message.get("role") == "assistant":
            for step in _steps(parts):
                chat += _chat_step(step)
        else:
            content = content_of([*filter(None, map(_chat_part, parts))])
            chat.append({"role": string(message.get("role")), "content": content})
    return chat


def _steps(parts: Sequence[Message]) -> list[list[Message]]:
    """The parts of each call of the model: a text behind a tool was said in the next one."""
    steps: list[list[Message]] = [[]]
    for part in parts:
        is_behind = not _is_call(part) and any(map(_is_call, steps[-1]))
        if steps[-1] and (part.get("type") == "step-start" or is_behind):
            steps.append([])
        if part.get("type") != "step-start":
            steps[-1].append(part)
    return steps


def _chat_step(parts: Sequence[Message]) -> list[Message]:
    def said(kind: str) -> str:
        return "".join(string(one.get("text")) for one in parts if one.get("type") == kind)

    tools = [part for part in parts if _is_call(part)]
    calls = [call(one.get("toolCallId"), _name(one), one.get("input", {})) for one in tools]
    answers = [
        result(
            one.get("toolCallId"),
            one.get("output", one.get("errorText")),
            is_failed=one["state"] == "output-error",
        )
        for one in tools
        if one.get("state") in ("output-available", "output-error")
    ]
    message = assistant(said("text"), calls, said("reasoning"))
    return [message, *answers] if is_said(message) or REASONING in message else []


def _name(part: Message) -> Any:
    kind = string(part.get("type"))
    return part.get("toolName") if kind == "dynamic-tool" else kind.removeprefix("tool-")


def _chat_part(part: Message) -> Message | None:
    if part.get("type") == "text":
        return text_part(part.get("text"))
    if part.get("type") != "file":
        return None
    if string(part.get("mediaType")).startswith("image/"):
        return image_part(part.get("url"))
    return file_part(filename=part.get("filename"), file_data=part.get("url"))


def from_chat(messages: Sequence[Message], run_id: str) -> list[Message]:
    """The messages of one run, whose ids are the same each time.

    All that the assistant did is one message, in which a tool call and its result are one part.
    """
    tools = (message for message in messages if message.get("role") == "tool")
    results = {string(one.get("tool_call_id")): one for one in tools}
    made: list[Message] = []
    for message in messages:
        role = "system" if message.get("role") in SYSTEM else message.get("role")
        if role == "assistant" and made and made[-1]["role"] == "assistant":
            made[-1]["parts"] += _parts(message, results)
        elif role in ROLES:
            parts = _parts(message, results) if role == "assistant" else _said(message)
            is_first = role == "user" and all(one["role"] != "user" for one in made)
            id = run_id if is_first else f"{run_id}-{len(made)}"
            made.append({"id": id, "role": role, "parts": parts})
    return [message for message in made if message["parts"]]


def _said(message: Message) -> list[Message]:
    return [*filter(None, map(_part, parts_of(message.get("content"))))]


def _part(part: Message) -> Message | None:
    kind, file = part.get("type"), member(part, "file")
    if kind == "text":
        return text_part(part.get("text"))
    if kind == "image_url":
        return _file(member(part, "image_url").get("url"), "image/*")
    if kind == "file" and file.get("file_data"):
        name = {"filename": file["filename"]} if file.get("filename") else {}
        return {**_file(file["file_data"], "application/octet-stream"), **name}
    if kind == "input_audio":
        audio = member(part, "input_audio")
        return _file(data_url(f"audio/{audio.get('format')}", audio.get("data")), "audio/*")
    return None


def _file(url: Any, otherwise: str) -> Message:
    found = inline(url)
    return {"type": "file", "mediaType": found[0] if found else otherwise, "url": url}


def _parts(message: Message, results: dict[str, Message]) -> list[Message]:
    reasoning, text = message.get(REASONING), text_of(message)
    parts = [{"type": "reasoning", "text": reasoning}] if isinstance(reasoning, str) else []
    parts += [text_part(text)] if text else []
    parts += [_tool(one, results) for one in calls_of(message)]
    return [{"type": "step-start"}, *parts] if parts else []


def _tool(made: Message, results: dict[str, Message]) -> Message:
    id, function = string(made.get("id")), member(made, "function")
    part: Message = {"type": f"tool-{string(function.get('name'))}", "toolCallId": id}
    part["input"] = parsed(function.get("arguments"))
    if id not in results:
        return {**part, "state": "input-available"}
    text = text_of(results[id])
    if results[id].get(FAILED):
        return {**part, "state": "output-error", "errorText": text}
    return {**part, "state": "output-available", "output": _value(text)}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
