"""Everything that can go wrong, as one tree; and redis-py's errors in its words.

Each message is one sentence for an operator. None carries a message text, an argument of a
command or a secret: redis-py quotes arguments in some of its errors, so those are redacted before
they are chained.
"""

from __future__ import annotations

import re

from django.core.exceptions import ImproperlyConfigured
from redis import exceptions as redis_exceptions


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


class RunNotFound(ConversationNotFound):
    """There is no run of that id in the conversation."""


class ConversationTooLarge(ConversationMemoryError):
    """The conversation would be larger than MAX_BYTES; nothing was written."""


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

    def __str__(self) -> str:
        return (
            f"The value of conversation {self.conversation_id!r} in index {self.index!r} "
            f"(alias {self.alias!r}) is damaged: {self.reason}. It was left as it is."
        )


# The order matters: redis-py derives the narrow classes from ConnectionError and ResponseError.
_BY_CLASS: tuple[tuple[type[Exception], type[ConversationMemoryError], str], ...] = (
    (
        redis_exceptions.AuthenticationError,
        RedisDenied,
        "refuses the user name or the password",
    ),
    (redis_exceptions.NoPermissionError, RedisDenied, "denies this user a command or a key (ACL)"),
    (redis_exceptions.BusyLoadingError, RedisUnavailable, "is starting and loads its data"),
    (
        redis_exceptions.MaxConnectionsError,
        RedisUnavailable,
        "has no free connection in this process; raise max_connections in OPTIONS",
    ),
    (
        redis_exceptions.InvalidResponse,
        RedisMisconfigured,
        "does not speak the Redis protocol; check host and port",
    ),
    (
        redis_exceptions.TimeoutError,
        RedisUnconfirmed,
        "did not answer in time; a write may or may not have been applied "
        "(for a TLS port, use rediss://)",
    ),
    (redis_exceptions.ReadOnlyError, RedisReadOnly, "is a read-only replica"),
    (
        redis_exceptions.OutOfMemoryError,
        RedisReadOnly,
        "is out of memory and refuses writes; delete conversations or raise maxmemory",
    ),
    (redis_exceptions.MasterDownError, RedisUnavailable, "has lost its master"),
    (
        redis_exceptions.MovedError,
        RedisMisconfigured,
        "is one node of a cluster, which needs a cluster client",
    ),
    (redis_exceptions.ClusterDownError, RedisUnavailable, "belongs to a cluster that is down"),
)

_BY_TEXT: tuple[tuple[str, type[ConversationMemoryError], str], ...] = (
    ("The previous master is now a slave", RedisReadOnly, "is a read-only replica"),
    ("max number of clients", RedisUnavailable, "has reached its limit of clients"),
    ("No connection available", RedisUnavailable, "has no free connection in this process"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        RedisMisconfigured,
        "shows an untrusted TLS certificate",
    ),
    ("MISCONF", RedisReadOnly, "cannot save to its disk and refuses writes"),
    ("NOREPLICAS", RedisReadOnly, "has too few replicas and refuses writes"),
    ("BUSY", RedisUnavailable, "is busy with a script"),
    ("WRONGTYPE", RedisMisconfigured, "holds a key of another type where this index should be"),
    ("NOAUTH", RedisDenied, "wants a password"),
    ("WRONGPASS", RedisDenied, "refuses the user name or the password"),
    ("NOPERM", RedisDenied, "denies this user a command or a key (ACL)"),
    ("OOM", RedisReadOnly, "is out of memory and refuses writes"),
    ("DB index is out of range", RedisMisconfigured, "has no database of that number"),
    ("unknown command", RedisMisconfigured, "is too old for this command, or lacks a module"),
    ("invalid bulk length", RedisMisconfigured, "refuses a value that large"),
)


def translate(error: Exception, alias: str) -> ConversationMemoryError:
    """`error` of redis-py in our words, chained to a copy of it that quotes no argument."""
    kind, sentence = _classify(error)
    ours = kind(f"Redis of alias {alias!r} {sentence}.")
    ours.__cause__ = redact(error)
    return ours


def _classify(error: Exception) -> tuple[type[ConversationMemoryError], str]:
    text = str(error)
    for class_, kind, sentence in _BY_CLASS:
        if isinstance(error, class_):
            return kind, sentence
    for fragment, kind, sentence in _BY_TEXT:
        if fragment in text:
            return kind, sentence
    if isinstance(error, (redis_exceptions.ConnectionError, OSError)):
        return RedisUnavailable, "cannot be reached"
    return RedisMisconfigured, f"answered with an error ({type(error).__name__})"


def redact(error: Exception) -> Exception:
    """A copy of `error` without arguments of commands and without a traceback.

    The frames of redis-py hold the documents that were being sent, and Django prints the frames
    of a chained exception into its error report.
    """
    text = re.sub(r"Command # \d+ \(.*\) of pipeline caused error: ", "", str(error), flags=re.S)
    text = re.sub(r",? with args beginning with:.*", "", text, flags=re.S)
    copy = type(error).__new__(type(error))
    copy.args = (text,)
    return copy
