"""Words that would have found something, where nothing was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..search_index.tokens import Words
from .query import Query, Term

MOST = 5


def call(index: bytes, query: Query) -> tuple[Any, ...] | None:
    """The command that asks for similar words; None if there is no word to replace."""
    words = " ".join(term.words[0] for term in _words(query)[:MOST])
    return ("FT.SPELLCHECK", index, words.encode(), "DISTANCE", 1, "DIALECT", 2) if words else None


def decoded(reply: Any) -> dict[str, list[str]]:
    """Word -> similar ones, best first, over RESP3 and RESP2."""
    if isinstance(reply, dict):
        found = reply[b"results"].items()
        pairs = [
            (word, [[score, name] for row in rows for name, score in row.items()])
            for word, rows in found
        ]
    else:
        pairs = [(word, rows) for _, word, rows in reply]
    return {
        _text(word): [_text(name) for _, name in sorted(rows, key=lambda row: -float(row[0]))]
        for word, rows in pairs
    }


def alternatives(
    query: Query, similar: dict[str, list[str]], words: Words
) -> Iterator[tuple[str, Query]]:
    """Similar words, each with the query in which it stands for the one that was typed."""
    for term in _words(query):
        for text in similar.get(term.words[0], [])[:MOST]:
            word = "".join(words.of(text))
            if word != text:  # not ours: nothing but our own words goes into a query
                continue
            terms = [Term((word,)) if other == term else other for other in query.terms]
            yield word, replace(query, terms=tuple(terms))


def _words(query: Query) -> list[Term]:
    return [term for term in query.wanted if len(term.words) == 1 and not term.is_prefix]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
