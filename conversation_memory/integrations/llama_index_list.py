"""A conversation as a list of LlamaIndex's ChatMessages, each of which is active or archived."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from ..documents import Document
from ..drivers import RedisConversationMemoryDriver
from ..exceptions import ConversationNotFound, ReplyLost, RunNotFound
from ..message_list import MessageList, _End, with_meta_of
from ..messages.parts import Message
from ..messages.turns import Turn, kept, messages_of
from ..redis_io.operations import Operation
from ..replies import OpenRun
from ..replies.lifecycle import NO_ENDING
from ..runs import Run

STATUS = "status"  # a member of an archived message
ARCHIVED = "archived"
_ALL_ARCHIVED = "llama_index_archived"  # in the meta of a run with messages of another format

_ATTEMPTS = 100


@dataclass(slots=True)
class Choice:
    """Chooses messages one after the other: active or archived ones (None for any).

    `skip` of them are left out first; at most `count` are taken.
    """

    archived: bool | None = None
    skip: int = 0
    count: int | None = None

    def takes(self, archived: bool) -> bool:
        if self.archived not in (None, archived) or self.count == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.count = None if self.count is None else self.count - 1
        return True


class ChatList(MessageList):
    """See MessageList; with the status of each message."""

    def __init__(self, driver: RedisConversationMemoryDriver):
        super().__init__(driver, "llama-index")
        self.driver: RedisConversationMemoryDriver = driver

    def chosen(self, choice: Choice) -> Operation[list[Message]]:
        """The messages of a choice, oldest first."""
        runs, waiting = yield from self.driver._reading(self._everything())
        questions = [run.question for run in waiting]
        found = (pair for run in (*runs, *questions) for pair in self._taken(run, choice))
        return [message for message, is_taken in found if is_taken]

    def sifting(self, choice: Choice, *, archives: bool) -> Operation[list[Message]]:
        """Delete or archive the messages of a choice. Returns them as they were."""
        self._end = None
        taken: list[Message] = []
        left = choice

        def change(document: Document) -> Document | None:
            nonlocal left
            taken[:], left = [], replace(choice)
            texts = [
                text
                for text, run in zip(document.texts, document.runs, strict=True)
                for text in self._sifted(text, run, left, taken, archives=archives)
            ]
            return document.with_texts(texts) if taken else None

        if (yield from self.driver._layout.record(self.driver._ref)) is None:
            return []
        yield from self.driver._layout._change(self.driver._ref, change)
        for _ in range(_ATTEMPTS):
            waiting = (yield from self._stored(1))[1]
            try:
                for run in waiting:
                    taken += yield from self._sift_open(run, left, archives=archives)
                return taken
            except (ReplyLost, RunNotFound):  # somebody else has gone on with it
                continue
        raise self._kept_changing()

    def deleting(self) -> Operation[bool]:
        """Delete the conversation. Returns False if there is none (of the owner)."""
        self._end = None
        with suppress(ConversationNotFound):
            return (yield from self.driver._layout.delete(self.driver._ref))
        return False

    def _write(self, end: _End, added: list[Message]) -> Operation[_End]:
        # Nearly all messages are a question or an answer with one text, whose run is known quickly.
        text, exchange = _only_text(added), self._format.exchange
        if text and end.open is None and added == exchange(text, "", ""):
            question = Run(text, "")
            yield from self.driver._replies.begin(question)
            return _End(question, last=end.last)
        if text and end.open and added == exchange("", text, ""):
            asked, answer, meta = end.open.glance()
            if asked and answer == "" and meta is None:
                run = Run(asked, text, id=end.open.id)
                yield from self.driver._replies.finish(run, end.token, NO_ENDING)
                return _End(last=run.id)
        return (yield from super()._write(end, added))

    def _taken(self, run: Run, choice: Choice) -> Iterable[tuple[Message, bool]]:
        """Each message of a run, and True if it is chosen."""
        is_archived = (run.meta or {}).get(_ALL_ARCHIVED) is True
        for message in messages_of(run, self._format):
            yield message, choice.takes(is_archived or message.get(STATUS) == ARCHIVED)

    def _sifted(
        self, text: bytes, run: Run, choice: Choice, taken: list[Message], *, archives: bool
    ) -> list[bytes]:
        """The text of a run without the messages of a choice, none if nothing is left."""
        found = self._rest(run, choice, taken, archives=archives)
        if found is run:
            return [text]
        return [] if found is None else [self.driver._layout.text_of(found)]

    def _rest(
        self, run: Run, choice: Choice, taken: list[Message], *, archives: bool
    ) -> Run | None:
        messages = [*self._taken(run, choice)]
        chosen = [message for message, is_taken in messages if is_taken]
        taken += chosen
        if not chosen:
            return run
        if archives and len(chosen) == len(messages) and not self._is_own(run):
            return Run(run.input, run.output, {**(run.meta or {}), _ALL_ARCHIVED: True}, id=run.id)
        rest = [
            {**message, STATUS: ARCHIVED} if is_taken else message
            for message, is_taken in messages
            if archives or not is_taken
        ]
        return with_meta_of(run, Turn(self._format, rest, id=run.id)) if rest else None

    def _is_own(self, run: Run) -> bool:
        """True if the messages of a run may be kept in this format, without a loss."""
        found = kept(run)
        if found:
            return found[0] is self._format
        return run.input.type == run.output.type == "TextArtifact"

    def _sift_open(
        self, run: OpenRun, choice: Choice, *, archives: bool
    ) -> Operation[list[Message]]:
        taken: list[Message] = []
        before = replace(choice)
        rest = self._rest(run.question, choice, taken, archives=archives)
        try:
            if rest is None:
                yield from self.driver._replies.settle(run.run_id, run.token, "removed", "")
            elif rest is not run.question:
                yield from self.driver._replies.amend(rest, run.token)
        except (ReplyLost, RunNotFound):
            choice.skip, choice.count = before.skip, before.count
            raise
        return taken


def _only_text(messages: list[Message]) -> str:
    """The text of a single block of a single message, "" if there is more."""
    match messages:
        case [{"blocks": [{"text": str(text)}]}]:
            return text
    return ""
