"""Artifact: one typed value of a run."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from .wire import MAX_DEPTH, too_deep

if TYPE_CHECKING:
    from .runs import Run

_BINARY = {
    "BlobArtifact": "application/octet-stream",
    "ImageArtifact": "image",
    "AudioArtifact": "audio",
}


class Artifact:
    """One typed value of a run: what a user said, what a model answered.

    `value` is what the wire holds: text for most types, base64 for images, audio and blobs, a list
    of artifact dicts for a `ListArtifact`. Bytes are encoded and nested artifacts turned into dicts
    on the way in. `fields` are the further keys of a type, such as `format`, `width`, `height`.
    """

    __slots__ = ("_data",)

    _data: dict[str, Any]

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
        self._data = {
            "type": type,
            "id": id,
            "reference": reference,
            "meta": {} if meta is None else meta,
            "name": name or id,
            "value": plain(value),
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
        return str(self.to_dict().get("type", ""))

    @property
    def id(self) -> str | None:
        return self.to_dict().get("id")

    @property
    def name(self) -> str:
        return str(self.to_dict().get("name") or "")

    @property
    def meta(self) -> dict[str, Any]:
        meta = self.to_dict().get("meta")
        return meta if isinstance(meta, dict) else {}

    @property
    def value(self) -> Any:
        return self.to_dict().get("value")

    @property
    def items(self) -> list[Artifact]:
        """The artifacts inside a `ListArtifact`; empty for every other type."""
        if self.type != "ListArtifact" or not isinstance(self.value, list):
            return []
        return [wrap(item) for item in self.value]

    @property
    def mime_type(self) -> str | None:
        """`image/png` and the like; None for an artifact that is not a binary."""
        kind = _BINARY.get(self.type)
        format = self.to_dict().get("format", "*") if kind else ""
        return f"{kind}/{format}" if kind in ("image", "audio") else kind

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
            separator = self.to_dict().get("item_separator")
            separator = separator if isinstance(separator, str) else "\n\n"
            return separator.join(item.text for item in self.items)
        if isinstance(value, str):
            return value
        return "" if value is None else json.dumps(value, ensure_ascii=False)

    __str__ = to_text

    def __repr__(self) -> str:
        return f"<{self.type or 'Artifact'} {self.id}>"  # never the content

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, Artifact) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable


class PlainText(Artifact):
    """A side of a run, 'input' or 'output', that is nothing but a text.

    Its dict is that of the run, which is made when somebody asks for it.
    """

    __slots__ = ("_plain", "_run", "_side")

    _run: Run
    _side: str
    _plain: str

    # Each access to a side makes one, so that Run sets the slots without a call.
    __init__ = object.__init__

    def to_dict(self) -> dict[str, Any]:
        if not hasattr(self, "_data"):
            self._data = self._run.first_side(self._side)
        return self._data

    @property
    def type(self) -> str:
        return "TextArtifact" if self._run._data is None else super().type

    @property
    def value(self) -> Any:
        return self._plain if self._run._data is None else super().value

    @property
    def text(self) -> str:
        return self._plain if self._run._data is None else super().text


def artifact(value: Any) -> dict[str, Any]:
    """The artifact of a text, an Artifact, a dict of the wire format or Griptape's, as a dict."""
    found = Artifact(value).to_dict() if isinstance(value, str) else plain(value)
    if not isinstance(found, dict) or "type" not in found:
        raise TypeError(
            f"An artifact is a str, an Artifact or a dict with a type, not {type(value).__name__}."
        )
    return found


def plain(value: Any, depth: int = 1) -> Any:
    """`value` with bytes in base64 and objects as dicts."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, (list, tuple)):
        if depth > MAX_DEPTH:
            raise too_deep()
        return [plain(item, depth + 1) for item in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


def wrap(value: Any) -> Artifact:
    return Artifact.from_dict(value if isinstance(value, dict) else {"type": "", "value": value})
