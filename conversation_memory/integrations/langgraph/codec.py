"""Checkpoints as LangGraph has them, to and from what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    Checkpoint,
    CheckpointMetadata,
    writes_sort_key,
)
from langgraph.checkpoint.base import PendingWrite as Write
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from ...keys import decode, encode
from .checkpoints import ChannelValue, CheckpointName, KeptCheckpoint, PendingWrite, Typed
from .projection import digest_of


@dataclass(frozen=True, slots=True)
class CheckpointCodec:
    """Encodes and decodes with a serializer of LangGraph, which may encrypt."""

    serde: SerializerProtocol

    def kept(
        self, parent: CheckpointName, checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> KeptCheckpoint:
        """All of a checkpoint but its values, which follows another of its namespace."""
        body = {name: one for name, one in checkpoint.items() if name != "channel_values"}
        name = CheckpointName(parent.namespace, encode(checkpoint["id"]))
        whole = self.serde.dumps_typed(body), self.serde.dumps_typed(metadata)
        return KeptCheckpoint(name, parent.id, *whole, {})

    def value(self, channel: str, version: str, value: Any) -> ChannelValue:
        name = encode(channel), encode(version)
        # Each version of a list of messages holds most of those of the one before.
        if type(value) is list and value and all(isinstance(one, BaseMessage) for one in value):
            typed = [self.serde.dumps_typed(one) for one in value]
            # Only this serializer is known to encode the same message in the same way.
            is_known = type(self.serde) is JsonPlusSerializer
            pairs = zip(value, typed, strict=True)
            digests = [digest_of(one, text if is_known else b"") for one, (_, text) in pairs]
            return ChannelValue(*name, None, [*zip(digests, typed, strict=True)])
        return ChannelValue(*name, self.serde.dumps_typed(value))

    def pending(
        self, writes: Sequence[tuple[str, Any]], task: bytes, path: bytes
    ) -> list[PendingWrite]:
        """Writes of a task. Those of a special channel replace an earlier one."""
        found = []
        for place, (channel, value) in enumerate(writes):
            number, typed = WRITES_IDX_MAP.get(channel, place), self.serde.dumps_typed(value)
            found.append(PendingWrite(task, number, encode(channel), typed, path, number < 0))
        return found

    def metadata(self, metadata: Typed) -> CheckpointMetadata:
        return self.serde.loads_typed(metadata)  # type: ignore[no-any-return]

    def checkpoint(self, kept: KeptCheckpoint) -> Checkpoint:
        """The checkpoint with its values."""
        loads = self.serde.loads_typed
        values = {
            decode(name): [*map(loads, one)] if isinstance(one, list) else loads(one)
            for name, one in kept.values.items()
        }
        body: Checkpoint = loads(kept.checkpoint)
        return {**body, "channel_values": values}

    def writes(self, kept: KeptCheckpoint) -> list[Write]:
        """The pending writes in the order in which LangGraph applies them."""
        rows = [(decode(one.path), decode(one.task), one.number, one) for one in kept.writes]
        rows.sort(key=lambda row: writes_sort_key(*row[:3]))
        loads = self.serde.loads_typed
        return [(task, decode(one.channel), loads(one.value)) for _, task, _, one in rows]
