from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class MemoryIdConverter:
    """A conversation id or run id in a URL: plain ones unchanged, others as ~base64.

    Ids are arbitrary strings, and browsers and proxies normalise slashes and dots.
    """

    regex = r"~?[A-Za-z0-9_-]+"

    def to_python(self, value: str) -> str:
        if not value.startswith("~"):
            return value
        padded = value[1:] + "=" * (-len(value[1:]) % 4)
        return urlsafe_b64decode(padded).decode("utf-8", "surrogateescape")

    def to_url(self, value: str) -> str:
        if PLAIN.fullmatch(value):
            return value
        encoded = urlsafe_b64encode(value.encode("utf-8", "surrogateescape"))
        return "~" + encoded.decode().rstrip("=")
