"""A checkpointer of LangGraph whose threads are conversations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from random import getrandbits
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    empty_checkpoint,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from ...drivers import new_ref
from ...indexes import ConversationIndex
from ...keys import Id, encode
from ...layouts import ConversationRef
from ...layouts.refs import owner_of
from ...redis_io.operations import Operation, T, twins
from .checkpoints import (
    ChannelValue,
    CheckpointName,
    Checkpoints,
    KeptCheckpoint,
    Typed,
    names_of,
)
from .codec import CheckpointCodec
from .configs import OWNER, naming, where, without_owner
from .history import History, Threads, Wanted, matching, superseded
from .projection import Projection, ShownThread, as_messages, thread_turns

# Messages, and their digests if they are known.
Said = tuple[Sequence[BaseMessage], Sequence[bytes] | None]


class ConversationSaver(BaseCheckpointSaver[str]):
    """Keeps the checkpoints of a thread next to the conversation of that id.

    `index` is what `indexes["alias"]` gives. With `owner`, the saver sees and changes only threads
    of that owner; without, a config may name the owner, as `{"configurable": {"thread_id": …,
    "owner": …}}`. A saver without either has full access. `ttl` is that of a driver.

    The channel `messages` of the newest checkpoint is shown as the runs of the conversation; None
    shows nothing. `serde` is a serializer of LangGraph. Errors of Redis are those of
    `conversation_memory.exceptions`.
    """

    def __init__(
        self,
        index: ConversationIndex,
        *,
        owner: Id | None = None,
        ttl: float | timedelta | None = None,
        messages: str | None = "messages",
        serde: SerializerProtocol | None = None,
    ):
        super().__init__(serde=serde)
        self.index = index
        self.messages = messages
        self._ref = new_ref(b"", owner, ttl)

    def _get_tuple(self, config: RunnableConfig) -> Operation[CheckpointTuple | None]:
        """The checkpoint that a config names, by default the newest; None if there is none."""
        thread, name = self._thread(config), where(config)
        reading = thread.layout.reading(thread.ref, thread.get(name))
        kept = yield from self._guarded(thread, reading)
        return None if kept is None else self._tuple(config, thread, kept)

    get_tuple, aget_tuple = twins(_get_tuple)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints of a thread, newest first; without a config, of all threads.

        `filter` compares values of their metadata.
        """
        history = self._history(config, filter, before, limit)
        while page := self._run(history.next(), "list"):
            yield from (self._tuple(config, *pair) for pair in page)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """See list()."""
        history = self._history(config, filter, before, limit)
        while page := await self._arun(history.next(), "list"):
            for pair in page:
                yield self._tuple(config, *pair)

    def _history(
        self,
        config: RunnableConfig | None,
        filter: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> History:
        conf = (config or {}).get("configurable", {})
        namespace = conf.get("checkpoint_ns")
        wanted = Wanted(
            None if namespace is None else encode(namespace),
            encode(conf.get("checkpoint_id") or ""),
            encode(before["configurable"].get("checkpoint_id") or "") if before else b"",
            self._matches(filter) if filter else None,
        )
        return History(self._threads(config), wanted, limit)

    def _matches(self, filter: Mapping[str, Any]) -> Callable[[Typed], bool]:
        def matches(metadata: Typed) -> bool:
            found = self._codec.metadata(metadata)
            return all(found.get(name) == value for name, value in filter.items())

        return matches

    def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> Operation[RunnableConfig]:
        """Keep a checkpoint, and show its messages if it is the newest of its thread."""
        thread, values = self._thread(config), checkpoint["channel_values"]
        noted = get_checkpoint_metadata(without_owner(config), metadata)
        kept = self._codec.kept(where(config), checkpoint, noted)
        versions = {name: str(one) for name, one in checkpoint["channel_versions"].items()}
        named = [(name, str(version)) for name, version in new_versions.items() if name in values]
        new = [self._codec.value(*pair, values[pair[0]]) for pair in named]
        shown = None if kept.name.namespace else as_messages(values.get(self.messages or ""))
        version = encode(versions.get(self.messages or "", "")) if shown is not None else b""
        run = encode(noted.get("run_id") or "")
        encoded = {encode(name): encode(one) for name, one in versions.items()}
        putting = thread.put(kept, encoded, new, run, version)
        found = yield from self._guarded(thread, putting)
        if found != b"same":
            said = shown or [], _digests(new, self.messages)
            showing = self._show(thread, kept.name.id, said, version, found)
            yield from self._guarded(thread, showing)
        return naming(config, thread.ref, kept.name)

    put, aput = twins(_put)

    def _show(
        self,
        thread: Checkpoints,
        id: bytes,
        said: Said,
        version: bytes,
        found: bytes,
    ) -> Operation[None]:
        """Bring the conversation in step with the thread; `found` is that of checkpoint.lua."""
        anew = found.startswith(b"lost")
        try:
            before = ShownThread.read(thread.opened(found[4:]))
        except (TypeError, ValueError):
            before, anew = ShownThread(), True
        before = before.salted(thread.layout.sealing, thread.ref.id)
        turns = thread_turns(*said, before.salt)
        projection = Projection(thread.layout, thread.ref, before)
        shown = yield from projection.show(turns, anew=anew)
        yield from thread.shown(id, shown.text, version)

    def _put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> Operation[None]:
        """Keep what a task has written, which follows the checkpoint of the config."""
        thread = self._thread(config)
        pending = self._codec.pending(writes, encode(task_id), encode(task_path))
        yield from self._guarded(thread, thread.put_writes(where(config), pending))

    put_writes, aput_writes = twins(_put_writes)

    def _delete_thread(self, thread_id: str) -> Operation[None]:
        """Delete the conversation with all its checkpoints."""
        thread = self._of(encode(thread_id))
        yield from thread.layout.delete(thread.ref.for_a_call())

    delete_thread, adelete_thread = twins(_delete_thread)

    def _copy_thread(self, source_thread_id: str, target_thread_id: str) -> Operation[None]:
        """Copy a conversation with its checkpoints; the copy has the same owner.

        Raises the errors of the `fork()` of a driver.
        """
        thread = self._of(encode(source_thread_id))
        layout = thread.layout
        record = yield from layout.record(thread.ref)
        if record is None:
            raise layout.not_found(thread.ref)
        runs, metadata = yield from self._guarded(thread, layout.until(thread.ref, None))
        target = self._at(thread.ref.at(encode(target_thread_id)).owned_by(owner_of(record)))
        stored = target.layout.store(target.ref.for_a_call(), runs, metadata, "0-absent")
        yield from self._guarded(target, stored)
        yield from self._guarded(thread, thread.copy_to(target))

    copy_thread, acopy_thread = twins(_copy_thread)

    def _prune(
        self, thread_ids: Sequence[str], *, strategy: str = "keep_latest"
    ) -> Operation[None]:
        """Delete all checkpoints but the newest of each namespace, or with "delete" all of them.

        The conversations stay as they are.
        """
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(
                f"{strategy!r:.50} is not a strategy. Choose 'keep_latest' or 'delete'."
            )
        for thread in map(self._of, map(encode, thread_ids)):
            keeps = strategy == "keep_latest"
            chosen = superseded(thread, self._deltas) if keeps else thread.names()
            if names := (yield from self._guarded(thread, chosen)):
                yield from self._guarded(thread, thread.remove(names))

    prune, aprune = twins(_prune)

    def _deltas(self, metadata: Typed) -> Sequence[str]:
        return [*(self._codec.metadata(metadata).get("counters_since_delta_snapshot") or ())]

    def _delete_for_runs(self, run_ids: Sequence[str]) -> Operation[None]:
        """Delete the checkpoints of some runs of the graph, in all threads.

        A conversation then shows the newest checkpoint that is left. Looks at every thread.
        """
        runs, threads = [*map(encode, run_ids)], self._threads(None)
        while runs and threads.are_left:
            batch = yield from threads.next()
            found = yield from names_of(batch, runs)
            for thread, names in zip(batch, found, strict=True):
                if names:
                    yield from self._guarded(thread, self._delete_from(thread, names, runs))

    delete_for_runs, adelete_for_runs = twins(_delete_for_runs)

    def _delete_from(
        self, thread: Checkpoints, names: Sequence[CheckpointName], runs: Sequence[bytes]
    ) -> Operation[None]:
        def is_of_these(metadata: Typed) -> bool:
            return encode(self._codec.metadata(metadata).get("run_id") or "") in runs

        doomed = yield from matching(thread, names, is_of_these)
        shown = yield from thread.what_is_shown()
        yield from thread.remove(doomed, runs)
        newest = yield from thread.get(CheckpointName(b""))
        left = self._codec.checkpoint(newest) if newest else empty_checkpoint()
        version = left["channel_versions"].get(self.messages or "", "")
        value = left["channel_values"].get(self.messages or "") if version else []
        messages = as_messages(value)
        if shown and messages is not None:
            said = messages, None
            yield from self._show(thread, b"", said, encode(str(version)), b"next" + shown)

    def get_next_version(self, current: str | None, channel: None) -> str:
        """The next version of a channel; two branches of a thread never make the same."""
        number = int(str(current).partition(".")[0]) if current is not None else 0
        return f"{number + 1:016}.{getrandbits(48):012x}"

    def _tuple(
        self, config: RunnableConfig | None, thread: Checkpoints, kept: KeptCheckpoint
    ) -> CheckpointTuple:
        parent, codec = CheckpointName(kept.name.namespace, kept.parent), self._codec
        return CheckpointTuple(
            naming(config, thread.ref, kept.name),
            codec.checkpoint(kept),
            codec.metadata(kept.metadata),
            naming(config, thread.ref, parent) if kept.parent else None,
            codec.writes(kept),
        )

    @property
    def _codec(self) -> CheckpointCodec:
        return CheckpointCodec(self.serde)

    def _of(self, id: bytes) -> Checkpoints:
        return self._at(self._ref.at(id))

    def _at(self, ref: ConversationRef) -> Checkpoints:
        return Checkpoints(self.index.shard_of(ref.id)._layout, ref)

    def _thread(self, config: RunnableConfig) -> Checkpoints:
        conf = config["configurable"]
        id = conf.get("thread_id")
        if id is None:  # all that forgot it would share one
            raise ValueError("A config needs a `thread_id`: the id of the conversation.")
        ref = self._owned(conf.get(OWNER)).at(encode(id))
        return self._at(ref)

    def _threads(self, config: RunnableConfig | None) -> Threads:
        if config is None:
            return Threads(self.index._listing, self._ref, self._at)
        thread = self._thread(config)
        return Threads(self.index._listing, thread.ref, self._at, [thread.ref.id])

    def _owned(self, owner: Id | None) -> ConversationRef:
        """The caller that a config names. Raises ValueError if it is another owner's."""
        if owner is None:
            return self._ref
        ref = new_ref(b"", owner, None)
        if self._ref.scoped and self._ref.owner != ref.owner:
            raise ValueError("The config names another owner than that of this saver.")
        return replace(ref, lifetime=self._ref.lifetime)

    def _guarded(self, thread: Checkpoints, operation: Operation[T]) -> Operation[T]:
        return thread.layout.guarded(thread.ref, operation)

    def _run(self, operation: Operation[T], name: str = "other") -> T:
        return self.index._run(operation, name)

    async def _arun(self, operation: Operation[T], name: str = "other") -> T:
        return await self.index._arun(operation, name)


def _digests(values: Sequence[ChannelValue], channel: str | None) -> list[bytes] | None:
    """Those of the messages of a channel, if it has a new value."""
    found = [one.messages for one in values if one.channel == encode(channel or "")]
    return [digest for digest, _ in found[0]] if found and found[0] else None
