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
_TOGETHER, _MOST_BYTES = 64, 64 * 1024
_FILLED = (b"", b"A", b"AA", b"AAA")  # by the padding: with digits that are nothing but spare bits

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


def decoded_pairs(texts: Sequence[bytes], skip: int, head: int) -> list[tuple[bytes, bytes]]:
    """See decoded(), of many texts behind `skip` bytes: the first `head` bytes, and the rest."""
    found = []
    together = max(1, min(_TOGETHER, _MOST_BYTES // (len(texts[0]) + 1))) if texts else 1
    for first in range(0, len(texts), together):
        some = [text[skip:] for text in texts[first : first + together]]
        lengths = [*map(len, some)]
        digits = b"".join([text + _FILLED[-n % 4] for text, n in zip(some, lengths, strict=True)])
        if b"+" in digits or b"/" in digits or b"=" in digits:
            raise ValueError("It is not base64url.")
        raw, start = _decoder(digits), 0
        for text, length in zip(some, lengths, strict=True):
            spare = -length % 4
            if spare and text[-1] not in _LAST[spare]:
                raise ValueError("It is not base64url.")
            stop = start + length * 3 // 4
            middle = min(start + head, stop)
            found.append((raw[start:middle], raw[middle:stop]))
            start = stop + spare
    return found
