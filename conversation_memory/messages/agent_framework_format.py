"""Messages of Microsoft's Agent Framework, as `Message.to_dict()` makes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .parts import (
    FAILED,
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


def fault(message: Message) -> str:
    return ""


def to_chat(messages: Sequence[Message]) -> list[Message]:
    contents = [one for message in messages for one in dicts(message.get("contents"))]
    answered = {string(one.get("call_id")) for one in contents if _is_result(one)}
    return [chat for message in messages for chat in _chat(message, answered)]


def _is_result(content: Message) -> bool:
    return content.get("type") == "function_result"


def _chat(message: Message, answered: set[str]) -> Iterator[Message]:
    role, contents = message.get("role"), dicts(message.get("contents"))
    said = [one for one in contents if not _is_result(one)]
    if role == "assistant":
        yield assistant(_texts(said, "text"), [*_calls(said, answered)], _thoughts(said))
    elif role in SYSTEM:
        yield {"role": string(role), "content": _texts(said, "text")}
    elif role == "user":
        parts = [*filter(None, map(_part, said))]
        if parts or not contents:  # the approval of a call is not a question
            yield {"role": "user", "content": content_of(parts)}
    for one in filter(_is_result, contents):
        is_failed = bool(one.get("exception"))
        yield result(one.get("call_id"), one.get("result"), is_failed=is_failed)


def _texts(contents: Sequence[Message], kind: str, by: str = "") -> str:
    return joined((one for one in contents if one.get("type") == kind), by)


def _thoughts(contents: Sequence[Message]) -> str:
    return _texts(contents, "text_reasoning", "\n")


def _calls(contents: Sequence[Message], answered: set[str]) -> Iterator[Message]:
    known: set[str] = set()
    for one in contents:
        # What the service itself has called never gets a result here.
        if one.get("type") == "function_call" and not one.get("hosted"):
            known.add(string(one.get("call_id")))
            yield call(one.get("call_id"), one.get("name"), one.get("arguments"))
    for one in contents:
        if one.get("type") != "function_approval_request":
            continue
        made = member(one, "function_call")
        if string(made.get("call_id")) in answered - known:
            yield call(made.get("call_id"), made.get("name"), made.get("arguments"))


def _part(content: Message) -> Message | None:
    kind, uri = content.get("type"), content.get("uri")
    more = member(content, "additional_properties")
    if kind == "text":
        return text_part(content.get("text"))
    if kind == "hosted_file":
        return file_part(file_id=content.get("file_id"))
    if kind not in ("data", "uri") or not isinstance(uri, str):
        return None
    media_type, found = string(content.get("media_type")), inline(uri)
    if media_type.startswith("image/"):
        return image_part(uri, more.get("detail"))
    if media_type.startswith("audio/") and found:
        sound = {"data": found[1], "format": media_type.removeprefix("audio/")}
        return {"type": "input_audio", "input_audio": sound}
    return file_part(filename=more.get("filename"), file_data=uri)


def from_chat(messages: Sequence[Message], run_id: str) -> list[Message]:
    return [one for message in messages for one in _message(message)]


def from_texts(question: str, answer: str) -> list[Message]:
    return [_made("user", [_text(question)]), _made("assistant", [_text(answer)])]


def _message(message: Message) -> Iterator[Message]:
    role = message.get("role")
    if role == "user":
        yield _made("user", map(_content, parts_of(message.get("content"))))
    elif role in SYSTEM:
        yield _made(string(role), [_text(text_of(message))])
    elif role == "tool":
        text = text_of(message)
        id = string(message.get("tool_call_id"))
        # The framework stores no other words about an exception.
        failure = {"exception": "FunctionInvocationError"} if message.get(FAILED) else {}
        members: Message = {"call_id": id, "result": text, "items": [_text(text)], **failure}
        yield _made("tool", [_typed("function_result", None, **members)])
    elif role == "assistant" and is_said(message):
        text = text_of(message)
        yield _made("assistant", [*([_text(text)] if text else []), *map(_call, calls_of(message))])


def _made(role: str, contents: Any) -> Message:
    """A message with all members that the framework writes."""
    found = [*filter(None, contents)]
    return {"type": "message", "role": role, "contents": found, "additional_properties": {}}


def _typed(kind: str, more: Message | None = None, **members: Any) -> Message:
    return {"type": kind, **members, "additional_properties": more or {}}


def _text(text: str) -> Message:
    return _typed("text", text=text)


def _call(made: Message) -> Message:
    function = member(made, "function")
    named: Message = {name: string(function.get(name)) for name in ("name", "arguments")}
    return _typed("function_call", None, call_id=string(made.get("id")), **named, hosted=False)


def _content(part: Message) -> Message | None:
    kind, file = part.get("type"), member(part, "file")
    if kind == "text":
        return _text(string(part.get("text")))
    if kind == "image_url":
        image = member(part, "image_url")
        more = {"detail": image["detail"]} if image.get("detail") else {}
        return _located(image.get("url"), "image/*", more)
    if kind == "input_audio":
        sound = member(part, "input_audio")
        return _located(data_url(f"audio/{sound.get('format')}", sound.get("data")), "audio/*", {})
    if kind == "file" and file.get("file_data"):
        more = {"filename": file["filename"]} if file.get("filename") else {}
        return _located(file["file_data"], "application/octet-stream", more)
    return _typed("hosted_file", file_id=file["file_id"]) if file.get("file_id") else None


def _located(uri: Any, otherwise: str, more: Message) -> Message | None:
    found = inline(uri)
    if found:
        return _typed("data", more, uri=uri, media_type=found[0])
    # The framework takes no other URI of data.
    is_uri = isinstance(uri, str) and ":" in uri and not uri.startswith("data:")
    return _typed("uri", more, uri=uri, media_type=otherwise) if is_uri else None
