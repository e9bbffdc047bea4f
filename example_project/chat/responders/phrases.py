from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

# Names and likings stand at the beginning of a message; long pasted texts are not searched.
HEARD_LENGTH = 2000


@dataclass(frozen=True, kw_only=True)
class Language:
    """The expressions that the rules recognise in one language, and their answers."""

    marks: re.Pattern[str]
    hear: dict[str, re.Pattern[str]]
    say: dict[str, str]
    quote: str
    separator: str
    conjunction: str

    def join(self, things: list[str]) -> str:
        """`a, b and c`."""
        *others, last = things
        return self.conjunction.join([self.separator.join(others), last] if others else [last])


@cache
def languages() -> dict[str, Language]:
    text = files(__package__).joinpath("phrases.toml").read_text(encoding="utf-8")
    return {code: language(entry) for code, entry in tomllib.loads(text).items()}


def language(entry: dict) -> Language:
    return Language(
        marks=re.compile(entry["marks"]),
        hear={name: re.compile(expression) for name, expression in entry["hear"].items()},
        say=entry["say"],
        quote=entry["quote"],
        separator=entry["separator"],
        conjunction=entry["and"],
    )


def spoken(texts: Iterable[str]) -> Language:
    """The language of the first text that has marks of one; otherwise English."""
    for text in texts:
        score, best = max(
            (sum(len(mark[0]) for mark in language.marks.finditer(text[:HEARD_LENGTH])), code)
            for code, language in languages().items()
        )
        if score:
            return languages()[best]
    return languages()["en"]


def heard(what: str, text: str) -> str | None:
    """The part of `text` to remember, "" if there is none, or None if no language matches."""
    for language in languages().values():
        if match := language.hear[what].search(text[:HEARD_LENGTH]):
            return next((part.strip() for part in match.groups() if part), "")
    return None
