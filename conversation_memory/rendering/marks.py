"""The words of a search, set off in a text."""

from __future__ import annotations

import re
from itertools import chain

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

_PARTS = re.compile(r'(-?)(?:"([^"]*)"|(\S+))')
# Private-use characters, which stored text is freed of first: they survive a Markdown renderer.
OPEN, CLOSE = "\ue0f0", "\ue0f1"
_FOREIGN = {ord(OPEN): "\ufffd", ord(CLOSE): "\ufffd"}
_MAX_WORDS = 50
# From Thai on, scripts follow that write no spaces.
_WITHOUT_SPACES = "\u0e00"


class Marks:
    """Finds the words of `query` and marks them, but for those that it leaves out (-word)."""

    def __init__(self, query: str = ""):
        parts = _PARTS.findall(query)
        found = chain.from_iterable(
            _words(phrase, word) for minus, phrase, word in parts if not minus
        )
        self.words = tuple(dict.fromkeys(found))[:_MAX_WORDS]
        longest_first = sorted(self.words, key=len, reverse=True)
        pattern = "|".join(map(_pattern, longest_first))
        self._find = re.compile(pattern, re.IGNORECASE) if pattern else None

    def __bool__(self) -> bool:
        return self._find is not None

    def found_in(self, text: str) -> bool:
        """Whether any of the words is in `text`."""
        return self._find is not None and self._find.search(text) is not None

    def count_in(self, text: str) -> int:
        """How many different words are in `text`."""
        return sum(bool(re.search(_pattern(word), text, re.IGNORECASE)) for word in self.words)

    def set_off(self, text: str) -> str:
        """`text` with OPEN and CLOSE around each word that was found; still to be escaped."""
        text = text.translate(_FOREIGN)
        return (
            self._find.sub(lambda found: f"{OPEN}{found[0]}{CLOSE}", text) if self._find else text
        )

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


def _pattern(word: str) -> str:
    """Matches `word` at the beginning of a word, where the script has spaces between words."""
    return rf"(?<!\w){re.escape(word)}" if word < _WITHOUT_SPACES else re.escape(word)


def _words(phrase: str, word: str) -> list[str]:
    if phrase:
        return [phrase.strip()] if phrase.strip() else []
    return re.findall(r"\w+", word)


NO_MARKS = Marks()
