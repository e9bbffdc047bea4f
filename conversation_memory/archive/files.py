"""The files of archives: compressed if wanted, and never incomplete under their name."""

import errno
import gzip
import io
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from django.core.files import locks

from ..exceptions import ArchiveDamaged, ArchiveTooLarge, NotAnArchive, PackageMissing

_BUFFER = 2**20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# The default limit of `zstd` itself: a frame may demand up to 2 GB of memory.
_MAX_WINDOW = 2**27
# The limit of unpacked bytes, in multiples of the size: a run has some 50 bytes that do not repeat.
_RATIO = 1_000
_UNPACKED = 64 * 2**20  # allowed for every file
# The average line of an archive or an export has many more bytes. Without a limit, 90 kB of zstd
# that unpack to lines of five bytes cost two minutes.
_SHORTEST = 16
_EVERY = 10_000


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing, which gets its name only when it is complete on the disk.

    Until then it is `NAME.partial`, which is deleted after a failure. It is compressed if the name
    ends in `.gz` or `.zst`, and readable only by its user. A device or a pipe is written directly.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as device, compressing(device, path.suffix) as stream:
            yield stream
        return
    path = path.resolve()  # a symbolic link is followed
    partial = path.with_name(f"{path.name}.partial")
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    file = open(os.open(partial, flags, 0o600), "wb", buffering=_BUFFER)  # noqa: SIM115
    with file:
        if not locks.lock(file, locks.LOCK_EX | locks.LOCK_NB):
            problem = "another dump is writing this file"
            raise BlockingIOError(errno.EWOULDBLOCK, problem, str(partial))
        try:
            if os.name != "nt":  # one that was left over may have another mode
                os.fchmod(file.fileno(), 0o600)
            file.truncate()
            with compressing(file, path.suffix) as compressed:
                yield compressed
            file.flush()
            os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            with suppress(OSError):  # it flushes the buffer, and the disk may be full
                file.close()
            raise
    _sync_folder(path.parent)


@contextmanager
def compressing(file: IO[bytes], suffix: str) -> Iterator[IO[bytes]]:
    """A stream that compresses into `file` if `suffix` is `.gz` or `.zst`, else `file`."""
    if suffix == ".gz":
        # gzip puts a name and a time into its header; without them, equal archives are equal files.
        with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as zipped:
            yield zipped  # type: ignore[misc]
    elif suffix == ".zst":
        zstandard = _zstandard()
        compressor = zstandard.ZstdCompressor(level=1, write_checksum=True, threads=1)
        with compressor.stream_writer(file, closefd=False) as compressed:
            yield compressed
    else:
        yield file


@contextmanager
def reading(
    source: str | Path | IO[bytes], name: str = "The file"
) -> Iterator[tuple[IO[bytes], str]]:
    """A file that can be read repeatedly, and its name for messages: `name`, or that of a path."""
    with ExitStack() as stack:
        if isinstance(source, str | Path):
            name, path = repr(str(source)), Path(source)
            if path.is_dir():
                raise NotAnArchive(f"{name} is a folder.")
            source = stack.enter_context(path.open("rb", buffering=_BUFFER))
        if not source.seekable():  # a pipe
            stream, source = source, stack.enter_context(TemporaryFile())
            shutil.copyfileobj(stream, source, _BUFFER)
            source.seek(0)
        yield source, name


@contextmanager
def lines(
    file: IO[bytes], longest: int, name: str, most: int | None = None
) -> Iterator[Iterator[bytes]]:
    """The lines of a plain or compressed file from its beginning, none longer than `longest` bytes.

    Raises `ArchiveDamaged` for a longer one or damaged compression, and `ArchiveTooLarge` for more
    than `most` unpacked bytes, or absurdly many for the size of the file.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    magic = file.read(len(_ZSTD))
    file.seek(0)
    sensible = max(_UNPACKED, _RATIO * size)
    with _decompressing(file, magic) as stream:
        yield _lines(stream, longest, min(most or sensible, sensible), name)


def _lines(stream: io.BufferedIOBase, longest: int, most: int, name: str) -> Iterator[bytes]:
    # gzip raises three kinds, of which only one is an OSError.
    errors: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile)
    if find_spec("zstandard"):
        errors += (_zstandard().ZstdError,)
    total = 0
    for number in count(1):
        try:
            line = stream.readline(longest + 1)
        except errors:
            raise ArchiveDamaged(
                f"{name} is damaged at line {number:,}: the compressed data are truncated or "
                "changed."
            ) from None
        if not line:
            return
        total += len(line)
        if len(line) > longest:
            raise ArchiveDamaged(
                f"{name} exceeds {longest:,} bytes at line {number:,}, the limit that follows from "
                "MAX_BYTES."
            )
        if total > most:
            raise ArchiveTooLarge(
                f"{name} unpacks to more than {most:,} bytes, the limit for a file of "
                "its size. If you trust it, unpack it first and use `loadconversations`."
            )
        if not number % _EVERY and total < number * _SHORTEST:
            raise NotAnArchive(
                f"{name} does not contain conversations: its first {number:,} lines have fewer "
                f"than {_SHORTEST} bytes on average."
            )
        yield line


@contextmanager
def _decompressing(file: IO[bytes], magic: bytes) -> Iterator[Any]:
    if magic[: len(_GZIP)] == _GZIP:
        with gzip.GzipFile(fileobj=file) as raw:
            yield io.BufferedReader(raw, _BUFFER)
    elif magic == _ZSTD:
        decompressor = _zstandard().ZstdDecompressor(max_window_size=_MAX_WINDOW)
        with decompressor.stream_reader(file, read_across_frames=True, closefd=False) as raw:
            yield io.BufferedReader(raw, _BUFFER)
    else:
        yield file


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError:
        raise PackageMissing(
            "Archives in .zst require the package zstandard: pip install "
            "'django-conversation-memory[zstd]'."
        ) from None
    return zstandard


def _sync_folder(path: Path) -> None:
    # A rename survives a power failure only when its folder is on the disk, too.
    if os.name == "nt":  # where a folder cannot be opened
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
