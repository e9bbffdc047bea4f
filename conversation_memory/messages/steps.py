"""Steps: what the assistant did in a run besides its answer."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..runs import Run
from .hosted_tools import with_calls
from .parts import FAILED, REASONING, Message, calls_of, member, string, text_of
from .turns import stored

_REASONINGS = (REASONING, "reasoning")  # the second is OpenRouter's


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Of `kind` "reasoning" or "said" with a `text`, or "call", a call of the tool `name`.

    `arguments` and `result` are as stored; the result is None if there is none, and `is_failed` if
    the message says so.
    """

    kind: str
    text: str = ""
    name: str = ""
    arguments: Any = None
    result: Any = None
    is_failed: bool = False

    @property
    def texts(self) -> tuple[str, str]:
        """The words of a call and of its result, for a search."""
        given = "\n".join(filter(None, (self.name, readable(self.arguments))))
        return given, readable(self.result)


def steps_of(run: Run) -> Iterator[Step]:
    """The reasoning, the texts before the answer and the tool calls of a run, in their order.

    They are those of the messages in its `meta`; nothing of them raises.
    """
    found = stored(run)
    chat = found[0].to_chat([*with_calls(*found)]) if found else []
    said = [text_of(one) for one in chat if one.get("role") == "assistant"]
    answer = max((n for n, text in enumerate(said) if text), default=-1)
    results = _results(chat)
    assistant = (one for one in chat if one.get("role") == "assistant")
    for number, (message, text) in enumerate(zip(assistant, said, strict=True)):
        reasoning = next(filter(None, (message.get(key) for key in _REASONINGS)), None)
        if isinstance(reasoning, str):
            yield Step(kind="reasoning", text=reasoning)
        if text and number != answer:
            yield Step(kind="said", text=text)
        for call in calls_of(message):
            yield _call(call, results)


def tool_calls(run: Run) -> Iterator[Step]:
    """The tool calls of a run. Costs next to nothing if its `meta` has no messages."""
    return (step for step in steps_of(run) if step.kind == "call") if run.meta else iter(())


def _results(chat: Sequence[Message]) -> dict[str, deque[Message]]:
    """The results by the id of their call, which some services give to several."""
    results: dict[str, deque[Message]] = defaultdict(deque)
    for one in chat:
        if one.get("role") == "tool":
            results[string(one.get("tool_call_id"))].append(one)
    return results


def _call(call: Message, results: dict[str, deque[Message]]) -> Step:
    function = member(call, "function") or call
    found = results[string(call.get("id"))]
    result: Message = found.popleft() if found else {}
    return Step(
        kind="call",
        name=string(function.get("name")),
        arguments=function.get("arguments"),
        result=text_of(result)
        if isinstance(result.get("content"), list)
        else result.get("content"),
        is_failed=bool(result.get(FAILED)) or result.get("status") == "error",
    )


def readable(value: Any) -> str:
    """The texts of a JSON value, one a line, each after its key; other texts as they are."""
    if isinstance(value, str):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return value
        if not isinstance(parsed, dict | list):
            return value
        value = parsed
    return "\n".join(_lines(value))


def _lines(value: Any) -> Iterator[str]:
    rest = [("", value)]
    while rest:  # of any depth
        key, value = rest.pop()
        if isinstance(value, dict):
            rest += reversed([(str(name), one) for name, one in value.items()])
            yield from [key] if key else []
        elif isinstance(value, list):
            rest += reversed([("", one) for one in value])
            yield from [key] if key else []
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"{key}: {text}" if key else text
