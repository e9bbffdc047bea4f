"""Stored text without what would disturb a page: half characters, controls, turned directions."""

from __future__ import annotations

# A page is UTF-8 without controls. What has a picture of its own in Unicode is shown as that.
_CONTROLS: dict[int, int | str] = {
    code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n\r"
}
_CONTROLS |= {0x7F: "\u2421"}
_CONTROLS |= {code: f"[U+{code:04X}]" for code in range(0x80, 0xA0)}
# They reorder what stands around them. Marks and isolates stay, which right-to-left text needs.
_OVERRIDES = {code: f"[U+{code:04X}]" for code in range(0x202A, 0x202F)}
_ONE_LINE = {code: f"[U+{code:04X}]" for code in (0x2028, 0x2029, *range(0x2066, 0x206A))}
_ONE_LINE |= {ord("\n"): "\u240a", ord("\r"): "\u240d", ord("\t"): "\u2409"}

_BLOCK = _CONTROLS | _OVERRIDES
_LABEL = _BLOCK | _ONE_LINE


def visible(text: str | bytes) -> str:
    """`text` with its line breaks, and everything in it that a page cannot hold made visible."""
    return _decoded(text).translate(_BLOCK)


def label(text: str | bytes) -> str:
    """An id, an owner, a title, a file name: as `visible`, on one line."""
    return _decoded(text).translate(_LABEL)


def cut(text: str, limit: int | None) -> tuple[str, int]:
    """The beginning of `text`, and how many characters are left out."""
    if limit is None or len(text) <= limit:
        return text, 0
    return text[:limit], len(text) - limit


def _decoded(text: str | bytes) -> str:
    raw = text if isinstance(text, bytes) else _encoded(text)
    return raw.decode("utf-8", "backslashreplace")


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")  # ids that are no UTF-8
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")  # JSON may hold half characters
