"""The exit codes of the management commands, and which error means which."""

from __future__ import annotations

import errno
from enum import IntEnum

from django.core.management.base import CommandError

from conversation_memory.exceptions import (
    ArchiveDamaged,
    ConversationConflict,
    ConversationCorrupt,
    ConversationMemoryError,
    ConversationNotFound,
    InvalidIndexError,
    NotAnArchive,
    PackageMissing,
    RedisDenied,
    RedisMisconfigured,
    RedisReadOnly,
    RedisUnavailable,
)


class Exit(IntEnum):
    """What a command returns to the shell. 0 is success, 2 the wrong use of an option."""

    FAILED = 1
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
    INTERRUPTED = 130  # 128 and the number of the signal, as a shell says it
    BROKEN_PIPE = 141


# The first that fits counts.
CODES: tuple[tuple[type[ConversationMemoryError], Exit], ...] = (
    (InvalidIndexError, Exit.SETTINGS),
    (RedisUnavailable, Exit.UNAVAILABLE),
    (RedisReadOnly, Exit.READ_ONLY),
    (RedisDenied, Exit.DENIED),
    (RedisMisconfigured, Exit.MISCONFIGURED),
    (ConversationNotFound, Exit.NOT_FOUND),
    (ConversationCorrupt, Exit.UNREADABLE),
    (ConversationConflict, Exit.CONFLICT),
    (PackageMissing, Exit.SETTINGS),
    (ArchiveDamaged, Exit.DAMAGED),
    (NotAnArchive, Exit.NO_ARCHIVE),
)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def failure(error: ConversationMemoryError | OSError) -> CommandError:
    """`error` as a command reports it: a sentence and an exit code."""
    if isinstance(error, OSError):
        code = Exit.DISK_FULL if error.errno in _FULL else Exit.FILE
        return CommandError(_sentence(error), returncode=code)
    codes = (code for kind, code in CODES if isinstance(error, kind))
    return CommandError(str(error), returncode=next(codes, Exit.FAILED))


def _sentence(error: OSError) -> str:
    what = "The output" if error.filename is None else repr(error.filename)
    return f"{what} cannot be used: {error.strerror or type(error).__name__}."
