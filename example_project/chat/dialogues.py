"""Dialogues from a JSON Lines file, optionally gzipped, with one conversation per line.

A line is an object with `conversation_id`, a string, `metadata`, an object, and `turns`, a list of
objects with the strings `user` and `assistant`.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import IO, Any

GZIP = b"\x1f\x8b"
# A limit for memory: a small gzip file can decompress to any size.
MAX_LINE_BYTES = 32 * 1024 * 1024
TITLE_LENGTH = 60


class BadDialogue(ValueError):
    """The message gives the line number and the error."""


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    conversation_id: str
    metadata: dict[str, Any]
    turns: list[dict[str, str]]

    @property
    def title(self) -> str:
        """The beginning of the first message."""
        said = (text for turn in self.turns for text in turn.values() if text.strip())
        return " ".join(next(said, "").split())[:TITLE_LENGTH]


def read_dialogues(file: IO[bytes]) -> Iterator[Dialogue]:
    for number, line in lines(file):
        if not line.strip():
            continue
        try:
            yield dialogue(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise BadDialogue(f"line {number}: {error}") from error


def lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The numbered, decompressed lines, one at a time in memory."""
    stream = gzip.GzipFile(fileobj=file) if is_gzip(file) else file
    for number in count(1):
        try:
            line = stream.readline(MAX_LINE_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise BadDialogue(f"line {number}: the file is damaged ({error})") from error
        if not line:
            return
        if len(line) > MAX_LINE_BYTES:
            raise BadDialogue(f"line {number}: longer than {MAX_LINE_BYTES:,} bytes")
        yield number, line


def is_gzip(file: IO[bytes]) -> bool:
    start = file.read(len(GZIP))
    file.seek(0)
    return start == GZIP


def dialogue(data: Any) -> Dialogue:
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    conversation_id, turns = data.get("conversation_id"), data.get("turns")
    metadata = data.get("metadata", {})
    if not isinstance(conversation_id, str) or not conversation_id:
        raise ValueError('"conversation_id" must be a string')
    if not isinstance(metadata, dict):
        raise ValueError('"metadata" must be an object')
    if not isinstance(turns, list) or not all(map(is_turn, turns)):
        raise ValueError('"turns" must be a list of {"user": string, "assistant": string}')
    return Dialogue(conversation_id=conversation_id, metadata=metadata, turns=turns)


def is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and all(
        isinstance(turn.get(side), str) for side in ("user", "assistant")
    )
