"""The part of a text that shows why it matches."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from ..search_index.tokens import MAX_LETTERS, composed
from .query import Query, Term

LENGTH = 200
# A long text is searched in parts, up to the first with a match.
_PART = 20_000

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACE = re.compile(r"\s+")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Snippet:
    """Pieces of text; those with True match the query."""

    parts: tuple[tuple[str, bool], ...] = ()

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.parts)

    @property
    def html(self) -> SafeString:
        """Escaped, with the matches in `<mark>`."""
        marked = (
            f"<mark>{escape(text)}</mark>" if is_marked else escape(text)
            for text, is_marked in self.parts
        )
        return mark_safe("".join(marked))  # noqa: S308  # escaped above


def best_snippet(texts: Sequence[str], query: Query, length: int = LENGTH) -> tuple[int, Snippet]:
    """About `length` characters of the first text with most of the terms in one place.

    Comes after the number of that text.
    """
    composite = [(number, composed(text)) for number, text in enumerate(texts) if text]
    best, spans, most = next(iter(composite), (0, "")), list[Span](), 0
    for number, text in composite if query.wanted else ():
        for start, end in _parts(text):
            found = _spans_by_term(text[start:end], start, query)
            if len(found) > most:
                most, best, spans = len(found), (number, text), _merged(found)
            if found:
                break
    return best[0], _cut(best[1], spans, length)


def match_spans(text: str, query: Query) -> list[Span]:
    """The matches in a text, which is as `composed()` returns it: in order, not overlapping."""
    return _merged(_spans_by_term(text, 0, query))


def _parts(text: str) -> Iterator[Span]:
    start = 0  # cut at white space, so that no word is in two parts
    while start < len(text):
        space = _SPACE.search(text, start + _PART)
        end = space.end() if space else len(text)
        yield start, end
        start = end


def _spans_by_term(text: str, offset: int, query: Query) -> dict[Term, list[Span]]:
    """The matches of each term that has any, in a text that begins at `offset` of another."""
    aligned = query.words.aligned(text)
    words = [*query.words.spans(text)] if aligned is None else []
    plain = [word for word, _, _ in words]
    found: dict[Term, list[Span]] = {}
    for term in query.wanted:
        if aligned is not None:
            spans = [match.span(1) for match in _pattern(term).finditer(aligned)]
        else:
            spans = [(words[first][1], words[last][2]) for first, last in term.spans(plain)]
        if spans:
            found[term] = [(offset + start, offset + end) for start, end in spans]
    return found


@lru_cache(256)
def _pattern(term: Term) -> re.Pattern[str]:
    # For `Words.aligned()`. In a lookahead, as matches may overlap.
    words = [re.escape(word) + ("[^ ]*" if len(word) == MAX_LETTERS else "") for word in term.words]
    words[-1] += "[^ ]*" if term.is_prefix else ""
    return re.compile(f"(?<![^ ])(?=({' +'.join(words)})(?![^ ]))")


def _cut(text: str, spans: list[Span], length: int) -> Snippet:
    start, end = _window(text, spans, length)
    parts = [("…", False)] if start else []
    shown = start
    for first, last in spans:
        if shown <= first and last <= end:
            parts += [(text[shown:first], False), (text[first:last], True)]
            shown = last
    parts += [(text[shown:end], False), ("…" if end < len(text) else "", False)]
    return Snippet(tuple((_printable(part), is_marked) for part, is_marked in parts if part))


def _window(text: str, spans: list[Span], length: int) -> Span:
    """Start and end of a snippet: where the matches are densest, at white space if possible."""
    ends = [last for _, last in spans]
    counts = [
        bisect_right(ends, first + length * 3 // 4) - number
        for number, (first, _) in enumerate(spans)
    ]
    densest = spans[counts.index(max(counts))] if spans else (0, 0)
    start = max(0, min(densest[0] - length // 4, len(text) - length))
    end = max(densest[1], min(len(text), start + length))
    if start and (space := _SPACE.search(text, start, densest[0])):
        start = space.end()
    if end < len(text):
        spaces = [*_SPACE.finditer(text, max(densest[1], end - 40), end)]
        end = spaces[-1].start() if spaces else end
    return start, end


def _merged(found: Mapping[Term, Sequence[Span]]) -> list[Span]:
    # In order; spans that touch become one.
    merged: list[Span] = []
    for start, end in sorted(chain.from_iterable(found.values())):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _printable(text: str) -> str:
    return _SPACE.sub(" ", _UNPRINTABLE.sub("\ufffd", text))
