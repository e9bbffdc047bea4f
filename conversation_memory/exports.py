"""The methods of an index that hand over what is known of an owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .exceptions import sensitive
from .keys import Id

if TYPE_CHECKING:
    from .archive import OwnerExport

Target = str | Path | IO[bytes]
Progress = Callable[["OwnerExport"], object]


class Exportable:
    """An index whose owners can take their conversations along."""

    @sensitive
    def export_owner(self, owner: Id, target: Target, *, progress: Progress = bool) -> OwnerExport:
        """Write all conversations of an owner into a ZIP: pages to read, and JSON to take along.

        Questions whose answers are not complete are in both. `target` is a path, which gets its
        name when the file is complete, or a binary file. The memory is constant. Expired
        conversations are left out; an unreadable one is in the ZIP as its stored bytes, and named
        in `manifest.json`. `progress` is called with the export now and then. Returns it, with its
        counts.
        """
        export = _export(self, owner)
        with _opened(target) as file:
            for chunk in export:
                file.write(chunk)
                progress(export)
        return export

    @sensitive
    async def aexport_owner(
        self, owner: Id, target: Target, *, progress: Progress = bool
    ) -> OwnerExport:
        """See export_owner()."""
        export = _export(self, owner)
        with _opened(target) as file:
            async for chunk in export:
                await asyncio.to_thread(file.write, chunk)
                progress(export)
        return export


def _export(index: Any, owner: Id) -> OwnerExport:
    from .archive import OwnerExport  # archives need indexes

    return OwnerExport(index, owner)


@contextmanager
def _opened(target: Target) -> Iterator[IO[bytes]]:
    from .archive import files

    if isinstance(target, str | Path):
        with files.written(Path(target)) as file:
            yield file
    else:
        yield target
