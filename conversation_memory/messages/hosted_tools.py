"""Tools that the service itself has run, such as a web search, as the calls of other tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .formats import Format
from .parts import Message, dicts, string

# What the items of hosted tools call their result; the picture of one is not text.
_RESULTS = ("error", "output", "outputs", "results")
_OTHER = ("type", "id", "call_id", "status", "name", "server_label", "result", *_RESULTS)


def with_calls(format: Format, messages: Sequence[Any]) -> Iterator[Message]:
    """The messages of a format, with calls and results that its chat form has a place for."""
    form = {"openai-responses": _items, "anthropic": _turns}.get(format.name)
    for message in dicts([*messages]):
        yield from form(message) if form else [message]


def _items(item: Message) -> Iterator[Message]:
    kind = string(item.get("type"))
    if kind == "custom_tool_call_output":
        yield {**item, "type": "function_call_output"}
    elif kind == "custom_tool_call":
        yield {**item, "type": "function_call", "arguments": item.get("input")}
    elif kind.endswith("_call") and kind != "function_call":
        yield from _hosted(item, kind)
    else:
        yield item


def _hosted(item: Message, kind: str) -> Iterator[Message]:
    id = item.get("call_id") or item.get("id")
    arguments = item.get("arguments") or {k: v for k, v in item.items() if k not in _OTHER}
    name = item.get("name") or kind.removesuffix("_call")
    yield {"type": "function_call", "call_id": id, "name": name, "arguments": arguments}
    result = next(filter(None, (item.get(key) for key in _RESULTS)), None)
    if result is not None:
        failed = bool(item.get("error")) or item.get("status") == "failed"
        output = {"call_id": id, "output": string(result), "is_error": failed}
        yield {"type": "function_call_output", **output}


def _turns(message: Message) -> Iterator[Message]:
    """A message of Anthropic's assistant has the results of hosted tools in it."""
    blocks = [*map(_block, dicts(message.get("content")))]
    results = [block for block in blocks if block.get("type") == "tool_result"]
    if message.get("role") != "assistant" or not blocks:
        yield message
        return
    yield {**message, "content": [one for one in blocks if one.get("type") != "tool_result"]}
    if results:
        yield {"role": "user", "content": results}


def _block(block: Message) -> Message:
    kind = string(block.get("type"))
    if kind in ("server_tool_use", "mcp_tool_use"):
        return {**block, "type": "tool_use"}
    if not kind.endswith("_tool_result"):
        return block
    content = block.get("content")
    failed = string(content.get("type")).endswith("error") if isinstance(content, dict) else False
    failed = failed or bool(block.get("is_error"))
    return {**block, "type": "tool_result", "content": string(content), "is_error": failed}
