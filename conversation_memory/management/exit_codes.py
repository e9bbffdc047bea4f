"""The exit codes of the management commands, and the error of each."""

import errno
from enum import IntEnum

from django.core.management.base import CommandError

from conversation_memory import exceptions
from conversation_memory.exceptions import ConversationMemoryError


class Exit(IntEnum):
    """The exit codes, besides 0 for success."""

    FAILED = 1
    USAGE = 2  # as argparse
    SETTINGS = 3
    UNAVAILABLE = 4
    READ_ONLY = 5
    DENIED = 6
    MISCONFIGURED = 7
    NOT_FOUND = 8
    UNREADABLE = 9
    FILE = 10
    NO_ARCHIVE = 11
    DAMAGED = 12
    DISK_FULL = 13
    CONFLICT = 14
    INTERRUPTED = 130  # 128 + SIGINT, as shells report it
    BROKEN_PIPE = 141  # 128 + SIGPIPE


# The first match counts.
CODES: tuple[tuple[type[ConversationMemoryError], Exit], ...] = (
    (exceptions.InvalidIndexError, Exit.SETTINGS),
    (exceptions.RedisUnavailable, Exit.UNAVAILABLE),
    (exceptions.RedisReadOnly, Exit.READ_ONLY),
    (exceptions.RedisDenied, Exit.DENIED),
    (exceptions.RedisMisconfigured, Exit.MISCONFIGURED),
    (exceptions.ConversationNotFound, Exit.NOT_FOUND),
    (exceptions.ConversationCorrupt, Exit.UNREADABLE),
    (exceptions.ConversationConflict, Exit.CONFLICT),
    (exceptions.PackageMissing, Exit.SETTINGS),
    (exceptions.ArchiveDamaged, Exit.DAMAGED),
    (exceptions.NotAnArchive, Exit.NO_ARCHIVE),
)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def failure(error: ConversationMemoryError | OSError) -> CommandError:
    """The CommandError for `error`, with a sentence and an exit code."""
    if isinstance(error, OSError):
        code = Exit.DISK_FULL if error.errno in _FULL else Exit.FILE
        name = "The output" if error.filename is None else repr(error.filename)
        text = f"{name} cannot be used: {error.strerror or type(error).__name__}."
        return CommandError(text, returncode=code)
    codes = (code for kind, code in CODES if isinstance(error, kind))
    return CommandError(str(error), returncode=next(codes, Exit.FAILED))
