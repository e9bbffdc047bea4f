"""Calls in the protocol of Redis. redis-py packs them in Python."""

from __future__ import annotations

from redis.connection import HiredisRespSerializer
from redis.utils import HIREDIS_AVAILABLE

from .scripts import Call

if HIREDIS_AVAILABLE:  # an extra of redis-py
    import hiredis


def packed(call: Call) -> bytes:
    """A call as it is sent; requires hiredis."""
    try:
        if " " not in call[0]:
            return bytes(hiredis.pack_command(call))
    except TypeError:  # a name or a value of a rare type
        pass
    return b"".join(HiredisRespSerializer().pack(*call))
