"""Messages of LangChain, as its `message_to_dict()` makes them: a `type`, and `data`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from . import anthropic
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

_HUMAN, _AI = "human", "ai"
_ROLES = {_HUMAN: "user", _AI: "assistant", "user": "user", "assistant": "assistant"}
_DEVELOPER = "__openai_role__"  # of a system message, in its additional_kwargs


def fault(message: Message) -> str:
    return ""


def to_chat(messages: Sequence[Message]) -> list[Message]:
    answered = {string(member(one, "data").get("tool_call_id")) for one in messages}
    return [chat for message in messages for chat in _chat(message, answered)]


def _chat(message: Message, answered: set[str]) -> Iterator[Message]:
    data = member(message, "data")
    kind = string(message.get("type")).removesuffix("MessageChunk").lower()
    blocks = _blocks(data.get("content"))
    role = string(data.get("role")).lower() if kind == "chat" else kind
    if kind == "tool":
        failed = data.get("status") == "error"
        yield result(data.get("tool_call_id"), joined(blocks), is_failed=failed)
    elif kind == "function":  # knows only the name of what was called
        yield result(data.get("name"), joined(blocks))
    elif role in ("system", "developer"):
        known = member(data, "additional_kwargs").get(_DEVELOPER)
        yield {"role": "developer" if known == "developer" else role, "content": joined(blocks)}
    elif _ROLES.get(role) == "assistant":
        yield _answer(data, blocks, answered)
    elif kind in (_HUMAN, "chat"):
        yield {"role": "user", "content": content_of([*filter(None, map(_chat_part, blocks))])}


def _blocks(content: Any) -> list[Message]:
    """The blocks of a content, in which texts may stand as they are."""
    if not isinstance(content, list):
        return parts_of(content)
    return dicts([text_part(one) if isinstance(one, str) else one for one in content])


def _answer(data: Message, blocks: list[Message], answered: set[str]) -> Message:
    more = member(data, "additional_kwargs")
    texts = joined((b for b in blocks if b.get("type") in ("text", "refusal")), "")
    thoughts = [*filter(None, map(_thought, blocks))]
    reasoning = "\n".join(thoughts) or string(more.get("reasoning_content"))
    calls = [*_calls(data, blocks, answered)]
    return assistant(texts or string(more.get("refusal")), calls, reasoning)


def _thought(block: Message) -> str:
    kind = block.get("type")
    if kind == "thinking":
        return string(block.get("thinking"))
    if kind != "reasoning":
        return ""
    return string(block.get("reasoning")) or joined(dicts(block.get("summary")))


def _calls(data: Message, blocks: list[Message], answered: set[str]) -> Iterator[Message]:
    known: set[str] = set()
    for one in dicts(data.get("tool_calls")):
        known.add(string(one.get("id")))
        yield call(one.get("id"), one.get("name"), one.get("args"))
    for one in dicts(data.get("invalid_tool_calls")):
        # APIs reject a call without a result, and most invalid ones never get it.
        if string(one.get("id")) in answered:
            yield call(one.get("id"), one.get("name"), one.get("args"))
    for one in blocks:
        if one.get("type") in ("tool_use", "tool_call") and string(one.get("id")) not in known:
            yield call(one.get("id"), one.get("name"), one.get("input", one.get("args")))
    function = member(member(data, "additional_kwargs"), "function_call")
    if function:
        yield call(function.get("name"), function.get("name"), function.get("arguments"))


def _chat_part(block: Message) -> Message | None:
    kind = block.get("type")
    if kind == "image_url":
        image = block.get("image_url")
        return image_part(image) if isinstance(image, str) else block
    if kind == "input_audio" or (kind == "file" and "file" in block):
        return block
    if kind == "text" or "source" in block:
        return anthropic.chat_part(block)
    # Of version 1, of version 0 (with "source_type") and of Google ("media").
    data = block.get("base64", block.get("data"))
    url, file = block.get("url"), block.get("file_id", block.get("id"))
    media_type = string(block.get("mime_type"))
    if isinstance(block.get("text"), str) and kind in ("text-plain", "file"):
        return text_part(block["text"])
    if kind == "image" or (kind == "media" and media_type.startswith("image/")):
        found = data_url(media_type or "image/png", data) if data else url
        return image_part(found) if isinstance(found, str) else None
    if kind == "audio" and data:
        sound = {"data": data, "format": media_type.rpartition("/")[2] or "wav"}
        return {"type": "input_audio", "input_audio": sound}
    if kind not in ("file", "text-plain", "media"):
        return None
    name = block.get("filename", member(block, "extras").get("filename"))
    inlined = data_url(media_type or "application/octet-stream", data) if data else url
    return file_part(filename=name, file_data=inlined, file_id=None if inlined else file)


def from_chat(messages: Sequence[Message], run_id: str) -> list[Message]:
    return [one for message in messages for one in _message(message)]


def from_texts(question: str, answer: str) -> list[Message]:
    # As _made() does, in one piece: most messages are these.
    human: Message = {"content": question, "additional_kwargs": {}, "response_metadata": {}}
    human |= {"type": _HUMAN, "name": None, "id": None}
    ai: Message = {"content": answer, "additional_kwargs": {}, "response_metadata": {}}
    ai |= {"type": _AI, "name": None, "id": None, "tool_calls": [], "invalid_tool_calls": []}
    ai["usage_metadata"] = None
    return [{"type": _HUMAN, "data": human}, {"type": _AI, "data": ai}]


def _message(message: Message) -> Iterator[Message]:
    role, content = message.get("role"), message.get("content")
    if role == "user":
        said = content if isinstance(content, str) else [*map(_block, parts_of(content))]
        yield _made(_HUMAN, said)
    elif role in SYSTEM:
        known = {_DEVELOPER: role} if role == "developer" else {}
        yield _made("system", text_of(message), known)
    elif role == "tool":
        id = string(message.get("tool_call_id"))
        status = "error" if message.get(FAILED) else "success"
        outcome: Message = {"tool_call_id": id, "artifact": None, "status": status}
        yield _made("tool", text_of(message), **outcome)
    elif role == "assistant" and (is_said(message) or REASONING in message):
        known = {name: message[name] for name in (REASONING,) if name in message}
        calls = [*map(_call, calls_of(message))]
        yield _answered(text_of(message), known, calls)


def _answered(text: str, more: Message, calls: list[Message]) -> Message:
    rest: Message = {"invalid_tool_calls": [], "usage_metadata": None}
    return _made(_AI, text, more, tool_calls=calls, **rest)


def _made(kind: str, content: Any, more: Message | None = None, **members: Any) -> Message:
    """A message with all members that LangChain writes."""
    data = {"content": content, "additional_kwargs": more or {}, "response_metadata": {}}
    return {"type": kind, "data": {**data, "type": kind, "name": None, "id": None, **members}}


def _call(made: Message) -> Message:
    function = member(made, "function")
    args = parsed(function.get("arguments"))
    name = string(function.get("name"))
    return {"name": name, "args": args, "id": string(made.get("id")), "type": "tool_call"}


def _block(part: Message) -> Message:
    """A part as a block that all models of LangChain take."""
    kind, file = part.get("type"), member(part, "file")
    if kind == "input_audio":
        sound = member(part, "input_audio")
        media_type = f"audio/{string(sound.get('format'))}"
        return {"type": "audio", "base64": sound.get("data"), "mime_type": media_type}
    if kind != "file":
        return part
    found = inline(file.get("file_data"))
    named = {"extras": {"filename": file["filename"]}} if file.get("filename") else {}
    if found:
        return {"type": "file", "base64": found[1], "mime_type": found[0], **named}
    names = {"url": "file_data", "file_id": "file_id"}
    where = {name: file[other] for name, other in names.items() if file.get(other)}
    return {"type": "file", **where, **named}
