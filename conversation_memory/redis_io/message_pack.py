"""MessagePack, which Lua scripts can unpack."""

import struct
from typing import Any

_head = struct.Struct(">BI").pack


def packed(value: Any) -> bytes:
    """A value of lists, bytes and small ints in MessagePack."""
    parts: list[bytes] = []
    _pack_into(parts, value)
    return b"".join(parts)


def _pack_into(parts: list[bytes], value: Any) -> None:
    kind = type(value)
    if kind is bytes:
        parts += (_head(0xDB, len(value)), value)
    elif kind is int:
        parts.append(_head(0xCE, value))
    else:
        parts.append(_head(0xDD, len(value)))
        for item in value:
            if type(item) is bytes:  # without a call, as most are
                parts += (_head(0xDB, len(item)), item)
            else:
                _pack_into(parts, item)
