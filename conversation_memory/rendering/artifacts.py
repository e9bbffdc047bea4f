"""What each type of artifact looks like on a page."""

from __future__ import annotations

import json
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..runs import Artifact
from . import markdown
from .markdown import Budget
from .marks import NO_MARKS, Marks
from .text import cut, label, visible

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
MAX_ITEMS = 200
_USUAL = ("type", "id", "reference", "meta", "name", "value")


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a site wants its artifacts.

    `url` makes the address of a binary, or of a text that is too long, from its place; `limit` is
    how many characters of a text a page shows; `markdown` whether texts are rendered as Markdown,
    and `budget` what that may cost on one page.
    """

    url: Callable[[str], str]
    marks: Marks = NO_MARKS
    limit: int | None = None
    markdown: bool = False
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A stretch of a text: prose, or what stood between two lines of three backticks."""

    text: SafeString
    is_code: bool
    language: str = ""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An artifact ready for the template `conversation_memory/artifacts/<kind>.html`.

    `place` says where it is in its run: `output`, or `output.2` for the third of a list. `left`
    counts what is not shown: characters of a text, items of a list; `is_found` says whether a word
    of the search is in it.
    """

    kind: str
    place: str
    url: str = ""
    text: SafeString | str = ""
    label: str = ""
    blocks: tuple[Block, ...] = ()
    items: tuple[Shown, ...] = ()
    fields: tuple[tuple[str, SafeString], ...] = ()
    size: tuple[int, int] | None = None
    left: int = 0
    is_found: bool = False

    @property
    def template(self) -> str:
        return f"conversation_memory/artifacts/{self.kind}.html"


def show(artifact: Artifact, place: str, look: Look) -> Shown:
    """`artifact`, which is at `place` in its run, ready for its template."""
    return _SHOWN_AS.get(artifact.type, as_fields)(artifact, place, look)


def as_text(artifact: Artifact, place: str, look: Look) -> Shown:
    text, left = cut(visible(artifact.text), look.limit)
    shown = Shown(
        kind="text",
        place=place,
        left=left,
        url=look.url(place) if left else "",
        is_found=look.marks.found_in(text),
    )
    if look.markdown and markdown.AVAILABLE and len(text) <= markdown.MAX_CHARACTERS:
        html = markdown.render(text, look.marks, look.budget)
        if html is not None:
            return replace(shown, kind="markdown", text=html)
    return replace(shown, blocks=tuple(split(text, look.marks)))


def as_error(artifact: Artifact, place: str, look: Look) -> Shown:
    return _line("error", artifact.text, place, look)


def as_info(artifact: Artifact, place: str, look: Look) -> Shown:
    return _line("info", artifact.text, place, look)


def as_boolean(artifact: Artifact, place: str, look: Look) -> Shown:
    return _line("info", _("Yes") if artifact.value else _("No"), place, look)


def as_binary(artifact: Artifact, place: str, look: Look) -> Shown:
    about = visible(artifact.text.strip("[]"))
    return Shown(kind="binary", place=place, url=look.url(place), text=about, label=_name(artifact))


def as_image(artifact: Artifact, place: str, look: Look) -> Shown:
    if image_type(artifact) is None:
        return as_binary(artifact, place, look)
    data = artifact.to_dict()
    width, height = data.get("width"), data.get("height")
    size = (width, height) if is_length(width) and is_length(height) else None
    return Shown(kind="image", place=place, url=look.url(place), label=_name(artifact), size=size)


def as_link(artifact: Artifact, place: str, look: Look) -> Shown:
    # A javascript: address would run on a click, whatever the policy says about inline scripts.
    if artifact.text.startswith(("https://", "http://")) and len(artifact.text) <= 2000:
        address = visible(artifact.text)
        return Shown(kind="link", place=place, url=address, text=look.marks.html(address))
    return as_text(artifact, place, look)


def as_list(artifact: Artifact, place: str, look: Look) -> Shown:
    if place.count(".") >= MAX_DEPTH:
        return as_json(artifact, place, look)
    items = [
        show(item, f"{place}.{number}", look)
        for number, item in enumerate(artifact.items[:MAX_ITEMS])
    ]
    return Shown(
        kind="list",
        place=place,
        items=tuple(items),
        left=len(artifact.items) - len(items),
        is_found=any(item.is_found for item in items),
    )


def as_action(artifact: Artifact, place: str, look: Look) -> Shown:
    call = artifact.value if isinstance(artifact.value, dict) else {}
    name = ".".join(str(call[key]) for key in ("name", "path") if call.get(key))
    return _folded(artifact.value, label(_("Used the tool %s") % name).strip(), place, look)


def as_json(artifact: Artifact, place: str, look: Look) -> Shown:
    name = artifact.type.removesuffix("Artifact").upper() or "JSON"
    return _folded(artifact.value, label(name), place, look)


def as_fields(artifact: Artifact, place: str, look: Look) -> Shown:
    """An artifact of a type that nobody here knows."""
    data = artifact.to_dict()
    named = {"name": artifact.name} if _name(artifact) else {}
    chosen = {"value": artifact.value, **named, "meta": artifact.meta or None}
    chosen |= {key: value for key, value in data.items() if key not in _USUAL}
    texts = {
        key: cut(pretty(value), look.limit) for key, value in chosen.items() if value is not None
    }
    return Shown(
        kind="fields",
        place=place,
        label=label(artifact.type) or _("No type"),
        url=look.url(place),
        fields=tuple((label(key), look.marks.html(text)) for key, (text, _left) in texts.items()),
        left=sum(left for _text, left in texts.values()),
        is_found=any(look.marks.found_in(text) for text, _left in texts.values()),
    )


_SHOWN_AS: dict[str, Callable[[Artifact, str, Look], Shown]] = {
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
    "JsonArtifact": as_json,
    "GenericArtifact": as_json,
    "ModelArtifact": as_json,
}


def image_type(artifact: Artifact) -> str | None:
    """The MIME type under which a picture may be served; None for whatever is none."""
    if artifact.type != "ImageArtifact":
        return None
    return IMAGE_TYPES.get(str(artifact.to_dict().get("format", "")).lower())


def content_of(artifact: Artifact) -> bytes | None:
    """The bytes of a binary, None if it is no base64."""
    try:
        return b64decode(artifact.value, validate=True) if artifact.mime_type else None
    except (NotBase64, TypeError, ValueError):
        return None


def pick(artifact: Artifact, path: list[str]) -> Artifact | None:
    """The artifact at `path`, a list of positions in nested lists."""
    for number in path:
        items = artifact.items
        if not number.isdecimal() or len(number) > 9 or int(number) >= len(items):
            return None
        artifact = items[int(number)]
    return artifact


def pretty(value: Any) -> str:
    """`value` for reading: a text as it is, unless it is JSON; anything else as indented JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return visible(value)
    try:
        return visible(json.dumps(value, ensure_ascii=False, indent=2))
    except RecursionError:
        return _("[nested too deeply to read]")


def split(text: str, marks: Marks) -> Iterator[Block]:
    """The prose and the fenced code of `text`, in one pass however the fences are nested."""
    lines: list[str] = []
    is_code, language = False, ""
    for line in text.splitlines():
        if not line.startswith("```"):
            lines.append(line)
            continue
        yield from _block(lines, marks, is_code=is_code, language=language)
        is_code, language, lines = not is_code, line.strip("` "), []
    yield from _block(lines, marks, is_code=is_code, language=language)


def _block(lines: list[str], marks: Marks, *, is_code: bool, language: str) -> Iterator[Block]:
    text = "\n".join(lines)
    if text.strip():
        shown = marks.html(text if is_code else text.strip())
        yield Block(text=shown, is_code=is_code, language=language)


def _line(kind: str, text: str, place: str, look: Look) -> Shown:
    shown, left = cut(visible(text), look.limit)
    return Shown(
        kind=kind,
        place=place,
        text=look.marks.html(shown),
        left=left,
        url=look.url(place) if left else "",
        is_found=look.marks.found_in(shown),
    )


def _folded(value: Any, name: str, place: str, look: Look) -> Shown:
    text, left = cut(pretty(value), look.limit)
    return Shown(
        kind="json",
        place=place,
        label=name,
        text=look.marks.html(text),
        left=left,
        url=look.url(place) if left else "",
        is_found=look.marks.found_in(text),
    )


def _name(artifact: Artifact) -> str:
    """The name that somebody gave it; else it is the id."""
    return label(artifact.name) if artifact.name != artifact.id else ""


def is_length(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and 0 < value < 100_000
