"""The messages of stored runs. What stands beside kept messages need not be decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, compress
from typing import Any
from zlib import crc32

from ..compact import is_plain, plain_parts, short_text_of
from ..exceptions import Damaged
from ..runs import Run, decoded_runs
from ..wire import loads_together
from .formats import OPENAI, Format
from .parts import Message
from .turns import CHECKSUM, FORMAT, MESSAGES, messages_of

# The text of such a run in a list, as Turn.run() and compact.py make it: `[id,input,output`, then
# `,{` and these members. No string has such bytes within, as each of its quotes is escaped.
_MESSAGES = b',{"%b":' % MESSAGES.encode()
_CLOSING = len('12345678"}]')


def messages_in(
    texts: Sequence[bytes], format: Format, start: int = 0, values: Sequence[Any] | None = None
) -> list[Message]:
    """The messages of the stored texts of runs, as messages_of() returns them.

    The first run is at position `start`. If the texts were read, `values` are what
    loads_together() made of them. Raises `Damaged`, naming the run.
    """
    found = None
    with suppress(Damaged):  # is found again below, where its position is known
        found = _together(texts, format, values)
    if found is not None:
        return found
    runs = decoded_runs(texts, start)
    return [message for run in runs for message in messages_of(run, format)]


def messages_quickly(run: Run, format: Format) -> list[Message]:
    """See messages_of(). Looks at the messages alone, if the run is as it stands in a list."""
    if text := run.stored_in_list:
        [part] = _parts([text], format)
        if part is not text and (values := loads_together([part])) and _are_messages(values[0]):
            return values[0]  # type: ignore[no-any-return]
    return messages_of(run, format)


def _together(
    texts: Sequence[bytes], format: Format, values: Sequence[Any] | None
) -> list[Message] | None:
    """The messages of runs that are read at a time; None if they must be read one by one."""
    parts = texts if values is not None else _parts(texts, format)
    values = loads_together(parts) if values is None else values
    if values is None:
        return None
    kept = [part is not text for part, text in zip(parts, texts, strict=True)]
    if not all(map(_are_messages, compress(values, kept))):
        return None
    if all(kept):
        return [*chain.from_iterable(values)]
    said = [
        value if is_kept else _plain(value) for value, is_kept in zip(values, kept, strict=True)
    ]
    left = [one is None for one in said]
    others: Iterator[Run] = iter(())
    if any(left):
        others = iter(decoded_runs([*compress(texts, left)], 0, [*compress(values, left)]))
    found: list[Message] = []
    for one, is_kept in zip(said, kept, strict=True):
        if is_kept:
            found += one
        elif one is None:
            found += messages_of(next(others), format)
        else:
            found += format.exchange(one[1], one[2], one[0])
    return found


def _plain(value: Any) -> Any:
    """Id, input and output of a run of two plain texts; None for any other."""
    if is_plain(value):
        return value
    parts = plain_parts(value)
    return parts and [parts[0], short_text_of(parts[1]), short_text_of(parts[2])]


def _are_messages(value: object) -> bool:
    return type(value) is list and {*map(type, value)} == {dict}


def _parts(texts: Sequence[bytes], format: Format) -> list[bytes]:
    """Of each run the JSON of its messages, if it keeps some in this format, or else its text."""
    named = b"" if format is OPENAI else b',"%b":"%b"' % (FORMAT.encode(), format.name.encode())
    tail = b'%b,"%b":"' % (named, CHECKSUM.encode())
    closing = len(tail) + _CLOSING
    found = []
    for text in texts:
        if text[-closing:-_CLOSING] == tail:
            checked = text[:-closing]
            begin = checked.find(_MESSAGES)
            if begin > 0 and b'%08x"}]' % crc32(checked) == text[-_CLOSING:]:
                text = checked[begin + len(_MESSAGES) :]
        found.append(text)
    return found
