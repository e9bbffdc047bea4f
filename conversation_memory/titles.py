"""The titles that conversations get with their first run, as TITLE in settings defines them."""

import logging
from inspect import iscoroutine
from typing import Any

from django.utils.module_loading import import_string

from .runs import Run
from .search_index.passages import text_of

MAX_TITLE = 1000

# Characters of a title, and of the question in which its line is looked for. Redis keeps a small
# hash of values of up to 64 bytes, such as a record, in a fraction of the memory of another.
_LENGTH = 60
_LOOKED_AT = 4000
# The joiners of emoji and of Persian; str.isprintable() is False for them.
_JOINERS = "\u200c\u200d"

logger = logging.getLogger("conversation_memory")


def first_line(run: Run) -> str:
    """The first line of the question that is not blank, cut at a word; '' without a text."""
    for line in text_of(run.input)[:_LOOKED_AT].splitlines():
        words = " ".join(line.split())[: 4 * _LENGTH]
        if title := words if words.isprintable() else _shown(words):
            return _cut(title)
    return ""


def proposed(path: str | None, run: Run, alias: str) -> bytes:
    """The title that the callable at `path` makes of a run; b"" for none, also if that fails."""
    if path is None:
        return b""
    try:
        title = _checked(import_string(path)(run))
    # Whatever a project's callable raises, a message must not be lost for its title.
    except Exception as error:
        # Not its text, which may quote the message.
        problem = type(error).__name__
        logger.error("TITLE of alias %r (%s) failed with %s: no title.", alias, path, problem)
        return b""
    return title[:MAX_TITLE].encode("utf-8", "replace")


def _checked(title: Any) -> str:
    if iscoroutine(title):
        title.close()  # or Python would warn that nobody awaited it
    if not isinstance(title, str | None):
        raise TypeError
    return title or ""


def _shown(text: str) -> str:
    """`text` without controls, marks of direction and lone surrogates."""
    return "".join(one for one in text if one.isprintable() or one in _JOINERS).strip()


def _cut(line: str) -> str:
    if len(line) <= _LENGTH:
        return line
    words, _, rest = line[:_LENGTH].rpartition(" ")
    return f"{words if len(rest) < _LENGTH / 3 else line[: _LENGTH - 1]}…"
