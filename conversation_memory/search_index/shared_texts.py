"""One copy of the texts of a run in its search document, for RediSearch and for readers alike.

RediSearch folds ASCII, and splits it into words, nearly as tokens.py does. So most documents hold
in `w` the texts as they are, and in `run` the stored text of the run with a MARK for each of them.
Where that would change what is found, a document holds the words in `w` and all of the run.

In `w`, `~` and another character stand for what RediSearch takes for a part of a word, or does not
know. None of these is a letter, so that words and their positions stay the same.
"""

import re
from collections.abc import Sequence

from ..wire import literals
from .tokens import END, MAX_LETTERS

MARK = b"\x01"  # JSON texts have no control characters

_BETWEEN = f" {END} "  # no text contains it, as END has a code
_SPLIT = _BETWEEN.encode()
_CODES = {
    "~": "~~",
    "_": "~-",
    r"\n": "~|",
    r"\"": '~"',
    r"\\": "~/",
    r"\t": "~,",
    r"\r": "~;",
    "\u00a0": "~ ",
    "\u2013": "~=",
    "\u2014": "~+",
    "\u2018": "~`",
    "\u2019": "~'",
    "\u201c": "~(",
    "\u201d": "~)",
    "\u2022": "~*",
    "\u2026": "~.",
    "\u2192": "~>",
    "\u20ac": "~$",
}
_CHARACTERS = {code.encode(): text.encode() for text, code in _CODES.items()}

_special = re.compile(rf"\\.|[{''.join(text for text in _CODES if len(text) == 1)}]").sub
_coded = re.compile(rb"~.").sub
_long = re.compile(rf"[0-9A-Za-z]{{{MAX_LETTERS + 1}}}").search


def shared(stored: bytes, texts: Sequence[str]) -> tuple[bytes, bytes] | None:
    """`w` and `run` of a document, from the JSON text of its run; None if it needs two copies."""
    shown, rest, position = [], [], 0
    for sought in literals(texts):
        short = sought[1:-1].decode()
        if not short.isascii() or "\\" in short or "_" in short or "~" in short:
            short = _special(_code_of, short)
        if _differs(short):
            return None
        start = stored.find(sought, position)
        if start < 0:
            return None
        shown.append(short)
        rest.append(stored[position : start + 1])
        position = start + len(sought) - 1
    return _BETWEEN.join(shown).encode(), MARK.join([*rest, stored[position:]])


def restored(run: bytes, words: bytes) -> bytes:
    """The JSON text of a run, from `run` and `w` of its document; no JSON if they do not agree."""
    first, *others = run.split(MARK)
    texts = words.split(_SPLIT) if others else []
    if len(texts) != len(others):
        return run
    parts = [first]
    for text, rest in zip(texts, others, strict=True):
        parts += (_coded(_character_of, text) if b"~" in text else text, rest)
    return b"".join(parts)


def _differs(text: str) -> bool:
    """True for what is not ASCII, other escapes of JSON, and words that are cut."""
    if not (text.isascii() and text.isprintable()) or "\\" in text:
        return True
    return max(map(len, text.split()), default=0) > MAX_LETTERS and _long(text) is not None


def _code_of(match: re.Match[str]) -> str:
    return _CODES.get(match[0], match[0])


def _character_of(match: re.Match[bytes]) -> bytes:
    return _CHARACTERS.get(match[0], match[0])
