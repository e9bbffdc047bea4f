"""Layout `list`: the runs in a Redis list, metadata and nothing else in the field of the hash.

An append, a tail and a page cost the same however long the conversation is. The field holds a
document without runs. A stock Griptape driver reads an empty conversation from it, and overwrites
it with its own runs: they are read behind those of the list, and moved there by the next write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ..documents import Document, build, decoded, decoded_run
from ..exceptions import ConversationCorrupt, ConversationNotFound, counted
from ..records import FIELDS, LARGEST, Excerpt, Record, RunPage
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from ..runs import Run
from .base import Layout
from .refs import (
    ConversationRef,
    Encoded,
    Memo,
    Snapshot,
    digest,
    distinct,
    identified,
    is_past,
    owner_of,
)

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


@dataclass(frozen=True, slots=True)
class Found:
    """A run in a list, the ids of those behind it, and the conversation with its true owner."""

    ref: ConversationRef
    index: int
    text: bytes
    behind: list[str]


class ListLayout(Layout):
    name = "list"

    def _snapshot(
        self, ref: ConversationRef, *, runs: bool = True, digested: bool = False
    ) -> Operation[Snapshot]:
        return super()._snapshot(ref, runs=True, digested=digested)

    def _is_own(self, layout: str, length: int | None, size: int, runs: int) -> bool:
        return layout == self.name and length == size

    def append(
        self, ref: ConversationRef, runs: Sequence[Run], memo: Memo | None = None
    ) -> Operation[int]:
        runs = identified(runs)
        texts = [(run, run.to_wire()) for run in distinct(runs)]
        self._check_runs(ref, [text for _, text in texts])
        change = yield from self._appended(texts)

        def attempt(ref: ConversationRef, digested: bool) -> Operation[Any]:
            reply = yield self._append(ref, texts, "", change)
            if isinstance(reply, bytes):
                return int(reply.split()[0])
            if reply[0] == b"changed":  # the field is not ours: take over what stands in it
                return (yield from Layout.append(self, ref, runs))
            return reply

        return (yield from self._settled(ref, attempt))  # type: ignore[no-any-return]

    def page(self, ref: ConversationRef, before: int | None, limit: int) -> Operation[RunPage]:
        part: Slice = yield self._slice(ref, before, limit)
        if not ref.sees(part.record) or (yield from is_past(part.record)):
            return RunPage([], 0)
        if not part.is_list:
            return self._cut((yield from self.read(ref)).runs, before, limit)
        self._check_all_there(ref, part)
        part = yield from self._at_the_end(ref, part, before, limit)
        return RunPage(decoded(part.texts, part.start), part.start)

    def _at_the_end(
        self, ref: ConversationRef, part: Slice, before: int | None, limit: int
    ) -> Operation[Slice]:
        """The part that was read; the last one if it would be behind the end."""
        if before is None or before <= part.length:
            return part
        return (yield self._slice(ref, part.length, limit))  # type: ignore[no-any-return]

    def excerpt(
        self, ref: ConversationRef, before: int | None, limit: int, *, strict: bool
    ) -> Operation[Excerpt]:
        """See Layout.excerpt(). Reads the part of the list that was asked for."""
        part, field = yield [self._slice(ref, before, limit), self._field_of(ref)]
        gone = yield from is_past(part.record)
        if gone or not part.is_list or not ref.sees(part.record):
            return (yield from super().excerpt(ref, before, limit, strict=strict))
        self._check_all_there(ref, part)
        part = yield from self._at_the_end(ref, part, before, limit)
        metadata = self.document(ref, Snapshot(field, replace(part.record, runs=None))).metadata
        runs = decoded(part.texts, part.start) if strict else [*map(Run.from_wire, part.texts)]
        record = replace(part.record, runs=part.length)
        return Excerpt(record, runs, part.start, part.length, metadata, exists=True)

    def find(
        self, ref: ConversationRef, wanted: Callable[[Run], bool], limit: int
    ) -> Operation[int | None]:
        """See Layout.find(). Reads the list from its end, a part at a time."""
        before: int | None = None
        looked = 0
        while before != 0 and looked < limit:
            part: Slice = yield self._slice(ref, before, _CHUNK)
            if not part.is_list or not ref.sees(part.record):
                return (yield from super().find(ref, wanted, limit))
            self._check_all_there(ref, part)
            for position, text in reversed(list(enumerate(part.texts, part.start))):
                if wanted(Run.from_wire(text)):  # which may never look at it
                    return position
            before, looked = part.start, looked + len(part.texts)
        return None

    def store(
        self,
        ref: ConversationRef,
        runs: Sequence[Run],
        metadata: Mapping[str, Any],
        revision: str | None,
    ) -> Operation[str]:
        """See Layout.store(). A store that only adds runs is an append."""
        document = build(runs, dict(metadata))
        encoded = self.encoded(document)
        snapshot = yield from self._snapshot(ref)
        ref = self._seen(ref, snapshot)
        stored = snapshot.texts or []
        grown = (
            snapshot.is_list
            and snapshot.field == encoded.field
            and stored == document.texts[: len(stored)]
            and revision in (None, snapshot.revision)
        )
        added = [(run, run.to_wire()) for run in document.runs[len(stored) :]]
        if grown and added:
            self._check_runs(ref, [text for _, text in added])
            change = yield from self._appended(added)
            reply = yield self._append(ref, added, snapshot.record.version, change)
            if isinstance(reply, bytes):
                return f"{int(reply.split()[1])}-{encoded.fingerprint}"
        elif grown:
            with suppress(ConversationNotFound):  # gone meanwhile: then it is written anew
                yield from self.set_lifetime(ref)  # a write, even of the same, slides it
                return snapshot.revision
        return (yield from super().store(ref, runs, metadata, revision))

    def edit(self, ref: ConversationRef, run: Run) -> Operation[None]:
        text = run.to_wire()
        self._check_runs(ref, [text])
        if not (yield from self._change_one(ref, run.id, "edit", text)):
            yield from super().edit(ref, run)

    def remove(self, ref: ConversationRef, run_id: str) -> Operation[None]:
        if not (yield from self._change_one(ref, run_id, "remove", b"")):
            yield from super().remove(ref, run_id)

    def truncate(self, ref: ConversationRef, after: str) -> Operation[None]:
        if not (yield from self._change_one(ref, after, "truncate", b"")):
            yield from super().truncate(ref, after)

    def _appended(self, texts: Sequence[tuple[Run, bytes]]) -> Operation[bytes]:
        """The change of the search documents that goes with an append."""
        documents = yield from self.indexer()
        return b"" if documents is None else documents.appended(texts)

    def _append(
        self, ref: ConversationRef, texts: Sequence[tuple[Run, bytes]], version: Any, change: bytes
    ) -> Command[bytes | list[Any]]:
        """The number of added runs and the new version, as text, or the reason of the refusal."""
        pairs = [part for run, text in texts for part in (digest(run.id), text)]
        args = [
            *self._lifetimes(ref),
            _EMPTY.raw,
            _EMPTY.crc,
            version,
            self.max_bytes,
            change,
            *pairs,
        ]

        def decoded(reply: bytes | list[Any]) -> bytes | list[Any]:
            if reply[0] == b"large":
                self._check_size(ref, reply[1])
            if reply[0] == b"lost":
                raise self._lost(ref, int(reply[1]))
            return reply

        return replace(self._command(self._changing(APPEND), ref, args), decode=decoded)

    def _lost(self, ref: ConversationRef, count: int) -> ConversationCorrupt:
        return self.corrupt(ref, b"", f"{counted(count, 'run')} of its list are missing")

    def _check_all_there(self, ref: ConversationRef, part: Slice) -> None:
        if (lost := (part.record.runs or 0) - part.length) > 0:
            raise self._lost(ref, lost)

    def _field_of(self, ref: ConversationRef) -> Command[bytes | None]:
        return single("HGET", self.keys.content(ref.id), ref.id)

    def _slice(self, ref: ConversationRef, before: int | None, limit: int) -> Command[Slice]:
        """At most `limit` elements of the list in front of index `before`, or the last ones."""
        limit = min(limit, LARGEST)
        if before is None:
            first, last = -limit, -1
        else:
            last = min(before, LARGEST) - 1
            first = max(0, last + 1 - limit)
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
            is_list = record.layout == self.name and record.length == size
            start = (length if before is None else before) - limit
            return Slice(record, texts, min(max(0, start), length), length, is_list)

        return Command(calls, decoded)

    def encoded(self, document: Document) -> Encoded:
        texts, field = document.texts, document.with_texts([])
        return Encoded(field.raw, texts, derived_list_fields(texts, field))

    def _change_one(
        self, ref: ConversationRef, run_id: str, operation: str, given: bytes
    ) -> Operation[bool]:
        """Change the list at one run. False if the list is not all of the conversation."""
        documents = yield from self.indexer()

        def attempt(ref: ConversationRef, digested: bool) -> Operation[Any]:
            found = yield from self._find(ref, run_id)
            if found is None:
                return False
            ref = found.ref
            change = documents.of(operation, found.text, given) if documents else b""
            removed = {"edit": [], "remove": [run_id], "truncate": found.behind}[operation]
            args = [*self._lifetimes(ref), operation, found.index, found.text, given, change]
            args += map(digest, removed)
            reply = yield self._command(self._changing(CHANGE), ref, args)
            return True if isinstance(reply, int) else reply

        return (yield from self._settled(ref, attempt))  # type: ignore[no-any-return]

    def _find(self, ref: ConversationRef, run_id: str) -> Operation[Found | None]:
        """The run of that id, looked for from the end. None if the list is not everything."""
        before: int | None = None
        behind: list[str] = []
        while before != 0:
            part = yield self._slice(ref, before, _CHUNK)
            if not part.is_list or not ref.sees(part.record):
                return None
            self._check_all_there(ref, part)
            for index, text in reversed(list(enumerate(part.texts, part.start))):
                if (id := decoded_run(text, index).id) == run_id:
                    return Found(ref.owned_by(owner_of(part.record)), index, text, behind)
                behind.append(id)
            before = part.start
        raise self._run_not_found(ref, run_id)


def derived_list_fields(texts: Sequence[bytes], field: Document) -> dict[str, Any]:
    """The fields of the record that follow from a list and its field."""
    return {
        "layout": "list",
        "runs": len(texts),
        "length": len(field.raw),
        "crc": field.crc,
        "bytes": sum(map(len, texts)),
    }
