"""A typed query, as a query for RediSearch and as a test of a run, with the same results."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from ..runs import Run
from ..search_index.passages import CALLS, SIDES, Passage, passages
from ..search_index.tokens import MAX_LETTERS, Words

ALL = SIDES | CALLS
# More than sentences have; so many keep a server busy for 0.5 ms.
MAX_WORDS = 128
# RediSearch does not expand prefixes of one byte (MINPREFIX).
MIN_PREFIX = 2

_QUOTES = str.maketrans("“”„‟«»", '""""""')
_ITEM = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')


@dataclass(frozen=True, slots=True)
class Term:
    """Consecutive words; the last may be a prefix."""

    words: tuple[str, ...]
    is_prefix: bool = False
    is_excluded: bool = False

    @property
    def is_exact(self) -> bool:
        """True if RediSearch finds only runs that have it."""
        # In a phrase, RediSearch lets one word match twice, and ignores where a prefix stands.
        return len({*self.words}) == len(self.words) and not (self.is_prefix and self.words[1:])

    def redisearch(self, field: str) -> str:
        """A condition in RediSearch's language that every run with the term satisfies."""
        # Words are letters and digits only, so none is syntax; in quotes, none is an operator.
        phrase = self.words[:-1] if self.is_prefix else self.words
        found = [f'@{field}:("{" ".join(part)}")' for part in _without_repetitions(phrase)]
        found += [f"@{field}:({self.words[-1]}*)"] if self.is_prefix else []
        return f"-{found[0]}" if self.is_excluded else " ".join(found)

    @property
    def stream(self) -> str:
        """The substring of each stream of words that has the term."""
        return f" {' '.join(self.words)}{'' if self.is_prefix else ' '}"

    def spans(self, words: list[str]) -> Iterator[tuple[int, int]]:
        """The first and last position of each occurrence in `words`."""
        *firsts, last = self.words
        fits = str.startswith if self.is_prefix else str.__eq__
        for end in [number for number, word in enumerate(words) if fits(word, last)]:
            start = end - len(firsts)
            if start >= 0 and words[start:end] == firsts:
                yield start, end


@dataclass(frozen=True, slots=True)
class Query:
    """Terms that a run must have, and terms that it must not have; `words` splits runs into words.

    Every run matches a query that `is_blank`; none matches a text without any word. The rest of a
    query that `is_shortened` is ignored. With `tool_calls`, the words of tool calls and of their
    results count as those of the run; with `parts`, only those of these passages do.
    """

    terms: tuple[Term, ...] = ()
    is_blank: bool = False
    is_shortened: bool = False
    words: Words = Words()
    tool_calls: bool = False
    parts: frozenset[str] = ALL

    @classmethod
    def parse(
        cls, text: str, words: Words, *, tool_calls: bool = False, parts: frozenset[str] = ALL
    ) -> Query:
        """Words, "a phrase", -without, prefix*; everything else is text."""
        made = partial(cls, words=words, tool_calls=tool_calls, parts=parts)
        if not text.strip():
            return made(is_blank=True)
        terms: dict[Term, None] = {}
        room = MAX_WORDS
        for term in _terms(text, words):
            if len(term.words) > room:
                return made(tuple(terms), is_shortened=True)
            if term not in terms:
                terms[term] = None
                room -= len(term.words)
        return made(tuple(terms))

    @property
    def is_hopeless(self) -> bool:
        return not self.terms and not self.is_blank

    @property
    def wanted(self) -> list[Term]:
        return [term for term in self.terms if not term.is_excluded]

    @property
    def is_exact(self) -> bool:
        """True if everything that `redisearch()` finds also `matches()`."""
        return all(term.is_exact for term in self.terms)

    def redisearch(self, field: str) -> str:
        """Conditions in RediSearch's dialect 2 that every match satisfies; '' if blank."""
        kept = [term for term in self.terms if term.is_exact or not term.is_excluded]
        return " ".join(term.redisearch(field) for term in kept)

    def stream(self, run: Run) -> str:
        """The words of a run, for `matches()` and `score()`."""
        found = self.passages(run)
        return self.words.stream(*(it.text for it in found if it.part in self.parts))

    def passages(self, run: Run) -> list[Passage]:
        """The texts of a run that a hit may show."""
        return passages(run, with_calls=self.tool_calls)

    def matches(self, stream: str) -> bool:
        """True if the words of a run, as `Words.stream` returns them, match."""
        padded = f" {stream} "
        return not self.is_hopeless and all(
            (term.stream in padded) is not term.is_excluded for term in self.terms
        )

    def score(self, stream: str) -> float:
        """The relevance of a run: more for more of the words among fewer others."""
        padded, length = f" {stream} ", 1 + stream.count(" ")
        counts = (padded.count(term.stream) for term in self.wanted)
        return sum(count / (count + 0.5 + length / 100) for count in counts)


def _without_repetitions(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Parts of a phrase without a repeated word, each from the last word of the previous one."""
    part: list[str] = []
    for word in words:
        if word in part:
            yield tuple(part)
            part = part[-1:] if part[-1] != word else []
        part.append(word)
    if part:
        yield tuple(part)


def _terms(text: str, words: Words) -> Iterator[Term]:
    for minus, phrase, item in _ITEM.findall(text.translate(_QUOTES)):
        prefix = _prefix(item, words) if item.endswith("*") else None
        found = prefix or Term(tuple(words.of(phrase or item)))
        long = MAX_WORDS + 1  # one too many, as part of a phrase would find too much
        if found.words:
            yield Term(found.words[:long], found.is_prefix, bool(minus))


def _prefix(item: str, words: Words) -> Term | None:
    """The term of `item` if its last word may be a prefix, which is never stemmed."""
    whole, start = words.of(item), Words().of(item)
    if not start or not MIN_PREFIX <= len(start[-1]) < MAX_LETTERS:
        return None
    return Term((*whole[:-1], start[-1]), is_prefix=True)
