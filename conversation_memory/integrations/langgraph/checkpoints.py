"""The checkpoints of one conversation, as operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...encryption.checkpoint_fields import SHOWN as SHOWN_FIELD
from ...encryption.checkpoint_fields import CheckpointFields
from ...exceptions import ConversationConflict, ConversationCorrupt, Damaged
from ...layouts import ConversationRef, Layout
from ...layouts.resealing import as_dict, checkpoints_anew
from ...layouts.stored import Refusal
from ...packing import pack, part, split, unpack
from ...redis_io.operations import Command, Operation, single
from ...redis_io.scripts import Script

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

    @property
    def field(self) -> bytes:
        return b"c" + part(self.namespace) + self.id

    @property
    def writes(self) -> bytes:
        """How the fields of its writes begin."""
        return b"w" + part(self.namespace) + part(self.id)


@dataclass(frozen=True, slots=True)
class ChannelValue:
    """A value of a channel in one version: whole, or the messages of a list with their digests."""

    channel: bytes
    version: bytes
    value: Typed | None
    messages: Sequence[tuple[bytes, Typed]] = ()

    def args(self, namespace: bytes, fields: CheckpointFields) -> list[Any]:
        field = b"b" + _value_name(namespace, self.channel, self.version)
        if self.value is not None:
            return [field, fields.seal(field, _typed(self.value))]
        pairs: list[bytes] = []
        for digest, value in self.messages:
            pairs += fields.told(digest), fields.seal_message(_typed(value))
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

    def args(self, of: CheckpointName, fields: CheckpointFields) -> list[Any]:
        text = pack([self.channel, self.path]) + _typed(self.value)
        name = part(self.task) + b"%d" % self.number
        return [name, fields.seal(of.writes + name, text), int(self.replaces)]

    @classmethod
    def read(
        cls, of: CheckpointName, name: bytes, text: bytes, fields: CheckpointFields
    ) -> PendingWrite:
        task, number = split(name)
        channel, rest = split(fields.open(of.writes + name, text))
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
    def read(
        cls, namespace: bytes, reply: Sequence[Any], fields: CheckpointFields
    ) -> KeptCheckpoint:
        """From the reply of checkpoint_of.lua. Raises ValueError or `Damaged`."""
        id, text, names, writes, values, messages = reply
        name = CheckpointName(namespace, id)
        parent, checkpoint, metadata, channels = fields.open_checkpoint(name.field, text)
        found: dict[bytes, Typed | list[Typed]] = {}
        for channel, value, parts in zip(unpack(channels), values, messages, strict=True):
            if value is not None:
                _, rest = split(channel)
                found[split(rest)[0]] = _read_value(b"b" + channel, value, parts, fields)
        pairs = zip(names, writes, strict=True)
        pending = [PendingWrite.read(name, *pair, fields) for pair in pairs]
        whole = (_read_typed(checkpoint), _read_typed(metadata))
        return cls(name, parent, *whole, found, pending)

    def text(self, versions: dict[bytes, bytes], fields: CheckpointFields) -> bytes:
        """All but values and writes; `versions` are those of the channels."""
        names = [_value_name(self.name.namespace, *pair) for pair in versions.items()]
        known = [_typed(self.checkpoint), _typed(self.metadata)]
        return fields.seal_checkpoint(self.name.field, [self.parent, *known, pack(names)])


class Checkpoints:
    """The checkpoints of one conversation, as one caller sees it."""

    def __init__(self, layout: Layout, ref: ConversationRef):
        self.layout = layout
        self.ref = ref
        self._key = layout.keys.checkpoints(ref.id)
        self._fields = CheckpointFields(layout.sealing, ref.id)

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
        text = kept.text(versions, self._fields)
        args = [part(namespace), kept.name.id, text, _run(run), shows]
        args += [one for value in values for one in value.args(namespace, self._fields)]
        self._check_size(args)
        found: bytes = yield from self._create_and(CHECKPOINT, args)
        return found

    def put_writes(self, name: CheckpointName, writes: Sequence[PendingWrite]) -> Operation[None]:
        args = [part(name.namespace), name.id]
        args += [one for write in writes for one in write.args(name, self._fields)]
        self._check_size(args)
        yield from self._create_and(PENDING, args)

    def _check_size(self, args: Sequence[Any]) -> None:
        size = sum(len(one) for one in args if isinstance(one, bytes))
        self.layout._check_size(self.ref, size)

    def _create_and(self, script: Script, args: Sequence[Any]) -> Operation[Any]:
        """Run a script, on a new conversation if there is none."""

        def attempt(ref: ConversationRef, digested: bool) -> Operation[Any]:
            wanted = self.layout._lifetimes(ref)
            return (yield self.layout._command(script, ref, [*wanted, self.layout.form, *args]))

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
        sealed = self._fields.seal(SHOWN_FIELD, what)
        yield from self._on_conversation(SHOWN, [id, sealed, version])

    def opened(self, shown: bytes) -> bytes:
        """What shown() noted, as a script returned it. Raises `ConversationUndecryptable`."""
        try:
            return self._fields.open(SHOWN_FIELD, shown)
        except Damaged as damage:
            raise self.layout.damaged(self.ref, damage) from None

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
            return KeptCheckpoint.read(name.namespace, reply, self._fields)
        except Damaged as damage:
            raise self.layout.damaged(self.ref, damage) from None
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
        fields = [name.field for name in names]
        texts = (yield single("HMGET", self._key, *fields)) if fields else []
        found = []
        for name, text in zip(names, texts, strict=True):
            try:
                found.append(None if text is None else self._metadata(name, text))
            except Damaged as damage:
                raise self.layout.damaged(self.ref, damage) from None
            except ValueError:
                raise self.damage(name.id) from None
        return found

    def _metadata(self, name: CheckpointName, text: bytes) -> Typed:
        _, _, metadata, _ = self._fields.open_checkpoint(name.field, text)
        return _read_typed(metadata)

    def what_is_shown(self) -> Operation[bytes]:
        """What shown() noted last, see opened()."""
        return (yield single("HGET", self._key, SHOWN_FIELD)) or b""

    def remove(
        self, names: Sequence[CheckpointName], runs: Sequence[bytes] = ()
    ) -> Operation[None]:
        """Delete some, and what no other needs; `runs` of the graph have none any more."""
        pairs = [one for name in names for one in (part(name.namespace), name.id)]
        yield from self._on_conversation(UNCHECKPOINT, [pack(map(_run, runs)), *pairs])

    def copy_to(self, target: Checkpoints) -> Operation[None]:
        """Copy all to a conversation that was forked from this one."""
        copied = self._copied if target.layout is self.layout else self._copied_elsewhere
        found: int = yield from copied(target)
        if found == -1:  # a conversation that shows the same may be another thread
            raise target.layout._conflict(target.ref, "has checkpoints already")

    def _copied(self, target: Checkpoints) -> Operation[int]:
        def attempt(ref: ConversationRef, digested: bool) -> Operation[int | Refusal]:
            args: list[Any] = ["copy"]
            if self.layout.sealing is not None:
                anew = yield from checkpoints_anew(self.layout.keys, self.ref.id, ref.id)
                args = ["anew", *anew]
            return (yield self.layout._command(COPY_CHECKPOINTS, ref, args, [self._key]))  # type: ignore[no-any-return]

        return int((yield from target._settled(attempt)))

    def _copied_elsewhere(self, target: Checkpoints) -> Operation[int]:
        """Copy to a conversation of another shard, which no script can do."""
        args: list[Any] = ["elsewhere"]
        for field, text in as_dict((yield single("HGETALL", self._key))).items():
            anew = self._fields.anew(field, text, target._fields) if self.layout.sealing else text
            args += [] if anew is None else [field, anew]
        return int((yield from target._on_conversation(COPY_CHECKPOINTS, args)))


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


def _read_value(
    field: bytes, text: bytes, messages: Sequence[bytes] | None, fields: CheckpointFields
) -> Typed | list[Typed]:
    if messages is None:
        return _read_typed(fields.open(field, text))
    return [*map(_read_typed, fields.open_messages(messages))]
