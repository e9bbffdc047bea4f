"""A conversation as one list of messages, as the memories of frameworks want it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .exceptions import Damaged, ReplyLost, RunNotFound, Undecryptable
from .keys import decode
from .layouts.refs import Slice, id_of
from .messages.formats import Format, find_format, plain
from .messages.parts import Message
from .messages.stored_turns import messages_in
from .messages.turns import Turn, kept, messages_of, split, without_messages
from .messaging import MessagingDriver
from .records import LARGEST, Record
from .redis_io.operations import Operation, Performing, T, twins
from .replies import OpenRun
from .replies.lifecycle import NO_ENDING, UNCLAIMED, fields_of, read_open_runs
from .runs import Run, decoded_runs
from .wire import dumps

_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class _End:
    """What the next messages go on with: a run that lacks an answer, or else the last one.

    `turn` has the messages of the first, in the format that it has, if they are known.
    """

    open: Run | None = None
    token: bytes = UNCLAIMED
    last: str | None = None
    turn: Turn | None = None


class MessageList(Performing):
    """All messages of a conversation in one format, oldest first: any message, in any order.

    `driver` is that of the conversation, `format` one of `driver.messages()`. A run begins with a
    message of a user and ends before the next one that follows an answer; what lacks an answer at
    the end is an open run, and is a part of the list too, unless a worker has claimed it. Messages
    that were added in this format come back unchanged. Those of other formats are converted.

    The messages of a turn that has begun already, in another format, are converted into that.
    """

    def __init__(self, driver: MessagingDriver, format: str = "openai"):
        self.driver = driver
        self._format = find_format(format)
        self._end: _End | None = None  # None if it is not known

    def _read(self, limit: int | None = None) -> Operation[list[Message]]:
        """The last `limit` messages, or all."""
        if limit is not None and limit <= 0:
            return []
        # Nearly all runs have two messages or more.
        for count in (LARGEST,) if limit is None else ((limit + 1) // 2, limit):
            part, waiting = yield from self.driver._reading(self._stored(count))
            messages = self._messages(part, waiting)
            if limit is None or len(messages) >= limit or len(part.texts) < count:
                break
        return messages if limit is None else messages[-limit:]

    read, aread = twins(_read)

    def _add(self, messages: Iterable[Any]) -> Operation[None]:
        """Add messages at the end. Raises ValueError for what is not JSON."""
        return self._extend(plain(messages))

    add, aadd = twins(_add)

    def _extend(self, added: list[Message]) -> Operation[None]:
        """See add(); of messages that are JSON, and nobody else's."""
        for _ in range(_ATTEMPTS if added else 0):
            end, self._end = self._end, None
            # Whoever knows an open run is refused if it has changed; who answers another must look.
            if end is None or not (end.open or self._format.begins(added[0])):
                end = yield from self._look()
            try:
                self._end = yield from self._write(end, added)
                return
            except (ReplyLost, RunNotFound):  # somebody else has gone on with it
                continue
        if added:
            raise self._kept_changing()

    def _pop(self) -> Operation[Message | None]:
        """Remove the last message and return it; None if there is none."""
        for _ in range(_ATTEMPTS):
            part, waiting = yield from self._stored(1)
            if not part.texts and not waiting:
                return None
            last = waiting[-1] if waiting else Run.from_text(part.texts[-1])
            try:
                return (yield from self._take(last, -1))
            except (ReplyLost, RunNotFound):
                continue
        raise self._kept_changing()

    pop, apop = twins(_pop)

    def _delete(self, position: int) -> Operation[Message | None]:
        """Remove the message at a position and return it; None if there is none.

        The first one is at 0, the last one at -1.
        """
        found = yield from self._everything()
        runs: list[Run | OpenRun] = [*found[0], *found[1]]
        questions = (run.question if isinstance(run, OpenRun) else run for run in runs)
        lengths = [len(messages_of(question, self._format)) for question in questions]
        position += sum(lengths) if position < 0 else 0
        for run, length in zip(runs, lengths, strict=True):
            if 0 <= position < length:
                return (yield from self._take(run, position))
            position -= length
        return None

    delete, adelete = twins(_delete)

    def _replace(self, messages: Iterable[Any]) -> Operation[None]:
        """Let these messages be the whole list. Runs whose messages stay are kept as they are.

        What others have added since is replaced too.
        """
        turns = [*split(plain(messages), self._format)]
        runs, waiting = yield from self._everything()
        _check_readable(waiting)  # before anything is written
        last = turns.pop() if turns and turns[-1].is_open else None
        stored = _reusing(runs, turns, self._format)
        metadata = (yield from self.driver._layout.load(self.driver._ref))[1]
        if stored or runs or last:
            yield from self.driver._layout.store(self.driver._ref, stored, metadata, None)
        for run in waiting:
            yield from self.driver._replies.give_up(run.run_id, "removed", "")
        self._end = _End(last=stored[-1].id if stored else None)
        if last:
            self._end = yield from self._ask(last, self._end.last)

    replace, areplace = twins(_replace)

    def _clear(self) -> Operation[None]:
        """Remove all messages; title, owner and metadata stay."""
        if (yield from self.driver._layout.record(self.driver._ref)) is not None:
            yield from self._replace([])

    clear, aclear = twins(_clear)

    def _messages(self, part: Slice, waiting: Sequence[OpenRun]) -> list[Message]:
        self._end = _end(part.texts, waiting)
        messages = messages_in(part.texts, self._format, part.start, part.values)
        for run in waiting:
            messages += messages_of(run.question, self._format)
        return messages

    def _everything(self) -> Operation[tuple[list[Run], list[OpenRun]]]:
        part, waiting = yield from self._stored(LARGEST)
        return decoded_runs(part.texts, part.start), waiting

    def _stored(self, count: int) -> Operation[tuple[Slice, list[OpenRun]]]:
        """The last runs, and what nobody has claimed of those that lack an answer."""
        layout, ref = self.driver._layout, self.driver._ref
        open = fields_of(layout.keys.open(ref.id))
        part = yield from layout.last(ref, count, *open.calls)
        if part is None:
            return Slice(Record(decode(ref.id)), [], 0, 0), []
        fields = open.decode(part.more[0])
        if not any(name.startswith(b"question:") for name in fields):
            return part, []
        found = read_open_runs(layout.keys, ref.id, part.record.owner, fields, 0)
        return part, [run for run in found if not run.claims]

    def _look(self) -> Operation[_End]:
        part, waiting = yield from self._stored(1)
        return _end(part.texts, waiting)

    def _write(self, end: _End, added: list[Message]) -> Operation[_End]:
        if end.open:
            return (yield from self._go_on(end, end.open, added))
        first, *turns = split(added, self._format)
        if end.last and not first.begins:
            yield from self._resume(end.last, first.messages)
            return (yield from self._append(end.last, [], turns)) if turns else end
        return (yield from self._append(end.last, [], [first, *turns]))

    def _go_on(self, end: _End, open: Run, added: list[Message]) -> Operation[_End]:
        """Write the whole turn of an open run, and those that follow."""
        own = end.turn or self._turn_of(open)
        before = own
        if own.format is not self._format:
            before = Turn(self._format, messages_of(open, self._format))
        first, *turns = split(added, self._format, before)
        whole = self._behind(own, first.messages[len(before.messages) :])
        run = with_meta_of(open, whole)
        if not turns and whole.is_open:
            token = yield from self.driver._replies.amend(run, end.token)
            return _End(run, token, end.last, whole)
        return (yield from self._append(end.last, [run], turns, end.token))

    def _append(
        self,
        last: str | None,
        runs: Sequence[Run],
        turns: Sequence[Turn],
        token: bytes | None = None,
    ) -> Operation[_End]:
        """Append runs and turns, of which the last may lack its answer.

        With a token, the first run is an open one.
        """
        open = turns[-1] if turns and turns[-1].is_open else None
        whole = [*runs, *(turn.run() for turn in turns if turn is not open)]
        if token is not None:
            yield from self.driver._replies.finish(whole[0], token, NO_ENDING, more=whole[1:])
        elif whole:
            yield from self.driver._layout.append(self.driver._ref, whole)
        last = whole[-1].id if whole else last
        return (yield from self._ask(open, last)) if open else _End(last=last)

    def _ask(self, turn: Turn, last: str | None) -> Operation[_End]:
        run = turn.run()
        yield from self.driver._replies.begin(run)
        return _End(run, last=last, turn=turn)

    def _resume(self, run_id: str, added: list[Message]) -> Operation[None]:
        """Add messages to the last run, which has had an answer before."""

        def renewed(run: Run) -> Run:
            whole = with_meta_of(run, self._behind(self._turn_of(run), added))
            run.output, run.meta = whole.output, whole.meta
            return run

        yield from self.driver._layout.resume(self.driver._ref, run_id, renewed, [])

    def _turn_of(self, run: Run) -> Turn:
        """The messages of a run, in the format that it has."""
        found = kept(run)
        form = found[0] if found else self._format
        return Turn(form, [*messages_of(run, form)], id=run.id)

    def _behind(self, turn: Turn, added: list[Message]) -> Turn:
        """A turn that goes on."""
        if turn.format is not self._format:
            added = turn.format.from_chat(self._format.to_chat(added), turn.id)
        return Turn(turn.format, [*turn.messages, *added], id=turn.id)

    def _take(self, run: Run | OpenRun, position: int) -> Operation[Message]:
        """Remove one message of a run, and the run if it was the only one."""
        taken: list[Message] = []

        def shortened(run: Run) -> Run | None:
            messages = [*messages_of(run, self._format)]
            if not messages[position:]:
                raise self.driver._layout._error(RunNotFound, self.driver._ref, repr(run.id))
            taken[:] = [messages.pop(position)]
            return with_meta_of(run, Turn(self._format, messages, id=run.id)) if messages else None

        self._end = None
        if isinstance(run, OpenRun):
            rest = shortened(run.question)
            if rest is None:
                yield from self.driver._replies.settle(run.run_id, run.token, "removed", "")
            else:
                yield from self.driver._replies.amend(rest, run.token)
        else:
            yield from self.driver._layout.shorten(self.driver._ref, run.id, shortened)
        return taken[0]

    def loaded(self, messages: list[Message], load: Callable[[list[Message]], T], what: str) -> T:
        """Messages that were read, as a framework has them; `what` names one of those.

        Raises `ConversationCorrupt` if the framework cannot load one of them.
        """
        try:
            return load(messages)
        except (AttributeError, LookupError, TypeError, ValueError):
            reason = f"a message in the meta of a run is not {what}"
            raise self.driver._layout.corrupt(self.driver._ref, b"", reason) from None

    def _kept_changing(self) -> Exception:
        return self.driver._layout._conflict(self.driver._ref, "kept changing")

    def _run(self, operation: Operation[T], name: str = "other") -> T:
        return self.driver._run(operation, f"{name}_messages")

    async def _arun(self, operation: Operation[T], name: str = "other") -> T:
        return await self.driver._arun(operation, f"{name}_messages")


def _check_readable(waiting: Sequence[OpenRun]) -> None:
    """Raises `Undecryptable` for a question that cannot be decrypted, which must not be dropped."""
    for run in waiting:
        try:
            run.question.glance()
        except Undecryptable:
            raise
        except Damaged:  # by whatever: a replacement is the way to get rid of it
            continue


def _end(texts: Sequence[bytes], waiting: Sequence[OpenRun]) -> _End:
    last = id_of(texts[-1]) if texts else None
    if not waiting:
        return _End(last=last)
    return _End(waiting[-1].question, waiting[-1].token, last)


def with_meta_of(run: Run, turn: Turn) -> Run:
    """The run of a turn, with what else the meta of the run had that it takes the place of."""
    made = turn.run()
    if others := without_messages(run.meta):
        made.meta = {**others, **(made.meta or {})}
    return made


def _reusing(runs: Sequence[Run], turns: Sequence[Turn], format: Format) -> list[Run]:
    """The runs of turns: stored ones that have the same messages, each once, or new ones."""
    stored: dict[bytes, list[Run]] = {}
    for run in reversed(runs):
        stored.setdefault(dumps(messages_of(run, format)), []).append(run)
    same = (stored.get(dumps(turn.messages)) for turn in turns)
    return [known.pop() if known else turn.run() for known, turn in zip(same, turns, strict=True)]
