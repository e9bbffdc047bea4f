"""The replies of RediSearch, over RESP2 and RESP3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

CUT_SHORT = "The search took longer than a second and was cut short."
EXPANDED = "A prefix stands for more words than RediSearch looks up; write more of its letters."


class Row(NamedTuple):
    """A search document as it was found; `text` is that of the run, None if it is very long."""

    token: bytes
    suffix: bytes
    score: float
    fields: dict[bytes, bytes]

    @property
    def time(self) -> int:
        """In milliseconds; what is no time of ours counts as none."""
        try:
            time = float(self.fields.get(b"t", b"0"))
        except ValueError:
            return 0
        return int(time) if 0 <= time < 10**15 else 0

    @property
    def text(self) -> bytes | None:
        return self.fields.get(b"run")


@dataclass(frozen=True, slots=True)
class Reply:
    """What RediSearch found, and why that may not be all."""

    total: int
    rows: list[Row]
    reasons: list[str]

    @classmethod
    def of(cls, reply: Any, documents: bytes) -> Reply:
        """From a map, over RESP3, or a flat list, over RESP2. Every key begins with `documents`."""
        start = len(documents)
        if not isinstance(reply, dict):
            total, *rest = reply
            return cls(int(total), [*_flat_rows(rest, start)], [])
        rows = [
            _row(row[b"id"][start:], row.get(b"score", 0), row.get(b"extra_attributes", {}))
            for row in reply[b"results"]
        ]
        return cls(int(reply[b"total_results"]), rows, reasons(reply))


def _row(name: bytes, score: Any, fields: dict[bytes, bytes]) -> Row:
    token, _, end = name.partition(b":")
    return Row(token, end, float(score), fields)


def _flat_rows(rest: list[Any], prefix: int) -> Iterator[Row]:
    """Of RESP2: key, score if there is one, and the fields, again and again."""
    has_scores = len(rest) > 1 and not isinstance(rest[1], list | None)
    parts = 3 if has_scores else 2
    scores = rest[1::3] if has_scores else repeat(0)
    for key, score, flat in zip(rest[::parts], scores, rest[parts - 1 :: parts], strict=False):
        flat = flat or []
        yield _row(key[prefix:], score, dict(zip(flat[::2], flat[1::2], strict=True)))


def reasons(reply: Any) -> list[str]:
    """The warnings of a reply in our words. There are none over RESP2."""
    return [_reason(warning) for warning in reply.get(b"warning", [])]


def _reason(warning: bytes) -> str:
    if b"imeout" in warning:
        return CUT_SHORT
    if b"expansion" in warning:
        return EXPANDED
    return f"RediSearch says: {warning[:200].decode(errors='replace')}."


def sentences(reasons: Sequence[str]) -> str:
    """Reasons as one text, each once."""
    return " ".join(filter(None, dict.fromkeys(reasons)))
