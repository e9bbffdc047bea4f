"""How each type of artifact looks on a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeGuard

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..runs import Artifact
from . import markdown
from .markdown import Budget
from .safe_text import NO_MARKS, Marks, cut, label, visible
from .serving import image_type

MAX_DEPTH = 20
MAX_ITEMS = 200
_USUAL = ("type", "id", "reference", "meta", "name", "value")


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a site shows its artifacts.

    `url` makes the address of a binary, or of a text that is too long, from its path in the run;
    `limit` is the number of characters of a text that a page shows. With `markdown`, texts are
    rendered as Markdown, within the `budget` of the page.
    """

    url: Callable[[str], str]
    marks: Marks = NO_MARKS
    limit: int | None = None
    markdown: bool = False
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a text: prose, or code that stood between two lines of three backticks."""

    text: SafeString
    is_code: bool
    language: str = ""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An artifact ready for the template `conversation_memory/artifacts/<kind>.html`.

    `left` counts the characters of a text, or the items of a list, that are not shown; `is_found`
    is True if a word of the search is in it.
    """

    kind: str
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


def show(artifact: Artifact, path: str, look: Look) -> Shown:
    """`artifact` ready for its template. Its `path` is `output`, or `output.2` in a list."""
    return _SHOWN_AS.get(artifact.type, _as_fields)(artifact, path, look)


def _cut(kind: str, text: str, path: str, look: Look, label: str = "") -> Shown:
    """As much of `text` as a page shows, still unmarked, with a link to the rest."""
    text, left = cut(text, look.limit)
    url = look.url(path) if left else ""
    is_found = look.marks.found_in(text)
    return Shown(kind=kind, label=label, text=text, left=left, url=url, is_found=is_found)


def _marked(kind: str, text: str, path: str, look: Look, label: str = "") -> Shown:
    shown = _cut(kind, text, path, look, label)
    return replace(shown, text=look.marks.html(shown.text))


def _as_text(artifact: Artifact, path: str, look: Look) -> Shown:
    shown = _cut("text", visible(artifact.text), path, look)
    text = shown.text
    if look.markdown and markdown.AVAILABLE and len(text) <= markdown.MAX_CHARACTERS:
        html = markdown.render(text, look.marks, look.budget)
        if html is not None:
            return replace(shown, kind="markdown", text=html)
    return replace(shown, text="", blocks=tuple(split(text, look.marks)))


def _as_line(kind: str, artifact: Artifact, path: str, look: Look) -> Shown:
    return _marked(kind, visible(artifact.text), path, look)


def _as_boolean(artifact: Artifact, path: str, look: Look) -> Shown:
    return _marked("info", visible(_("Yes") if artifact.value else _("No")), path, look)


def _as_binary(artifact: Artifact, path: str, look: Look) -> Shown:
    about = visible(artifact.text.strip("[]"))
    return Shown(kind="binary", url=look.url(path), text=about, label=_name(artifact))


def _as_image(artifact: Artifact, path: str, look: Look) -> Shown:
    if image_type(artifact) is None:
        return _as_binary(artifact, path, look)
    width, height = (artifact.to_dict().get(side) for side in ("width", "height"))
    size = (width, height) if _is_length(width) and _is_length(height) else None
    return Shown(kind="image", url=look.url(path), label=_name(artifact), size=size)


def _as_link(artifact: Artifact, path: str, look: Look) -> Shown:
    # A javascript: address would run on a click, whatever the policy says about inline scripts.
    if artifact.text.startswith(("https://", "http://")) and len(artifact.text) <= 2000:
        address = visible(artifact.text)
        return Shown(kind="link", url=address, text=look.marks.html(address))
    return _as_text(artifact, path, look)


def _as_list(artifact: Artifact, path: str, look: Look) -> Shown:
    if path.count(".") >= MAX_DEPTH:
        return _as_json(artifact, path, look)
    items = [
        show(item, f"{path}.{number}", look)
        for number, item in enumerate(artifact.items[:MAX_ITEMS])
    ]
    return Shown(
        kind="list",
        items=tuple(items),
        left=len(artifact.items) - len(items),
        is_found=any(item.is_found for item in items),
    )


def _as_action(artifact: Artifact, path: str, look: Look) -> Shown:
    call = artifact.value if isinstance(artifact.value, dict) else {}
    name = ".".join(str(call[key]) for key in ("name", "path") if call.get(key))
    title = label(_("Used the tool %s") % name).strip()
    return _marked("json", pretty(artifact.value), path, look, title)


def _as_json(artifact: Artifact, path: str, look: Look) -> Shown:
    name = artifact.type.removesuffix("Artifact").upper() or "JSON"
    return _marked("json", pretty(artifact.value), path, look, label(name))


def _as_fields(artifact: Artifact, path: str, look: Look) -> Shown:
    """An artifact of an unknown type."""
    data = artifact.to_dict()
    named = {"name": artifact.name} if _name(artifact) else {}
    chosen = {"value": artifact.value, **named, "meta": artifact.meta or None}
    chosen |= {key: value for key, value in data.items() if key not in _USUAL}
    texts = {
        key: cut(pretty(value), look.limit) for key, value in chosen.items() if value is not None
    }
    return Shown(
        kind="fields",
        label=label(artifact.type) or _("No type"),
        url=look.url(path),
        fields=tuple((label(key), look.marks.html(text)) for key, (text, _left) in texts.items()),
        left=sum(left for _text, left in texts.values()),
        is_found=any(look.marks.found_in(text) for text, _left in texts.values()),
    )


_SHOWN_AS: dict[str, Callable[[Artifact, str, Look], Shown]] = {
    "TextArtifact": _as_text,
    "ErrorArtifact": partial(_as_line, "error"),
    "InfoArtifact": partial(_as_line, "info"),
    "BooleanArtifact": _as_boolean,
    "BlobArtifact": _as_binary,
    "AudioArtifact": _as_binary,
    "ImageArtifact": _as_image,
    "UrlArtifact": _as_link,
    "ImageUrlArtifact": _as_link,
    "AudioUrlArtifact": _as_link,
    "VideoUrlArtifact": _as_link,
    "ListArtifact": _as_list,
    "ActionArtifact": _as_action,
    "JsonArtifact": _as_json,
    "GenericArtifact": _as_json,
    "ModelArtifact": _as_json,
}


def pretty(value: Any) -> str:
    """`value` for reading: as indented JSON, or as it is if it is a text other than JSON."""
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


def _name(artifact: Artifact) -> str:
    """The name of the artifact, unless it is only its id."""
    return label(artifact.name) if artifact.name != artifact.id else ""


def _is_length(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and 0 < value < 100_000
