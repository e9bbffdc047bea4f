"""Chat messages as methods of a driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .exceptions import ReplyLost, RunNotFound
from .messages.formats import Format, estimate_message_tokens, find_format
from .messages.parts import Message, calls_of
from .messages.turns import Turn, chat_messages, is_unfinished, messages_of, turns_of
from .redis_io.operations import Operation, twins
from .replies import OpenRun, ReplyingDriver
from .replies.lifecycle import Ending, answered
from .runs import Run

_RECENT = 1000  # among how many runs one of an id is looked for
_ATTEMPTS = 100


class MessagingDriver(ReplyingDriver):
    """The messages of one conversation, as the APIs of models have them."""

    def _messages(
        self,
        *,
        max_runs: int | None = None,
        max_tokens: int | None = None,
        count: Callable[[list[Message]], int] = estimate_message_tokens,
        strict: bool = False,
        system: str | None = None,
        run_id: str | None = None,
        format: str = "openai",
    ) -> Operation[list[Message]]:
        """The conversation as messages for a model, oldest first; changes nothing stored.

        `format` is "openai" (the chat API), "openai-responses", "anthropic", "ui" (UIMessages of
        Vercel's AI SDK), or the name of a framework, such as "langchain". Messages that were
        appended in this format come back unchanged.

        The messages are those of a `window()` of whole runs: `max_runs`, `max_tokens` and `strict`
        are its arguments. `count` gets the messages of one run, and counts four characters as a
        token by default.

        `system` is a system prompt to put in front; stored ones are left out then. `run_id` is that
        of an open run, whose question comes last. Raises `RunNotFound` if it is not open, and
        ValueError for an unknown format, or for `system` with "anthropic".
        """
        form, ref = find_format(format), self._ref
        first = [] if system is None else _system(form, system)
        question = None if run_id is None else (yield from self._question(run_id))

        def count_run(run: Run) -> int:
            return count(messages_of(run, form))

        window = self._layout.window(ref, max_runs, max_tokens, count_run, strict=strict)
        runs = [run for run in (yield from self._reading(window)) if run.id != run_id]
        runs += [] if question is None else [question]
        found = (message for run in runs for message in messages_of(run, form))
        return [*first, *(one for one in found if not first or not form.is_system(one))]

    messages, amessages = twins(_messages)

    def _append_messages(
        self, messages: Iterable[Any], *, format: str = "openai", ids: Sequence[str] = ()
    ) -> Operation[list[str]]:
        """Append messages in the form of an API, `format`; see `messages()`.

        A message of a user begins a run, which ends before the next one. A list that begins with an
        answer or with results of tools goes on with the open run. What lacks an answer at the end,
        such as a question or a tool call, is an open run.

        A run has the id of the message of its user, if that has one, else a fresh one; `ids` gives
        the ids of all runs of the list instead. A run whose id is stored already is not added
        again. Returns the ids.

        Raises ValueError, and stores nothing, for an unknown role, a wrong shape, the result of a
        tool call that was not made, or if there is nothing that the list could continue. Raises
        `ReplyLost` if another worker writes the answer of the open run.
        """
        turns = turns_of(messages, find_format(format), ids)
        question = turns[-1] if turns and turns[-1].begins and turns[-1].is_open else None
        whole = turns[:-1] if question else turns
        found: list[str] = []
        if whole and not whole[0].begins:
            first, *whole = whole
            found = [(yield from self._continue(first, whole))]
        else:
            yield from self._add_turns(whole)
        if question:
            yield from self._ask(question)
        return [*found, *(turn.id for turn in [*whole, *([question] if question else [])])]

    append_messages, aappend_messages = twins(_append_messages)

    def _question(self, run_id: str) -> Operation[Run]:
        found = yield from self._replies.get(run_id)
        if found is None:
            raise self._layout._error(RunNotFound, self._ref, repr(run_id))
        return found.question

    def _add_turns(self, turns: Sequence[Turn]) -> Operation[None]:
        """Append whole runs; those that are open are finished, or stay open without an answer."""
        open = (yield from self._open_by_id()) if any(turn.is_named for turn in turns) else {}
        runs: list[Run] = []
        for turn in turns:
            if turn.id not in open:
                runs.append(turn.run())
            elif not turn.is_open:
                yield from self._append_runs(runs)
                yield from self._finish_open(open[turn.id], turn.run())
                runs = []
        yield from self._append_runs(runs)

    def _open_by_id(self) -> Operation[dict[str, OpenRun]]:
        return {run.run_id: run for run in (yield from self._replies.all())}

    def _ask(self, turn: Turn) -> Operation[None]:
        """Keep what lacks an answer as an open run, unless it was answered before."""
        open = None
        if turn.is_named:
            if (yield from self._replies.is_stored(turn.id)):
                return
            open = yield from self._replies.get(turn.id)
        # What was appended before may have gone on since.
        is_known = turn.is_question or (open and turn.starts(open.question))
        if open and not open.claims and not is_known:
            yield from self._replies.amend(turn.run(), open.token)
        else:
            yield from self._replies.begin(turn.run())

    def _continue(self, turn: Turn, turns: Sequence[Turn]) -> Operation[str]:
        """Go on with the run that lacks these messages, and append `turns`. Returns its id."""
        for _ in range(_ATTEMPTS):
            run_id = yield from self._continue_once(turn, turns)
            if run_id is not None:
                return run_id
        raise self._layout._conflict(self._ref, "kept changing")

    def _continue_once(self, turn: Turn, turns: Sequence[Turn]) -> Operation[str | None]:
        """The same; None if another writer was faster."""
        open = yield from self._open_by_id()
        is_open = turn.is_named and turn.id in open
        stored = [] if is_open else (yield from self._last(turn))
        found: list[Run | OpenRun] = [run for run in stored if is_unfinished(run)]
        found += [run for run in open.values() if _may_take(run, turn)]
        if not found and stored and turn.ends(stored[0]):  # appended before
            yield from self._add_turns(turns)
            return stored[0].id
        if len(found) != 1:
            raise _no_place(turn, len(found))
        [run] = found
        if isinstance(run, OpenRun):
            try:
                yield from self._go_on(run, turn)
            except ReplyLost:
                if run.claims:
                    raise
                return None
            yield from self._add_turns(turns)
            return run.run_id
        are_new = open.keys().isdisjoint(turn.id for turn in turns)
        runs = [turn.run() for turn in turns] if are_new else []
        yield from self._layout.resume(self._ref, run.id, _renewed(turn), runs)
        if not are_new:
            yield from self._add_turns(turns)
        return run.id

    def _last(self, turn: Turn) -> Operation[list[Run]]:
        """The stored run that a turn may go on with: the last one, or that of its id."""
        if not turn.is_named:
            return (yield from self._layout.tail(self._ref, 1))
        position = yield from self._position(turn.id)
        if position is None:
            return []
        return (yield from self._layout.page(self._ref, position + 1, 1)).runs

    def _position(self, run_id: str) -> Operation[int | None]:
        return self._layout.find(self._ref, lambda run: run.id == run_id, _RECENT)

    def _append_runs(self, runs: Sequence[Run]) -> Operation[None]:
        if runs:
            yield from self._layout.append(self._ref, runs)

    def _go_on(self, open: OpenRun, turn: Turn) -> Operation[None]:
        whole = turn.behind(open.question)
        if not whole.is_open:
            yield from self._finish_open(open, whole.run())
        elif not turn.ends(open.question):
            yield from self._replies.amend(whole.run(), open.token)

    def _finish_open(self, open: OpenRun, run: Run) -> Operation[None]:
        # A reply that is claimed and then refused would wait for the end of its lease.
        whole = answered(open.question, run.output, run.meta)
        self._layout._check_runs(self._ref, [self._layout.text_of(whole)])
        if not open.claims:
            ending = Ending(rest=run.output.text)
            yield from self._replies.finish(whole, open.token, ending)
            return
        reply = yield from self._reply(open.run_id)
        yield from reply._finish(run.output, meta=run.meta)


def _may_take(open: OpenRun, turn: Turn) -> bool:
    """True if messages may go on with an open run: it has made the call whose result they are."""
    if turn.is_named and open.run_id != turn.id:
        return False
    first = turn.chat[0] if turn.chat else {}
    calls = (call for one in chat_messages(open.question) for call in calls_of(one))
    return first.get("role") != "tool" or first.get("tool_call_id") in [c.get("id") for c in calls]


def _renewed(turn: Turn) -> Callable[[Run], Run]:
    """What makes of a stored run the one that goes on with a turn."""

    def renewed(run: Run) -> Run:
        if turn.ends(run):
            return run
        if not is_unfinished(run):  # another writer was faster
            raise _no_place(turn, 0)
        whole = turn.behind(run).run()
        run.output = whole.output
        run.meta = {**(run.meta or {}), **(whole.meta or {})}
        return run

    return renewed


def _system(format: Format, text: str) -> list[Message]:
    found = format.from_chat([{"role": "system", "content": text}], "system")
    if not found:
        raise ValueError(
            f"The format {format.name!r} has no system messages. Pass the system prompt to the "
            "client of the model instead of `system`."
        )
    return found


def _no_place(turn: Turn, count: int) -> ValueError:
    where = f"messages[{turn.start}] begins without a message of a user, and"
    if count > 1:
        return ValueError(f"{where} {count} runs lack an answer: name one with `ids`.")
    return ValueError(f"{where} there is no run that lacks an answer or the result of a tool call.")
