"""A model that answers from a script, with the interface of OpenAI's clients."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol

from ..messages.formats import estimate_message_tokens

# Seconds after which a test has forgotten to set an event.
PATIENCE = 10
_words = re.compile(r"\s*\S+\s?|\s+").findall


class ScriptedEvent(Protocol):
    """A `threading.Event` or, for the async client, an `asyncio.Event`."""

    def is_set(self) -> bool: ...
    def wait(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """A call of the tool `name`, as a part of an answer."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


Part = str | ScriptedCall | Exception | ScriptedEvent
Answer = Part | Sequence[Part] | Callable[[list[Any]], Part | Sequence[Part]]


class _Object(SimpleNamespace):
    """An object of an answer, with the method of pydantic that stores it."""

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Without members that are None, as clients leave out what was not sent."""
        values: dict[str, Any] = json.loads(json.dumps(vars(self), default=vars))
        return {name: it for name, it in values.items() if it is not None or name == "content"}


class _Scripted:
    def __init__(self, *answers: Answer):
        self._answers = deque(answers)
        self._calls = 0
        self.requests: list[dict[str, Any]] = []
        completions = SimpleNamespace(create=self._create)
        self.chat = SimpleNamespace(completions=completions)

    _create: Callable[..., Any]

    @property
    def left(self) -> int:
        """How many answers were not asked for."""
        return len(self._answers)

    def _next(self, request: dict[str, Any]) -> list[Part]:
        """The parts of the next answer."""
        self.requests.append({**request, "messages": [*request["messages"]]})
        try:
            answer = self._answers.popleft()
        except IndexError:
            number = len(self.requests)
            raise AssertionError(f"The script has no answer number {number}.") from None
        if callable(answer):
            answer = answer(self.requests[-1]["messages"])
        return [*answer] if isinstance(answer, list | tuple) else [answer]  # type: ignore[list-item]

    def _objects(self, part: Part, index: int) -> Iterator[_Object]:
        """The deltas of a part, in whose answer `index` tools were called before."""
        if isinstance(part, str):
            yield from (_Object(content=word, tool_calls=None) for word in _words(part))
            return
        assert isinstance(part, ScriptedCall), f"{part!r:.50} cannot be a part of an answer."
        self._calls += 1
        text = json.dumps(part.arguments)
        head = {"id": f"call-{self._calls}", "type": "function"}
        for more, name, piece in ((head, part.name, text[:4]), ({}, None, text[4:])):
            call = _Object(index=index, function=_Object(name=name, arguments=piece), **more)
            yield _Object(content=None, tool_calls=[call])

    def _completion(self, request: dict[str, Any], deltas: list[_Object]) -> _Object:
        calls: list[_Object] = []
        for delta in deltas:
            for call in delta.tool_calls or ():
                if call.index < len(calls):
                    calls[call.index].function.arguments += call.function.arguments
                else:
                    function = _Object(**vars(call.function))
                    calls.append(_Object(id=call.id, type=call.type, function=function))
        text = "".join(delta.content or "" for delta in deltas)
        content = None if calls and not text else text
        message = _Object(role="assistant", content=content, tool_calls=calls or None)
        choice = _Object(index=0, message=message, finish_reason=_reason(calls))
        usage = _usage(request, deltas)
        return _Object(**_head(request, "chat.completion"), choices=[choice], usage=usage)


class ScriptedClient(_Scripted):
    """Stands for `openai.OpenAI()` in tests: it gives the `answers` one after the other.

    An answer is a text, which is streamed word by word; a `ScriptedCall`; an exception to raise; or
    a list of those, in which an event is a pause until the test sets it. A function is called with
    the messages, and returns one of these.

    Only `client.chat.completions.create(model=…, messages=…, stream=…)` is there. `requests` has
    what it was called with, further options included; `left` counts the answers that are left.
    """

    def _create(self, *, model: str, messages: Sequence[Any], **options: Any) -> Any:
        request = {"model": model, "messages": messages, **options}
        deltas = self._deltas(self._next(request))
        if options.get("stream"):
            return ScriptedStream(self._chunks(request, deltas))
        return self._completion(request, [*deltas])

    def _deltas(self, parts: list[Part]) -> Iterator[_Object]:
        index = 0
        for part in parts:
            if isinstance(part, Exception):
                raise part
            if hasattr(part, "wait"):
                _check(part.wait(PATIENCE))  # type: ignore[call-arg]
                continue
            yield from self._objects(part, index)
            index += isinstance(part, ScriptedCall)

    def _chunks(self, request: dict[str, Any], deltas: Iterator[_Object]) -> Iterator[_Object]:
        sent: list[_Object] = []
        for delta in deltas:
            sent.append(delta)
            yield _chunk(request, delta)
        yield from _last(request, sent)


class AsyncScriptedClient(_Scripted):
    """Stands for `openai.AsyncOpenAI()`; see `ScriptedClient`."""

    async def _create(self, *, model: str, messages: Sequence[Any], **options: Any) -> Any:
        request = {"model": model, "messages": messages, **options}
        deltas = self._deltas(self._next(request))
        if options.get("stream"):
            return AsyncScriptedStream(self._chunks(request, deltas))
        return self._completion(request, [delta async for delta in deltas])

    async def _deltas(self, parts: list[Part]) -> AsyncIterator[_Object]:
        index = 0
        for part in parts:
            if isinstance(part, Exception):
                raise part
            if hasattr(part, "wait"):
                await _pause(part)
                continue
            for delta in self._objects(part, index):
                yield delta
            index += isinstance(part, ScriptedCall)

    async def _chunks(
        self, request: dict[str, Any], deltas: AsyncIterator[_Object]
    ) -> AsyncIterator[_Object]:
        sent: list[_Object] = []
        async for delta in deltas:
            sent.append(delta)
            yield _chunk(request, delta)
        for chunk in _last(request, sent):
            yield chunk


class ScriptedStream:
    """The chunks of an answer; `close()`, or the end of its `with` block, ends it."""

    def __init__(self, chunks: Any):
        self._chunks = chunks

    def __iter__(self) -> Iterator[Any]:
        return iter(self._chunks)

    def __next__(self) -> Any:
        return next(self._chunks)

    def __enter__(self) -> ScriptedStream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._chunks.close()


class AsyncScriptedStream:
    """See ScriptedStream."""

    def __init__(self, chunks: Any):
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[Any]:
        return aiter(self._chunks)

    async def __anext__(self) -> Any:
        return await anext(self._chunks)

    async def __aenter__(self) -> AsyncScriptedStream:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._chunks.aclose()


def _head(request: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "scripted", "object": kind, "created": 0, "model": request["model"]}


def _chunk(request: dict[str, Any], delta: _Object, reason: str | None = None) -> _Object:
    choice = _Object(index=0, delta=delta, finish_reason=reason)
    head = _head(request, "chat.completion.chunk")
    return _Object(**head, choices=[choice], usage=None)


def _last(request: dict[str, Any], sent: list[_Object]) -> Iterator[_Object]:
    calls = [call for delta in sent for call in delta.tool_calls or ()]
    yield _chunk(request, _Object(content=None, tool_calls=None), _reason(calls))
    if (request.get("stream_options") or {}).get("include_usage"):
        head = _head(request, "chat.completion.chunk")
        yield _Object(**head, choices=[], usage=_usage(request, sent))


def _reason(calls: Sequence[Any]) -> str:
    return "tool_calls" if calls else "stop"


def _usage(request: dict[str, Any], sent: Sequence[_Object]) -> _Object:
    """Tokens as the app estimates them, and one for each piece of the answer."""
    asked = estimate_message_tokens(request["messages"])
    tokens = {"prompt_tokens": asked, "completion_tokens": len(sent)}
    return _Object(**tokens, total_tokens=asked + len(sent))


async def _pause(event: Any) -> None:
    if isinstance(event, asyncio.Event):
        try:
            await asyncio.wait_for(event.wait(), PATIENCE)
        except TimeoutError:
            _check(False)
    else:
        _check(await asyncio.to_thread(event.wait, PATIENCE))


def _check(is_set: bool) -> None:
    if not is_set:
        raise AssertionError(f"The test did not set the event of the script in {PATIENCE} seconds.")
