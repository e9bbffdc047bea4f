"""What a conversation that is encrypted needs besides: encrypting it anew, and for another id."""

from __future__ import annotations

from abc import ABC
from typing import Any

from ..encryption.checkpoint_fields import CheckpointFields
from ..encryption.sealing import TITLE
from ..redis_io.operations import Operation, single
from ..redis_io.scripts import Script
from .declared import declared
from .long_lists import is_long, stage
from .refs import ConversationRef, Snapshot
from .resealing import Resealed, checkpoints_anew, reseal_fields, resealed
from .stored import Refusal
from .written import WrittenConversation

RESEAL = Script("reseal")


class EncryptedConversation(WrittenConversation, ABC):
    """Encrypts anew what a conversation has stored."""

    def _check_title(self, ref: ConversationRef) -> Operation[None]:
        """Raises `Undecryptable` if the title cannot be decrypted, which must not be replaced."""
        assert self.sealing is not None
        call = ("HMGET", self.keys.record(ref.id), "owner", "title")
        owner, title = yield single(*call, otherwise=[None, None])
        if title and (owner == ref.owner or not ref.scoped):
            self.sealing.open(TITLE, ref.id, title)

    def _sealed_for(
        self, ref: ConversationRef, target: bytes, digested: bool
    ) -> Operation[tuple[ConversationRef, list[Any], list[bytes]]]:
        """Arguments and further keys of rename.lua for what is encrypted for the id of it."""
        assert self.sealing is not None
        snapshot = yield from self._snapshot(ref, digested=digested)
        ref = self._seen(ref, snapshot)
        args: list[Any] = [*snapshot.expectation, target]
        if snapshot.field is None:
            return ref, args, []
        encoded = self.encoded(self.document(ref, snapshot)).sealed(self.sealing, target)
        others = (yield from self._resealed(ref, target)).args
        kept = yield from checkpoints_anew(self.keys, ref.id, target)
        pairs = [part for pair in encoded.record.items() for part in pair]
        texts, count, keys = encoded.texts, len(encoded.texts), []
        if is_long(texts):
            keys = [self.keys.staged(ref.call)]
            yield from stage(keys[0], texts)
            texts, count = [], -count
        counts = len(pairs), count, len(others)
        return ref, [*args, encoded.field, *counts, *pairs, *texts, *others, *kept], keys

    def _renewed(self, ref: ConversationRef, snapshot: Snapshot) -> Operation[bool | Refusal]:
        """Bring the search documents in step, and to the digests of the newest key."""
        documents = yield from self.indexer()
        if documents is None:
            return False
        document, [known] = self.document(ref, snapshot), (yield from self.seen_documents([ref]))
        if known.is_current and documents.are_newest(document, known.facets, known.suffixes):
            return False
        yield from self.index(ref)
        return True

    def _resealed(self, ref: ConversationRef, target: bytes) -> Operation[Resealed]:
        return resealed(self.keys, ref.id, target, is_searched=self.schema is not None)

    def reseal(self, ref: ConversationRef) -> Operation[bool]:
        """Encrypt with the newest key what it has not encrypted. Returns False if all was."""
        sealing = self.sealing
        assert sealing is not None

        def content(ref: ConversationRef, digested: bool) -> Operation[bool | Refusal]:
            snapshot = yield from self._snapshot(ref, digested=digested)
            if snapshot.field is None:
                return False
            ref = self._seen(ref, snapshot)
            if all(map(sealing.is_current, [snapshot.field, *snapshot.texts])):
                return (yield from self._renewed(ref, snapshot))
            document = self.document(ref, snapshot)
            formed = self.formed(document)
            before = dict(zip(formed.texts, document.texts, strict=True))
            change = yield from self._change_to(ref, formed, before)
            encoded = self._checked(ref, formed)
            written = yield from self._write(ref, encoded, snapshot, change, keeps_times=True)
            return True if isinstance(written, int) else written

        def others(ref: ConversationRef, digested: bool) -> Operation[bool | Refusal]:
            found = yield from self._resealed(ref, ref.id)
            if found.is_same:
                return False
            reseal = self._command(self._changing(RESEAL), ref, found.args)
            [done] = yield from declared([reseal])
            return bool(done) if isinstance(done, int) else done

        is_new = yield from self._settled(ref, content)
        is_new = (yield from self._settled(ref.for_a_call(), others)) or is_new
        own = CheckpointFields(sealing, ref.id)

        def anew(field: bytes, text: bytes) -> bytes | None:
            return own.anew(field, text, own)

        return bool((yield from reseal_fields(self.keys.checkpoints(ref.id), anew))) or is_new
