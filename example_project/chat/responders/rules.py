"""A conversation partner without a model: it follows simple rules and remembers everything."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings

from conversation_memory import Run
from example_project.chat.responders.phrases import Language, heard, spoken

QUOTES = 3
QUOTE_LENGTH = 160
# Shorter words are mostly grammar. Scripts without spaces between words are compared by pairs of
# letters.
WORD = re.compile(r"[^\W\d_]{5,}")
WORD_AND_SPACE = re.compile(r"\s*\S+\s*")
UNSPACED = re.compile(r"(?=([\u3400-\u9fff\u30a1-\u30fa]{2}))")
QUESTIONS = ("ask_name", "ask_likings", "ask_about", "ask_count", "ask_topic")


@dataclass(frozen=True)
class Situation:
    """The new message, the earlier ones of the visitor, and the language to answer in."""

    text: str
    earlier: list[str]
    language: Language

    def say(self, what: str, **values: str) -> str:
        return self.language.say[what].format(**values)

    def quote(self, text: str) -> str:
        line = " ".join(text.split())
        line = line if len(line) <= QUOTE_LENGTH else line[: QUOTE_LENGTH - 1] + "…"
        return self.language.quote.format(line)

    def quotes(self, texts: list[str]) -> str:
        return " ".join(self.quote(text) for text in texts[-QUOTES:])

    def all_heard(self, what: str) -> list[str]:
        found = (heard(what, text) for text in [*self.earlier, self.text] if not is_question(text))
        return list(dict.fromkeys(thing for thing in found if thing))

    @property
    def name(self) -> str:
        return next(reversed(self.all_heard("name")), "")

    @property
    def called(self) -> str:
        return self.name and self.say("called", name=self.name)


def respond(runs: Sequence[Run], text: str) -> Iterator[str]:
    """The answer word by word, as a model would write it."""
    time.sleep(settings.CHAT_THINKING_SECONDS)
    for word in WORD_AND_SPACE.findall(answer(runs, text)):
        yield word
        time.sleep(settings.CHAT_WORD_SECONDS)


def answer(runs: Sequence[Run], text: str) -> str:
    """The answer of the first rule that applies."""
    earlier = [run.input.text for run in runs if run.input.text]
    situation = Situation(text, earlier, spoken([text, *reversed(earlier)]))
    answers = (rule(situation) for rule in RULES)
    return next(answer for answer in answers if answer)


def recall_name(now: Situation) -> str | None:
    if heard("ask_name", now.text) is None:
        return None
    return now.say("name_known", name=now.name) if now.name else now.say("name_unknown")


def recall_likings(now: Situation) -> str | None:
    if heard("ask_likings", now.text) is None:
        return None
    things = now.all_heard("liking")
    return (
        now.say("likings", things=now.language.join(things))
        if things
        else now.say("likings_unknown")
    )


def recall_subject(now: Situation) -> str | None:
    thing = heard("ask_about", now.text)
    if not thing:
        return None
    said = [t for t in now.earlier if thing.casefold() in t.casefold() and not is_question(t)]
    if not said:
        return now.say("about_unknown", thing=now.quote(thing))
    return now.say("about", quotes=now.quotes(said))


def recall_count(now: Situation) -> str | None:
    if heard("ask_count", now.text) is None:
        return None
    return now.say("count", count=str(len(now.earlier) + 1))


def recall_topic(now: Situation) -> str | None:
    if heard("ask_topic", now.text) is None:
        return None
    topics = [text for text in now.earlier if not is_question(text)]
    return now.say("topic", quote=now.quote(topics[-1])) if topics else now.say("topic_unknown")


def note_name(now: Situation) -> str | None:
    name = heard("name", now.text)
    return now.say("name_noted", name=name) if name else None


def note_liking(now: Situation) -> str | None:
    thing = heard("liking", now.text)
    return now.say("liking_noted", thing=thing) if thing else None


def thank(now: Situation) -> str | None:
    return now.say("thanks", called=now.called) if is_heard("thanks", now) else None


def greet(now: Situation) -> str | None:
    return now.say("greeting", called=now.called) if is_heard("greeting", now) else None


def associate(now: Situation) -> str | None:
    subjects = words(now.text)
    related = (text for text in reversed(now.earlier) if subjects & words(text))
    found = next((text for text in related if not is_question(text)), None)
    return found and now.say("reminded", quote=now.quote(found))


def note(now: Situation) -> str:
    return now.say("noted")


RULES: tuple[Callable[[Situation], str | None], ...] = (
    recall_name,
    recall_likings,
    recall_subject,
    recall_count,
    recall_topic,
    note_name,
    note_liking,
    thank,
    greet,
    associate,
    note,
)


def is_heard(what: str, now: Situation) -> bool:
    return heard(what, now.text) is not None


def is_question(text: str) -> bool:
    """True if a message asks for memories; such a message is not remembered itself."""
    return any(heard(what, text) is not None for what in QUESTIONS)


def words(text: str) -> set[str]:
    return {*WORD.findall(text.casefold()), *UNSPACED.findall(text)}
