"""The errors about one conversation, which name its alias, its index and its id."""

from collections.abc import Sequence
from typing import TypeVar

from ..exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationError,
    ConversationNotFound,
    ConversationTooLarge,
    ConversationUndecryptable,
    Damaged,
    Undecryptable,
)
from ..keys import Keys, decode
from .refs import ConversationRef

E = TypeVar("E", bound=ConversationError)


class ConversationFailures:
    """Makes the errors about a conversation, and raises those about its size."""

    alias: str
    keys: Keys
    max_bytes: int
    max_run_bytes: int

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
