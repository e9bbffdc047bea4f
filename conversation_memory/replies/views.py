"""A reply as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, StreamingHttpResponse

from ..exceptions import ConversationNotFound
from .follow import Following
from .open_runs import Chunk, position

if TYPE_CHECKING:
    from .replying import ReplyingDriver

_RETRY = b"retry: 1000\n\n"  # milliseconds until a browser connects again
_PAUSE = b": still there\n\n"  # so that no proxy takes the connection for dead


def stream_reply(
    request: HttpRequest, driver: ReplyingDriver, run_id: str
) -> StreamingHttpResponse:
    """The reply as server-sent events, from the one after `Last-Event-ID` on.

    That is a header, which a browser sends when it connects again, or a parameter of the query. The
    name of an event is the `kind` of the `Chunk`, its data a JSON object with the `text`. The last
    event is the outcome; a script closes its `EventSource` then.

    Under ASGI, a follower costs a coroutine, and a connection to Redis that those of one reply
    share. Under WSGI it holds a worker (a thread or a process of the server) until the reply is
    finished.

    Raises `TooManyFollowers` beyond `MAX_FOLLOWERS`, and Http404 if the driver sees no such run. An
    async view calls `await astream_reply()` for the latter; where it calls this function, the only
    event is `removed`.
    """
    following = _following(request, driver, run_id)
    if not _has_loop():
        try:
            driver._run(following.look(), "follow")
        except ConversationNotFound:
            raise _not_found() from None
        following = _following(request, driver, run_id)
    return _response(request, following)


async def astream_reply(
    request: HttpRequest, driver: ReplyingDriver, run_id: str
) -> StreamingHttpResponse:
    """See stream_reply()."""
    try:
        await driver._arun(_following(request, driver, run_id).look(), "follow")
    except ConversationNotFound:
        raise _not_found() from None
    return _response(request, _following(request, driver, run_id))


def _following(request: HttpRequest, driver: ReplyingDriver, run_id: str) -> Following:
    after = request.headers.get("Last-Event-ID") or request.GET.get("Last-Event-ID") or ""
    try:
        position(after)
    except ValueError:  # from the beginning
        return driver.follow(run_id)
    return driver.follow(run_id, after=after)


def _response(request: HttpRequest, following: Following) -> StreamingHttpResponse:
    with following.counted():  # with one follower too many, a view can still answer 503
        pass
    is_async = isinstance(request, ASGIRequest)
    events: Any = _aevents(following) if is_async else _events(following)
    response = StreamingHttpResponse(events, content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # nginx would collect what should be seen at once
    return response


def _events(following: Following) -> Iterator[bytes]:
    yield _RETRY
    try:
        with closing(following.with_pauses()) as chunks:
            for chunk in chunks:
                yield _event(chunk)
    except ConversationNotFound:
        yield _event(Chunk("", "removed"))


async def _aevents(following: Following) -> AsyncIterator[bytes]:
    yield _RETRY
    try:
        async with aclosing(following.awith_pauses()) as chunks:
            async for chunk in chunks:
                yield _event(chunk)
    except ConversationNotFound:
        yield _event(Chunk("", "removed"))


def _event(chunk: Chunk | None) -> bytes:
    if chunk is None:
        return _PAUSE
    # JSON has no newline, which would end the event.
    lines = [f"event: {chunk.kind}", f"data: {json.dumps({'text': chunk.text})}"]
    if chunk.id:
        lines.insert(0, f"id: {chunk.id}")
    return "\n".join([*lines, "", ""]).encode()


def _not_found() -> Http404:
    return Http404("There is no such reply.")


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
