"""Archives of conversations: to dump an index into a file, and to restore it from one."""

from __future__ import annotations

from .dump import Dump
from .format import Entry, Header
from .reading import Archive, open_archive
from .restore import POLICIES, Counts, Restore

__all__ = [
    "POLICIES",
    "Archive",
    "Counts",
    "Dump",
    "Entry",
    "Header",
    "Restore",
    "open_archive",
]
