"""Layout `list`: the runs in a Redis list, metadata and nothing else in the field of the hash.

An append, a tail and a page cost the same however long the conversation is. The field holds a
document without runs. A stock Griptape driver reads an empty conversation from it, and overwrites
it with its own runs: they are read behind those of the list, and moved there by the next write.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ..documents import Document, build, decoded, decoded_run
from ..exceptions import ConversationCorrupt, ConversationNotFound, RunNotFound, counted
from ..records import FIELDS, LARGEST, Excerpt, Record, RunPage
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from ..runs import Run
from .base import Layout
from .refs import ConversationRef, Encoded, Memo, Snapshot, digest, identified, is_past, owner_of
from .stored import Refusal

APPEND = Script("append")
CHANGE = Script("change")

_EMPTY = build((), {})
_CHUNK = 200


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a list; `is_list` is True if the list holds the whole conversation."""

    record: Record
    texts: list[bytes]
    start: int
    length: int
    is_list: bool


class ListLayout(Layout):
    name = "list"

    def _snapshot(
        self, ref: ConversationRef, *, runs: bool = True, digested: bool = False
    ) -> Operation[Snapshot]:
        return super()._snapshot(ref, runs=True, digested=digested)

    def is_own(self, record: Record, size: int, runs: int) -> bool:
        return record.layout == self.name and record.length == size

    def encoded(self, document: Document) -> Encoded:
        texts, field = document.texts, document.with_texts([])
        return Encoded(field.raw, texts, derived_list_fields(texts, field))

    def page(self, ref: ConversationRef, before: int | None, limit: int) -> Operation[RunPage]:
        found = yield self._slice(ref, before, limit)
        part = yield from self._usable(ref, found, before, limit)
        if part is None:
            return (yield from super().page(ref, before, limit))
        return RunPage(decoded(part.texts, part.start), part.start)

    def excerpt(
        self, ref: ConversationRef, before: int | None, limit: int, *, strict: bool
    ) -> Operation[Excerpt]:
        content: Command[bytes] = single("HGET", self.keys.content(ref.id), ref.id)
        found, field = yield [self._slice(ref, before, limit), content]
        part = yield from self._usable(ref, found, before, limit)
        if part is None:
            return (yield from super().excerpt(ref, before, limit, strict=strict))
        metadata = self.document(ref, Snapshot(field, replace(part.record, runs=None))).metadata
        runs = decoded(part.texts, part.start) if strict else [*map(Run.from_wire, part.texts)]
        record = replace(part.record, runs=part.length)
        return Excerpt(record, runs, part.start, part.length, metadata, exists=True)

    def find(
        self, ref: ConversationRef, wanted: Callable[[Run], bool], limit: int
    ) -> Operation[int | None]:
        # `wanted` need not look at a run, which is decoded only then.
        found = yield from self._find(ref, lambda text, _: wanted(Run.from_wire(text)), limit)
        if found is None:
            return (yield from super().find(ref, wanted, limit))
        return found[1]

    def append(
        self, ref: ConversationRef, runs: Sequence[Run], memo: Memo | None = None
    ) -> Operation[int]:
        runs = identified(runs)
        args = yield from self._appended(ref, runs)

        def attempt(ref: ConversationRef, digested: bool) -> Operation[int | Refusal]:
            reply: bytes | Refusal = yield self._append(ref, "", args)
            if isinstance(reply, bytes):
                return int(reply.split()[0])
            if reply[0] == b"changed":  # the field is not ours: take over what stands in it
                return (yield from Layout.append(self, ref, runs))
            return reply

        return (yield from self._settled(ref, attempt))

    def store(
        self,
        ref: ConversationRef,
        runs: Sequence[Run],
        metadata: Mapping[str, Any],
        revision: str | None,
    ) -> Operation[str]:
        # A store that only adds runs is an append.
        document = build(runs, dict(metadata))
        encoded = self.encoded(document)
        snapshot = yield from self._snapshot(ref)
        ref = self._seen(ref, snapshot)
        stored = [*snapshot.texts]
        grown = (
            snapshot.is_list
            and snapshot.field == encoded.field
            and stored == document.texts[: len(stored)]
            and revision in (None, snapshot.revision)
        )
        if grown and (added := document.runs[len(stored) :]):
            args = yield from self._appended(ref, added)
            reply = yield self._append(ref, snapshot.record.version, args)
            if isinstance(reply, bytes):
                return f"{int(reply.split()[1])}-{encoded.fingerprint}"
        elif grown:
            with suppress(ConversationNotFound):  # deleted meanwhile: then it is written anew
                yield from self.set_lifetime(ref)  # a write, even of the same, slides it
                return snapshot.revision
        return (yield from super().store(ref, runs, metadata, revision))

    def _appended(self, ref: ConversationRef, runs: Sequence[Run]) -> Operation[list[bytes]]:
        """Title and change of search documents, then of each run the digest of its id, its text."""
        texts = [(run, run.to_wire()) for run in runs]
        self._check_runs(ref, [text for _, text in texts])
        documents = yield from self.indexer()
        change = b"" if documents is None else documents.added(texts, with_texts=False)
        parts = (part for run, text in texts for part in (digest(run.id), text))
        return [self._title(runs), change, *parts]

    def _append(
        self, ref: ConversationRef, version: int | str, args: Sequence[bytes]
    ) -> Command[bytes | Refusal]:
        # The reply is the number of added runs and the new version, as text.
        def decoded(reply: bytes | list[Any]) -> bytes | list[Any]:
            if reply[0] == b"large":
                self._check_size(ref, reply[1])
            if reply[0] == b"lost":
                raise self._lost(ref, int(reply[1]))
            return reply

        own = [*self._lifetimes(ref), _EMPTY.raw, _EMPTY.crc, version, self.max_bytes]
        command = self._command(self._changing(APPEND), ref, [*own, *args])
        return replace(command, decode=decoded)

    def _change_run(
        self, ref: ConversationRef, run_id: str, operation: str, text: bytes = b""
    ) -> Operation[None]:
        self._check_runs(ref, [text])
        documents = yield from self.indexer()

        def attempt(ref: ConversationRef, digested: bool) -> Operation[bool | Refusal]:
            ids: list[str] = []

            def is_wanted(stored: bytes, index: int) -> bool:
                ids.append(decoded_run(stored, index).id)
                return ids[-1] == run_id

            found = yield from self._find(ref, is_wanted, LARGEST)
            if found is None:
                return False
            record, index, stored = found
            if index is None:
                raise self._error(RunNotFound, ref, repr(run_id))
            ref = ref.owned_by(owner_of(record))
            change = documents.of(operation, stored, text) if documents else b""
            removed = {"edit": [], "remove": [run_id], "truncate": ids[:-1]}[operation]
            args = [*self._lifetimes(ref), operation, index, stored, text, change]
            args += map(digest, removed)
            reply = yield self._command(self._changing(CHANGE), ref, args)
            return True if isinstance(reply, int) else reply

        if not (yield from self._settled(ref, attempt)):
            yield from super()._change_run(ref, run_id, operation, text)

    def _find(
        self, ref: ConversationRef, is_wanted: Callable[[bytes, int], bool], limit: int
    ) -> Operation[tuple[Record, int | None, bytes] | None]:
        """The record, and position and text of the last of `limit` runs that is wanted, if any is.

        None if the list cannot be used.
        """
        before, looked = None, 0
        while True:
            found = yield self._slice(ref, before, _CHUNK)
            part = yield from self._usable(ref, found, before, _CHUNK)
            if part is None:
                return None
            for index, text in reversed([*enumerate(part.texts, part.start)]):
                if is_wanted(text, index):
                    return part.record, index, text
            before, looked = part.start, looked + len(part.texts)
            if before == 0 or looked >= limit:
                return part.record, None, b""

    def _slice(self, ref: ConversationRef, before: int | None, limit: int) -> Command[Slice]:
        """At most `limit` elements of the list in front of index `before`, or the last ones."""
        if before is None:
            first, last = -limit, -1
        else:
            last = before - 1
            first = max(0, before - limit)
        runs = self.keys.runs(ref.id)
        calls = (
            ("HMGET", self.keys.record(ref.id), *FIELDS),
            ("HSTRLEN", self.keys.content(ref.id), ref.id),
            ("LLEN", runs),
            ("LRANGE", runs, first, last) if last >= first else ("LRANGE", runs, 1, 0),
        )

        def decoded(replies: list[Any]) -> Slice:
            fields, size, length, texts = replies
            record = Record.from_reply(ref.id, fields)
            is_list = self.is_own(record, size, length)
            start = (length if before is None else before) - limit
            return Slice(record, texts, min(max(0, start), length), length, is_list)

        return Command(calls, decoded)

    def _usable(
        self, ref: ConversationRef, part: Slice, before: int | None, limit: int
    ) -> Operation[Slice | None]:
        """`part`, or the last one if `before` is beyond the end of the list.

        None if the list is not the whole conversation, or if the caller must not see it.
        """
        if not part.is_list or not ref.sees(part.record) or (yield from is_past(part.record)):
            return None
        if (lost := (part.record.runs or 0) - part.length) > 0:
            raise self._lost(ref, lost)
        if before is not None and before > part.length:
            part = yield self._slice(ref, part.length, limit)
        return part

    def _lost(self, ref: ConversationRef, count: int) -> ConversationCorrupt:
        return self.corrupt(ref, b"", f"{counted(count, 'run')} of its list are missing")


def derived_list_fields(texts: Sequence[bytes], field: Document) -> dict[str, Any]:
    """The fields of the record that follow from a list and its field."""
    return {
        "layout": "list",
        "runs": len(texts),
        "length": len(field.raw),
        "crc": field.crc,
        "bytes": sum(map(len, texts)),
    }
