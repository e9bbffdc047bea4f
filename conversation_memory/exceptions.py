"""Everything that can go wrong, as one tree; and redis-py's errors in its words.

Each message is one sentence for an operator. None carries a message text, an argument of a
command or a secret: redis-py quotes arguments in some of its errors, so those are redacted before
they are chained.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from redis import exceptions as redis_errors


class ConversationMemoryError(Exception):
    """The root of all errors of this app."""


class InvalidIndexError(ConversationMemoryError, ImproperlyConfigured):
    """An alias that does not exist, or whose settings cannot be used."""


class RedisUnavailable(ConversationMemoryError):
    """Redis cannot serve now: unreachable, starting, busy, no connection free. Worth a retry."""


class RedisUnconfirmed(RedisUnavailable):
    """No answer in time: a write may or may not have been applied."""


class RedisReadOnly(ConversationMemoryError):
    """Redis reads but refuses writes: a replica, full memory, a disk problem."""


class RedisDenied(ConversationMemoryError):
    """Redis refuses the credentials, or lacks the permission for a command or key."""


class RedisMisconfigured(ConversationMemoryError):
    """The address, database, key type or server version is not one that can work."""


class ConversationConflict(ConversationMemoryError):
    """Someone else wrote to the conversation in between."""


class ConversationNotFound(ConversationMemoryError):
    """There is no such conversation, or none for this owner."""


class OwnerRequired(ConversationMemoryError, PermissionDenied):
    """Nobody is logged in, or the user is not saved yet: there is no owner to act for."""


class RunNotFound(ConversationNotFound):
    """There is no run of that id in the conversation."""


class ConversationTooLarge(ConversationMemoryError):
    """The conversation would be larger than MAX_BYTES; nothing was written."""


class PackageMissing(ConversationMemoryError):
    """A package is needed that is not installed."""


class NotAnArchive(ConversationMemoryError):
    """The file is no archive of conversations, or one of a newer format version."""


class ArchiveTooLarge(NotAnArchive):
    """The archive unpacks to more, or has more conversations, than is allowed."""


class ArchiveDamaged(NotAnArchive):
    """The archive was cut short, edited, or otherwise changed since it was written."""


class ConversationCorrupt(ConversationMemoryError):
    """The stored value is not a conversation.

    `alias`, `index` and `conversation_id` say where, `reason` what is wrong, and `raw` holds the
    bytes as they are stored.
    """

    def __init__(self, *, alias: str, index: str, conversation_id: str, raw: bytes, reason: str):
        super().__init__(alias, index, conversation_id, reason)
        self.alias = alias
        self.index = index
        self.conversation_id = conversation_id
        self.raw = raw
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        where = {"alias": self.alias, "index": self.index, "conversation_id": self.conversation_id}
        return partial(type(self), **where, raw=self.raw, reason=self.reason), ()

    def __str__(self) -> str:
        return (
            f"The value of conversation {self.conversation_id!r} in index {self.index!r} "
            f"(alias {self.alias!r}) is damaged: {self.reason}. It was left as it is."
        )


class Damaged(ConversationCorrupt):
    """A stored text is not a conversation, or not a run; the caller knows whose it is."""

    def __init__(self, reason: str, raw: bytes = b""):
        super().__init__(alias="", index="", conversation_id="", raw=raw, reason=reason)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.raw)

    def __str__(self) -> str:
        return self.reason


# Class of redis-py, fragment of its text, class of ours, what Redis does. The first that fits
# counts, so the order matters: redis-py derives AuthenticationError from ConnectionError, has no
# class for MISCONF or WRONGTYPE, and servers wrap the errors of scripts in words of their own.
_RULES: tuple[tuple[type[Exception], str, type[ConversationMemoryError], str], ...] = (
    (redis_errors.AuthenticationError, "required", RedisDenied, "wants a password"),
    (redis_errors.AuthenticationError, "HELLO must be", RedisDenied, "wants a password"),
    (
        redis_errors.AuthenticationError,
        "",
        RedisDenied,
        "refuses the user name or the password",
    ),
    (redis_errors.NoPermissionError, "", RedisDenied, "denies this user a command or a key (ACL)"),
    (redis_errors.BusyLoadingError, "", RedisUnavailable, "is starting and loads its data"),
    (
        redis_errors.MaxConnectionsError,
        "",
        RedisUnavailable,
        "has no free connection in this process; raise max_connections",
    ),
    (
        redis_errors.ConnectionError,
        "No connection available",
        RedisUnavailable,
        "has no free connection in this process; raise max_connections",
    ),
    (
        redis_errors.InvalidResponse,
        "",
        RedisMisconfigured,
        "does not speak the Redis protocol; check host and port",
    ),
    (
        redis_errors.TimeoutError,
        "Timeout connecting",
        RedisUnavailable,
        "did not accept a connection in time; check host and port, and that only a TLS port is "
        "addressed with TLS",
    ),
    (
        redis_errors.TimeoutError,
        "",
        RedisUnconfirmed,
        "did not answer in time; a write may or may not have been applied",
    ),
    (redis_errors.ReadOnlyError, "", RedisReadOnly, "is a read-only replica"),
    (
        redis_errors.ConnectionError,
        "The previous master is now a slave",
        RedisReadOnly,
        "is a read-only replica",
    ),
    (
        redis_errors.OutOfMemoryError,
        "",
        RedisReadOnly,
        "is out of memory and refuses writes; delete conversations or raise maxmemory",
    ),
    (
        redis_errors.MasterDownError,
        "",
        RedisUnavailable,
        "is a replica that has lost its master",
    ),
    (
        redis_errors.ConnectionError,
        "No master found",
        RedisUnavailable,
        "has no master that a Sentinel knows of",
    ),
    (
        redis_errors.MovedError,
        "",
        RedisMisconfigured,
        "is one node of a cluster, which needs a cluster client",
    ),
    (redis_errors.ClusterDownError, "", RedisUnavailable, "belongs to a cluster that is down"),
    (
        redis_errors.ConnectionError,
        "max number of clients",
        RedisUnavailable,
        "has as many clients as its maxclients allows",
    ),
    (
        redis_errors.ConnectionError,
        "CERTIFICATE_VERIFY_FAILED",
        RedisMisconfigured,
        "shows a TLS certificate that is not trusted; name its authority with ssl_ca_certs",
    ),
    (redis_errors.ConnectionError, "connecting to", RedisUnavailable, "cannot be reached"),
    (
        redis_errors.ConnectionError,
        "",
        RedisUnconfirmed,
        "closed the connection; a write may or may not have been applied (if it expects TLS, "
        "use rediss://)",
    ),
    (OSError, "", RedisUnavailable, "cannot be reached"),
    (Exception, "ACL failure", RedisDenied, "denies this user a command or a key (ACL)"),
    (Exception, "NOPERM", RedisDenied, "denies this user a command or a key (ACL)"),
    (Exception, "NOAUTH", RedisDenied, "wants a password"),
    (Exception, "MISCONF", RedisReadOnly, "cannot save to its disk and refuses writes"),
    (Exception, "NOREPLICAS", RedisReadOnly, "has too few replicas and refuses writes"),
    (Exception, "READONLY", RedisReadOnly, "is a read-only replica"),
    (Exception, "OOM", RedisReadOnly, "is out of memory and refuses writes"),
    (Exception, "BUSY", RedisUnavailable, "is busy with a script"),
    (
        Exception,
        "WRONGTYPE",
        RedisMisconfigured,
        "holds a key of another type where this index should be",
    ),
    (Exception, "DB index is out of range", RedisMisconfigured, "has no database of that number"),
    (
        Exception,
        "nknown command",
        RedisMisconfigured,
        "does not know a command: it is too old, lacks a module, or the command was renamed",
    ),
    (
        Exception,
        "nknown Redis command",
        RedisMisconfigured,
        "does not know a command: it is too old, or the command was renamed",
    ),
    (Exception, "invalid bulk length", RedisMisconfigured, "refuses a value that large"),
)


def translate(error: Exception, alias: str) -> ConversationMemoryError:
    """`error` of redis-py in our words, chained to a copy of it that quotes no argument."""
    cause = redact(error)
    kind, sentence = _classify(cause)
    ours = kind(f"Redis of alias {alias!r} {sentence}{_address(cause)}.")
    ours.__cause__ = cause
    return ours


def is_wrong_type(error: Exception) -> bool:
    """Whether a key has another type than the command is for; `error` may be ours or redis-py's."""
    return "WRONGTYPE" in str(error.__cause__ or error)


def _classify(error: Exception) -> tuple[type[ConversationMemoryError], str]:
    text = str(error)
    for class_, fragment, kind, sentence in _RULES:
        if isinstance(error, class_) and fragment in text:
            return kind, sentence
    return RedisMisconfigured, f"answered with an error ({type(error).__name__})"


def _address(error: Exception) -> str:
    """Where redis-py tried to connect and why it could not, which names no credentials."""
    text = str(error).strip(".")
    return f" ({text})" if re.match("Error .*connecting to ", text) else ""


def redact(error: Exception) -> Exception:
    """A copy of `error` without arguments of commands and without a traceback.

    The frames of redis-py hold the documents that were being sent, and Django prints the frames
    of a chained exception into its error report.
    """
    text = re.sub(r"Command # \d+ \(.*\) of pipeline caused error: ", "", str(error), flags=re.S)
    text = re.sub(r",? with args beginning with:.*", "", text, flags=re.S)
    text = re.sub(r"( at offset \d+) near .*", r"\1", text, flags=re.S)  # RediSearch
    copy = type(error).__new__(type(error))
    copy.__dict__.update(vars(error))  # what its repr() asks for
    copy.args = (text,)
    return copy
