"""The JSON document of a conversation: taken apart and put together without rewriting its runs.

A document that we wrote is recognised by its seal, which the record keeps: length, checksum and
the offset where the runs end. Such a document is split at C speed and no run is decoded before it
is looked at. Anything else, of a stock Griptape driver or of a hand, is parsed in full, exactly.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .runs import Run, dumps

_OPENING = b'{"runs": ['
_RUN = b'{"type": "Run", '
_BETWEEN = b", " + _RUN
_CLOSING = b'], "metadata": '

_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_space = re.compile(r"[ \t\n\r]*").match
_comma = re.compile(r"[ \t\n\r]*,[ \t\n\r]*").match


class Damaged(ValueError):
    """The bytes are not a conversation; the text says why."""


class Runs(list[Run]):
    """The runs of a document, with the other members it had beside runs and metadata.

    Griptape writes none. They are kept when what was loaded is stored again.
    """

    members: dict[str, bytes]

    def __init__(self, runs: Iterable[Run] = (), members: dict[str, bytes] | None = None):
        super().__init__(runs)
        self.members = members or {}


def fingerprint(raw: bytes | None) -> str:
    """Length and CRC-32 of a document: it changes whoever writes."""
    return "absent" if raw is None else f"{len(raw)}-{zlib.crc32(raw):08x}"


@dataclass(slots=True)
class Document:
    """A document and where its parts are: byte offsets into `raw`.

    `runs` are in order, oldest first, and `end` is the bracket that closes them. A `canonical`
    document can be split without being parsed. `mark` is its fingerprint.
    """

    raw: bytes
    runs: Runs
    end: int
    metadata_start: int
    metadata_end: int
    canonical: bool
    mark: str = ""

    def __post_init__(self) -> None:
        self.mark = self.mark or fingerprint(self.raw)

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata, decoded anew at each call."""
        value = json.loads(self.raw[self.metadata_start : self.metadata_end] or b"{}")
        return {} if value is None else value

    @property
    def seal(self) -> str:
        """What the record remembers of a document of ours; empty if it cannot be split blindly."""
        return f"{self.mark}-{self.end}" if self.canonical else ""

    def has(self, run_id: str) -> bool:
        """Whether a run of that id is among the runs; few documents are decoded to find out."""
        escaped = json.dumps(run_id)[1:-1].encode()
        if self.canonical and run_id.isascii() and escaped not in self.raw:
            return False
        return any(run.id == run_id for run in self.runs)

    def appended(self, runs: list[Run]) -> Document:
        """This document with `runs` behind its own, every other byte as it was."""
        added = _joined(Runs(runs))
        tail = b", " + added if self.runs else added
        shift = len(tail)
        return Document(
            self.raw[: self.end] + tail + self.raw[self.end :],
            Runs([*self.runs, *runs], self.runs.members),
            self.end + shift,
            self.metadata_start + shift * (self.metadata_start >= self.end),
            self.metadata_end + shift * (self.metadata_start >= self.end),
            self.canonical and _is_canonical(added, runs),
        )

    def with_metadata(self, metadata: dict[str, Any]) -> Document:
        """This document with other metadata, every other byte as it was."""
        text = dumps(metadata)
        shift = len(text) - (self.metadata_end - self.metadata_start)
        return Document(
            self.raw[: self.metadata_start] + text + self.raw[self.metadata_end :],
            self.runs,
            self.end + shift * (self.end > self.metadata_start),
            self.metadata_start,
            self.metadata_end + shift,
            self.canonical,
        )


def build(runs: Iterable[Run], metadata: dict[str, Any]) -> Document:
    """A document of `runs` and `metadata`, in the form that Griptape writes."""
    runs = runs if isinstance(runs, Runs) else Runs(runs)
    return _assemble(runs, dumps(metadata))


def _assemble(runs: Runs, metadata: bytes) -> Document:
    joined = _joined(runs)
    end = len(_OPENING) + len(joined)
    start = end + len(_CLOSING)
    others = b"".join(b", %b: %b" % (dumps(key), text) for key, text in runs.members.items())
    return Document(
        b"".join((_OPENING, joined, _CLOSING, metadata, others, b"}")),
        runs,
        end,
        start,
        start + len(metadata),
        not others and _is_canonical(joined, runs),
    )


def _joined(runs: Runs) -> bytes:
    if any(run.is_loaded for run in runs):
        return b", ".join([run.to_wire() for run in runs])
    return dumps([run.to_dict() for run in runs])[1:-1]  # one call is twice as fast as many


def _is_canonical(joined: bytes, runs: list[Run]) -> bool:
    """Whether `_split` finds these runs again: each begins with the opening, none has another.

    The opening cannot hide in a string, where each quote has a backslash before it.
    """
    return joined.count(_RUN) == len(runs) and all(run.opens_with(_RUN) for run in runs)


def read(raw: bytes, seal: str = "") -> Document:
    """The document of `raw`. Raises `Damaged` if it is none."""
    mark = fingerprint(raw)
    if seal.startswith(mark + "-"):
        return _split(raw, int(seal.rpartition("-")[2]), mark)
    return _parse(raw)


def _split(raw: bytes, end: int, mark: str) -> Document:
    first = len(_OPENING)
    pieces = raw[first + len(_RUN) : end].split(_BETWEEN) if end > first else []
    runs = Runs([Run.from_wire(_RUN + piece) for piece in pieces])
    return Document(raw, runs, end, end + len(_CLOSING), len(raw) - 1, True, mark)


def _parse(raw: bytes) -> Document:
    try:
        text = raw.decode(json.detect_encoding(raw), "surrogatepass")
        members = {key: place for key, *place in _members(text)}
    except UnicodeDecodeError as error:
        raise Damaged(f"byte {error.start} is not text in {error.encoding}") from None
    except RecursionError:
        raise Damaged("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise Damaged(f"{error.msg} at character {error.pos}") from None
    return _locate(raw, text, members)


def _locate(raw: bytes, text: str, members: dict[str, list[Any]]) -> Document:
    """The document of parsed `members`: of each its value, and where it starts and ends in `text`.

    For the runs, the value is the list of their places.
    """
    ascii = len(raw) == len(text)

    def encoded(start: int, end: int) -> bytes:
        return raw[start:end] if ascii else text[start:end].encode("utf-8", "surrogatepass")

    def offset(position: int) -> int:
        return position if ascii else len(encoded(0, position))

    runs_found, metadata_found = "runs" in members, "metadata" in members
    places, _, end = members.pop("runs", ([], 0, 0))
    metadata, metadata_start, metadata_end = members.pop("metadata", ({}, 0, 0))
    if not isinstance(places, list):
        raise Damaged("its runs are not a list")
    if not isinstance(metadata, dict | None):
        raise Damaged("its metadata is not an object")
    runs = Runs(
        [Run.from_wire(encoded(*place)) for place in places],
        {key: encoded(*place) for key, (_, *place) in members.items()},
    )
    if not (runs_found and metadata_found and json.detect_encoding(raw) == "utf-8"):
        # Nothing to splice into: the same members in the usual form.
        metadata_text = encoded(metadata_start, metadata_end) if metadata_found else b"{}"
        return _assemble(runs, metadata_text)
    return Document(
        raw, runs, offset(end - 1), offset(metadata_start), offset(metadata_end), canonical=False
    )


def _members(text: str) -> Iterator[tuple[str, Any, int, int]]:
    """Key, value, start and end of each member; for a list of runs, their places as value."""
    position = _after(text, _skip(text, 0), "{")
    while text[position : position + 1] != "}":
        key, position = _value(text, position)
        if not isinstance(key, str):
            raise Damaged("a key is not a string")
        start = _after(text, _skip(text, position), ":")
        is_runs = key == "runs" and text[start : start + 1] == "["
        value, end = _elements(text, start) if is_runs else _value(text, start)
        yield key, value, start, end
        position = _next(text, end, "}")
    if _skip(text, position + 1) != len(text):
        raise Damaged(f"extra data at character {position + 1}")


def _elements(text: str, position: int) -> tuple[list[tuple[int, int]], int]:
    """The places of the objects of the list at `position`, and where the list ends."""
    places: list[tuple[int, int]] = []
    position = _skip(text, position + 1)
    while text[position : position + 1] != "]":
        value, end = _value(text, position)
        if not isinstance(value, dict):
            raise Damaged(f"run {len(places)} is not an object")
        places.append((position, end))
        position = _next(text, end, "]")
    return places, position + 1


def _value(text: str, position: int) -> tuple[Any, int]:
    """The value at `position` and where it ends."""
    try:
        return _scan(text, position)
    except StopIteration:
        raise Damaged(f"no JSON value at character {position}") from None


def _skip(text: str, position: int) -> int:
    return _space(text, position).end()  # type: ignore[union-attr]  # it matches the empty string


def _after(text: str, position: int, character: str) -> int:
    """Where the next token after the `character` at `position` starts."""
    if text[position : position + 1] != character:
        raise Damaged(f"expected {character!r} at character {position}")
    return _skip(text, position + 1)


def _next(text: str, position: int, closing: str) -> int:
    """Where the next element or the closing character is, after one that ends at `position`."""
    if comma := _comma(text, position):
        position = comma.end()
        if text[position : position + 1] == closing:
            raise Damaged(f"no JSON value at character {position}")
        return position
    position = _skip(text, position)
    if text[position : position + 1] != closing:
        raise Damaged(f"expected ',' or {closing!r} at character {position}")
    return position
