"""The checkpoints of one conversation, as operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...encryption.sealing import refuse
from ...exceptions import ConversationConflict, ConversationCorrupt
from ...layouts import ConversationRef, Layout
from ...layouts.stored import Refusal
from ...redis_io.operations import Command, Operation, single
from ...redis_io.scripts import Script
from .packing import pack, part, split, unpack

CHECKPOINT = Script("checkpoint")
PENDING = Script("pending")
SHOWN = Script("shown")
CHECKPOINT_OF = Script("checkpoint_of")
CHECKPOINT_NAMES = Script("checkpoint_names")
UNCHECKPOINT = Script("uncheckpoint")
COPY_CHECKPOINTS = Script("copy_checkpoints")

_ATTEMPTS = 100

# A value as a serializer of LangGraph gives it: its type, and its bytes.
Typed = tuple[str, bytes]


class CheckpointName(NamedTuple):
    """Which of the checkpoints of a conversation; without an id, the newest of the namespace."""

    namespace: bytes
    id: bytes = b""


@dataclass(frozen=True, slots=True)
class ChannelValue:
    """A value of a channel in one version: whole, or the messages of a list with their digests."""

    channel: bytes
    version: bytes
    value: Typed | None
    messages: Sequence[tuple[bytes, Typed]] = ()

    def args(self, namespace: bytes) -> list[Any]:
        field = b"b" + _value_name(namespace, self.channel, self.version)
        if self.value is not None:
            return [field, _typed(self.value)]
        pairs = [one for digest, value in self.messages for one in (digest, _typed(value))]
        return [field, b"", len(self.messages), *pairs]


@dataclass(frozen=True, slots=True)
class PendingWrite:
    """What a task has written to a channel; with `replaces`, over an earlier one of that number."""

    task: bytes
    number: int
    channel: bytes
    value: Typed
    path: bytes
    replaces: bool

    @property
    def args(self) -> list[Any]:
        text = pack([self.channel, self.path]) + _typed(self.value)
        return [part(self.task) + b"%d" % self.number, text, int(self.replaces)]

    @classmethod
    def read(cls, name: bytes, text: bytes) -> PendingWrite:
        task, number = split(name)
        channel, rest = split(text)
        path, value = split(rest)
        return cls(task, int(number), channel, _read_typed(value), path, False)


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A checkpoint as it is kept. The values are by channel; that of a list has its messages."""

    name: CheckpointName
    parent: bytes
    checkpoint: Typed
    metadata: Typed
    values: dict[bytes, Typed | list[Typed]]
    writes: Sequence[PendingWrite] = ()

    @classmethod
    def read(cls, namespace: bytes, reply: Sequence[Any]) -> KeptCheckpoint:
        """From the reply of checkpoint_of.lua. Raises ValueError."""
        id, text, names, writes, values, messages = reply
        parent, checkpoint, metadata, fields = unpack(text)
        found: dict[bytes, Typed | list[Typed]] = {}
        for field, value, parts in zip(unpack(fields), values, messages, strict=True):
            if value is not None:
                _, rest = split(field)
                found[split(rest)[0]] = _read_value(value, parts)
        pending = [*map(PendingWrite.read, names, writes)]
        name = CheckpointName(namespace, id)
        whole = (_read_typed(checkpoint), _read_typed(metadata))
        return cls(name, parent, *whole, found, pending)

    def text(self, versions: dict[bytes, bytes]) -> bytes:
        """All but values and writes; `versions` are those of the channels."""
        names = [_value_name(self.name.namespace, *pair) for pair in versions.items()]
        known = [_typed(self.checkpoint), _typed(self.metadata)]
        return pack([self.parent, *known, pack(names)])


class Checkpoints:
    """The checkpoints of one conversation, as one caller sees it."""

    def __init__(self, layout: Layout, ref: ConversationRef):
        refuse(layout.sealing, layout.alias, "checkpoints of LangGraph")
        self.layout = layout
        self.ref = ref
        self._key = layout.keys.checkpoints(ref.id)

    def put(
        self,
        kept: KeptCheckpoint,
        versions: dict[bytes, bytes],
        values: Sequence[ChannelValue],
        run: bytes,
        shows: bytes,
    ) -> Operation[bytes]:
        """Keep a checkpoint and new values. Returns what checkpoint.lua says about `shows`."""
        namespace = kept.name.namespace
        args = [part(namespace), kept.name.id, kept.text(versions), _run(run), shows]
        args += [one for value in values for one in value.args(namespace)]
        self._check_size(args)
        found: bytes = yield from self._create_and(CHECKPOINT, args)
        return found

    def put_writes(self, name: CheckpointName, writes: Sequence[PendingWrite]) -> Operation[None]:
        args = [part(name.namespace), name.id, *(one for write in writes for one in write.args)]
        self._check_size(args)
        yield from self._create_and(PENDING, args)

    def _check_size(self, args: Sequence[Any]) -> None:
        size = sum(len(one) for one in args if isinstance(one, bytes))
        self.layout._check_size(self.ref, size)

    def _create_and(self, script: Script, args: Sequence[Any]) -> Operation[Any]:
        """Run a script, on a new conversation if there is none."""

        def attempt(ref: ConversationRef, digested: bool) -> Operation[Any]:
            wanted = self.layout._lifetimes(ref)
            return (yield self.layout._command(script, ref, [*wanted, *args]))

        for _ in range(_ATTEMPTS):
            found = yield from self._settled(attempt)
            if found != b"absent":
                return found
            try:
                yield from self.layout.store(self.ref.for_a_call(), (), {}, "0-absent")
            except ConversationConflict:  # another caller was faster
                continue
        raise self.layout._conflict(self.ref, "kept changing")

    def _settled(self, attempt: Any) -> Operation[Any]:
        return self.layout._settled(self.ref.for_a_call(), attempt)

    def _on_conversation(
        self, script: Script, args: Sequence[Any], keys: Sequence[bytes] = ()
    ) -> Operation[Any]:
        def attempt(ref: ConversationRef, digested: bool) -> Operation[int | Refusal]:
            return (yield self.layout._command(script, ref, args, keys))  # type: ignore[no-any-return]

        return (yield from self._settled(attempt))

    def shown(self, id: bytes, what: bytes, version: bytes) -> Operation[None]:
        """Note what the conversation shows now, which is of the checkpoint `id`."""
        yield from self._on_conversation(SHOWN, [id, what, version])

    def get(self, name: CheckpointName) -> Operation[KeptCheckpoint | None]:
        [found] = yield from self.get_all([name])
        return found

    def get_all(self, names: Sequence[CheckpointName]) -> Operation[list[KeptCheckpoint | None]]:
        """Those of these names, in one round trip."""
        calls = [self._reading(CHECKPOINT_OF, part(name.namespace), name.id) for name in names]
        replies = (yield calls) if calls else []
        return [*map(self._read, names, replies)]

    def _read(self, name: CheckpointName, reply: Any) -> KeptCheckpoint | None:
        if reply is None:
            return None
        try:
            return KeptCheckpoint.read(name.namespace, reply)
        except (AttributeError, TypeError, ValueError):
            raise self.damage(reply[0]) from None

    def damage(self, id: bytes) -> ConversationCorrupt:
        what = f"its checkpoint {id.decode('utf-8', 'replace')!r} cannot be read"
        return self.layout.corrupt(self.ref, b"", what)

    def _reading(self, script: Script, *args: Any) -> Command[Any]:
        ref = self.ref
        keys = [self.layout.keys.content(ref.id), self.layout.keys.record(ref.id), self._key]
        own = [ref.id, int(ref.scoped), ref.owner or b""]
        return Command((script.call(keys, [*own, *args]),))

    def names(self) -> Operation[list[CheckpointName]]:
        """All of them, newest first."""
        [found] = yield from names_of([self])
        return found

    def metadata(self, names: Sequence[CheckpointName]) -> Operation[list[Typed | None]]:
        """That of some which names() has listed; None for one that was deleted since."""
        fields = [b"c" + part(name.namespace) + name.id for name in names]
        texts = (yield single("HMGET", self._key, *fields)) if fields else []
        found = []
        for name, text in zip(names, texts, strict=True):
            try:
                found.append(None if text is None else _read_typed(unpack(text)[2]))
            except (IndexError, ValueError):
                raise self.damage(name.id) from None
        return found

    def what_is_shown(self) -> Operation[bytes]:
        """What shown() noted last."""
        return (yield single("HGET", self._key, "shown")) or b""

    def remove(
        self, names: Sequence[CheckpointName], runs: Sequence[bytes] = ()
    ) -> Operation[None]:
        """Delete some, and what no other needs; `runs` of the graph have none any more."""
        pairs = [one for name in names for one in (part(name.namespace), name.id)]
        yield from self._on_conversation(UNCHECKPOINT, [pack(map(_run, runs)), *pairs])

    def copy_to(self, target: ConversationRef) -> Operation[None]:
        """Copy all to a conversation that was forked from this one."""
        other = Checkpoints(self.layout, target)
        # A conversation that shows the same may be another thread.
        if (yield from other._on_conversation(COPY_CHECKPOINTS, [], [self._key])) == -1:
            raise self.layout._conflict(target, "has checkpoints already")


def names_of(
    threads: Sequence[Checkpoints], runs: Sequence[bytes] = ()
) -> Operation[list[list[CheckpointName]]]:
    """The names of each, newest first; with `runs` of a graph, none if it has none of those."""
    calls = [thread._reading(CHECKPOINT_NAMES, *map(_run, runs)) for thread in threads]
    replies = (yield calls) if calls else []
    found = [[CheckpointName(*split(field[1:])) for field in fields] for fields in replies]
    return [sorted(names, key=lambda one: (one.id, one.namespace), reverse=True) for names in found]


def _value_name(namespace: bytes, channel: bytes, version: bytes) -> bytes:
    return part(namespace) + part(channel) + version


def _run(run: bytes) -> bytes:
    return b"r" + run if run else b""


def _typed(value: Typed) -> bytes:
    return part(value[0].encode()) + value[1]


def _read_typed(text: bytes) -> Typed:
    type, value = split(text)
    return type.decode(), value


def _read_value(text: bytes, messages: Sequence[bytes] | None) -> Typed | list[Typed]:
    return _read_typed(text) if messages is None else [*map(_read_typed, messages)]
