"""Griptape's artifacts, to and from the wire format.

Griptape builds a marshmallow schema for every object that it reads or writes, at some 5 ms each.
Here its own types are converted field by field, with the same result. Anything else is left to
Griptape.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, NamedTuple

from griptape.artifacts import (
    ActionArtifact,
    AudioArtifact,
    AudioUrlArtifact,
    BaseArtifact,
    BlobArtifact,
    BooleanArtifact,
    ErrorArtifact,
    GenericArtifact,
    ImageArtifact,
    ImageUrlArtifact,
    InfoArtifact,
    JsonArtifact,
    ListArtifact,
    ModelArtifact,
    TextArtifact,
    UrlArtifact,
    VideoUrlArtifact,
)
from griptape.common import Reference, ToolAction
from marshmallow import ValidationError
from pydantic import RootModel

from ..artifacts import wrap

# What Griptape raises for data that it cannot read.
_UNREADABLE = (
    ValidationError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class _Unusual(Exception):
    """Griptape's schema may convert or refuse this value."""


Conversion = Callable[[Any], Any]


class Form(NamedTuple):
    """How a type of artifact stands on the wire: its value, and its further fields."""

    read: Conversion
    write: Conversion
    fields: dict[str, type] = {}


def read_artifact(data: Any) -> BaseArtifact:
    """The artifact that `data` is on the wire; if Griptape cannot read it, as text."""
    try:
        return _read(data)
    except (_Unusual, *_UNREADABLE):
        pass
    try:
        return _class_of(data).from_dict(_without_modules(data))
    except _UNREADABLE:
        return _readable(data)


def write_artifact(artifact: BaseArtifact) -> dict[str, Any]:
    """An artifact on the wire, as its `to_dict()` is."""
    form = _FORMS.get(type(artifact))
    reference = artifact.reference
    if form is None or type(reference) not in (type(None), Reference):
        return dict(artifact.to_dict())
    return {
        "type": artifact.type,
        "id": artifact.id,
        "reference": reference and _written(reference, _REFERENCE),
        "meta": artifact.meta,
        "name": artifact.name,
        "value": form.write(artifact.value),
        **{name: getattr(artifact, name) for name in form.fields},
    }


def as_json(value: Any) -> Any:
    """`value` as it is read when it was written as JSON."""
    # Griptape makes json.dumps() take objects with a to_dict(), and pydantic models.
    return value if type(value) is str else json.loads(json.dumps(value))


def state_of(value: Any) -> Any:
    """What tells a value from any other, and stays when the value is changed in place."""
    kind = type(value)
    if kind is str or kind is bytes or value is None:
        return value
    if isinstance(value, BaseArtifact):
        return _state_of_artifact(value)
    if isinstance(value, dict):
        return dict, *((key, state_of(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return list, *map(state_of, value)
    return kind, repr(value)


def _state_of_artifact(artifact: BaseArtifact) -> Any:
    # A binary is compared as it is, since encoding it each time would cost more than the rest.
    kind, value = type(artifact), artifact.value
    if kind not in _FORMS or not isinstance(value, str | bytes | list) or artifact.reference:
        return kind, state_of(write_artifact(artifact))
    named = kind, artifact.type, artifact.id, artifact.name, state_of(artifact.meta)
    return *named, state_of(value), *(getattr(artifact, name) for name in _FORMS[kind].fields)


def _read(data: dict[str, Any]) -> BaseArtifact:
    kind = _KINDS.get(data.get("type"))
    if kind is None:
        raise _Unusual
    form, known = _FORMS[kind], {**data}
    for name, type_ in (*_BASE.items(), *form.fields.items()):
        if name in known and type(known[name]) is not type_:
            raise _Unusual
    if known.get("reference") is not None:
        known["reference"] = _read_fields(Reference, _REFERENCE, known["reference"])
    known["value"] = form.read(known["value"])
    return kind(**known)


def _read_fields(kind: type, fields: dict[str, Any], data: Any) -> Any:
    if type(data) is not dict:
        raise _Unusual
    for name, value in data.items():
        if not isinstance(value, fields.get(name, str)):
            raise _Unusual
    return kind(**data)


def _written(value: Any, fields: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in fields}


def _class_of(data: dict[str, Any]) -> type[BaseArtifact]:
    """The class of artifact that `data` names, if it has been imported."""
    classes = {kind.__name__: kind for kind in _subclasses(BaseArtifact)}
    return {**classes, **_KINDS}[data["type"]]


def _without_modules(value: Any) -> Any:
    """`value` without the names of modules, which Griptape would import, whatever they are."""
    if isinstance(value, list):
        return [_without_modules(item) for item in value]
    if not isinstance(value, dict):
        return value
    hidden = {"module_name"} if "type" in value else ()
    return {key: _without_modules(item) for key, item in value.items() if key not in hidden}


def _subclasses(kind: type[BaseArtifact]) -> list[type[BaseArtifact]]:
    found = kind.__subclasses__()
    return found + [inner for subclass in found for inner in _subclasses(subclass)]


def _readable(data: Any) -> TextArtifact:
    found = wrap(data)
    names = {name: data[name] for name in ("id", "name") if type(found.to_dict().get(name)) is str}
    return TextArtifact(found.text, meta=found.meta, **names)


def _exactly(kind: type) -> Conversion:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise _Unusual
        return value

    return read


def _read_bytes(value: Any) -> bytes:
    return b64decode(_exactly(str)(value))


def _write_bytes(value: bytes) -> str:
    return b64encode(value).decode()


def _read_any(value: Any) -> Any:
    if value is None:
        raise _Unusual
    return value


def _write_json(value: Any) -> Any:
    # Griptape writes a text as the list of its characters, and reads 1.5 as 1; but what it finds
    # in a string it reads as JSON.
    return value if value is None or isinstance(value, dict | list) else json.dumps(value)


def _read_list(value: Any) -> list[BaseArtifact]:
    return [read_artifact(item) for item in _exactly(list)(value)]


def _write_list(value: Any) -> list[dict[str, Any]]:
    return [write_artifact(item) for item in value]


def _read_action(value: Any) -> ToolAction:
    action: ToolAction = _read_fields(ToolAction, _ACTION, value)
    return action


def _write_action(value: Any) -> Any:
    return _written(value, _ACTION) if type(value) is ToolAction else value.to_dict()


def _write_model(value: Any) -> Any:
    return value.model_dump(mode="json")


_BASE = {"id": str, "meta": dict, "name": str}
_OPTIONAL = (str, type(None))
_REFERENCE: dict[str, Any] = {
    "type": str,
    "id": str,
    "title": str,
    "authors": list,
    "source": _OPTIONAL,
    "year": _OPTIONAL,
    "url": _OPTIONAL,
}
_ACTION: dict[str, Any] = {"type": str, "tag": str, "name": str, "path": _OPTIONAL, "input": dict}

_TEXT = Form(_exactly(str), str)
_FORMS: dict[type[BaseArtifact], Form] = {
    TextArtifact: _TEXT,
    ErrorArtifact: _TEXT,
    InfoArtifact: _TEXT,
    UrlArtifact: _TEXT,
    ImageUrlArtifact: _TEXT,
    AudioUrlArtifact: _TEXT,
    VideoUrlArtifact: _TEXT,
    BlobArtifact: Form(_read_bytes, _write_bytes),
    AudioArtifact: Form(_read_bytes, _write_bytes, {"format": str}),
    ImageArtifact: Form(_read_bytes, _write_bytes, {"format": str, "width": int, "height": int}),
    BooleanArtifact: Form(_exactly(bool), bool),
    JsonArtifact: Form(lambda value: value, _write_json),
    GenericArtifact: Form(_read_any, as_json),
    ModelArtifact: Form(RootModel, _write_model),
    ActionArtifact: Form(_read_action, _write_action),
    ListArtifact: Form(
        _read_list, _write_list, {"item_separator": str, "validate_uniform_types": bool}
    ),
}
_KINDS: dict[Any, type[BaseArtifact]] = {kind.__name__: kind for kind in _FORMS}
