"""Reading an archive, all of which is verified before any of it is used."""

import io
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import IO

from .. import documents
from ..encryption.keyring import Keyring
from ..exceptions import ArchiveDamaged, ArchiveTooLarge, Damaged, NotAnArchive, Undecryptable
from . import files, format
from .dump import Ids
from .format import Entry, Header, Malformed
from .sealed_lines import SealedLines

Progress = Callable[[int], object]

# Twice the default of MAX_BYTES, because a value that is not UTF-8 is longer in an archive.
LONGEST = 2 * 64 * 2**20
_EVERY = 1000


class Source:
    """A file of conversations, which is verified before it is restored.

    It is `trusted` unless its entries need to be verified again, and `is_new` if conversations
    without times get those of the restore. `longest` is the length of its longest line in bytes,
    `count` the number of its conversations, `size` the length of the file.
    """

    trusted = is_new = False

    def __init__(
        self,
        file: IO[bytes],
        name: str,
        longest: int,
        most: int | None = None,
        most_bytes: int | None = None,
    ):
        self._file = file
        self._name = name
        self._most = most
        self._lines = partial(files.lines, file, longest, name, most_bytes)
        self.count = self.longest = 0
        self.size = file.seek(0, io.SEEK_END)

    @property
    def position(self) -> int:
        """The number of bytes read in this pass."""
        return min(self._file.tell(), self.size)

    def entries(self) -> Iterator[Entry]:
        """The conversations, in the order of the file. Raises `ArchiveDamaged`."""
        raise NotImplementedError

    def document(self, entry: Entry) -> documents.Document | None:
        """The document of `entry`, None if that is unreadable.

        Raises `Damaged` or `Malformed` unless it is as the entry describes it. The runs of a
        trusted entry are not parsed.
        """
        if entry.runs is None:
            return None
        if self.trusted and entry.end is not None:
            return documents.opened(entry.value, entry.runs, entry.end, entry.checksum)
        found = documents.read(entry.value)
        if (found.count, found.canonical_end) != (entry.runs, entry.end):
            raise Malformed("it does not give the position of the runs")
        return found

    def _damaged(self, what: str) -> ArchiveDamaged:
        return ArchiveDamaged(f"{self._name} {what}. Nothing was restored.")

    def _damaged_at(self, line: int, why: object) -> ArchiveDamaged:
        return self._damaged(f"is damaged at line {line:,}: {why}")


class Archive(Source):
    """An archive whose lines match its footer.

    It is `trusted` if it is signed with the SECRET_KEY of this project. Any other one is parsed
    completely.
    """

    header: Header
    keyring: Keyring | None = None  # opens an encrypted archive
    _sealed: SealedLines | None = None

    def entries(self) -> Iterator[Entry]:
        with self._lines() as lines:
            next(lines, b"")
            for number, line in enumerate(lines, 2):
                if line.startswith(format.FOOTER):
                    return
                try:
                    entry = format.read_entry(self._sealed.open(line) if self._sealed else line)
                except Malformed as error:
                    raise self._damaged_at(number, error) from None
                except Undecryptable as error:
                    raise self._damaged_at(number, error.reason) from None
                yield entry

    def verify(self, progress: Progress = bool) -> None:
        """Raises `NotAnArchive` or `ArchiveDamaged` unless the file is as it was written."""
        with self._lines() as lines:
            self.header = self._header(next(lines, b""))
            size, digest, footer = self._body(lines, progress)
            if next(lines, b""):
                raise self._damaged(f"continues after its footer, at line {self.count + 3:,}")
        try:
            foot = format.read_footer(footer)
        except Malformed as error:
            raise self._damaged_at(self.count + 2, error) from None
        stated = [foot.get(name) for name in ("conversations", "bytes", "sha256")]
        if stated != [self.count, size, digest]:
            for _ in self.entries():  # raises an error that names the line, if that is damaged
                pass
            raise self._damaged("was changed: its lines do not match its footer")
        self.trusted = format.is_signed(foot)
        if not self.trusted:
            self._parse(progress)
        elif self._sealed is not None:  # at least one, before anything is written
            next(self.entries(), None)

    def _header(self, line: bytes) -> Header:
        if not line.startswith(b'{"format": "'):
            raise NotAnArchive(f"{self._name} is not an archive of conversations.")
        try:
            header = format.read_header(line)
        except Malformed as error:
            raise NotAnArchive(f"{self._name} cannot be read as an archive: {error}.") from None
        if header.key is not None:
            self._sealed = SealedLines(self._keyring_for(header.key), line)
        return header

    def _keyring_for(self, key: str) -> Keyring:
        if self.keyring is None or self.keyring.get(key.encode()) is None:
            raise NotAnArchive(
                f"{self._name} is encrypted with key {key!r}, which is not in KEYS of ENCRYPTION: "
                "add it there, or give it with --key."
            )
        return self.keyring

    def _body(self, lines: Iterator[bytes], progress: Progress) -> tuple[int, str, bytes]:
        """Count the conversations. Returns size and digest of their lines, and the footer."""
        digest, size = sha256(), 0
        for found in count():
            line = next(lines, b"")
            if line.startswith(format.FOOTER):
                break
            if not line:
                raise self._damaged(f"ends after line {found + 1:,}, without its footer")
            if not format.has_form_of_entry(line):
                raise self._damaged(f"is damaged at line {found + 2:,}")
            if found == self._most:
                raise ArchiveTooLarge(
                    f"{self._name} contains more than {found:,} conversations, the limit "
                    "here. Use `loadconversations`."
                )
            digest.update(line)
            size += len(line)
            self.longest = max(self.longest, len(line))
            if not found % _EVERY:
                progress(self.position)
        self.count = found
        return size, digest.hexdigest(), line

    def _parse(self, progress: Progress) -> None:
        """Verify every conversation of an archive from elsewhere."""
        with closing(Ids()) as ids:
            for number, entry in enumerate(self.entries(), 2):
                if not ids.add_new(entry.id):
                    raise self._damaged(f"contains a conversation twice, again at line {number:,}")
                try:
                    self.document(entry)
                except (Damaged, Malformed) as error:
                    raise self._damaged_at(number, error) from None
                if not number % _EVERY:
                    progress(self.position)


@contextmanager
def open_archive(
    source: str | Path | IO[bytes],
    *,
    longest: int = LONGEST,
    most: int | None = None,
    most_bytes: int | None = None,
    name: str = "The file",
    progress: Progress = bool,
    keyring: Keyring | None = None,
) -> Iterator[Archive]:
    """The verified archive in a path or a binary file, which errors call `name`.

    `longest` limits the bytes of a line, `most` the number of conversations, and `most_bytes` their
    unpacked bytes; `progress` is called with the position in the file. An encrypted one requires a
    `keyring`, such as `index.keyring`.

    Raises `NotAnArchive`, `ArchiveTooLarge`, `ArchiveDamaged` or OSError.
    """
    with files.reading(source, name) as (file, name):
        archive = Archive(file, name, longest, most, most_bytes)
        archive.keyring = keyring
        archive.verify(progress)
        yield archive
