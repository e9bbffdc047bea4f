"""Replies as methods of a driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from ..artifacts import Artifact
from ..readers import ConversationReader
from ..redis_io.operations import Operation, twins
from ..runs import Run
from .follow import Following
from .lifecycle import Replies
from .open_runs import OpenRun
from .reply import Reply


class ReplyingDriver(ConversationReader):
    """The replies of one conversation: questions whose answers are not complete."""

    def _begin(
        self,
        question: str | Artifact | Mapping[str, Any],
        *,
        meta: dict[str, Any] | None = None,
        run_id: str | None = None,
    ) -> Operation[Reply]:
        """Keep a question before its answer, beside the conversation: its run is open.

        Creates the conversation if there is none. `run_id` is a fresh one by default; to begin a
        run that was begun before changes nothing. Returns a `Reply` that no worker has claimed.
        """
        run = Run(question, "", meta, id=run_id or uuid4().hex)
        reply = self._reply_to(run)
        # The state of a reply is forgotten some minutes after its end; the run is not.
        if run_id is None or not (yield from self._replies.is_stored(run_id)):
            yield from self._replies.begin(run)
        return reply

    begin, abegin = twins(_begin)

    def _reply(self, run_id: str, *, resume: bool = False) -> Operation[Reply]:
        """Claim an open run, to write its answer. One worker at a time has it.

        What an earlier worker has written is dropped; with `resume`, the reply goes on behind it.
        Raises `ReplyLost` if another worker has it, or if it is not open.
        """
        return self._reply_to(Run("", "", id=run_id))._claim(resume=resume)

    reply, areply = twins(_reply)

    def _cancel(self, run_id: str) -> Operation[bool]:
        """Stop a reply. Its worker gets `ReplyCancelled` when it writes next.

        What was said so far becomes the output of the run, which gets `"cancelled": True` in its
        `meta` and is appended to the conversation. If nothing was said, the question stays open and
        may be claimed again. Returns False if the run is not open, for example because it was
        finished before.
        """
        return self._replies.cancel(run_id)

    cancel, acancel = twins(_cancel)

    def _fail(self, run_id: str, reason: str) -> Operation[bool]:
        """Fail a reply from outside, whoever has claimed it; see `Reply.fail()`.

        Returns False if the run is not open.
        """
        return self._replies.give_up(run_id, "failed", reason)

    fail, afail = twins(_fail)

    def _discard(self, run_id: str) -> Operation[bool]:
        """Remove a question that needs no answer any more, and what was said so far.

        Returns False if the run is not open.
        """
        return self._replies.give_up(run_id, "removed", "")

    discard, adiscard = twins(_discard)

    def _open_runs(self) -> Operation[list[OpenRun]]:
        """The questions of this conversation whose answers are not complete, oldest first."""
        return self._replies.all()

    open_runs, aopen_runs = twins(_open_runs)

    def follow(self, run_id: str, *, after: str | None = None) -> Following:
        """The chunks of a reply as they are written, for `for` and for `async for`.

        The last one is always an outcome. `after` is the id of the last chunk that is known: what
        follows it comes. A reply that was finished a while ago comes from the conversation.

        A follower waits on a connection of its own, besides those of the other commands; the async
        followers of one reply in one event loop share one. The loop raises `TooManyFollowers`
        beyond `MAX_FOLLOWERS`, and `RunNotFound` for a run that the driver does not see.
        """
        return Following(self, self._connection, self._layout, self._ref, run_id, after)

    @property
    def _replies(self) -> Replies:
        return Replies(self._layout, self._ref)

    def _reply_to(self, run: Run) -> Reply:
        return Reply(self, self._layout, self._ref, run)
