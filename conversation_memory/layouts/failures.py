"""The errors about one conversation, which name its alias, its index and its id."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

from ..exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationError,
    ConversationMemoryError,
    ConversationNotFound,
    ConversationTooLarge,
    ConversationUndecryptable,
    Damaged,
    RedisDenied,
    RedisMisconfigured,
    Undecryptable,
    is_wrong_type,
)
from ..keys import Keys, decode
from ..redis_io.operations import Command, Operation, T, single
from .refs import ConversationRef

E = TypeVar("E", bound=ConversationError)


class ConversationFailures:
    """Makes the errors about a conversation, and raises those about damage and size."""

    alias: str
    keys: Keys
    max_bytes: int
    max_run_bytes: int

    def guarded(self, ref: ConversationRef, operation: Operation[T]) -> Operation[T]:
        """`operation` on one conversation, with damage told as an error about it."""
        try:
            return (yield from operation)
        except Damaged as damage:
            failure: ConversationMemoryError = self.damaged(ref, damage)
        except RedisMisconfigured as error:
            if not is_wrong_type(error):
                raise
            failure = error
            with suppress(RedisDenied):
                failure = (yield from self.mistyped(ref)) or error
        raise failure from failure.__cause__

    def mistyped(self, ref: ConversationRef) -> Operation[ConversationMemoryError | None]:
        """The error for a conversation of which a key has another type; None if all are right."""
        open = self.keys.open(ref.id)
        keys = {self.keys.record(ref.id): b"hash", self.keys.runs(ref.id): b"list", open: b"hash"}
        keys[self.keys.checkpoints(ref.id)] = b"hash"
        for name in (yield single("HKEYS", open, otherwise=[])):
            if name.startswith(b"state:"):
                keys[self.keys.chunks(ref.id, name[6:])] = b"stream"
        calls: list[Command[Any]] = [single("TYPE", key) for key in keys]
        calls.append(single("HGET", self.keys.content(ref.id), ref.id))
        # If the record has another type, only the recency index of the owner tells the owner.
        calls.append(single("ZSCORE", self.keys.recency(ref.owner), ref.id))
        *types, field, score = yield calls
        for (key, type), found in zip(keys.items(), types, strict=True):
            if found not in (type, b"none"):
                if ref.scoped and score is None:
                    return self.not_found(ref)
                what = f"the key {decode(key)!r} is a {found.decode()}, not a {type.decode()}"
                return self.corrupt(ref, field or b"", what)
        return None

    def _check_size(self, ref: ConversationRef, size: int) -> None:
        if size > self.max_bytes:
            limit = f"{self.max_bytes:,} are allowed (MAX_BYTES). Nothing was written."
            raise self._error(ConversationTooLarge, ref, f"would have {size:,} bytes, {limit}")

    def _check_runs(self, ref: ConversationRef, texts: Sequence[bytes]) -> None:
        largest = max(map(len, texts), default=0)
        if largest > self.max_run_bytes:
            limit = f"{self.max_run_bytes:,} are allowed (MAX_RUN_BYTES). Nothing was written."
            raise self._error(ConversationTooLarge, ref, f"has a run of {largest:,} bytes, {limit}")

    def _conflict(self, ref: ConversationRef, what: str) -> ConversationConflict:
        return self._error(ConversationConflict, ref, f"{what}. Nothing was written.")

    def not_found(self, ref: ConversationRef) -> ConversationNotFound:
        return self._error(ConversationNotFound, ref, " for this owner" if ref.scoped else "")

    def corrupt(self, ref: ConversationRef, raw: bytes, reason: str) -> ConversationCorrupt:
        return ConversationCorrupt(raw=raw, reason=reason, **self._where(ref))

    def damaged(
        self, ref: ConversationRef, damage: Damaged, raw: bytes = b""
    ) -> ConversationCorrupt:
        """The error for a damaged text of a conversation, by default with the bytes `raw`."""
        raw = damage.raw or raw
        if isinstance(damage, Undecryptable):
            where = self._where(ref)
            return ConversationUndecryptable(damage.reason, raw, damage.key_id, **where)
        return self.corrupt(ref, raw, damage.reason)

    def _error(self, kind: type[E], ref: ConversationRef, reason: str) -> E:
        return kind(reason, **self._where(ref))

    def _where(self, ref: ConversationRef) -> dict[str, str]:
        id = decode(ref.id)
        return {"alias": self.alias, "index": self.keys.name, "conversation_id": id}
