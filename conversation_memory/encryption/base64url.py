"""base64url without padding, of which only the canonical text is read."""

from __future__ import annotations

import binascii
from collections.abc import Callable
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
