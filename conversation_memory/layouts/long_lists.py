"""Lists that are too long for one command: they are read in parts, and staged to be written.

Redis does one thing at a time, so no command may take long.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from ..keys import Keys
from ..redis_io.operations import Command, Operation, single

# How many elements a read begins with: most lists have no more. Their size is known only then.
FIRST_PART = 500
_ATTEMPTS = 3
_READ = 20_000
_READ_BYTES = 4 * 1024 * 1024

_WRITTEN = 1000
_WRITTEN_BYTES = 512 * 1024
STAGED_MS = 300_000  # how long they are kept that a killed process leaves

T = TypeVar("T")


def indexes_before(before: int | None, limit: int) -> tuple[int, int]:
    """Those of LRANGE for at most `limit` elements in front of index `before`, or the last ones."""
    if before is None:
        return -limit, -1
    return (max(0, before - limit), before - 1) if before else (1, 0)  # to Redis, -1 is the last


def last_of_first() -> int:
    """The index of the last run of a first part."""
    return FIRST_PART - 1


def may_go_on(texts: Sequence[bytes]) -> bool:
    """True for a first part that need not be the whole list."""
    return len(texts) >= FIRST_PART


def whole(
    keys: Keys,
    id: bytes,
    read: Callable[[int], Operation[T]],
    parts_of: Callable[[T], tuple[Any, list[bytes]]],
    first: int | None = None,
) -> Operation[T]:
    """What `read` returns of a conversation, whose list it reads up to the index it is given.

    The first part has `first` runs, by default FIRST_PART. `parts_of` tells the version of the
    conversation, as stored, and the list, to which the other parts are added. All of it is of one
    moment.
    """
    first = FIRST_PART if first is None else max(1, first)
    for _ in range(_ATTEMPTS):
        found = yield from read(first - 1)
        version, texts = parts_of(found)
        if len(texts) < first or (yield from _read_rest(keys, id, texts)) == version:
            return found
    return (yield from read(-1))  # others write to it all the time


def _read_rest(keys: Keys, id: bytes, texts: list[bytes]) -> Operation[bytes | None]:
    """Read the runs behind `texts` into it. Returns the version of the conversation after that.

    It is that of no conversation if the list is another one.
    """
    version: Command[bytes | None] = single("HGET", keys.record(id), "version", otherwise=None)
    length = size = count = 0
    while len(texts) > length:
        size += sum(map(len, texts[length:]))
        length = len(texts)
        stop = length + max(1, min(_READ, _READ_BYTES * length // max(1, size)))
        runs = keys.runs(id)
        part, last, count = yield [
            single("LRANGE", runs, length, stop - 1),
            version,
            single("LLEN", runs),
        ]
        texts += part
        if len(texts) < stop:
            break
    # A list that has expired meanwhile leaves the version as it was.
    return last if count == len(texts) else b""


def is_long(texts: Sequence[bytes]) -> bool:
    """True if the texts are too long to be written by one command."""
    return len(texts) > _WRITTEN or sum(map(len, texts)) > _WRITTEN_BYTES


def stage(key: bytes, texts: Sequence[bytes]) -> Operation[str]:
    """Write a list under a key of its own, which write.lua renames. Returns what tells it."""
    yield single("UNLINK", key)
    for part in split_by_bytes(texts, len, _WRITTEN_BYTES, _WRITTEN):
        # Together, or who is killed in between leaves texts that nobody deletes.
        yield Command((("RPUSH", key, *part), ("PEXPIRE", key, STAGED_MS)))
    return f"staged {len(texts)}"


def split_by_bytes(
    items: Iterable[T], size: Callable[[T], int], most_bytes: int, most: int | None = None
) -> Iterator[list[T]]:
    """Split `items` into lists of `most` items and `most_bytes`; a larger item is alone."""
    part: list[T] = []
    room = most_bytes
    for item in items:
        length = size(item)
        if part and (length > room or len(part) == most):
            yield part
            part, room = [], most_bytes
        part.append(item)
        room -= length
    if part:
        yield part
