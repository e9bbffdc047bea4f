"""Stored content as a response of its own: pictures of known types inline, others as a file."""

from base64 import b64decode

from django.core.exceptions import SuspiciousFileOperation
from django.http import HttpResponse
from django.utils.http import content_disposition_header
from django.utils.text import get_valid_filename

from ..artifacts import Artifact

# Only types that browsers show as a picture and nothing else: an SVG can carry scripts.
IMAGE_TYPES = {name: f"image/{name}" for name in ("avif", "gif", "jpeg", "png", "webp")}
IMAGE_TYPES["jpg"] = "image/jpeg"
# Even content that a browser would run or load is inert, and of no origin.
HARMLESS = {
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def image_type(artifact: Artifact) -> str | None:
    """The MIME type under which a picture may be served; None for anything else."""
    if artifact.type != "ImageArtifact":
        return None
    return IMAGE_TYPES.get(str(artifact.to_dict().get("format", "")).lower())


def pick(artifact: Artifact, path: list[str]) -> Artifact | None:
    """The artifact at `path`, a list of positions in nested lists."""
    for number in path:
        items = artifact.items
        if not number.isdecimal() or len(number) > 9 or int(number) >= len(items):
            return None
        artifact = items[int(number)]
    return artifact


def serve(artifact: Artifact) -> HttpResponse | None:
    """A picture inline, any other binary as a download; None if there is nothing to serve."""
    if not artifact.mime_type:
        return None
    try:
        content = b64decode(artifact.value, validate=True)
    except (TypeError, ValueError):
        return None
    if kind := image_type(artifact):
        return HttpResponse(content, content_type=kind, headers=HARMLESS)
    return download(content, artifact.name)


def download(content: bytes, name: str) -> HttpResponse:
    """`content` as a file to save, under the safe part of `name`."""
    headers = {**HARMLESS, "Content-Disposition": content_disposition_header(True, file_name(name))}
    return HttpResponse(content, content_type="application/octet-stream", headers=headers)


def plain(content: bytes) -> HttpResponse:
    return HttpResponse(content, content_type="text/plain; charset=utf-8", headers=HARMLESS)


def file_name(name: str) -> str:
    """`name` without folders, controls and leading full stops."""
    try:
        valid = get_valid_filename(name.replace("\\", "_")[-100:].lstrip(".")).lstrip(".")
    except SuspiciousFileOperation:  # nothing is left of it
        valid = ""
    return valid or "file"
