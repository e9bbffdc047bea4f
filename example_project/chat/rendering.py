"""What each type of artifact looks like on the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from conversation_memory import Artifact

# Only what browsers show as a picture and nothing else: an SVG can carry scripts.
IMAGE_TYPES = {
    "avif": "image/avif",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
}
MAX_DEPTH = 20


@dataclass(frozen=True, kw_only=True)
class Block:
    """A stretch of a text: prose, or what stood between two lines of three backticks."""

    text: str
    is_code: bool
    language: str = ""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An artifact ready for the template `chat/artifacts/<kind>.html`.

    `place` says where it is in its run: `output`, or `output.2` for the third of a list.
    """

    kind: str
    text: str = ""
    label: str = ""
    place: str = ""
    blocks: tuple[Block, ...] = ()
    items: tuple[Shown, ...] = ()
    size: tuple[int, int] | None = None

    @property
    def template(self) -> str:
        return f"chat/artifacts/{self.kind}.html"


def show(artifact: Artifact, place: str) -> Shown:
    return SHOWN_AS.get(artifact.type, as_json)(artifact, place)


def as_text(artifact: Artifact, place: str) -> Shown:
    return Shown(kind="text", blocks=tuple(split(artifact.text)))


def as_error(artifact: Artifact, place: str) -> Shown:
    return Shown(kind="error", text=artifact.text)


def as_info(artifact: Artifact, place: str) -> Shown:
    return Shown(kind="info", text=artifact.text)


def as_boolean(artifact: Artifact, place: str) -> Shown:
    return Shown(kind="info", text="Yes" if artifact.value else "No")


def as_binary(artifact: Artifact, place: str) -> Shown:
    name = artifact.name if artifact.name != artifact.id else ""
    return Shown(kind="binary", text=artifact.text.strip("[]"), label=name)


def as_image(artifact: Artifact, place: str) -> Shown:
    if image_type(artifact) is None:
        return as_binary(artifact, place)
    data = artifact.to_dict()
    width, height = data.get("width"), data.get("height")
    size = (width, height) if is_length(width) and is_length(height) else None
    name = artifact.name if artifact.name != artifact.id else ""
    return Shown(kind="image", label=name or "Picture", place=place, size=size)


def as_link(artifact: Artifact, place: str) -> Shown:
    # A javascript: address would run on a click, whatever the policy says about inline scripts.
    if artifact.text.startswith(("https://", "http://")):
        return Shown(kind="link", text=artifact.text)
    return as_text(artifact, place)


def as_list(artifact: Artifact, place: str) -> Shown:
    if place.count(".") >= MAX_DEPTH:
        return as_json(artifact, place)
    items = (show(item, f"{place}.{number}") for number, item in enumerate(artifact.items))
    return Shown(kind="list", items=tuple(items))


def as_action(artifact: Artifact, place: str) -> Shown:
    call = artifact.value if isinstance(artifact.value, dict) else {}
    name = ".".join(str(call[key]) for key in ("name", "path") if call.get(key))
    return Shown(kind="json", text=pretty(artifact.value), label=f"Used the tool {name}".strip())


def as_json(artifact: Artifact, place: str) -> Shown:
    label = artifact.type.removesuffix("Artifact").upper() or "JSON"
    return Shown(kind="json", text=pretty(artifact.value), label=label)


SHOWN_AS: dict[str, Callable[[Artifact, str], Shown]] = {
    "TextArtifact": as_text,
    "ErrorArtifact": as_error,
    "InfoArtifact": as_info,
    "BooleanArtifact": as_boolean,
    "BlobArtifact": as_binary,
    "AudioArtifact": as_binary,
    "ImageArtifact": as_image,
    "UrlArtifact": as_link,
    "ImageUrlArtifact": as_link,
    "AudioUrlArtifact": as_link,
    "VideoUrlArtifact": as_link,
    "ListArtifact": as_list,
    "ActionArtifact": as_action,
}


def image_type(artifact: Artifact) -> str | None:
    if artifact.type != "ImageArtifact":
        return None
    return IMAGE_TYPES.get(str(artifact.to_dict().get("format", "")).lower())


def is_length(value: Any) -> bool:
    return isinstance(value, int) and 0 < value < 100_000


def pretty(value: Any) -> str:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return value
    return json.dumps(value, ensure_ascii=False, indent=2)


def split(text: str) -> Iterator[Block]:
    """The prose and the fenced code of `text`, in one pass however the fences are nested."""
    lines: list[str] = []
    is_code, language = False, ""
    for line in text.splitlines():
        if not line.startswith("```"):
            lines.append(line)
            continue
        yield from block(lines, is_code, language)
        is_code, language, lines = not is_code, line.strip("` "), []
    yield from block(lines, is_code, language)


def block(lines: list[str], is_code: bool, language: str) -> Iterator[Block]:
    text = "\n".join(lines)
    if text.strip():
        yield Block(text=text if is_code else text.strip(), is_code=is_code, language=language)


def pick(artifact: Artifact, path: list[str]) -> Artifact | None:
    """The artifact at `path`, a list of positions in nested lists."""
    for number in path:
        items = artifact.items
        if not number.isdecimal() or int(number) >= len(items):
            return None
        artifact = items[int(number)]
    return artifact
