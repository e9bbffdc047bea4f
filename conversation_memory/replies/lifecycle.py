"""What happens to open runs, as operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..clock import now
from ..encryption.sealing import CHUNK, QUESTION, REASON
from ..exceptions import (
    ConversationConflict,
    ConversationNotFound,
    ReplyCancelled,
    ReplyError,
    ReplyLost,
)
from ..keys import Keys, encode
from ..layouts import ConversationRef, Layout
from ..layouts.refs import Settlement
from ..layouts.stored import Refusal
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from ..redis_io.step_kinds import Pause
from ..runs import Run
from ..search_index.run_documents import fresh_token
from .open_runs import Chunk, OpenRun, ReplyState, ReplyTexts, said, write_reason, write_text

BEGIN = Script("begin")
CLAIM = Script("claim")
ADD = Script("chunk")
SETTLE = Script("settle")

UNCLAIMED = b"-"  # the token of a question that was not amended

_ATTEMPTS = 100
_LOOKED_AT = 200  # runs, which one round trip reads

# Why a reply is not the worker's, by the word that the scripts return.
_REASONS = {
    "changed": "has another question by now",
    "absent": "is not open: it was finished or removed, or it was never begun",
    "claimed": "is being written by another worker",
    "taken": "was claimed by another worker",
    "waiting": "is not claimed; call claim() first",
    "finished": "was finished",
    "failed": "was failed",
    "removed": "was removed",
    "cancelled": "was cancelled",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """The last text of a reply and its number; with `anew`, it stands for all that was said before.

    `last` is the id of the chunk that must be the last one, "" for any.
    """

    number: int = 1
    rest: str = ""
    anew: bool = False
    last: str = ""


NO_ENDING = Ending()


class Replies:
    """The open runs of one conversation, as one caller sees it."""

    def __init__(self, layout: Layout, ref: ConversationRef):
        self.layout = layout
        self.ref = ref
        self._keys = layout.keys

    def is_stored(self, run_id: str) -> Operation[bool]:
        """True if the run is among the last of the conversation, so that it was answered before."""
        found = self.layout.find(self.ref, lambda run: run.id == run_id, _LOOKED_AT)
        return (yield from found) is not None

    def begin(self, question: Run) -> Operation[None]:
        """Keep a question; nothing happens if that was done before."""
        return self._keep(question, b"", UNCLAIMED)

    def amend(self, question: Run, token: bytes) -> Operation[bytes]:
        """Let a question take the place of one that nobody has claimed. Returns its token.

        Raises `ReplyLost`, with the reason "changed" if another one took its place before.
        """
        new = fresh_token()
        yield from self._check_readable(question.id)
        yield from self._keep(question, token, new)
        return new

    def _keep(self, question: Run, before: bytes, token: bytes) -> Operation[None]:
        text, layout = question.to_wire(), self.layout
        layout._check_runs(self.ref, [text])
        text = self._texts(question.id).stored(QUESTION, text)

        def attempt(ref: ConversationRef, digested: bool) -> Operation[bytes | Refusal]:
            args = [*layout._lifetimes(ref), text, before, token, layout.form]
            reply: bytes | Refusal = yield self._command(BEGIN, ref, question.id, args)
            return reply

        for _ in range(_ATTEMPTS):
            try:
                found = yield from layout._settled(self.ref, attempt)
            except ReplyLost as error:
                raise self.error(question.id, error.reason) from None
            if found != b"absent":
                return
            if before:  # there is nothing to amend
                raise self.error(question.id, "absent")
            yield from self._create()
        raise layout._conflict(self.ref, "kept changing")

    def _create(self) -> Operation[None]:
        # An empty conversation, so that it is listed and has its owner.
        try:
            yield from self.layout.store(self.ref.for_a_call(), (), {}, "0-absent")
        except ConversationConflict:  # another caller was faster
            return

    def claim(
        self, run_id: str, token: bytes, lease: int, *, resume: bool
    ) -> Operation[tuple[int, Run, list[Chunk]]]:
        """The number of the claim, the question, and what was said before if it is to go on."""

        def attempt(ref: ConversationRef, digested: bool) -> Operation[bytes | Refusal]:
            args = [token, lease, int(resume), self.layout.form]
            reply: bytes | Refusal
            reply = yield self._command(CLAIM, ref, run_id, args)
            return reply

        yield from self._check_readable(run_id)
        try:
            found = yield from self.layout._settled(self.ref, attempt)
        except ReplyLost as error:
            raise self.error(run_id, error.reason) from None
        except ConversationNotFound:
            raise self.error(run_id, "absent") from None
        text, _, question = found.partition(b"\n")
        state = ReplyState.read(text)
        assert state is not None
        chunks = (yield from self.chunks(run_id)) if resume else []
        question = self._texts(run_id).opened(QUESTION, question)
        return state.claims, Run.from_text(question), chunks

    def chunks(self, run_id: str) -> Operation[list[Chunk]]:
        """Everything in the stream of a reply."""
        key, texts = self._keys.chunks(self.ref.id, encode(run_id)), self._texts(run_id)
        entries = yield single("XRANGE", key, "-", "+", otherwise=[])
        return [texts.chunk(entry) for entry in entries]

    def _texts(self, run_id: str) -> ReplyTexts:
        return ReplyTexts.of(self._keys, self.ref.id, encode(run_id))

    def _check_readable(self, run_id: str) -> Operation[None]:
        """Raises `Undecryptable` if a text of the reply is, which must not be dropped."""
        if self.layout.sealing is None or (yield from self.layout.record(self.ref)) is None:
            return
        name = b"question:" + encode(run_id)
        question = yield single("HGET", self._keys.open(self.ref.id), name, otherwise=None)
        self._texts(run_id).opened(QUESTION, question or b"")
        yield from self.chunks(run_id)

    def add(self, run_id: str, token: bytes, lease: int, number: int, text: str) -> Operation[None]:
        """Add a chunk, and extend the lease when half of it is over."""
        keys, args = self._last(self.ref, run_id)
        own = [token, lease, number, self._texts(run_id).stored(CHUNK, write_text(text))]
        content = self._keys.content(self.ref.id)
        answer = yield Command((ADD.call([content, *keys], [*own, *args]),))
        if answer != 1:
            raise self.error(run_id, answer.decode())

    def finish(
        self,
        run: Run,
        token: bytes,
        ending: Ending,
        status: str = "finished",
        *,
        more: Sequence[Run] = (),
    ) -> Operation[None]:
        """Append the run, and `more` behind it, and close the reply, in one step and only once."""
        settlement = self._settlement(run.id, token, status, "", ending)
        try:
            added = yield from self.layout.append(
                replace(self.ref, settles=settlement), [run, *more]
            )
        except ReplyLost as error:
            if error.reason != "repeated":
                raise self.error(run.id, error.reason) from None
            return
        if not added:  # somebody else has appended a run of that id
            yield from self._settle(run.id, settlement, closes=True)

    def settle(
        self, run_id: str, token: bytes, status: str, reason: str, ending: Ending = NO_ENDING
    ) -> Operation[None]:
        """Settle a reply without appending it; "removed" gives up the question too."""
        if status == "removed":
            yield from self._check_readable(run_id)
        settlement = self._settlement(run_id, token, status, reason, ending)
        yield from self._settle(run_id, settlement, closes=status == "removed")

    def _settle(self, run_id: str, settlement: Settlement, *, closes: bool) -> Operation[None]:
        def attempt(ref: ConversationRef, digested: bool) -> Operation[int | Refusal]:
            args = [int(closes), self.layout.form, *settlement.args]
            reply: int | Refusal
            reply = yield self.layout._command(SETTLE, ref, args, settlement.keys)
            return reply

        try:
            yield from self.layout._settled(self.ref.for_a_call(), attempt)
        except ReplyLost as error:
            if error.reason != "repeated":
                raise self.error(run_id, error.reason) from None

    def cancel(self, run_id: str) -> Operation[bool]:
        """Keep what was said so far as the output, or without any, the question."""
        for _ in range(_ATTEMPTS):
            found = yield from self.get(run_id)
            if found is None:
                return (yield from self._was_cancelled(run_id))
            chunks = yield from self.chunks(run_id)
            ending, text = Ending(last=chunks[-1].id if chunks else "0-0"), said(chunks)
            try:
                if text:
                    run = answered(found.question, text, {"cancelled": True})
                    yield from self.finish(run, b"", ending, "cancelled")
                else:
                    yield from self.settle(run_id, b"", "cancelled", "", ending)
                return True
            except ReplyError:  # it goes on, or it was just finished
                yield Pause(0.01)
        raise self.layout._conflict(self.ref, "kept changing")

    def _was_cancelled(self, run_id: str) -> Operation[bool]:
        if (yield from self.layout.record(self.ref)) is None:
            return False
        field = b"state:" + encode(run_id)
        state = ReplyState.read((yield single("HGET", self._keys.open(self.ref.id), field)))
        return state is not None and state.status == "cancelled"

    def give_up(self, run_id: str, status: str, reason: str) -> Operation[bool]:
        """Let a reply fail, or remove it. Returns False if it is not open."""
        try:
            yield from self.settle(run_id, b"", status, reason)
        except (ReplyError, ConversationNotFound):
            return False
        return True

    def get(self, run_id: str) -> Operation[OpenRun | None]:
        """The open run of that id; None if there is none that the caller may see."""
        found = yield from self.all(run_id)
        return found[0] if found else None

    def all(self, run_id: str | None = None) -> Operation[list[OpenRun]]:
        """Every open run of the conversation, or only one, the oldest first."""
        record = yield from self.layout.record(self.ref)
        if record is None:
            return []
        open = self._keys.open(self.ref.id)
        if run_id is None:
            fields, time = yield [fields_of(open), now()]
        else:
            names = [kind + encode(run_id) for kind in (b"question:", b"state:")]
            values, time = yield [single("HMGET", open, *names), now()]
            fields = dict(zip(names, values, strict=True))
        return read_open_runs(self._keys, self.ref.id, record.owner, fields, time)

    def _command(
        self, script: Script, ref: ConversationRef, run_id: str, args: Sequence[Any]
    ) -> Command[Any]:
        keys, last = self._last(ref, run_id)
        return self.layout._command(script, ref, [*args, *last], keys)

    def _last(self, ref: ConversationRef, run_id: str) -> tuple[list[bytes], list[bytes]]:
        """The last keys and arguments of the scripts on open runs."""
        keys, run = self._keys, encode(run_id)
        names = [keys.open(ref.id), keys.opened(), keys.chunks(ref.id, run)]
        return names, [run, keys.reply(ref.id, run)]

    def _settlement(
        self, run_id: str, token: bytes, status: str, reason: str, ending: Ending
    ) -> Settlement:
        keys, args = self._last(self.ref, run_id)
        texts = self._texts(run_id)
        rest = texts.stored(CHUNK, write_text(ending.rest))
        why = texts.stored(REASON, write_reason(reason))
        text = (ending.number, rest, int(ending.anew), ending.last)
        return Settlement(tuple(keys), (token, status, why, *text, *args))

    def error(self, run_id: str, why: str) -> ReplyError:
        """The error for a worker that may not write."""
        kind = ReplyCancelled if why == "cancelled" else ReplyLost
        return self.layout._error(kind, self.ref, f"({run_id!r}) {_REASONS.get(why, why)}")


def fields_of(open: bytes) -> Command[dict[bytes, bytes]]:
    """All fields of the hash of open runs of a conversation."""

    def decoded(flat: Any) -> dict[bytes, bytes]:
        # RESP3 returns a dict, RESP2 a flat list.
        pairs = flat if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
        return dict(pairs)

    return single("HGETALL", open, decode=decoded)


def read_open_runs(
    keys: Keys, id: bytes, owner: str | None, fields: Mapping[bytes, bytes | None], now: int
) -> list[OpenRun]:
    """The open runs of the fields of a hash, the oldest first."""
    found = []
    for name, question in fields.items():
        run_id = name.removeprefix(b"question:")
        texts = ReplyTexts.of(keys, id, run_id)
        state = texts.state(fields.get(b"state:" + run_id))
        if run_id != name and question is not None and state is not None:
            found.append((state.begun, OpenRun.of(texts, owner, state, question, now)))
    return [run for _, run in sorted(found, key=lambda pair: (pair[0], pair[1].run_id))]


def answered(question: Run, output: Any, meta: dict[str, Any] | None) -> Run:
    """The whole run: a question, its output, and more of its `meta`."""
    whole = Run(question.input, output, question.meta, id=question.id)
    if meta:
        whole.meta = {**(question.meta or {}), **meta}
    return whole
