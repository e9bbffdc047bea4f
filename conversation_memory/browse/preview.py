"""The first words of a message, from the beginning of the JSON of its artifact."""

from __future__ import annotations

import json
import re

from ..runs import Artifact

LENGTH = 120

_type = re.compile(r'\{"type": "(\w{1,100})"').match
_value = re.compile(r'"value": "((?:[^"\\]|\\.)*)', re.S).search
_BINARY = {"ImageArtifact": "[image]", "AudioArtifact": "[audio]", "BlobArtifact": "[binary]"}


def preview(beginning: bytes) -> str | None:
    """The first words of an artifact whose JSON starts with `beginning`; None if unclear."""
    text = beginning.decode("utf-8", "replace")
    kind = _type(text)
    if kind and kind[1] in _BINARY:
        return _BINARY[kind[1]]
    try:
        data, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return _from_part(text)
    return _shortened(Artifact.from_dict(data).text) if isinstance(data, dict) else None


def _from_part(text: str) -> str | None:
    """From the value, if it is a text, up to where it was cut."""
    if not (found := _value(text)):
        return None
    try:
        return _shortened(json.loads(f'"{found[1]}"', strict=False))
    except ValueError:
        return None


def _shortened(text: str) -> str:
    words = " ".join(text[: 4 * LENGTH].split())
    return words if len(words) <= LENGTH else words[: LENGTH - 1] + "…"
