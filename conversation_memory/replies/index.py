"""The open runs of a whole index."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..clock import milliseconds, now
from ..collection.listing import Listing
from ..collection.selection import BATCH, PageKey, page_of
from ..exceptions import ConversationError, RedisDenied, RedisReadOnly
from ..keys import decode, encode
from ..layouts import ConversationRef, Layout
from ..records import number, page_limit
from ..redis_io.operations import Command, Operation, Performing, single, twins
from .lifecycle import Replies
from .open_runs import OpenRun, ReplyState, ReplyTexts

ABANDONED = "No worker has finished this reply in time."


class ReplyingIndex(Performing):
    """What an index knows of the replies that are being written."""

    _layout: Layout
    _listing: Listing

    def _open_runs(
        self, limit: int = 100, *, after: OpenRun | None = None
    ) -> Operation[list[OpenRun]]:
        """The questions whose answers are not complete, oldest first, of all conversations.

        At most `limit`; with the last one of them as `after`, those behind it. To fail one, call
        `index.driver(run.conversation_id).fail(run.run_id, reason)`.
        """
        keys, limit = self._layout.keys, page_limit(limit)
        start: PageKey | None = None
        if after is not None and after.begun is not None:
            name = keys.reply(encode(after.conversation_id), encode(after.run_id))
            start = milliseconds(after.begun), name
        found: list[OpenRun] = []
        while len(found) < limit:
            names, start = yield from _page(self._layout, limit - len(found), start)
            found += yield from _open(self._layout, names)
            if start is None:
                break
        return found

    open_runs, aopen_runs = twins(_open_runs)

    def _fail_abandoned(self) -> Operation[int]:
        """Fail the replies that no worker has finished within `REPLY_TIMEOUT`. Returns how many.

        The time is counted from the question, or from the end of the last lease. Question and text
        stay for a retry, and followers get the outcome.
        """
        layout, failed = self._layout, 0
        start: PageKey | None = None
        while True:
            names, start = yield from _page(layout, BATCH, start)
            failed += yield from _fail(layout, names)
            if start is None:
                return failed

    fail_abandoned, afail_abandoned = twins(_fail_abandoned)


def _page(
    layout: Layout, limit: int, after: PageKey | None
) -> Operation[tuple[list[tuple[bytes, bytes]], PageKey | None]]:
    """Conversation and run id of some open runs, and where to go on; None at the end."""
    start: Sequence[Any] = ("", "") if after is None else (int(after[0]), after[1])
    page: list[PageKey] = yield page_of(layout.keys.opened(), limit, *start, "oldest")
    names = [layout.keys.read_reply(name) for _, name in page]
    return [name for name in names if name], page[-1] if len(page) == limit else None


def _open(layout: Layout, names: Sequence[tuple[bytes, bytes]]) -> Operation[list[OpenRun]]:
    """Those that are open. The others are left over of conversations that are deleted."""
    keys = layout.keys
    if not names:
        return []
    calls: list[Command[Any]] = []
    for id, run in names:
        calls.append(single("HMGET", keys.record(id), "owner", "expires", otherwise=[None, None]))
        fields = (b"question:" + run, b"state:" + run)
        calls.append(single("HMGET", keys.open(id), *fields, otherwise=[None, None]))
    time, *replies = yield [now(), *calls]
    found, stale = [], []
    for (id, run), (owner, expires), (question, text) in zip(
        names, replies[::2], replies[1::2], strict=True
    ):
        texts = ReplyTexts.of(keys, id, run)
        state, deadline = texts.state(text), number(expires)
        if state is None or question is None:
            stale.append(keys.reply(id, run))
        elif deadline is None or deadline > time:
            owned_by = decode(owner) if owner else None
            found.append(OpenRun.of(texts, owned_by, state, question, time))
    if stale:
        with suppress(RedisReadOnly, RedisDenied):  # another client will clean up
            yield single("ZREM", keys.opened(), *stale)
    return found


def _fail(layout: Layout, names: Sequence[tuple[bytes, bytes]]) -> Operation[int]:
    keys, failed = layout.keys, 0
    if not names:
        return 0
    states: list[Command[Any]] = [
        single("HGET", keys.open(id), b"state:" + run, otherwise=None) for id, run in names
    ]
    time, *texts = yield [now(), *states]
    for (id, run), text in zip(names, texts, strict=True):
        state = ReplyState.read(text)
        if state is None or state.status not in ("waiting", "claimed"):
            continue
        since = state.lease if state.status == "claimed" else state.begun
        if since + layout.reply_timeout > time:
            continue
        ref = ConversationRef(id)
        settling = Replies(layout, ref).settle(decode(run), state.token, "failed", ABANDONED)
        # A worker has come, or the conversation is deleted or damaged, which the check tells.
        with suppress(ConversationError):
            yield from layout.guarded(ref, settling)
            failed += 1
    return failed
