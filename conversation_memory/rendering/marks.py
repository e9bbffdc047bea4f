"""The words of a search, set off in a text."""

from __future__ import annotations

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from ..runs import Run
from ..search.query import Query
from ..search.snippets import places
from ..search_index.documents import text_of
from ..search_index.tokens import Words, composed

# Private-use characters, which stored text is freed of first: they survive a Markdown renderer.
OPEN, CLOSE = "\ue0f0", "\ue0f1"
_FOREIGN = {ord(OPEN): "\ufffd", ord(CLOSE): "\ufffd"}


class Marks:
    """Finds what a search for `query` finds, by the same words, and marks it.

    Not what the search leaves out (-word).
    """

    def __init__(self, query: str = "", words: Words | None = None):
        self._words = words or Words()
        self._query = Query.parse(query, self._words)

    def __bool__(self) -> bool:
        return bool(self._query.wanted)

    def found_in(self, text: str) -> bool:
        """Whether any of the words is in `text`."""
        stream = f" {self._words.stream(text)} " if self else ""
        return any(term.stream in stream for term in self._query.wanted)

    def are_in(self, run: Run) -> bool:
        """Whether the search finds a run."""
        stream = self._words.stream(text_of(run.input), text_of(run.output))
        return self._query.matches(stream)

    def set_off(self, text: str) -> str:
        """`text` with OPEN and CLOSE around each place that was found; still to be escaped."""
        text = text.translate(_FOREIGN)
        if not self.found_in(text):
            return text
        text, parts, position = composed(text), [], 0
        for start, end in places(text, self._query, self._words):
            parts += [text[position:start], OPEN, text[start:end], CLOSE]
            position = end
        return "".join([*parts, text[position:]])

    def html(self, text: str) -> SafeString:
        """`text` escaped, with the words in `<mark>`."""
        return self.finish(escape(self.set_off(text)))

    @staticmethod
    def finish(html: SafeString) -> SafeString:
        """`html` with `<mark>` where `set_off` has put OPEN and CLOSE."""
        if OPEN not in html:
            return html
        opened = html.replace(OPEN, "<mark>")
        return mark_safe(opened.replace(CLOSE, "</mark>"))  # of SafeString, and fixed tags


NO_MARKS = Marks()
