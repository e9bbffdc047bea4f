"""Untrusted text on a terminal, where it must not move the cursor or change the text direction."""

import re
import shlex
import shutil
import textwrap
import unicodedata
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.utils.timezone import localtime

from conversation_memory.keys import encode
from conversation_memory.records import Record

# The joiners of emoji and of Persian; str.isprintable() is False for them.
_JOINERS = "\u200c\u200d"
_unusual = re.compile(r"[^ -~]").sub


def harmless(text: str, keep: str = "") -> str:
    """`text` with unprintable characters escaped as in `\\x1b`, except those to `keep`."""

    def escaped(match: re.Match[str]) -> str:
        character = match[0]
        if character.isprintable() or character in _JOINERS or character in keep:
            return character
        return character.encode("unicode_escape").decode()

    return text if text.isprintable() else _unusual(escaped, text)


def quoted(name: str) -> str:
    """An id or owner that a shell reads back byte for byte, except NUL, which no shell can."""
    if name.isprintable():
        return shlex.quote(name)
    return "$'{}'".format("".join(map(_quoted, name)))


def _quoted(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    # Three octal digits: a hexadecimal escape would absorb a digit that follows it.
    return "".join(f"\\{byte:03o}" for byte in encode(character))


def examples(names: Sequence[str], total: int) -> str:
    """Some of `total` names, quoted for a shell."""
    return ", ".join(map(quoted, names)) + (", …" if total > len(names) else "")


def named(key: str, name: str | None) -> dict[str, Any]:
    """An id or owner as a member of a JSON object, in base64 if it is not UTF-8."""
    try:
        (name or "").encode()
        return {key: name}
    except UnicodeEncodeError:
        return {f"{key}_b64": b64encode(encode(name or "")).decode()}


def identity(record: Record) -> dict[str, Any]:
    """The members of a JSON object that identify a conversation, with its times."""
    times = {"created": record.created, "updated": record.updated, "expires": record.expires}
    return {
        **named("id", record.conversation_id),
        **named("owner", record.owner),
        "title": record.title,
        **{name: time and time.isoformat() for name, time in times.items()},
    }


def width_of(text: str) -> int:
    """The number of terminal columns that `text` occupies."""
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or character in _JOINERS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))


def shortened(text: str, width: int) -> str:
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
    """The width of the terminal that `stream` writes to, None for a file or a pipe."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def wrapped(text: str, width: int | None, indent: str) -> Iterator[str]:
    """The lines of an untrusted text, indented, and wrapped at `width` if given."""
    for line in harmless(text, keep="\n\t").expandtabs(4).split("\n"):
        room = 0 if width is None else max(width - len(indent), 20)
        if not room or width_of(line) <= room:
            yield (indent + line).rstrip()
        else:
            characters = max(room * len(line) // width_of(line), 1)
            yield from (indent + part for part in textwrap.wrap(line, characters))
