"""An open run, the state that Redis keeps of it, and what a follower gets to see."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ..artifacts import Artifact
from ..clock import moment
from ..encryption.sealing import CHUNK, QUESTION, REASON, Sealing
from ..keys import Keys, decode
from ..runs import Run

# Follow those of scripts/replies.lua.
OUTCOMES = ("finished", "failed", "cancelled", "removed")

_NO_REASON = b'""'  # as scripts/replies.lua writes it

_state = re.compile(
    rb"([a-z]+) (\d{1,15}) (\d{1,15}) (\d{1,15}) (\d{1,9}) (\S+) (.*)", re.S
).fullmatch


@dataclass(frozen=True, slots=True)
class ReplyState:
    """The state of an open run as replies.lua writes it, times in milliseconds."""

    status: str
    begun: int
    changed: int
    lease: int
    claims: int
    token: bytes
    reason: str

    @classmethod
    def read(cls, text: bytes | None) -> ReplyState | None:
        """None for a text that is not a state."""
        parts = _state(text or b"")
        if parts is None:
            return None
        status, *numbers, token, reason = parts.groups()
        begun, changed, lease, claims = map(int, numbers)
        return cls(status.decode(), begun, changed, lease, claims, token, read_reason(reason))


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A question whose answer is not complete.

    `state` is "waiting" for a worker, "claimed" by one until `lease`, "lost" if that is over,
    "failed" with a `reason`, or "cancelled" before anything was said. `claims` counts the workers
    so far, `changed` is when the last one came or ended. `token` is for the scripts.
    """

    conversation_id: str
    owner: str | None
    run_id: str
    state: str
    begun: datetime | None
    changed: datetime | None
    lease: datetime | None
    claims: int
    reason: str
    question: Run
    token: bytes = field(repr=False)

    @classmethod
    def of(
        cls,
        texts: ReplyTexts,
        owner: str | None,
        state: ReplyState,
        question: bytes,
        now: int,
    ) -> OpenRun:
        claimed = state.status == "claimed"
        return cls(
            decode(texts.id),
            owner,
            decode(texts.run_id),
            "lost" if claimed and state.lease <= now else state.status,
            moment(state.begun),
            moment(state.changed),
            moment(state.lease) if claimed else None,
            state.claims,
            state.reason,
            Run.from_text(texts.opened(QUESTION, question, strict=False)),
            state.token,
        )

    @property
    def input(self) -> Artifact:
        return self.question.input

    @property
    def meta(self) -> dict[str, Any] | None:
        return self.question.meta


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a reply as a follower gets it.

    `kind` is "text"; "restart" if another worker begins anew, so that what was said before does not
    count; "lost" if the worker seems to be dead; or an outcome, which is the last chunk:
    "finished", "failed" with the reason as `text`, "cancelled", or "removed" if there is no such
    run. `id` is the value of `after` to go on from.
    """

    id: str
    kind: str
    text: str = ""

    @property
    def is_outcome(self) -> bool:
        return self.kind in OUTCOMES


@dataclass(frozen=True, slots=True)
class ReplyTexts:
    """The texts of one open run, as they are stored and as they are read."""

    sealing: Sealing | None
    id: bytes  # of the conversation
    run_id: bytes

    @classmethod
    def of(cls, keys: Keys, id: bytes, run_id: bytes) -> ReplyTexts:
        return cls(keys.sealing, id, run_id)

    def stored(self, kind: bytes, text: bytes) -> bytes:
        if self.sealing is None or text == _NO_REASON:
            return text
        return self.sealing.seal(kind, self.id, text, self.run_id)

    def opened(self, kind: bytes, text: bytes, *, strict: bool = True) -> bytes:
        """Raises `Undecryptable`; unless `strict`, such a text is returned as Sealing.lenient()
        says."""
        if self.sealing is None or text == _NO_REASON:
            return text
        opened = self.sealing.open if strict else self.sealing.lenient
        return opened(kind, self.id, text, self.run_id)

    def state(self, text: bytes | None) -> ReplyState | None:
        """See ReplyState.read(), with the reason that it was given."""
        state = ReplyState.read(text)
        if state is None or self.sealing is None or text is None:
            return state
        *_, reason = text.split(b" ", 6)
        return replace(state, reason=read_reason(self.opened(REASON, reason, strict=False)))

    def chunk(self, entry: Sequence[Any], *, strict: bool = True) -> Chunk:
        """The chunk of an entry of the stream."""
        id, flat = entry
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        kind, text = fields.get(b"k"), fields.get(b"t", b"")
        if kind is None:
            text = self.opened(CHUNK, text, strict=strict)
            return Chunk(id.decode(), "text", read_text(text))
        reason = read_reason(self.opened(REASON, text, strict=False))
        return Chunk(id.decode(), read_text(kind), reason)


def said(chunks: Sequence[Chunk]) -> str:
    """What was said since the last restart."""
    return "".join(chunk.text for chunk in chunks if chunk.kind == "text")


# A model may send half of a surrogate pair in each of two tokens.
def write_text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def read_text(text: bytes) -> str:
    try:
        return text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return text.decode("utf-8", "replace")


def write_reason(reason: str) -> bytes:
    return json.dumps(reason).encode()


def read_reason(text: bytes) -> str:
    try:
        return str(json.loads(text)) if text else ""
    except (ValueError, RecursionError):
        return ""


def position(id: str) -> tuple[int, int]:
    """The id of a chunk as numbers. Raises ValueError."""
    claim, _, number = id.partition("-")
    if not (claim.isascii() and claim.isdigit() and number.isascii() and number.isdigit()):
        raise ValueError(f"{id[:50]!r} is not the id of a chunk.")
    if max(len(claim), len(number)) > 15:
        raise ValueError(f"{id[:50]!r} is not the id of a chunk.")
    return int(claim), int(number)
