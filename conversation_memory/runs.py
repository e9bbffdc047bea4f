"""Run and Artifact."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from itertools import islice
from typing import Any
from uuid import uuid4

from .exceptions import Damaged
from .wire import MAX_DEPTH, dumps, dumps_unchecked, loads, too_deep

_BINARY = {
    "BlobArtifact": "application/octet-stream",
    "ImageArtifact": "image",
    "AudioArtifact": "audio",
}

_unescaped = re.compile(r"[ !#-\[\]-~]*").fullmatch


class Artifact:
    """One typed value of a run: what a user said, what a model answered.

    `value` is what the wire holds: text for most types, base64 for images, audio and blobs, a list
    of artifact dicts for a `ListArtifact`. Bytes are encoded and nested artifacts turned into dicts
    on the way in. `fields` are the further keys of a type, such as `format`, `width`, `height`.
    """

    __slots__ = ("_data",)

    def __init__(
        self,
        value: Any,
        *,
        type: str = "TextArtifact",
        id: str | None = None,
        name: str | None = None,
        meta: dict[str, Any] | None = None,
        reference: Any = None,
        **fields: Any,
    ):
        id = id or uuid4().hex
        self._data: dict[str, Any] = {
            "type": type,
            "id": id,
            "reference": reference,
            "meta": {} if meta is None else meta,
            "name": name or id,
            "value": _plain(value),
            **fields,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Artifact:
        """The artifact that `data` is on the wire; every key is kept, known or not."""
        artifact = cls.__new__(cls)
        artifact._data = data
        return artifact

    def to_dict(self) -> dict[str, Any]:
        """The dict on the wire itself: what you change in it is changed in the artifact."""
        return self._data

    @property
    def type(self) -> str:
        return str(self._data.get("type", ""))

    @property
    def id(self) -> str | None:
        return self._data.get("id")

    @property
    def name(self) -> str:
        return str(self._data.get("name") or "")

    @property
    def meta(self) -> dict[str, Any]:
        meta = self._data.get("meta")
        return meta if isinstance(meta, dict) else {}

    @property
    def value(self) -> Any:
        return self._data.get("value")

    @property
    def items(self) -> list[Artifact]:
        """The artifacts inside a `ListArtifact`; empty for every other type."""
        if self.type != "ListArtifact" or not isinstance(self.value, list):
            return []
        return [_wrap(item) for item in self.value]

    @property
    def mime_type(self) -> str | None:
        """`image/png` and the like; None for an artifact that is not a binary."""
        kind = _BINARY.get(self.type)
        return f"{kind}/{self._data.get('format', '*')}" if kind in ("image", "audio") else kind

    @property
    def text(self) -> str:
        """The artifact as text, whatever its type; a binary as a short description of it."""
        try:
            return self._text()
        except RecursionError:
            return "[nested too deeply to read]"

    def to_text(self) -> str:
        """Griptape's name for `text`."""
        return self.text

    def _text(self) -> str:
        value = self.value
        if self.mime_type:
            size = len(value.rstrip("=")) * 3 // 4 if isinstance(value, str) else 0
            return f"[{self.mime_type}, {size:,} bytes]"
        if self.type == "ListArtifact":
            separator = self._data.get("item_separator")
            separator = separator if isinstance(separator, str) else "\n\n"
            return separator.join(item.text for item in self.items)
        if isinstance(value, str):
            return value
        return "" if value is None else json.dumps(value, ensure_ascii=False)

    __str__ = to_text

    def __repr__(self) -> str:
        return f"<{self.type or 'Artifact'} {self.id}>"  # never the content

    def __eq__(self, other: object) -> bool:
        return self._data == other._data if isinstance(other, Artifact) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable


class Run:
    """One exchange of a conversation: what went in, what came out.

    `input` and `output` take a text, an `Artifact`, a dict of the wire format or an object with
    such a `to_dict()` (Griptape's). `meta` is for your own data: any JSON, or None. `id` decides
    whether an append is a repetition; a fresh uuid4 in hex by default.

    A run that was loaded is decoded when it is first looked at, and written back as the very bytes
    that were read unless it was changed.
    """

    __slots__ = ("_data", "_raw")

    def __init__(
        self, input: Any, output: Any, meta: dict[str, Any] | None = None, *, id: str | None = None
    ):
        self._raw: bytes | None = None
        self._data: dict[str, Any] | None = {
            "type": "Run",
            "id": id or uuid4().hex,
            "meta": meta,
            "input": _artifact(input),
            "output": _artifact(output),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Run:
        """The run that `data` is on the wire; every key is kept, known or not."""
        return cls.from_wire(None, data)

    @classmethod
    def from_wire(cls, raw: bytes | None, data: dict[str, Any] | None = None) -> Run:
        """The run of the JSON text `raw`, decoded on first use unless `data` is at hand."""
        run = cls.__new__(cls)
        run._raw = raw
        run._data = data
        return run

    def to_dict(self) -> dict[str, Any]:
        """The dict on the wire itself: what you change in it is changed in the run.

        Raises `ConversationCorrupt` if the stored text is not a run.
        """
        if self._data is None:
            self._data = self._decoded()
        return self._data

    def _decoded(self) -> dict[str, Any]:
        raw = self._raw or b""
        try:
            return loads(raw)
        except Damaged as error:
            raise Damaged(f"a stored run is damaged: {error.reason}", raw) from None

    def to_wire(self) -> bytes:
        """The JSON text of the run: the bytes that were read, if nothing was changed since."""
        data = self._data
        if self._raw is None:
            return dumps(data)
        # As text, because 1 == 1.0 == True in Python. Of any depth: others may have stored it.
        if data is not None and dumps_unchecked(data) != dumps_unchecked(self._decoded()):
            return dumps(data)
        return self._raw

    def with_id(self, id: str) -> Run:
        """The same run with another id; a new one comes behind the type, as in Griptape."""
        data = self.to_dict()
        opening = {"type": data["type"], "id": id} if next(iter(data), "") == "type" else {}
        return Run.from_dict({**({} if "id" in data else opening), **data, "id": id})

    @property
    def is_loaded(self) -> bool:
        """True if the run was read from a document, so that its bytes are at hand."""
        return self._raw is not None

    @property
    def opens_as_usual(self) -> bool:
        """True if its JSON begins as Griptape's, with type and id, and the id has no escape."""
        data = self.to_dict()
        if [*islice(data, 2)] != ["type", "id"] or data["type"] != "Run":
            return False
        return isinstance(data["id"], str) and _unescaped(data["id"]) is not None

    @property
    def id(self) -> str:
        id = self.to_dict().get("id")
        return "" if id is None else str(id)

    @property
    def meta(self) -> dict[str, Any] | None:
        return self.to_dict().get("meta")

    @meta.setter
    def meta(self, meta: dict[str, Any] | None) -> None:
        self.to_dict()["meta"] = meta

    @property
    def input(self) -> Artifact:
        return _wrap(self.to_dict().get("input"))

    @input.setter
    def input(self, value: Any) -> None:
        self.to_dict()["input"] = _artifact(value)

    @property
    def output(self) -> Artifact:
        return _wrap(self.to_dict().get("output"))

    @output.setter
    def output(self, value: Any) -> None:
        self.to_dict()["output"] = _artifact(value)

    def __repr__(self) -> str:
        return f"<Run {self.id}>"  # never the content

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, Run) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable


def as_run(value: Any) -> Run:
    """The Run of a Run, a dict of the wire format, or an object with such a `to_dict()`."""
    if isinstance(value, Run):
        return value
    if isinstance(value, Mapping):
        return Run.from_dict(dict(value))
    if hasattr(value, "to_dict"):
        return Run.from_dict(value.to_dict())
    raise TypeError(f"A run is a Run or a dict, not {type(value).__name__}.")


def estimate_tokens(run: Run) -> int:
    """About how many tokens a run has, at four characters each."""
    return (len(run.input.text) + len(run.output.text)) // 4 + 1


def _artifact(value: Any) -> dict[str, Any]:
    plain = Artifact(value).to_dict() if isinstance(value, str) else _plain(value)
    if not isinstance(plain, dict) or "type" not in plain:
        raise TypeError(
            f"An artifact is a str, an Artifact or a dict with a type, not {type(value).__name__}."
        )
    return plain


def _plain(value: Any, depth: int = 1) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, (list, tuple)):
        if depth > MAX_DEPTH:
            raise too_deep()
        return [_plain(item, depth + 1) for item in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


def _wrap(value: Any) -> Artifact:
    return Artifact.from_dict(value if isinstance(value, dict) else {"type": "", "value": value})
