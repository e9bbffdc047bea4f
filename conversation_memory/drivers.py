"""The memory of one conversation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.utils.timezone import is_naive

from .clock import milliseconds
from .conf import IndexSettings, WaitSettings, lifetime_in_ms, wait_settings
from .exceptions import sensitive
from .keys import Id, encode
from .layouts import ConversationRef, Layout, layout
from .messaging import MessagingDriver
from .records import Runs
from .redis_io.connections import Connection, connect, lent
from .redis_io.operations import Operation, twins
from .runs import Run, as_run


class BaseConversationMemoryDriver(ABC):
    """Griptape's contract of a driver: the whole memory, stored and loaded at once."""

    @abstractmethod
    def store(self, runs: list[Run], metadata: dict[str, Any]) -> Any:
        """Overwrite the conversation."""

    @abstractmethod
    def load(self) -> tuple[list[Run], dict[str, Any]]:
        """The runs, oldest first, and the metadata; empty if nothing was stored yet."""


class RedisConversationMemoryDriver(MessagingDriver, BaseConversationMemoryDriver):
    """One conversation in a Redis hash, as Griptape's driver of this name keeps it.

    The arguments are those of the original: `host`, `port`, `db`, `username` and `password` of the
    server, `index` the key of the hash, `conversation_id` its field (a fresh uuid4 in hex by
    default), `client` a redis-py client to use. A Django project calls
    `indexes["alias"].driver(conversation_id)` instead, which takes the address from settings.

    A driver with an `owner` sees and changes only conversations of that owner, to whom those that
    it creates belong; a write to any other raises `ConversationNotFound`. A driver without an
    owner has full access.

    `ttl`, in seconds or a timedelta, is how long the conversation is kept after its last write; it
    stays with the conversation. `wait`, such as `{"replicas": 1, "timeout": 500}` (ms), lets each
    write wait for replicas, and raise `RedisNotReplicated` if they are late.

    Opening a driver costs no round trip. Every method raises the errors of
    `conversation_memory.exceptions`, and has an async twin with an `a` before its name.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        index: str,
        db: int = 0,
        username: str | None = "default",
        password: str | None = None,
        conversation_id: Id | None = None,
        client: Any = None,
        owner: Id | None = None,
        ttl: float | timedelta | None = None,
        wait: Mapping[str, int] | None = None,
    ):
        settings = IndexSettings(
            alias=f"{host}:{port}/{db}",
            index=index,
            host=host,
            port=port,
            db=db,
            # Before Redis 6, and on managed servers without users, AUTH takes a password alone.
            username=None if username == "default" else username,
            password=password,
        )
        connection = connect(settings) if client is None else lent(client, settings)
        self._open(connection, layout(settings), new_ref(conversation_id, owner, ttl))
        self.username = username
        self._wait = None if wait is None else wait_settings(wait, {})

    @classmethod
    def of(
        cls,
        connection: Connection,
        layout: Layout,
        ref: ConversationRef,
        *,
        wait: WaitSettings | None = None,
        on_replica: bool = False,
    ) -> RedisConversationMemoryDriver:
        """The driver of a conversation in an index that is open already."""
        driver = cls.__new__(cls)
        driver._open(connection, layout, ref)
        driver._wait, driver._reads_from_replica = wait, on_replica
        return driver

    def _open(self, connection: Connection, layout: Layout, ref: ConversationRef) -> None:
        settings = connection.settings
        self.host, self.port, self.db = settings.host, settings.port, settings.db
        self.username = settings.username
        self._connection, self._layout = connection, layout
        self._seen = ref

    # Not twins(): pyright takes the type of a plain attribute from the base class.
    @sensitive
    def store(
        self,
        runs: Sequence[Run | dict[str, Any]],
        metadata: Mapping[str, Any] | None = None,
        *,
        revision: str | None = None,
    ) -> str:
        """Overwrite the conversation with `runs`, oldest first, and `metadata`.

        With the `revision` of a `read()`, raises `ConversationConflict` if anyone wrote since,
        including a stock Griptape driver. Returns the new revision.
        """
        stored = self._layout.store(self._ref, _runs(runs), metadata or {}, revision)
        return self._run(stored, "store")

    @sensitive
    async def astore(
        self,
        runs: Sequence[Run | dict[str, Any]],
        metadata: Mapping[str, Any] | None = None,
        *,
        revision: str | None = None,
    ) -> str:
        """See store()."""
        stored = self._layout.store(self._ref, _runs(runs), metadata or {}, revision)
        return await self._arun(stored, "store")

    def _append(self, *runs: Run | dict[str, Any]) -> Operation[int]:
        """Append `runs`; other writers may append at the same time.

        A run whose id is stored already is not added again, so that an unconfirmed append may be
        repeated. Returns the number of runs added.
        """
        return self._layout.append(self._ref, _runs(runs))

    append, aappend = twins(_append)

    def _edit(self, run: Run | dict[str, Any]) -> Operation[None]:
        """Replace the run of the same id. Raises `RunNotFound` if it does not exist."""
        return self._layout.edit(self._ref, as_run(run))

    edit, aedit = twins(_edit)

    def _change(self, run_id: str, changed: Callable[[Run], Run]) -> Operation[None]:
        """Replace a run by `changed(run)`, which is called again if another writer was faster.

        Raises `RunNotFound` if it does not exist.
        """

        def renewed(stored: Run) -> Run:
            run = changed(stored)
            if run.id != run_id:
                raise ValueError("The id of a run cannot be changed.")
            return run

        return self._layout.resume(self._ref, run_id, renewed, ())

    change, achange = twins(_change)

    def _annotate(
        self, run_id: str, changes: Mapping[str, Any], *, remove: Sequence[str] = ()
    ) -> Operation[dict[str, Any]]:
        """Merge `changes` into the meta of a run and `remove` keys, as for a user's feedback.

        Returns the meta as stored. Raises `RunNotFound` if the run does not exist.
        """
        return self._layout.annotate(self._ref, run_id, changes, remove)

    annotate, aannotate = twins(_annotate)

    def _remove(self, run_id: str) -> Operation[None]:
        """Remove the run of that id. Raises `RunNotFound` if it does not exist."""
        return self._layout.remove(self._ref, run_id)

    remove, aremove = twins(_remove)

    def _truncate(self, *, after: str) -> Operation[None]:
        """Remove every run after the one of that id, for example to regenerate from there.

        Raises `RunNotFound` if it does not exist.
        """
        return self._layout.truncate(self._ref, after)

    truncate, atruncate = twins(_truncate)

    def _fork(
        self, new_id: Id | None = None, *, until: str | None = None
    ) -> Operation[RedisConversationMemoryDriver]:
        """Copy the conversation, up to and including the run `until`, to a new id.

        Returns the driver of the copy, which has the owner of this driver. Raises
        `ConversationConflict` if the id is taken, or `ConversationNotFound` if it is taken by a
        conversation of another owner.
        """
        fork = copy(self)
        fork._seen = self._seen.at(_id(new_id))
        yield from self._layout.fork(self._ref, fork._ref, until)
        return fork

    fork, afork = twins(_fork)

    def _rename(self, new_id: Id) -> Operation[None]:
        """Give the conversation another id, which this driver then has too.

        Raises the errors of `fork()` if the id is taken. Another driver that is open for the old id
        starts a new conversation with its next append.
        """
        yield from self._layout.rename(self._ref, encode(new_id))
        self._seen = self._seen.at(encode(new_id))

    rename, arename = twins(_rename)

    def _move_to(self, owner: Id | None) -> Operation[None]:
        """Give the conversation to another owner, or to nobody (None).

        A driver that was opened with an owner no longer sees it.
        """
        return self._layout.move_to(self._ref, _owner(owner))

    move_to, amove_to = twins(_move_to)

    def _expire(self, ttl: float | timedelta | datetime) -> Operation[None]:
        """Expire the conversation `ttl` (seconds or a timedelta) after its last write.

        With an aware datetime it expires at that time, to the millisecond, and each later write
        extends it by the period that is left now.
        """
        if isinstance(ttl, datetime):
            if is_naive(ttl):
                raise ValueError("The time at which a conversation expires requires a time zone.")
            return self._layout.set_lifetime(self._ref, milliseconds(ttl))
        return self._layout.set_lifetime(replace(self._ref, lifetime=lifetime_in_ms(ttl)))

    expire, aexpire = twins(_expire)

    def _persist(self) -> Operation[None]:
        """Keep the conversation forever, regardless of the TTL of its index."""
        return self._layout.set_lifetime(replace(self._ref, lifetime=0))

    persist, apersist = twins(_persist)

    def _update_metadata(
        self, changes: Mapping[str, Any], *, remove: Sequence[str] = ()
    ) -> Operation[dict[str, Any]]:
        """Merge `changes` into the metadata and `remove` keys. Returns the metadata as stored."""
        return self._layout.update_metadata(self._ref, changes, remove)

    update_metadata, aupdate_metadata = twins(_update_metadata)

    def _set_title(self, title: str) -> Operation[None]:
        """Set the title, at most 1,000 characters.

        Raises `ConversationNotFound` if the conversation does not exist.
        """
        return self._layout.set_title(self._ref, title)

    set_title, aset_title = twins(_set_title)

    def _delete(self) -> Operation[bool]:
        """Delete the conversation and all its data. Returns False if it does not exist."""
        return self._layout.delete(self._ref)

    delete, adelete = twins(_delete)

    def to_dict(self) -> dict[str, Any]:
        """The fields that Griptape's driver marks as serialisable; none of them is secret."""
        address = {"host": self.host, "port": self.port, "db": self.db, "index": self.index}
        return {"type": type(self).__name__, **address}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RedisConversationMemoryDriver:
        """A driver of a new conversation from the fields of `to_dict()`."""
        return cls(**{key: data[key] for key in ("host", "port", "db", "index") if key in data})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.conversation_id!r} of {self._layout.alias!r}>"


def new_ref(
    conversation_id: Id | None, owner: Id | None, ttl: float | timedelta | None
) -> ConversationRef:
    """A conversation, by default a new one, as a driver with these arguments sees it."""
    lifetime = None if ttl is None else lifetime_in_ms(ttl)
    return ConversationRef(_id(conversation_id), _owner(owner), owner is not None, lifetime)


def _id(conversation_id: Id | None) -> bytes:
    return encode(uuid4().hex if conversation_id is None else conversation_id)


def _runs(runs: Any) -> Runs:
    # A list that load() returned also has the unknown members of its document.
    return Runs([as_run(run) for run in runs], getattr(runs, "members", None))


def _owner(owner: Id | None) -> bytes | None:
    if owner in ("", b""):
        raise ValueError("An owner must not be empty; pass None for no owner.")
    return None if owner is None else encode(owner)
