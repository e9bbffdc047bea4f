"""The exceptions of this app, and the translation of redis-py's errors into them.

Each message is one sentence for an operator, without text of a conversation, arguments of a command
or secrets. redis-py quotes arguments in some errors, so these are redacted before they are chained.
"""

import re
import sys
from collections.abc import Callable
from copyreg import __newobj__  # type: ignore[attr-defined]
from functools import wraps
from inspect import iscoroutinefunction
from traceback import clear_frames
from typing import Any, TypeVar, cast

from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.views.decorators.debug import sensitive_variables
from redis import exceptions as redis

F = TypeVar("F", bound=Callable[..., Any])


class ConversationMemoryError(Exception):
    """The base class of all errors of this app. `shards` are the names of those that failed."""

    shards: tuple[str, ...] = ()


class InvalidIndexError(ConversationMemoryError, ImproperlyConfigured):
    """The alias does not exist, or its settings are invalid."""


class RedisUnavailable(ConversationMemoryError):
    """Redis is unreachable, starting or busy, or no connection is free. A retry may succeed."""


class RedisUnconfirmed(RedisUnavailable):
    """Redis did not answer in time: a write may or may not have been applied."""


class RedisNotReplicated(RedisUnconfirmed):
    """The write is stored, but fewer replicas than WAIT asks for confirmed it in time.

    It is lost if the server fails before they get it. Repeating the write waits for them again.
    """


class RedisReadOnly(ConversationMemoryError):
    """Redis serves reads but rejects writes: a replica, full memory or a disk problem."""


class RedisDenied(ConversationMemoryError):
    """Redis rejects the credentials, or the user lacks permission for a command or key."""


class RedisMisconfigured(ConversationMemoryError):
    """The address, database, key type or server version cannot work."""


class ConversationError(ConversationMemoryError):
    """An error about one conversation, which `alias`, `index` and `conversation_id` identify.

    `reason` completes the sentence of the class; without an index it is the whole message.
    """

    sentence = "Conversation {where} {reason}"

    def __init__(
        self, reason: str = "", *, alias: str = "", index: str = "", conversation_id: str = ""
    ):
        super().__init__(*filter(None, (alias, index, conversation_id, reason)))  # for repr()
        self.reason = reason
        self.alias = alias
        self.index = index
        self.conversation_id = conversation_id

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are pickled by position, but these arguments are keywords.
        return __newobj__, (type(self), *self.args), vars(self)

    def __str__(self) -> str:
        if not self.index:
            return self.reason
        where = f"{self.conversation_id!r} in index {self.index!r} (alias {self.alias!r})"
        return self.sentence.format(where=where, reason=self.reason)


class ConversationConflict(ConversationError):
    """Another writer changed the conversation in the meantime."""


class ConversationNotFound(ConversationError):
    """The conversation does not exist, or does not belong to this owner."""

    sentence = "There is no conversation {where}{reason}."


class RunNotFound(ConversationNotFound):
    """The conversation has no run with this id."""

    sentence = "Conversation {where} has no run {reason}."


class ConversationTooLarge(ConversationError):
    """The conversation would exceed MAX_BYTES, or a run MAX_RUN_BYTES; nothing was written.

    Or its last run alone exceeds the `max_tokens` of a strict `window()`.
    """


class ConversationCorrupt(ConversationError):
    """The stored value is not a conversation: `reason` says why, `raw` holds the stored bytes."""

    sentence = "The value of conversation {where} is damaged: {reason}. It was not changed."

    def __init__(
        self,
        reason: str = "",
        raw: bytes = b"",
        *,
        alias: str = "",
        index: str = "",
        conversation_id: str = "",
    ):
        super().__init__(reason, alias=alias, index=index, conversation_id=conversation_id)
        self.raw = raw


class ConversationUndecryptable(ConversationCorrupt):
    """The stored value cannot be decrypted: `key_id` is that of the key, '' if it is not encrypted.

    The key is missing from ENCRYPTION or has changed, or the value was changed or moved.
    """

    sentence = "Conversation {where} cannot be decrypted: {reason}. It was not changed."

    def __init__(
        self,
        reason: str = "",
        raw: bytes = b"",
        key_id: str = "",
        *,
        alias: str = "",
        index: str = "",
        conversation_id: str = "",
    ):
        where = {"alias": alias, "index": index, "conversation_id": conversation_id}
        super().__init__(reason, raw, **where)
        self.key_id = key_id


class Damaged(ConversationCorrupt):
    """A stored text is not a conversation or not a run; the caller knows which one."""


class Undecryptable(Damaged):
    """A stored value cannot be decrypted; the caller knows whose it is."""

    def __init__(self, reason: str = "", raw: bytes = b"", key_id: str = ""):
        super().__init__(reason, raw)
        self.key_id = key_id


class ReplyError(ConversationError):
    """An error about an open run, whose answer is being written."""

    sentence = "A reply in conversation {where} {reason}."


class ReplyCancelled(ReplyError):
    """The reply was cancelled: the worker should stop. What was said before is kept."""


class ReplyLost(ReplyError):
    """The reply is not this worker's: another one has it, or it is not open (any more)."""


class TooManyFollowers(RedisUnavailable):
    """This process follows as many replies as MAX_FOLLOWERS allows."""


class OwnerRequired(ConversationMemoryError, PermissionDenied):
    """The user is not logged in or not saved yet, so there is no owner."""


class PackageMissing(ConversationMemoryError):
    """A required package is not installed."""


class NotAnArchive(ConversationMemoryError):
    """The file is not an archive of conversations, or has a newer format version."""


class ArchiveTooLarge(NotAnArchive):
    """The archive unpacks to more bytes, or holds more conversations, than is allowed."""


class ArchiveDamaged(NotAnArchive):
    """The archive was truncated or changed after it was written."""


_DENIED = "denies this user a command or a key (ACL)"
_PASSWORD = "requires a password"
_REPLICA = "is a read-only replica"
_BUSY_POOL = "has no free connection in this process; raise max_connections"
_MEMORY = "is out of memory and rejects writes; delete conversations or raise maxmemory"
_UNREACHABLE = "cannot be reached"
_WRITTEN = "a write may or may not have been applied"

# Class of redis-py, a pattern in its text, class of ours, and the predicate of our sentence. The
# first match counts: redis-py derives AuthenticationError from ConnectionError, has no class for
# MISCONF or WRONGTYPE, and servers wrap the errors of scripts in words of their own.
_RULES: tuple[tuple[type[Exception], str, type[ConversationMemoryError], str], ...] = (
    (redis.AuthenticationError, "required|HELLO must be", RedisDenied, _PASSWORD),
    (redis.AuthenticationError, "", RedisDenied, "rejects the user name or the password"),
    (redis.NoPermissionError, "", RedisDenied, _DENIED),
    (redis.BusyLoadingError, "", RedisUnavailable, "is starting and loading its data"),
    (redis.MaxConnectionsError, "", RedisUnavailable, _BUSY_POOL),
    (redis.ConnectionError, "No connection available", RedisUnavailable, _BUSY_POOL),
    (redis.InvalidResponse, "", RedisMisconfigured, "does not speak the Redis protocol; "
     "check host and port"),
    (redis.TimeoutError, "Timeout connecting", RedisUnavailable, "did not accept a connection in "
     "time; check host and port, and use TLS for a TLS port only"),
    (redis.TimeoutError, "", RedisUnconfirmed, f"did not answer in time; {_WRITTEN}"),
    (redis.ReadOnlyError, "", RedisReadOnly, _REPLICA),
    (redis.ConnectionError, "previous master is now a slave", RedisReadOnly, _REPLICA),
    (redis.OutOfMemoryError, "", RedisReadOnly, _MEMORY),
    (redis.MasterDownError, "", RedisUnavailable, "is a replica that has lost its master"),
    (redis.ConnectionError, "failover is in progress", RedisUnavailable, "is failing over to "
     "another master"),
    (redis.ConnectionError, "No master found.*Authentication", RedisDenied, "is not known: its "
     "Sentinels reject the credentials; check SENTINEL_OPTIONS"),
    (redis.ConnectionError, "No master found", RedisUnavailable, "has no master known to Sentinel"),
    (redis.MovedError, "", RedisMisconfigured, "is a node of a cluster; give its entry "
     "CLUSTER instead of URL or HOST"),
    (redis.ConnectionError, "slot is being moved", RedisUnavailable, "is moving the index to "
     "another node"),
    (redis.ConnectionError, "CLUSTERDOWN", RedisUnavailable, "belongs to a cluster that is down"),
    (redis.ClusterDownError, "", RedisUnavailable, "belongs to a cluster that is down"),
    (redis.ConnectionError, "max number of clients", RedisUnavailable, "has reached maxclients"),
    (redis.ConnectionError, "CERTIFICATE_VERIFY_FAILED", RedisMisconfigured, "presents a TLS "
     "certificate that is not trusted; name its authority with ssl_ca_certs"),
    (redis.ConnectionError, "connecting to", RedisUnavailable, _UNREACHABLE),
    (redis.ConnectionError, "", RedisUnconfirmed, f"closed the connection; {_WRITTEN} (if it "
     "expects TLS, use rediss://)"),
    (OSError, "", RedisUnavailable, _UNREACHABLE),
    (Exception, "ACL failure|NOPERM|user executing the script", RedisDenied, _DENIED),
    (Exception, "NOAUTH", RedisDenied, _PASSWORD),
    (Exception, "MISCONF", RedisReadOnly, "cannot save to its disk and rejects writes"),
    (Exception, "NOREPLICAS", RedisReadOnly, "has too few replicas and rejects writes"),
    (Exception, "READONLY", RedisReadOnly, _REPLICA),
    (Exception, "OOM", RedisReadOnly, _MEMORY),
    (Exception, "BUSY", RedisUnavailable, "is busy with a script"),
    (Exception, "WRONGTYPE", RedisMisconfigured, "holds a key of another type where this index "
     "should be; an index that was made with SHARDS requires SHARDS"),
    (Exception, "Cluster mode is not enabled|cluster support disabled", RedisMisconfigured,
     "is not a cluster; give its entry a URL instead of CLUSTER"),
    (Exception, "DB index is out of range", RedisMisconfigured, "has no database of that number"),
    (Exception, "nknown (Redis )?command", RedisMisconfigured, "does not know a command: it is too "
     "old, lacks a module, or the command was renamed"),
    (Exception, "invalid bulk length", RedisMisconfigured, "rejects a value that large"),
)  # fmt: skip


def translate(error: Exception, alias: str) -> ConversationMemoryError:
    """An error of redis-py as one of ours, chained to a copy of it that quotes no argument."""
    cause = redact(error)
    text = str(cause)
    kind, sentence = next(
        (rule[2:] for rule in _RULES if isinstance(cause, rule[0]) and re.search(rule[1], text)),
        (RedisMisconfigured, f"answered with an error ({type(cause).__name__})"),
    )
    # The address that redis-py tried and the reason of the failure; it has no credentials.
    tried = text.strip(".")
    address = f" ({tried})" if re.match("Error .*connecting to ", tried) else ""
    ours = kind(f"Redis of alias {alias!r} {sentence}{address}.")
    ours.__cause__ = cause
    return ours


def sensitive(function: F) -> F:
    """Hide the variables of `function` and of all it calls in error reports.

    Django leaves them out. Other error trackers read them from the frames of a traceback, from
    which they are removed. Its lines stay.
    """
    # Django's decorator has no types: without django-stubs, what it decorates would be Any.
    hidden: Any = sensitive_variables()(function)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        handled = sys.exception()
        try:
            return hidden(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            _forget_variables(error, handled)
            raise

    @wraps(function)
    async def acall(*args: Any, **kwargs: Any) -> Any:
        handled = sys.exception()
        try:
            return await hidden(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            _forget_variables(error, handled)
            raise

    return cast(F, acall if iscoroutinefunction(function) else call)


def _forget_variables(error: BaseException, handled: BaseException | None) -> None:
    """Those of the frames below ours: `handled` is what the caller was handling."""
    if error.__traceback__ is not None:
        clear_frames(error.__traceback__.tb_next)
    seen = {error, handled, None}
    while (chained := error.__cause__ or error.__context__) not in seen:
        error = cast(BaseException, chained)
        seen.add(error)
        clear_frames(error.__traceback__)


def is_wrong_type(error: Exception) -> bool:
    """True if a command met a key of another type; `error` may be ours or redis-py's."""
    return "WRONGTYPE" in str(error.__cause__ or error)


def redact(error: Exception) -> Exception:
    """A copy of `error` without the arguments of commands and without a traceback."""
    # The frames of redis-py hold the documents that were being sent, and Django prints the frames
    # of a chained exception in its error report.
    text = re.sub(r"Command # \d+ \(.*\) of pipeline caused error: ", "", str(error), flags=re.S)
    text = re.sub(r",? with args beginning with:.*", "", text, flags=re.S)
    text = re.sub(r"( at offset \d+) near .*", r"\1", text, flags=re.S)  # RediSearch
    copy = type(error).__new__(type(error))
    copy.__dict__.update(vars(error))  # its repr() reads them
    copy.args = (text,)
    return copy


def counted(count: int, noun: str) -> str:
    """`1 run`, `2,000 runs`, for a noun whose plural ends in -s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
