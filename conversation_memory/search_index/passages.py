"""The texts of a run that a search looks at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..artifacts import Artifact
from ..messages import tool_calls
from ..runs import Run

SIDES = frozenset(("input", "output"))
CALLS = frozenset(("call", "result"))

LONGEST = 100_000  # characters of a call or of its result, which may be a whole file


class Passage(NamedTuple):
    """A text of a run: its `part` is "input", "output", or "call" or "result" of a `tool`."""

    part: str
    text: str
    tool: str = ""


def passages(run: Run, *, with_calls: bool) -> list[Passage]:
    """The texts that are searched, in this order; `with_calls` is TOOL_CALLS of SEARCH."""
    sides = [Passage("input", text_of(run.input)), Passage("output", text_of(run.output))]
    return [*sides, *_called(run)] if with_calls else sides


def _called(run: Run) -> Iterator[Passage]:
    for call in tool_calls(run):
        for part, text in zip(("call", "result"), call.texts, strict=True):
            if text:
                yield Passage(part, text[:LONGEST], call.name)


def text_of(artifact: Artifact) -> str:
    """The searchable text of an artifact; '' for images, audio and files."""
    value = artifact.value
    if isinstance(value, str) and artifact.type == "TextArtifact":
        return value
    try:
        return _text(artifact)
    except RecursionError:
        return ""


def _text(artifact: Artifact) -> str:
    if artifact.mime_type:
        return ""
    if artifact.type == "ListArtifact":
        return "\n\n".join(filter(None, map(_text, artifact.items)))
    return artifact.text
