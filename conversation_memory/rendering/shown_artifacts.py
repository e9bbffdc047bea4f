"""How each type of artifact looks on a page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..artifacts import Artifact
from . import markdown
from .markdown import Budget
from .safe_text import NO_MARKS, Marks, cut, label, visible
from .serving import image_type

MAX_DEPTH = 20
MAX_ITEMS = 200
_fences = re.compile(r"^```(.*)\n?", re.MULTILINE)
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
class Shown:
    """An artifact ready for the template `conversation_memory/artifacts/<kind>.html`.

    A text has `blocks`: of kind "prose", or "code" labelled with its language. `left` counts the
    characters of a text, or the items of a list, that are not shown; `is_found` is True if a word
    of the search is in it.
    """

    kind: str
    url: str = ""
    text: SafeString | str = ""
    label: str = ""
    blocks: tuple[Shown, ...] = ()
    items: tuple[Shown, ...] = ()
    fields: tuple[tuple[str, SafeString], ...] = ()
    size: tuple[Any, Any] | None = None
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


def _as_line(artifact: Artifact, path: str, look: Look) -> Shown:
    text = artifact.text
    if artifact.type == "BooleanArtifact":
        text = _("Yes") if artifact.value else _("No")
    kind = "error" if artifact.type == "ErrorArtifact" else "info"
    return _marked(kind, visible(text), path, look)


def _as_binary(artifact: Artifact, path: str, look: Look) -> Shown:
    about = visible(artifact.text.strip("[]"))
    return Shown(kind="binary", url=look.url(path), text=about, label=_name(artifact))


def _as_image(artifact: Artifact, path: str, look: Look) -> Shown:
    if image_type(artifact) is None:
        return _as_binary(artifact, path, look)
    data = artifact.to_dict()
    size = data.get("width"), data.get("height")
    is_known = all(isinstance(length, int) and 0 < length < 100_000 for length in size)
    return Shown(
        kind="image", url=look.url(path), label=_name(artifact), size=size if is_known else None
    )


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
    "ErrorArtifact": _as_line,
    "InfoArtifact": _as_line,
    "BooleanArtifact": _as_line,
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


def split(text: str, marks: Marks) -> Iterator[Shown]:
    """The prose and the fenced code of `text`, in one pass however the fences are nested."""
    kind, language = "prose", ""
    # Alternately a text and the rest of the line of the fence after it.
    for number, part in enumerate(_fences.split("\n".join(text.splitlines()))):
        if number % 2:
            kind = "code" if kind == "prose" else "prose"
            language = part.strip("` ")
        elif part.strip():
            shown = part.removesuffix("\n") if kind == "code" else part.strip()
            yield Shown(kind=kind, text=marks.html(shown), label=language)


def _name(artifact: Artifact) -> str:
    """The name of the artifact, unless it is only its id."""
    return label(artifact.name) if artifact.name != artifact.id else ""
