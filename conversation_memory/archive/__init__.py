"""Archives of conversations: dumping an index into a file, and restoring it."""

from . import files
from .archive import LONGEST, Archive, open_archive
from .chat_exports import ChatDump, Chats
from .counts import Counts
from .dump import Dump
from .files import reading
from .format import Entry, Header
from .owner_export import OwnerExport
from .restore import POLICIES, Restore
from .sealed_lines import archive_key

__all__ = [
    "LONGEST",
    "POLICIES",
    "Archive",
    "ChatDump",
    "Chats",
    "Counts",
    "Dump",
    "Entry",
    "Header",
    "OwnerExport",
    "Restore",
    "archive_key",
    "files",
    "open_archive",
    "reading",
]
