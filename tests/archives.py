"""Archives for tests: dumped into memory, opened from it, restored."""

import io
from unittest import mock

from conversation_memory import Selection
from conversation_memory.archive import Dump, Restore, open_archive
from conversation_memory.archive.format import Entry, Facts, Header, entry_line, footer_line
from conversation_memory.archive.format import header_line as header_line_of
from conversation_memory.documents import build

__all__ = ["Entry", "Facts", "archive_of", "body", "dumped", "entry_of", "opened", "restored"]


def dumped(index, selection=None):
    """The bytes of a dump."""
    return b"".join(Dump(index, selection or Selection()))


def body(archive):
    """All but the header."""
    return archive.partition(b"\n")[2]


def opened(archive, **options):
    return open_archive(io.BytesIO(archive), **options)


def restored(index, archive, **options):
    """The counts of a restore."""
    with opened(archive) as source:
        return Restore(index, source, **options).run()


def entry_of(id="a", runs=(), **members):
    """An entry as a dump makes it."""
    document = build(runs, {})
    checksum = int(document.crc, 16)
    known = {"runs": document.count, "end": document.end, **members}
    return Entry(id=id.encode(), value=document.raw, checksum=checksum, **known)


def archive_of(*lines, count=None, signed=True):
    """An archive of entries, or of lines as they are, with a footer that fits."""
    from hashlib import sha256

    texts = [entry_line(line) if isinstance(line, Entry) else line for line in lines]
    text = b"".join(texts)
    count = len(lines) if count is None else count
    head = header_line_of(Header(index="i", conversations=count, server="7.4.1", created="now"))
    key = "" if signed else "another project"
    with mock.patch("django.conf.settings.SECRET_KEY", key) if key else mock.MagicMock():
        return head + text + footer_line(count, len(text), sha256(text).hexdigest())
