"""The forms of a run: an object in the wire format, and an array in a list.

In the wire format, a plain text goes without the members that Griptape fills in: `reference`,
`meta`, and `name`, which is the id. The array is `[id, input, output]` or `[id, input, output,
meta]`. There a plain text is a string; `[text, id]` if its id does not follow from that of the run;
and any other artifact the object that it is on the wire.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .artifacts import artifact
from .wire import dumps, literals

# A run in short, as it stands in the array: id, input, output, and meta unless that is None. Input
# and output are a text, a text and its id, or a dict.
Parts = list[Any]

_SIDES = ("input", "output")
_RUN = ("type", "id", "input", "output")
_RUN_WITH_META = ("type", "id", "meta", "input", "output")
_SHORT = ("type", "id", "value")
_FULL = ("type", "id", "reference", "meta", "name", "value")


def is_plain(value: Any) -> bool:
    """True if a value, as decoded from JSON, is a run in short of two plain texts."""
    if type(value) is not list or len(value) != 3:
        return False
    return type(value[0]) is type(value[1]) is type(value[2]) is str


def plain_parts(value: Any) -> Parts | None:
    """A run of two plain texts in short, from an array or an object; None for any other value."""
    if type(value) is not dict:
        return value if is_plain(value) else None
    id, input, output = value.get("id"), value.get("input"), value.get("output")
    if value.get("type") != "Run" or type(id) is not str or value.get("meta") is not None:
        return None
    if len(value) != (5 if "meta" in value else 4):
        return None
    first, last = _plain_part(input, id, "-input"), _plain_part(output, id, "-output")
    return None if first is None or last is None else [id, first, last]


def _plain_part(side: Any, run_id: str, ending: str) -> str | list[str] | None:
    if type(side) is not dict or side.get("type") != "TextArtifact":
        return None
    if len(side) != 3:
        if len(side) != 6 or side.get("reference", "") is not None or side.get("meta") != {}:
            return None
        if type(side.get("name")) is not str:  # as Griptape writes it
            return None
    id, text = side.get("id"), side.get("value")
    if type(id) is not str or type(text) is not str:
        return None
    return text if id == run_id + ending else [text, id]


def spellings(parts: Parts) -> Iterator[bytes]:
    """The wire format as we write it, and as Griptape does."""
    yield wire_text(parts)
    yield json.dumps(expanded(parts)).encode()


def wire_text(parts: Parts) -> bytes:
    if is_plain(parts):
        return _plain_wire_text(*literals(parts))
    id, *sides = parts[:3]
    wired = {name: _wired(id, name, part) for name, part in zip(_SIDES, sides, strict=True)}
    meta = {} if all(map(_is_text, wired.values())) else {"meta": None}
    meta = {"meta": parts[3]} if len(parts) > 3 else meta
    return dumps({"type": "Run", "id": id, **meta, **wired})


def _plain_wire_text(id: bytes, input: bytes, output: bytes) -> bytes:
    """That of a run of two plain texts, from JSON strings."""
    own = id[:-1]
    start = b'{"type": "Run", "id": ', id, b', "input": {"type": "TextArtifact", "id": ', own
    between = b'-input", "value": ', input, b'}, "output": {"type": "TextArtifact", "id": ', own
    return b"".join((*start, *between, b'-output", "value": ', output, b"}}"))


def list_text(parts: Parts) -> bytes:
    if is_plain(parts):
        return b"[%b]" % b",".join(literals(parts))
    return dumps(parts, compact=True)


def quick_wire_text(text: bytes, value: Any) -> bytes | None:
    """The wire format of most of the runs in a list, from the text and what it says."""
    return wire_text(value) if is_plain(value) else None


def quick_list_text(text: bytes, value: Any) -> bytes | None:
    """The text in a list of most of the runs that we wrote to the wire; see quick_wire_text()."""
    try:
        parts = [value["id"], value["input"]["value"], value["output"]["value"]]
    except (KeyError, TypeError):
        return None
    if is_plain(parts) and _plain_wire_text(*(strings := literals(parts))) == text:
        return b"[%b]" % b",".join(strings)
    return None


def expanded(parts: Parts) -> dict[str, Any]:
    """The dict on the wire, with what Griptape fills in."""
    id, input, output, *meta = parts
    return {
        "type": "Run",
        "id": id,
        "meta": meta[0] if meta else None,
        "input": _full(id, "input", input),
        "output": _full(id, "output", output),
    }


def _full(run_id: str, side: str, part: Any) -> dict[str, Any]:
    if isinstance(part, dict):
        return part
    text, id = (part, f"{run_id}-{side}") if isinstance(part, str) else part
    return {
        "type": "TextArtifact",
        "id": id,
        "reference": None,
        "meta": {},
        "name": id,
        "value": text,
    }


def _wired(run_id: str, side: str, part: Any) -> dict[str, Any]:
    full = _full(run_id, side, part)
    return full if isinstance(part, dict) else {key: full[key] for key in _SHORT}


def short_text_of(part: Any) -> str | None:
    return part[0] if type(part) is list else text_of_side(part)


def text_of_side(part: Any) -> str | None:
    """The text of a side of a run, if it is nothing but a text."""
    if isinstance(part, str):
        return part
    if type(part) is dict and part.get("type") == "TextArtifact":
        value = part.get("value")
        return value if isinstance(value, str) else None
    return None


def side_of(run_id: Any, side: str, value: Any) -> dict[str, Any]:
    return _full(run_id, side, value) if isinstance(value, str) else artifact(value)


def _is_text(data: Any) -> bool:
    """True for a plain text without what Griptape fills in."""
    if type(data) is not dict or (*data,) != _SHORT or data["type"] != "TextArtifact":
        return False
    return isinstance(data["id"], str) and isinstance(data["value"], str)


def is_short(value: Any) -> bool:
    """True if a value, as decoded from JSON, is a run in short."""
    if type(value) is not list or len(value) not in (3, 4) or type(value[0]) is not str:
        return False
    return _is_part(value[1]) and _is_part(value[2])


def _is_part(value: Any) -> bool:
    if type(value) is list:
        return len(value) == 2 and type(value[0]) is type(value[1]) is str
    return type(value) in (str, dict)


def shortened(data: Any) -> Parts | None:
    """The run of a dict on the wire in short; None if that would lose something."""
    if type(data) is not dict or data.get("type") != "Run":
        return None
    names = (*data,)
    if names not in (_RUN, _RUN_WITH_META):
        return None
    id, input, output = data["id"], data["input"], data["output"]
    if not (isinstance(id, str) and type(input) is dict and type(output) is dict):
        return None
    sides = [_shortened_side(id, "input", input), _shortened_side(id, "output", output)]
    if names == _RUN_WITH_META:
        return [id, *sides] if data["meta"] is None else [id, *sides, data["meta"]]
    is_short = len(input) == len(output) == len(_SHORT) and dict not in map(type, sides)
    return [id, *sides] if is_short else None


def _shortened_side(run_id: str, side: str, data: dict[str, Any]) -> Any:
    names = (*data,)
    if names != _SHORT and not (names == _FULL and _has_defaults(data)):
        return data
    id, text = data["id"], data["value"]
    if data["type"] != "TextArtifact" or not (isinstance(id, str) and isinstance(text, str)):
        return data
    return text if id == f"{run_id}-{side}" else [text, id]


def _has_defaults(data: dict[str, Any]) -> bool:
    """True if a plain text has what Griptape fills in."""
    meta = data["meta"]
    return (
        data["reference"] is None
        and meta == {}
        and type(meta) is dict
        and data["name"] == data["id"]
    )
