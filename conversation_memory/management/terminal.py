"""Text of strangers on a terminal: nothing in it moves the cursor or turns the writing around."""

from __future__ import annotations

import re
import shlex
import shutil
import textwrap
import unicodedata
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.utils.timezone import localtime

from conversation_memory.keys import encode

# The joiners of emoji and of Persian, which str.isprintable() takes for control characters.
_JOINERS = "\u200c\u200d"
_unusual = re.compile(r"[^ -~]").sub


def harmless(text: str, keep: str = "") -> str:
    """`text` with an escape such as `\\x1b` for what is not printable, but for those to `keep`."""
    if text.isprintable():
        return text
    return _unusual(lambda match: _escaped(match[0], keep), text)


def _escaped(character: str, keep: str) -> str:
    if character.isprintable() or character in _JOINERS or character in keep:
        return character
    return character.encode("unicode_escape").decode()


def quoted(name: str) -> str:
    """An id or owner as a shell reads it back, byte for byte; NUL excepted, which none can."""
    if name.isprintable():
        return shlex.quote(name)
    parts = (_quoted(character) for character in name)
    return "$'{}'".format("".join(parts))


def _quoted(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    # Three octal digits, as a hexadecimal escape may take a digit that follows it for its own.
    return "".join(f"\\{byte:03o}" for byte in encode(character))


def named(key: str, name: str | None) -> dict[str, Any]:
    """An id or owner as a member of a JSON object: in base64 where it is no UTF-8."""
    try:
        if name is not None:
            name.encode()
    except UnicodeEncodeError:
        return {f"{key}_b64": b64encode(encode(name or "")).decode()}
    return {key: name}


def width_of(text: str) -> int:
    """The columns that a terminal gives to `text`."""
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or character in _JOINERS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))


def shortened(text: str, width: int) -> str:
    """`text`, cut to `width` columns."""
    if width_of(text) <= width:
        return text
    columns = 0
    for position, character in enumerate(text):
        columns += _columns(character)
        if columns >= width:
            return text[:position] + "…"
    return text


def time_text(time: datetime | None) -> str:
    """A time to the minute, in the current time zone of Django."""
    return "-" if time is None else f"{localtime(time):%Y-%m-%d %H:%M}"


def columns_of(stream: Any) -> int | None:
    """The width of the terminal behind `stream`, None if there is none."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def wrapped(text: str, width: int | None, indent: str) -> Iterator[str]:
    """The lines of a text of a stranger, indented, and wrapped at `width` if there is one."""
    for line in harmless(text, keep="\n\t").expandtabs(4).split("\n"):
        room = 0 if width is None else max(width - len(indent), 20)
        if not room or width_of(line) <= room:
            yield (indent + line).rstrip()
        else:
            characters = max(room * len(line) // width_of(line), 1)
            yield from (indent + part for part in textwrap.wrap(line, characters))
