"""Text -> words, in one way for documents, queries, scans and snippets.

A word is a sequence of letters and digits, folded: without case and accents, with compatibility
forms as plain ones. Everything else separates words. In scripts without spaces between words
(Chinese, Japanese, Thai, …), or with particles attached to them (Korean), each character is a word,
so that any part of a sentence is found as a phrase of its characters. So is each emoji.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from unicodedata import category, combining, decimal, normalize

from django.core.exceptions import ImproperlyConfigured

# Longer words are cut: nobody searches for a base64 text.
MAX_LETTERS = 64

# Unicode does not count these letters as accented forms of others, but people type them so.
_PLAIN = str.maketrans("øđłħŧıə", "odlhtie") | {ord("æ"): "ae", ord("œ"): "oe"}
_ALONE = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f"
    "\u2600-\u27bf\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u303c\u3040-\u318f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua9df\ua9e0-\ua9ff\uaa60-\uaadf\uac00-\ud7ff"
    "\uf900-\ufaff\U0001b000-\U0001b16f\U0001f000-\U0001faff\U00020000-\U0003ffff]"
).match
_EMOJI = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]").match
_OTHER = re.compile(rb"[^0-9A-Za-z]")
_CODED = re.compile(rb"_([0-9a-f]{2})")
_PIECES = re.compile(r"[0-9A-Za-z]+|[^\x00-\x7f]")
# A word of ASCII only, which needs no folding, or a stretch with other characters.
_RUNS = re.compile("([0-9A-Za-z]+)(?![0-9A-Za-z\u0080-\U0010ffff])|[0-9A-Za-z\u0080-\U0010ffff]+")

# Separates texts, so that no phrase spans a question and its answer. No query contains it.
END = "_"
MAX_TAG = 256


class Words:
    """Splits text into words; with a `language`, into their stems ("trees" -> "tree").

    The languages are those of the package snowballstemmer, in English: "german", "spanish", …
    Documents and queries must agree on it.
    """

    def __init__(self, language: str | None = None):
        self.language = language
        self._stem = None if language is None else stemmer(language)

    def of(self, text: str) -> list[str]:
        """The words of `text`, in its order."""
        words = _folded(text).split()
        if self._stem or max(map(len, words), default=0) > MAX_LETTERS:
            return [self._finished(word) for word in words]
        return words

    def stream(self, *texts: str) -> str:
        """The words of `texts` with a space between any two, and an END between the texts."""
        return f" {END} ".join(" ".join(self.of(text)) for text in texts)

    def aligned(self, text: str) -> str | None:
        """The words of `text`, each at its position, padded with spaces; None if impossible.

        `text` is as `composed()` returns it. In most texts, each letter folds to one letter; not
        with stems, or in scripts without spaces. Long words are not cut.
        """
        if self._stem:
            return None
        if text.isascii():
            return _folded(text)
        words = text.translate(_ALIGNED)
        return None if _NO_LETTER in words else words

    def spans(self, text: str) -> Iterator[tuple[str, int, int]]:
        """The words of `text`, which is as `composed()` returns it, each with its start and end."""
        for run in _RUNS.finditer(text):
            start, end = run.span()
            if run[1]:
                yield self._finished(run[1].lower()), start, end
                continue
            for word, first, last in _stretches(run[0]):
                yield self._finished(word), start + first, start + last

    def _finished(self, word: str) -> str:
        word = word[:MAX_LETTERS]
        return self._stem(word) if self._stem else word


def composed(text: str) -> str:
    """`text` with each letter and its accent as one character, where there is one (NFC)."""
    return normalize("NFC", text)


def tag(value: str | float) -> str:
    """A value as documents and queries hold it: ASCII letters and digits, all else in hex.

    So the server neither interprets nor changes it. A value is cut at 256 bytes.
    """
    text = str(value).lower() if isinstance(value, bool) else str(value)
    start = text.encode("utf-8", "surrogatepass")[:MAX_TAG]
    return _OTHER.sub(lambda byte: b"_%02x" % ord(byte[0]), start).decode()


def untag(text: str) -> str:
    """The inverse of `tag`."""
    parts = _CODED.sub(lambda code: bytes.fromhex(code[1].decode()), text.encode())
    return parts.decode("utf-8", "ignore")


@cache
def stemmer(language: str) -> Callable[[str], str]:
    """The function word -> stem of a language.

    Raises `ImproperlyConfigured` if snowballstemmer is not installed or does not know it.
    """
    try:
        import snowballstemmer  # type: ignore[import-untyped]
    except ImportError:
        raise ImproperlyConfigured(
            "LANGUAGE in SEARCH needs snowballstemmer: "
            "pip install django-conversation-memory[search]."
        ) from None
    if language not in snowballstemmer.algorithms():
        known = ", ".join(sorted(snowballstemmer.algorithms()))
        raise ImproperlyConfigured(f"There is no stemmer for {language!r}; choose from {known}.")
    # A stemmer keeps its current word in itself, and threads share this function.
    return lru_cache(2**16)(lambda word: snowballstemmer.stemmer(language).stemWord(word))


def _stretches(text: str) -> Iterator[tuple[str, int, int]]:
    """The words of a text, uncut, with start and end."""
    word, start, end = "", 0, 0
    for piece in _PIECES.finditer(text):
        folded = piece[0].translate(_FOLDS)
        if word and (piece.start() > end or folded[:1] == " "):
            yield word, start, end
            word = ""
        parts = folded.split()
        for part in parts[:-1]:  # "㍿" is four words
            yield (word or "") + part, start if word else piece.start(), piece.end()
            word = ""
        if parts:
            start = start if word else piece.start()
            word += parts[-1]
        if folded[-1:] == " " and word:
            yield word, start, piece.end()
            word = ""
        end = piece.end()
    if word:
        yield word, start, end


class _Folds(dict[int, str]):
    """Code point -> its folded form, computed when first used."""

    def __missing__(self, code: int) -> str:
        letters = normalize("NFKD", normalize("NFKD", chr(code)).casefold()).translate(_PLAIN)
        kept = "".join(letter for letter in letters if not _is_accent(letter))
        self[code] = folded = "".join(map(_spaced, normalize("NFC", kept)))
        return folded


class _Aligned(dict[int, str]):
    """Code point -> its folded form if that is one letter; else _NO_LETTER."""

    def __missing__(self, code: int) -> str:
        folded = _FOLDS[code]
        self[code] = letter = folded if len(folded) == 1 else _NO_LETTER
        return letter


_NO_LETTER = "\x00"
# Unicode decomposes й into и and an accent, but it is a letter of its own.
_FOLDS = _Folds({ord("Й"): "й", ord("й"): "й"})
_ALIGNED = _Aligned()


def _folded(text: str) -> str:
    if text.isascii():
        return text.encode().translate(_ASCII).decode()
    return composed(text).translate(_FOLDS)


def _is_accent(letter: str) -> bool:
    # Overlays, points of Hebrew and Arabic, accents; not the vowels and viramas of Asia.
    kind = combining(letter)
    return kind == 1 or 10 <= kind <= 36 or kind >= 200


def _spaced(letter: str) -> str:
    """A letter of a word, a word of its own, nothing, or a space between words."""
    kind = category(letter)
    if _EMOJI(letter) and kind in ("So", "Sk"):
        return f" {letter} "
    if kind == "Nd":
        return f"{decimal(letter)}"
    # Variation selectors, enclosing marks, the grapheme joiner, the tatweel of Arabic.
    if "\ufe00" <= letter <= "\ufe0f" or kind == "Me" or letter in "\u034f\u0640":
        return ""
    if kind[0] in "LNM":
        return f" {letter} " if _ALONE(letter) else letter
    # Soft hyphens and joiners are within a word, but Thai puts a zero-width space between two.
    return "" if kind == "Cf" and letter != "\u200b" else " "


# The same as _FOLDS for the bytes of ASCII, in a tenth of the time.
_ASCII = bytes(ord(_FOLDS[code]) if code < 128 else 32 for code in range(256))
