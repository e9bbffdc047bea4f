"""Several byte strings in one: before each stands its length, as the scripts read it."""

from __future__ import annotations

from collections.abc import Iterable


def pack(parts: Iterable[bytes]) -> bytes:
    return b"".join(map(part, parts))


def part(text: bytes) -> bytes:
    """One of the parts."""
    return b"%d:%b" % (len(text), text)


def unpack(packed: bytes) -> list[bytes]:
    """The inverse of `pack`. Raises ValueError."""
    parts, rest = [], packed
    while rest:
        first, rest = split(rest)
        parts.append(first)
    return parts


def split(packed: bytes) -> tuple[bytes, bytes]:
    """The first part, and what stands behind it. Raises ValueError."""
    length, colon, rest = packed.partition(b":")
    if not colon or not length.isdigit() or int(length) > len(rest):
        raise ValueError("A packed value is cut off.")
    return rest[: int(length)], rest[int(length) :]
