"""Archives as the admin uses them: a dump that streams, a restore of a file that was uploaded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

from .. import archive
from ..collection.selection import Selection as Choice
from ..indexes import ConversationIndex
from ..rendering.serving import file_name
from .selections import Selection


def export(
    request: HttpRequest, index: ConversationIndex, selection: Selection, ids: list[bytes] | None
) -> StreamingHttpResponse:
    """A download of what is selected, written while it is read; `ids` if that is a list."""
    dump = archive.Dump(index, _choice(selection, ids))
    name = f"{file_name(index.name)}-{datetime.now(UTC):%Y%m%d-%H%M%S}.jsonl"
    headers = {"Content-Disposition": content_disposition_header(True, name)}
    return StreamingHttpResponse(
        _chunks(request, dump), content_type="application/x-ndjson", headers=headers
    )


def _choice(selection: Selection, ids: list[bytes] | None) -> Any:
    if ids is not None:
        return Choice(ids=ids)
    return Choice(
        owner=selection.owner or None,
        since=_moment(selection.since),
        until=_moment(selection.until),
    )


def _chunks(request: HttpRequest, dump: Any) -> Iterator[bytes] | AsyncIterator[bytes]:
    if isinstance(request, ASGIRequest):  # there, Django would collect an iterator in memory
        return dump.__aiter__()  # type: ignore[no-any-return]
    # The first chunk asks Redis: what fails now is a message, what fails later cuts the file
    # short, which every reader of an archive notices.
    chunks = iter(dump)
    return chain([next(chunks, b"")], chunks)


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def plan(
    index: ConversationIndex, path: str, limits: dict[str, Any], **options: Any
) -> tuple[Any, Any]:
    """The header of the archive at `path`, and the counts of what a restore of it would do."""
    with archive.open_archive(path, **limits) as opened:
        return opened.header, archive.Restore(index, opened, **options).plan()


def restore(index: ConversationIndex, path: str, limits: dict[str, Any], **options: Any) -> Any:
    """Restore the archive at `path`. Returns the counts of what was done."""
    with archive.open_archive(path, **limits) as opened:
        return archive.Restore(index, opened, **options).run()
