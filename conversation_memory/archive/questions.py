"""The open runs of a conversation in an archive, and in the export of an owner."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ..clock import iso, moment
from ..encryption.sealing import CHUNK, QUESTION, REASON, is_sealed
from ..exceptions import Damaged
from ..keys import Keys
from ..messages.formats import OPENAI
from ..messages.turns import kept, messages_of
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from ..replies.lifecycle import answered
from ..replies.open_runs import (
    ReplyState,
    ReplyTexts,
    read_reason,
    read_text,
    said,
    write_reason,
    write_text,
)
from ..runs import Run
from ..search_index.run_documents import fresh_token
from ..wire import dumps

RESTORE_REPLIES = Script("restore_replies")

# A claim is not archived: the run waits for another worker then.
STATUSES = ("waiting", "failed", "cancelled")


class Question(NamedTuple):
    """An open run as it is archived: its question, and the text that was said so far.

    `place` is the state, as it is stored, of the question that was read, or whose place this takes.
    """

    id: bytes
    question: bytes
    status: str = "waiting"
    begun: int = 0
    reason: bytes = b'""'
    text: bytes = b""
    place: bytes = b""

    @property
    def state(self) -> bytes:
        """See scripts/replies.lua."""
        if self.place:  # whoever knows the other question must look again
            *known, _, reason = self.place.split(b" ", 6)
            return b" ".join([*known, fresh_token(), reason])
        claims = 1 if self.text else 0
        times = f"{self.begun} {self.begun} 0 {claims} -"
        return f"{self.status} {times} ".encode() + self.reason

    def sealed(self, texts: ReplyTexts) -> Question:
        """The same as it is stored; a question that was dumped undecrypted stays as it is."""
        question, reason = self.question, texts.stored(REASON, self.reason)
        if not is_sealed(question):
            question = texts.stored(QUESTION, question)
        text = texts.stored(CHUNK, self.text)
        return self._replace(question=question, reason=reason, text=text)

    @property
    def run(self) -> Run:
        """The run with the text so far as its output; unreadable if the question is."""
        try:
            run = answered(Run.from_text(self.question), read_text(self.text), None)
            run.to_wire()
        except (Damaged, ValueError):
            return Run.from_text(b"%b\n%b" % (self.question, self.text))
        return run

    def to_json(self) -> bytes:
        """For the export of an owner: a `run`, or as text what is `stored` of an unreadable one."""
        known = {
            "id": self.id.decode("utf-8", "backslashreplace"),
            "state": self.status,
            "begun": iso(moment(self.begun)),
            "reason": read_reason(self.reason),
        }
        text = (run := self.run).to_wire()
        try:
            run.to_dict()
            last = b'"run": ' + text
        except Damaged:
            last = b'"stored": ' + json.dumps(text.decode("utf-8", "backslashreplace")).encode()
        return dumps(known)[:-1] + b", " + last + b"}"

    def behind(self, stored: Sequence[Question]) -> Question:
        """The same in the place of a stored one that it goes on with, which nobody has claimed."""
        before = next((one for one in stored if one.id == self.id), None)
        is_waiting = self.status == "waiting" and not read_text(self.text)
        if before is None or not is_waiting or not before.is_unclaimed:
            return self._replace(place=b"")
        return self._replace(place=before.place if _goes_on(self, before) else b"")

    @property
    def is_unclaimed(self) -> bool:
        state = ReplyState.read(self.place)
        return state is not None and state.status == "waiting" and not state.claims


def _goes_on(new: Question, stored: Question) -> bool:
    """True if the messages of a question begin with all those of the stored one."""
    with suppress(Damaged):
        run = Run.from_text(new.question)
        found = kept(run)
        form = found[0] if found else OPENAI
        before = messages_of(Run.from_text(stored.question), form)
        after = messages_of(run, form)
        return len(before) < len(after) and after[: len(before)] == before
    return False


def read(
    keys: Keys, opened: Mapping[bytes, Sequence[bytes]]
) -> Operation[dict[bytes, tuple[Question, ...]]]:
    """The open runs by conversation, with their texts, from the fields and values of each."""
    found = {id: _questions(keys, id, flat) for id, flat in opened.items()}
    named = [(id, question) for id, questions in found.items() for question in questions]
    streams: list[Command[Any]] = [
        single("XRANGE", keys.chunks(id, question.id), "-", "+", otherwise=[])
        for id, question in named
    ]
    entries = (yield streams) if streams else []
    whole: dict[bytes, tuple[Question, ...]] = {}
    for (id, question), stream in zip(named, entries, strict=True):
        texts = ReplyTexts.of(keys, id, question.id)
        text = write_text(said([texts.chunk(entry, strict=False) for entry in stream]))
        whole[id] = (*whole.get(id, ()), question._replace(text=text))
    return whole


def _questions(keys: Keys, id: bytes, flat: Sequence[bytes]) -> list[Question]:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    questions = []
    for name, text in sorted(fields.items()):
        run_id = name.removeprefix(b"question:")
        texts = ReplyTexts.of(keys, id, run_id)
        state = texts.state(fields.get(b"state:" + run_id))
        if run_id != name and state is not None:
            status = state.status if state.status in STATUSES else "waiting"
            reason = write_reason(state.reason)
            text = texts.opened(QUESTION, text, strict=False) or text
            known = fields[b"state:" + run_id]
            questions.append(Question(run_id, text, status, state.begun, reason, place=known))
    return questions


def restoring(keys: Keys, id: bytes, questions: Sequence[Question]) -> Command[int]:
    """Open the runs that are not known yet, if the conversation exists, and put those that have a
    place into it, if it was not changed since. Returns how many were opened."""
    names = [keys.content(id), keys.record(id), keys.open(id), keys.opened()]
    names += [keys.chunks(id, question.id) for question in questions]
    args: list[Any] = [id]
    for it in questions:
        known = it.sealed(ReplyTexts.of(keys, id, it.id))
        args += [it.id, keys.reply(id, it.id), it.begun, it.place]
        args += [known.state, known.question, known.text]
    return Command((RESTORE_REPLIES.call(names, args),))
