"""Stored text as a page can hold it: everything visible, the words of a search marked."""

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from ..runs import Run
from ..search.query import Query
from ..search.snippets import match_spans
from ..search_index.tokens import Words, composed

# A page is UTF-8 without controls. Those with a picture of their own in Unicode are shown as that.
_BLOCK = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n\r"}
_BLOCK |= {0x7F: "\u2421"}
# Overrides reorder the text around them. Marks and isolates stay: right-to-left text needs them.
_BLOCK |= {code: f"[U+{code:04X}]" for code in (*range(0x80, 0xA0), *range(0x202A, 0x202F))}
_LABEL = _BLOCK | {ord(character): chr(0x2400 + ord(character)) for character in "\t\n\r"}
_LABEL |= {code: f"[U+{code:04X}]" for code in (0x2028, 0x2029, *range(0x2066, 0x206A))}


def visible(text: str | bytes) -> str:
    """`text` with its line breaks, and every character that a page cannot hold made visible."""
    return _decoded(text).translate(_BLOCK)


def label(text: str | bytes) -> str:
    """An id, an owner, a title or a file name: as `visible`, on one line."""
    return _decoded(text).translate(_LABEL)


def cut(text: str, limit: int | None) -> tuple[str, int]:
    """The beginning of `text`, and the number of characters that are left out."""
    beginning = text[:limit]
    return beginning, len(text) - len(beginning)


def _decoded(text: str | bytes) -> str:
    if isinstance(text, bytes):
        return text.decode("utf-8", "backslashreplace")
    try:
        raw = text.encode("utf-8", "surrogateescape")  # ids that are not UTF-8
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "backslashreplace")  # JSON may hold half characters
    return raw.decode("utf-8", "backslashreplace")


# Private-use characters, which stored text is freed of first: they survive a Markdown renderer.
OPEN, CLOSE = "\ue0f0", "\ue0f1"
_FOREIGN = {ord(OPEN): "\ufffd", ord(CLOSE): "\ufffd"}


class Marks:
    """Marks the words that a search for `query` looks for, excluded ones (-word) apart."""

    def __init__(self, query: str = "", words: Words | None = None, *, tool_calls: bool = False):
        self._words = words or Words()
        self._query = Query.parse(query, self._words, tool_calls=tool_calls)

    def __bool__(self) -> bool:
        return bool(self._query.wanted)

    def found_in(self, text: str) -> bool:
        stream = f" {self._words.stream(text)} " if self else ""
        return any(term.stream in stream for term in self._query.wanted)

    def are_in(self, run: Run) -> bool:
        """True if the search finds the run."""
        return self._query.matches(self._query.stream(run))

    def set_off(self, text: str) -> str:
        """`text` with OPEN and CLOSE around each match; still to be escaped."""
        text = text.translate(_FOREIGN)
        if not self.found_in(text):
            return text
        text, parts, position = composed(text), [], 0
        for start, end in match_spans(text, self._query):
            parts += [text[position:start], OPEN, text[start:end], CLOSE]
            position = end
        return "".join([*parts, text[position:]])

    def html(self, text: str) -> SafeString:
        """`text` escaped, with the words in `<mark>`."""
        return self.finish(escape(self.set_off(text)))

    @staticmethod
    def finish(html: SafeString) -> SafeString:
        """`html` with `<mark>` in place of OPEN and CLOSE."""
        if OPEN not in html:
            return html
        opened = html.replace(OPEN, "<mark>")
        return mark_safe(opened.replace(CLOSE, "</mark>"))  # of SafeString, and fixed tags


NO_MARKS = Marks()
