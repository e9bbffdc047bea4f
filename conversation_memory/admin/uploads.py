"""An uploaded archive between its preview and its restore: a file of ours in the temporary folder.

Its name is in the session, so that nobody else restores it. A site on several machines sends the
two requests to one of them, or shares FILE_UPLOAD_TEMP_DIR among them.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import HttpRequest

_PREFIX, _SUFFIX = "conversation-memory-", ".upload"
_is_ours = re.compile(r"conversation-memory-\w+\.upload").fullmatch
_KEY = "conversation_memory_upload"
_LASTS = 60 * 60  # seconds


class SizeLimit(FileUploadHandler):
    """Ends an upload that has become larger than `most` bytes. `was_reached` tells that it did."""

    def __init__(self, request: HttpRequest, most: int):
        super().__init__(request)
        self.most = most
        self.size = 0
        self.was_reached = False

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        self.size += len(raw_data)
        if self.size > self.most:
            self.was_reached = True
            raise StopUpload(connection_reset=False)
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None


def keep(request: HttpRequest, file: UploadedFile[Any], where: str) -> str:
    """Keep `file` for the user of the request, to be restored into `where`. Returns its path."""
    discard(request)
    _remove_old()
    handle, path = tempfile.mkstemp(_SUFFIX, _PREFIX, _folder())
    with os.fdopen(handle, "wb") as target:
        for chunk in file.chunks():
            target.write(chunk)
    request.session[_KEY] = {"name": Path(path).name, "where": where, "as": file.name or ""}
    return path


def kept(request: HttpRequest, where: str) -> tuple[str, str] | None:
    """The path of what was kept for `where`, and the name it came by; None if it is gone."""
    found: dict[str, Any] = request.session.get(_KEY) or {}
    name = str(found.get("name", ""))
    path = _folder() / name
    if not _is_ours(name) or found.get("where") != where or not path.is_file():
        return None
    return str(path), str(found.get("as", ""))


def discard(request: HttpRequest) -> None:
    name = str((request.session.pop(_KEY, None) or {}).get("name", ""))
    if _is_ours(name):
        (_folder() / name).unlink(missing_ok=True)


def _remove_old() -> None:
    """What was uploaded and then forgotten."""
    for path in _ours():
        with suppress(OSError):  # another user's, or gone meanwhile
            if path.stat().st_mtime < time.time() - _LASTS:
                path.unlink()


def _ours() -> Iterator[Path]:
    return (path for path in _folder().glob(f"{_PREFIX}*{_SUFFIX}") if _is_ours(path.name))


def _folder() -> Path:
    return Path(settings.FILE_UPLOAD_TEMP_DIR or tempfile.gettempdir())
