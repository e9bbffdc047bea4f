"""Following a reply while it is written, and after that."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Coroutine,
    Generator,
    Iterator,
    Sequence,
)
from contextlib import AbstractContextManager, aclosing
from typing import Any

from ..clock import now
from ..exceptions import RunNotFound
from ..keys import encode
from ..layouts import ConversationRef, Layout
from ..readers import ConversationReader
from ..records import LARGEST
from ..redis_io.connections import Connection
from ..redis_io.operations import Operation, aperform, perform, single
from .open_runs import OUTCOMES, Chunk, ReplyTexts, position

# How long a read waits for the next chunk, in seconds, before the state of the reply is looked at.
HEARTBEAT = 5.0

_MANY = 500  # chunks of one read


class SharedRead:
    """A read for all who await its result; it ends with the last of them."""

    def __init__(self, read: Coroutine[Any, Any, list[Chunk]]):
        self._task = asyncio.ensure_future(read)
        self._waiting = 0

    async def result(self) -> list[Chunk]:
        self._waiting += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._task.cancel()

    @property
    def is_over(self) -> bool:
        return self._task.done() or not self._waiting


class Following:
    """The chunks of one reply for one follower, as an iterator, sync or async."""

    def __init__(
        self,
        reader: ConversationReader,
        connection: Connection,
        layout: Layout,
        ref: ConversationRef,
        run_id: str,
        after: str | None = None,
    ):
        if after is not None:
            position(after)
        self._reader, self._connection = reader, connection
        self._layout, self._ref, self._run_id = layout, ref, run_id
        self._after = after
        self._is_known = self._is_lost = self._is_over = False
        self._open = layout.keys.open(ref.id)
        self._texts = ReplyTexts.of(layout.keys, ref.id, encode(run_id))

    def __iter__(self) -> Iterator[Chunk]:
        return (chunk for chunk in self.with_pauses() if chunk is not None)

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        async with aclosing(self.awith_pauses()) as chunks:
            async for chunk in chunks:
                if chunk is not None:
                    yield chunk

    def with_pauses(self) -> Generator[Chunk | None, None, None]:
        """The chunks, and None whenever there was none for HEARTBEAT seconds."""
        with self.counted():
            chunks: Sequence[Chunk | None] = self._reader._run(self.look(), "follow")
            while True:
                yield from chunks
                if self._is_over:
                    return
                client = self._reader._connection.follower
                reading = self._layout.guarded(self._ref, self._read())
                chunks = self._told(perform(client, reading, self._layout.alias))
                chunks = chunks or [*self._reader._run(self.look(), "follow"), None]

    async def awith_pauses(self) -> AsyncGenerator[Chunk | None, None]:
        """See with_pauses()."""
        with self.counted():
            chunks: Sequence[Chunk | None] = await self._reader._arun(self.look(), "follow")
            while True:
                for chunk in chunks:
                    yield chunk
                if self._is_over:
                    return
                chunks = self._told(await self._aread())
                chunks = chunks or [*(await self._reader._arun(self.look(), "follow")), None]

    def counted(self) -> AbstractContextManager[None]:
        """Raises `TooManyFollowers` beyond the limit."""
        return self._connection.following(self._layout.alias, self._layout.max_followers)

    @property
    def _chunks(self) -> bytes:
        # After a look, the reader knows into which shard the conversation has moved.
        return self._reader._layout.keys.chunks(self._ref.id, encode(self._run_id))

    def look(self) -> Operation[list[Chunk]]:
        """What has to be told of the state of the reply, if anything.

        Raises `RunNotFound`, the first time, if the caller sees no such run.
        """
        if (yield from self._layout.record(self._ref)) is None:
            return self._removed()
        state, newest, time = yield [
            single("HGET", self._open, b"state:" + encode(self._run_id), decode=self._texts.state),
            single("XREVRANGE", self._chunks, "+", "-", "COUNT", 1, otherwise=[]),
            now(),
        ]
        if state is None or (state.status == "finished" and not newest):
            return (yield from self._stored())
        self._is_known = True
        last = newest[0][0].decode() if newest else "0-0"
        if position(last) > position(self._after or "0-0"):
            return []  # these chunks are told first
        if state.status in OUTCOMES:
            return self._ended([Chunk(last, state.status, state.reason)])
        was_lost, self._is_lost = self._is_lost, state.status == "claimed" and state.lease <= time
        return [Chunk(self._after or "", "lost")] if self._is_lost and not was_lost else []

    def _read(self) -> Operation[list[Chunk]]:
        """The next chunks; none if there was none for a while."""
        block = ("BLOCK", int(HEARTBEAT * 1000))
        after = self._after or "0-0"
        reply = yield single("XREAD", "COUNT", _MANY, *block, "STREAMS", self._chunks, after)
        if not reply:
            return []
        [[_, entries]] = reply.items() if isinstance(reply, dict) else reply
        return [self._texts.chunk(entry) for entry in entries]

    async def _aread(self) -> list[Chunk]:
        """See _read(). Followers that are as far wait for one read together."""
        reads: dict[Any, SharedRead] = self._reader._connection.reads
        place = (self._chunks, self._after)
        if place not in reads:
            client = self._reader._connection.async_follower
            reading = self._layout.guarded(self._ref, self._read())
            reads[place] = SharedRead(aperform(client, reading, self._layout.alias))
        try:
            return await reads[place].result()
        finally:
            if place in reads and reads[place].is_over:
                del reads[place]

    def _told(self, found: list[Chunk]) -> list[Chunk]:
        """What the follower gets of the chunks that were read."""
        if not found:
            return []
        self._after = found[-1].id
        # An outcome that a retry has overtaken is not one; it may do so behind a full reply.
        last = found[-1] if found[-1].is_outcome and len(found) < _MANY else None
        # A worker that goes on has begun with an empty text.
        told = [one for one in found if not one.is_outcome and (one.text or one.kind != "text")]
        return self._ended([*told, last]) if last else told

    def _stored(self) -> Operation[list[Chunk]]:
        """The whole reply, from the conversation."""
        wanted = self._run_id
        reading = self._layout.find(self._ref, lambda run: run.id == wanted, LARGEST)
        index = yield from reading
        if index is None:
            return self._removed()
        [run] = (yield from self._layout.page(self._ref, index + 1, 1)).runs
        restart = [] if self._after is None else [Chunk("", "restart")]
        outcome = "cancelled" if (run.meta or {}).get("cancelled") is True else "finished"
        return self._ended([*restart, Chunk("", "text", run.output.text), Chunk("", outcome)])

    def _removed(self) -> list[Chunk]:
        if not self._is_known:
            raise self._layout._error(RunNotFound, self._ref, repr(self._run_id))
        return self._ended([Chunk(self._after or "", "removed")])

    def _ended(self, chunks: list[Chunk]) -> list[Chunk]:
        self._is_over = True
        return chunks
