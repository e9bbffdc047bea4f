"""What is stored, as a response of its own: pictures of known types inline, the rest as a file."""

from __future__ import annotations

from django.core.exceptions import SuspiciousFileOperation
from django.http import HttpResponse
from django.utils.http import content_disposition_header
from django.utils.text import get_valid_filename

from ..runs import Artifact
from .artifacts import content_of, image_type

# Whatever a browser makes of it, it runs nothing, loads nothing and is not of this site.
HARMLESS = {
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_MAX_NAME = 100


def serve(artifact: Artifact) -> HttpResponse | None:
    """A picture inline, any other binary as a download; None if there is nothing to serve."""
    content = content_of(artifact)
    if content is None:
        return None
    if kind := image_type(artifact):
        return HttpResponse(content, content_type=kind, headers=HARMLESS)
    return download(content, artifact.name)


def download(content: bytes, name: str) -> HttpResponse:
    """`content` as a file to save, under what is safe of `name`."""
    disposition = content_disposition_header(True, file_name(name))
    headers = {**HARMLESS, "Content-Disposition": disposition}
    return HttpResponse(content, content_type="application/octet-stream", headers=headers)


def plain(content: bytes) -> HttpResponse:
    """`content` as the text that it is."""
    return HttpResponse(content, content_type="text/plain; charset=utf-8", headers=HARMLESS)


def file_name(name: str) -> str:
    """What of `name` can be the name of a file: no folder, no control, nothing hidden."""
    try:
        valid = get_valid_filename(name.replace("\\", "_")[-_MAX_NAME:].lstrip(".")).lstrip(".")
    except SuspiciousFileOperation:  # nothing is left of it
        valid = ""
    return valid or "file"
