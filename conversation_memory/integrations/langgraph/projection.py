"""The messages of a thread as runs of its conversation.

Only runs that the projection wrote are changed by it; what others wrote stays where it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha1
from itertools import islice
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    convert_to_messages,
    message_chunk_to_message,
    message_to_dict,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from ...documents import Document
from ...encryption.sealing import TURN, Sealing
from ...exceptions import ReplyLost, RunNotFound
from ...layouts import ConversationRef, Layout
from ...messages.formats import OPENAI, find_format, plain
from ...messages.turns import Turn, without_messages
from ...redis_io.operations import Operation
from ...replies.lifecycle import UNCLAIMED, Ending, Replies
from ...runs import Run

_serializer = JsonPlusSerializer()
_LANGCHAIN = find_format("langchain")


def digest_of(message: BaseMessage, encoded: bytes = b"") -> bytes:
    """What tells a message: everything in it. `encoded` is its text, if it is known."""
    encoded = encoded or _serializer.dumps_typed(message)[1]
    return sha1(encoded, usedforsecurity=False).digest()[:16]


def as_messages(value: Any) -> list[BaseMessage] | None:
    """The value of a channel as messages; None if it is not a list of those."""
    if not isinstance(value, list | tuple):
        return None
    if all(isinstance(one, BaseMessage) for one in value):
        return [*value]
    try:
        return convert_to_messages(value)
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError):
        return None


@dataclass(frozen=True)
class ThreadTurn:
    """The messages from one of a user up to the next, as the run that they become."""

    messages: Sequence[BaseMessage]
    position: int
    digests: Sequence[bytes]
    salt: str = ""

    @property
    def digest(self) -> str:
        return sha1(b"".join(self.digests), usedforsecurity=False).hexdigest()[:16]

    @property
    def id(self) -> str:
        """That of the message of the user; without one, what its place and its text make."""
        first = next(filter(_is_human, self.messages), self.messages[0])
        text = f"{self.salt}{self.position} {first.type} {first.text}"
        encoded = text.encode("utf-8", "surrogatepass")
        return first.id or sha1(encoded, usedforsecurity=False).hexdigest()

    @cached_property
    def turn(self) -> Turn:
        try:
            found = plain(map(message_to_dict, map(message_chunk_to_message, self.messages)))
        except (TypeError, ValueError):  # something in them is not JSON: their texts tell
            return Turn(OPENAI, [*map(_text_only, self.messages)], 0, self.id, True)
        return Turn(_LANGCHAIN, found, 0, self.id, True)

    @property
    def is_open(self) -> bool:
        """True if an answer is to come."""
        return self.turn.is_open

    def run(self) -> Run:
        return self.turn.run()

    def renewed(self, run: Run) -> Run:
        """`run`, which this turn has become, with what others have noted in its meta."""
        fresh = self.run()
        fresh.meta = {**without_messages(run.meta), **(fresh.meta or {})} or None
        return fresh


def thread_turns(
    messages: Sequence[BaseMessage], digests: Sequence[bytes] | None = None, salt: str = ""
) -> list[ThreadTurn]:
    """The turns of a thread, cut where a message list cuts them.

    With a secret `salt`, no id tells which text it was made of.
    """
    digests = digests or [*map(digest_of, messages)]
    groups: list[list[BaseMessage]] = []
    for message in messages:
        # Several messages of a user in a row, and a system prompt before one, are of one turn.
        if not groups or (_asks(message) and not all(map(_asks, groups[-1]))):
            groups.append([])
        groups[-1].append(message)
    left = iter(digests)
    turns = [
        ThreadTurn(group, position, [*islice(left, len(group))], salt)
        for position, group in enumerate(groups)
    ]
    return [*{turn.id: turn for turn in turns}.values()]


def _asks(message: BaseMessage) -> bool:
    return isinstance(message, HumanMessage | SystemMessage)


def _is_human(message: BaseMessage) -> bool:
    return isinstance(message, HumanMessage)


def _text_only(message: BaseMessage) -> dict[str, Any]:
    if isinstance(message, ToolMessage):
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
    roles = {"human": "user", "system": "system"}
    said = {"role": roles.get(message.type, "assistant"), "content": str(message.text)}
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return {**said, "tool_calls": [*map(_call, calls)]} if calls else said


def _call(made: ToolCall) -> dict[str, Any]:
    function = {"name": made["name"], "arguments": json.dumps(made["args"], default=str)}
    return {"id": made["id"], "type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class ShownThread:
    """What the projection has written: id and digest of each run, and of the open one.

    The salt of the ids stays the same, whatever key is the newest.
    """

    runs: Sequence[tuple[str, str]] = ()
    open: str = ""
    digest: str = ""
    token: str = ""  # of the open run
    salt: str = ""

    @classmethod
    def read(cls, text: bytes) -> ShownThread:
        """Raises ValueError or TypeError for a text that is not one."""
        if not text:
            return cls()
        runs, *rest = json.loads(text)
        open, digest, token, salt = map(_text, rest)
        return cls([(_text(id), _text(of)) for id, of in runs], open, digest, token, salt)

    def salted(self, sealing: Sealing | None, id: bytes) -> ShownThread:
        """With the salt of a thread that nothing is shown of yet, if it is encrypted."""
        if sealing is None or self.runs or self.open:
            return self
        return replace(self, salt=self.salt or sealing.digest(TURN, id))

    @property
    def text(self) -> bytes:
        parts = [[*map(list, self.runs)], self.open, self.digest, self.token, self.salt]
        return json.dumps(parts, separators=(",", ":")).encode()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("What is shown is told by texts.")
    return value


def _ids(runs: Sequence[tuple[str, str]]) -> list[str]:
    return [id for id, _ in runs]


@dataclass(frozen=True, slots=True)
class Projection:
    """Brings a conversation in step with the messages of a thread."""

    layout: Layout
    ref: ConversationRef
    before: ShownThread

    def show(self, turns: list[ThreadTurn], *, anew: bool = False) -> Operation[ShownThread]:
        """Write what has changed. With `anew`, it is not known what was written last."""
        open = turns.pop() if turns and turns[-1].is_open else None
        runs = [(turn.id, turn.digest) for turn in turns]
        shown = ShownThread(runs, salt=self.before.salt)
        old, same = self.before.runs, 0
        while same < min(len(old), len(turns)) and old[same] == shown.runs[same]:
            same += 1
        if not anew and same == len(old):
            yield from self._append(turns[same:])
        elif not anew and same == len(old) - 1 and _ids(old[same:]) == _ids(shown.runs[same:][:1]):
            yield from self._edit(turns[same])
            yield from self._append(turns[same + 1 :])
        else:
            yield from self._rewrite(turns)
        return (yield from self._ask(open, shown))

    @property
    def _replies(self) -> Replies:
        return Replies(self.layout, self.ref.for_a_call())

    def _append(self, turns: Sequence[ThreadTurn]) -> Operation[None]:
        if not turns:
            return
        ref, runs = self.ref.for_a_call(), [turn.run() for turn in turns]
        if runs[0].id == self.before.open:
            ending = Ending(rest=runs[0].output.text)
            settles = self._replies._settlement(runs[0].id, b"", "finished", "", ending)
            try:
                yield from self.layout.append(replace(ref, settles=settles), runs)
                return
            except ReplyLost:  # somebody else has ended it
                ref = self.ref.for_a_call()
        yield from self.layout.append(ref, runs)

    def _edit(self, turn: ThreadTurn) -> Operation[None]:
        def text(stored: bytes) -> bytes:
            return self.layout.text_of(turn.renewed(Run.from_text(stored)))

        try:
            yield from self.layout._change_run(self.ref.for_a_call(), turn.id, "edit", text)
        except RunNotFound:  # somebody has removed it
            return

    def _rewrite(self, turns: Sequence[ThreadTurn]) -> Operation[None]:
        def change(document: Document) -> Document | None:
            texts = [*self._merged(document, turns)]
            return None if texts == [*document.texts] else document.with_texts(texts)

        yield from self.layout._change(self.ref.for_a_call(), change)

    def _merged(self, document: Document, turns: Sequence[ThreadTurn]) -> list[bytes]:
        """The turns, and the runs of others behind the same ones as before."""
        wanted, known = {turn.id for turn in turns}, dict(self.before.runs)
        stored: dict[str, tuple[Run, bytes]] = {}
        behind: dict[str, list[bytes]] = {"": []}
        last = ""
        for run, text in zip(document.runs, document.texts, strict=True):
            if run.id in wanted:
                last = run.id
                stored[last] = run, text
            elif run.id not in known:
                behind.setdefault(last, []).append(text)
        merged = behind[""]
        for turn in turns:
            if turn.id in stored:
                run, text = stored[turn.id]
                is_same = known.get(turn.id) == turn.digest
                merged.append(text if is_same else self.layout.text_of(turn.renewed(run)))
            elif turn.id not in known:  # otherwise, somebody has removed it
                merged.append(self.layout.text_of(turn.run()))
            merged += behind.get(turn.id, [])
        return merged

    def _ask(self, turn: ThreadTurn | None, shown: ShownThread) -> Operation[ShownThread]:
        """Keep the turn that lacks an answer as an open run, instead of an earlier one."""
        before, token = self.before, self.before.token.encode()
        if before.open and (turn is None or before.open != turn.id):
            yield from self._replies.give_up(before.open, "removed", "")
        if turn is None:
            return shown
        if before.open != turn.id:
            yield from self._replies.begin(turn.run())
            token = UNCLAIMED
        elif before.digest != turn.digest:
            with suppress(ReplyLost):  # somebody is answering it, or has ended it
                token = yield from self._replies.amend(turn.run(), token)
        return replace(shown, open=turn.id, digest=turn.digest, token=token.decode())
