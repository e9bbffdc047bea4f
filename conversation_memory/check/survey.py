"""What there is of a conversation, before anything of it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..keys import Keys
from ..redis_io.operations import Command
from ..redis_io.scripts import Script

SURVEY = Script("survey")


@dataclass(frozen=True, slots=True)
class Survey:
    """Whether the conversation exists, the types of its keys, and whether it is in an order.

    `is_recorded` says whether a writer of ours has left a record.
    """

    id: bytes
    exists: bool
    record: bytes
    runs: bytes
    owner: bytes | None
    is_recorded: bool
    is_past: bool
    is_placed: bool
    size: int

    @property
    def has_right_types(self) -> bool:
        return self.record in (b"hash", b"none") and self.runs in (b"list", b"none")

    @property
    def has_stray_runs(self) -> bool:
        """Whether there is a text of somebody that no conversation shows."""
        return not self.exists and not self.is_past and self.runs == b"list"


def survey(keys: Keys, order: bytes, ids: Sequence[bytes]) -> Command[list[Survey]]:
    """The survey of each id at one moment, and of its place in `order`."""
    parts = [key for id in ids for key in (keys.record(id), keys.runs(id))]

    def decoded(replies: list[list[Any]]) -> list[Survey]:
        return [_survey(id, *reply) for id, reply in zip(ids, replies, strict=True)]

    return Command((SURVEY.call([keys.index, order, *parts], ids),), decoded)


def _survey(
    id: bytes, exists: Any, record: bytes, runs: bytes, owner: bytes, *truths: Any
) -> Survey:
    is_recorded, is_past, is_placed, size = truths
    return Survey(
        id,
        bool(exists),
        record,
        runs,
        owner or None,
        bool(is_recorded),
        bool(is_past),
        bool(is_placed),
        size,
    )
