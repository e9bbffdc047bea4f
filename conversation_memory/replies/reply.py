"""The answer to a question while a worker writes it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self

from ..artifacts import Artifact
from ..exceptions import ConversationMemoryError, ConversationTooLarge, ReplyError
from ..layouts import ConversationRef, Layout
from ..redis_io.operations import Operation, Performing, T, twins
from ..runs import Run
from ..search_index.run_documents import fresh_token
from .lifecycle import Ending, Replies, answered
from .open_runs import said, write_text

# Text is kept back until it is as old or as long: then 200 tokens a second are ten commands.
INTERVAL = 0.1  # seconds
LONGEST = 1024  # bytes


class Reply:
    """The answer to one question, which one worker at a time writes.

    `driver.reply(run_id)` claims it for `REPLY_LEASE` seconds, and every write extends that when
    half of it is over. `driver.begin(question)` returns one that nobody has claimed; a `with` block
    claims it then.

    At the end of a `with` block, the reply is finished; an exception in it fails the reply, except
    `ReplyCancelled` and `ReplyLost`, and those that are not an `Exception`, such as
    `KeyboardInterrupt`: then the text is written, and another worker may claim the reply when the
    lease is over.

    `write()` keeps text back for up to 0.1 seconds or 1 kB. Of the async methods, a timer writes
    the rest if no further text comes. Without an event loop nobody does: the rest is written with
    the next `write()`, by `flush()`, or at the end.

    A worker whose reply was cancelled, or claimed by another worker, gets `ReplyCancelled` or
    `ReplyLost` from every method that writes; nothing of it gets into the conversation. A `write()`
    that raised `RedisUnavailable` or `RedisReadOnly` has kept its text: go on with the next token.
    The other methods may be repeated then. Nothing is written twice.
    """

    def __init__(self, driver: Performing, layout: Layout, ref: ConversationRef, question: Run):
        self._driver = driver
        self._layout, self._ref = layout, ref
        self._token = fresh_token() + fresh_token()
        self._question = question
        self._start(0, "")
        self._lock = asyncio.Lock()
        self._timer: asyncio.Task[None] | None = None
        self._failure: ReplyError | None = None

    def _start(self, claims: int, text: str) -> None:
        self._claims = claims
        self._texts = [text]
        self._size = len(write_text(text))
        self._kept: list[str] = []  # not sent yet
        self._kept_size = 0
        self._sending = ""  # sent without an answer: it is sent again, as it was
        self._number = 1
        self._flushed = 0.0
        self._is_settled = False

    @property
    def run_id(self) -> str:
        return self._question.id

    @property
    def input(self) -> Artifact:
        """The question."""
        return self._question.input

    @property
    def meta(self) -> dict[str, Any] | None:
        """The `meta` that `begin()` was given."""
        return self._question.meta

    @property
    def text(self) -> str:
        """What was said so far."""
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        return self._texts[0]

    def _claim(self, *, resume: bool = False) -> Operation[Self]:
        """Become the worker that writes this reply.

        What an earlier worker has written is dropped, and followers are told to begin anew; with
        `resume`, `text` holds it and the reply goes on behind it. Raises `ReplyLost` if another
        worker has it or if it is not open.
        """
        claimed = self._replies.claim(
            self.run_id, self._token, self._layout.reply_lease, resume=resume
        )
        claims, self._question, chunks = yield from claimed
        self._start(claims, said(chunks))
        return self

    claim, aclaim = twins(_claim)

    def write(self, text: str) -> None:
        """Add text to the answer.

        Raises `ReplyCancelled` or `ReplyLost` when the answer is not wanted any more, or
        `ConversationTooLarge`.
        """
        self._add(text)
        if self._is_due:
            self.flush()

    async def awrite(self, text: str) -> None:
        """See write()."""
        self._add(text)
        if self._is_due:
            await self.aflush()
        elif self._kept and (self._timer is None or self._timer.done()):
            self._timer = asyncio.create_task(self._flush_later())

    def _flush(self) -> Operation[None]:
        """Write the text that was kept back. Extends the lease, also without any text."""
        self._check_claim()
        while True:
            if not self._sending:
                self._sending, self._kept, self._kept_size = "".join(self._kept), [], 0
            yield from self._replies.add(
                self.run_id, self._token, self._layout.reply_lease, self._number, self._sending
            )
            self._number += bool(self._sending)
            self._sending = ""
            if not self._kept:
                break
        self._flushed = time.monotonic()

    flush, aflush = twins(_flush)

    def _finish(
        self, output: str | Artifact | None = None, *, meta: dict[str, Any] | None = None
    ) -> Operation[Run]:
        """Append the run to the conversation and end the reply, in one step and only once.

        `output` is a text or an artifact instead of what was written; `meta` is added to that of
        the question. Returns the run.
        """
        ending = yield from self._ending()
        run = answered(self._question, self.text if output is None else output, meta)
        if output is not None and run.output.text != self.text:
            ending = replace(ending, rest=run.output.text, anew=bool(self.text))
        yield from self._replies.finish(run, self._token, ending)
        self._end()
        return run

    finish, afinish = twins(_finish)

    def _fail(self, reason: str) -> Operation[None]:
        """End the reply without an answer. The question and the text so far stay for a retry.

        `reason` is what followers are told.
        """
        ending = yield from self._ending()
        yield from self._replies.settle(self.run_id, self._token, "failed", reason, ending)
        self._end()

    fail, afail = twins(_fail)

    def __enter__(self) -> Self:
        return self if self._claims else self.claim()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._run(self._leave(kind), "finish")

    async def __aenter__(self) -> Self:
        return self if self._claims else await self.aclaim()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._arun(self._leave(kind), "finish")

    def _leave(self, kind: type[BaseException] | None) -> Operation[None]:
        if self._is_settled or (kind and issubclass(kind, ReplyError)):
            return
        if kind is None:
            yield from self._finish()
            return
        with suppress(ConversationMemoryError):  # the exception of the block is the one to see
            if issubclass(kind, Exception):
                yield from self._fail(f"The worker failed ({kind.__name__}).")
            else:
                yield from self._flush()

    async def _flush_later(self) -> None:
        await asyncio.sleep(INTERVAL)
        try:
            if self._kept or self._sending:
                await self.aflush()
        except ReplyError as error:
            self._failure = error
        except ConversationMemoryError:  # the next write sends the text again, and raises
            return

    def _add(self, text: str) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:  # of the timer
            raise failure
        self._check_claim()
        size = len(write_text(text))
        if self._size + size > self._layout.max_run_bytes:
            too_large = f"would get a reply of more than {self._layout.max_run_bytes:,} bytes"
            raise self._layout._error(ConversationTooLarge, self._ref, too_large)
        self._size += size
        self._kept_size += size
        self._texts.append(text)
        self._kept += [text] if text else []

    @property
    def _is_due(self) -> bool:
        is_old = time.monotonic() - self._flushed >= INTERVAL
        return bool(self._kept) and (is_old or self._kept_size >= LONGEST)

    def _ending(self) -> Operation[Ending]:
        """The text that goes along with the outcome."""
        self._check_claim()
        if self._sending:
            yield from self._flush()
        return Ending(self._number, "".join(self._kept))

    def _check_claim(self) -> None:
        if not self._claims:
            raise self._replies.error(self.run_id, "waiting")

    def _end(self) -> None:
        self._is_settled = True
        self._kept, self._kept_size = [], 0
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _replies(self) -> Replies:
        return Replies(self._layout, self._ref.for_a_call())

    def _run(self, operation: Operation[T], name: str = "other") -> T:
        return self._driver._run(operation, name)

    async def _arun(self, operation: Operation[T], name: str = "other") -> T:
        async with self._lock:  # of two chunks at once, the second could come first
            return await self._driver._arun(operation, name)

    def __repr__(self) -> str:
        return f"<Reply {self.run_id!r}>"  # never the content
