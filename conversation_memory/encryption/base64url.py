"""base64url without padding, of which only the canonical text is read."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Sequence
from contextlib import suppress

_TO_URL, _FROM_URL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")


def _encode(raw: bytes) -> bytes:
    return binascii.b2a_base64(raw, newline=False).translate(_TO_URL)


def _decode(padded: bytes) -> bytes:
    return binascii.a2b_base64(padded.translate(_FROM_URL), strict_mode=True)


# By the padding that is left out: the last digits whose spare bits are 0. Three are never left out.
_LAST: tuple[bytes | frozenset[int], ...] = (
    b"",
    frozenset(b"AEIMQUYcgkosw048"),
    frozenset(b"AQgw"),
    frozenset(),
)
_PADDING = (b"", b"=", b"==", b"===")

# How many texts are decoded at a time: few, as memory that is got anew costs more than it saves.
_TOGETHER = 16
_FILLED = (b"", b"A", b"AA")  # by the padding: with digits that are nothing but spare bits
_NOTHING = (b"", b"\0", b"\0\0")

_encoder: Callable[[bytes], bytes] = _encode
_decoder: Callable[[bytes], bytes] = _decode
with suppress(ImportError):  # thirty times as fast
    import pybase64

    def _decoder(padded: bytes) -> bytes:
        return pybase64.b64decode(padded, b"-_", True)

    _encoder = pybase64.urlsafe_b64encode


def encoded(raw: bytes) -> bytes:
    return _encoder(raw).rstrip(b"=")


def decoded(text: bytes) -> bytes:
    """Raises ValueError (binascii.Error is one) for any other text than encoded() returns."""
    # Decoders take the usual alphabet as well, and ignore the spare bits of the last digit.
    if b"+" in text or b"/" in text or b"=" in text:
        raise ValueError("It is not base64url.")
    spare = -len(text) % 4
    if spare and text[-1] not in _LAST[spare]:
        raise ValueError("It is not base64url.")
    return _decoder(text + _PADDING[spare])


def decoded_all(texts: Sequence[bytes]) -> list[bytes]:
    """See decoded(); many short texts are decoded in one go."""
    found = []
    for first in range(0, len(texts), _TOGETHER):
        some = texts[first : first + _TOGETHER]
        spare = [-len(text) % 4 for text in some]
        if 3 in spare:
            raise ValueError("It is not base64url.")
        digits = b"".join([text + _FILLED[n] for text, n in zip(some, spare, strict=True)])
        if b"+" in digits or b"/" in digits or b"=" in digits:
            raise ValueError("It is not base64url.")
        raw, start = _decoder(digits), 0
        for text, n in zip(some, spare, strict=True):
            stop = start + len(text) * 3 // 4
            found.append(raw[start:stop])
            start = stop + n
            if n and raw[stop:start] != _NOTHING[n]:
                raise ValueError("It is not base64url.")
    return found
