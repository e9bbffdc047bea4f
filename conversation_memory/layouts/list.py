"""Layout `list`: the runs in a Redis list, metadata and nothing else in the field of the hash.

An append, a tail and a page cost the same however long the conversation is. The field holds a
document without runs. A stock Griptape driver reads an empty conversation from it, and overwrites
it with its own runs: they are read behind those of the list, and moved there by the next write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import md5
from typing import Any

from ..documents import Document, build, decoded, decoded_run
from ..exceptions import ConversationCorrupt, ConversationNotFound
from ..records import FIELDS, LARGEST, Excerpt, Record, RunPage
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from ..runs import Run
from ..text import counted
from .base import Layout
from .refs import Form, Memo, Place, Snapshot, distinct, identified, is_past, owner_of

APPEND = Script("append")
REPLACE = Script("replace")
CHANGE = Script("change")

_EMPTY = build((), {})
_CHUNK = 200


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a list, and whether the list is all of the conversation."""

    record: Record
    texts: list[bytes]
    start: int
    length: int
    is_list: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A run in a list, the ids of those behind it, and the conversation with its true owner."""

    place: Place
    index: int
    text: bytes
    behind: list[str]


class ListLayout(Layout):
    name = "list"
    reads_list = True

    def append(self, place: Place, runs: Sequence[Run], memo: Memo | None = None) -> Operation[int]:
        runs = identified(runs)
        texts = [(run, run.to_wire()) for run in distinct(runs)]
        self._check_runs(place, [text for _, text in texts])
        change = yield from self._appended(texts)

        def attempt(place: Place, digested: bool) -> Operation[Any]:
            reply = yield self._append(place, texts, "", change)
            if isinstance(reply, bytes):
                return int(reply.split()[0])
            if reply[0] == b"changed":  # the field is not ours: take over what stands in it
                return (yield from Layout.append(self, place, runs))
            return reply

        return (yield from self._settled(place, attempt))  # type: ignore[no-any-return]

    def page(self, place: Place, before: int | None, limit: int) -> Operation[RunPage]:
        part: Slice = yield self._slice(place, before, limit)
        if not place.sees(part.record) or (yield from is_past(part.record)):
            return RunPage([], 0)
        if not part.is_list:
            return self._cut((yield from self.read(place)).runs, before, limit)
        self._check_all_there(place, part)
        part = yield from self._at_the_end(place, part, before, limit)
        return RunPage(decoded(part.texts, part.start), part.start)

    def _at_the_end(
        self, place: Place, part: Slice, before: int | None, limit: int
    ) -> Operation[Slice]:
        """The part that was read; the last one if it would be behind the end."""
        if before is None or before <= part.length:
            return part
        return (yield self._slice(place, part.length, limit))  # type: ignore[no-any-return]

    def excerpt(
        self, place: Place, before: int | None, limit: int, *, strict: bool
    ) -> Operation[Excerpt]:
        """See Layout.excerpt(). Reads the part of the list that was asked for."""
        part, field = yield [self._slice(place, before, limit), self._field_of(place)]
        gone = yield from is_past(part.record)
        if gone or not part.is_list or not place.sees(part.record):
            return (yield from super().excerpt(place, before, limit, strict=strict))
        self._check_all_there(place, part)
        part = yield from self._at_the_end(place, part, before, limit)
        metadata = self.document(place, Snapshot(field, replace(part.record, runs=None))).metadata
        runs = decoded(part.texts, part.start) if strict else [*map(Run.from_wire, part.texts)]
        record = replace(part.record, runs=part.length)
        return Excerpt(record, runs, part.start, part.length, metadata, exists=True)

    def find(
        self, place: Place, wanted: Callable[[Run], bool], limit: int
    ) -> Operation[int | None]:
        """See Layout.find(). Reads the list from its end, a part at a time."""
        before: int | None = None
        looked = 0
        while before != 0 and looked < limit:
            part: Slice = yield self._slice(place, before, _CHUNK)
            if not part.is_list or not place.sees(part.record):
                return (yield from super().find(place, wanted, limit))
            self._check_all_there(place, part)
            for position, text in reversed(list(enumerate(part.texts, part.start))):
                if wanted(Run.from_wire(text)):  # which may never look at it
                    return position
            before, looked = part.start, looked + len(part.texts)
        return None

    def store(
        self,
        place: Place,
        runs: Sequence[Run],
        metadata: Mapping[str, Any],
        revision: str | None,
    ) -> Operation[str]:
        """See Layout.store(). What only adds to the stored runs is an append."""
        document = build(runs, dict(metadata))
        snapshot = yield from self._snapshot(place)
        place = self._seen(place, snapshot)
        stored = snapshot.texts or []
        grown = (
            snapshot.is_list
            and snapshot.field == self._field(document)[0]
            and stored == document.texts[: len(stored)]
            and revision in (None, snapshot.revision)
        )
        added = [(run, run.to_wire()) for run in document.runs[len(stored) :]]
        if grown and added:
            self._check_runs(place, [text for _, text in added])
            change = yield from self._appended(added)
            reply = yield self._append(place, added, snapshot.record.version, change)
            if isinstance(reply, bytes):
                return f"{int(reply.split()[1])}-{self._field(document)[1]}"
        elif grown:
            with suppress(ConversationNotFound):  # gone meanwhile: then it is written anew
                yield from self.set_lifetime(place)  # a write, even of the same, slides it
                return snapshot.revision
        return (yield from super().store(place, runs, metadata, revision))

    def edit(self, place: Place, run: Run) -> Operation[None]:
        text = run.to_wire()
        self._check_runs(place, [text])
        if not (yield from self._change_one(place, run.id, "edit", text)):
            yield from super().edit(place, run)

    def remove(self, place: Place, run_id: str) -> Operation[None]:
        if not (yield from self._change_one(place, run_id, "remove", b"")):
            yield from super().remove(place, run_id)

    def truncate(self, place: Place, after: str) -> Operation[None]:
        if not (yield from self._change_one(place, after, "truncate", b"")):
            yield from super().truncate(place, after)

    def _appended(self, texts: Sequence[tuple[Run, bytes]]) -> Operation[bytes]:
        """The change of the search documents that goes with an append."""
        documents = yield from self.indexer()
        return b"" if documents is None else documents.appended(texts)

    def _append(
        self, place: Place, texts: Sequence[tuple[Run, bytes]], version: Any, change: bytes
    ) -> Command[bytes | list[Any]]:
        """The number of added runs and the new version, as text, or the reason of the refusal."""
        pairs = [part for run, text in texts for part in (_digest(run.id), text)]
        args = [
            *self._lifetimes(place),
            _EMPTY.raw,
            _seal(_EMPTY),
            version,
            self.max_bytes,
            change,
            *pairs,
        ]

        def decoded(reply: bytes | list[Any]) -> bytes | list[Any]:
            if reply[0] == b"large":
                self._check_size(place, reply[1])
            if reply[0] == b"lost":
                raise self._lost(place, int(reply[1]))
            return reply

        return replace(self._command(self._changing(APPEND), place, args), decode=decoded)

    def _lost(self, place: Place, count: int) -> ConversationCorrupt:
        return self.corrupt(place, b"", f"{counted(count, 'run')} of its list are missing")

    def _check_all_there(self, place: Place, part: Slice) -> None:
        if (lost := (part.record.runs or 0) - part.length) > 0:
            raise self._lost(place, lost)

    def _field_of(self, place: Place) -> Command[bytes | None]:
        return single("HGET", self.keys.content(place.id), place.id)

    def _slice(self, place: Place, before: int | None, limit: int) -> Command[Slice]:
        """At most `limit` elements of the list in front of index `before`, or the last ones."""
        limit = min(limit, LARGEST)
        if before is None:
            first, last = -limit, -1
        else:
            last = min(before, LARGEST) - 1
            first = max(0, last + 1 - limit)
        runs = self.keys.runs(place.id)
        calls = (
            ("HMGET", self.keys.record(place.id), *FIELDS),
            ("HSTRLEN", self.keys.content(place.id), place.id),
            ("LLEN", runs),
            ("LRANGE", runs, first, last) if last >= first else ("LRANGE", runs, 1, 0),
        )

        def decoded(replies: list[Any]) -> Slice:
            fields, size, length, texts = replies
            record = Record.from_reply(place.id, fields)
            is_list = record.seal.startswith(f"list-{size}-")
            start = (length if before is None else before) - limit
            return Slice(record, texts, min(max(0, start), length), length, is_list)

        return Command(calls, decoded)

    def form(self, document: Document) -> Form:
        texts, field = document.texts, document.with_texts([])
        record = {
            "runs": document.count,
            "seal": _seal(field),
            "bytes": sum(map(len, texts)),
        }
        return Form(field.raw, texts, record)

    def digests(self, document: Document) -> list[bytes]:
        return _digests(document.runs)

    def _write(
        self,
        place: Place,
        document: Document,
        expected: Snapshot | None,
        change: bytes = b"",
        *,
        keeps_times: bool = False,
    ) -> Command[int | list[bytes]]:
        texts, field = document.texts, document.with_texts([])
        size = sum(map(len, texts))
        self._check_size(place, size + len(field.raw))
        self._check_runs(place, texts)
        args = [
            *(expected.expectation if expected else ("", "", "")),
            field.raw,
            _seal(field),
            *self._lifetimes(place),
            size,
            change,
            int(keeps_times),
            len(texts),
            *texts,
            *_digests(document.runs),
        ]
        return self._command(self._changing(REPLACE), place, args)

    def _field(self, document: Document) -> tuple[bytes, str]:
        field = document.with_texts([])
        return field.raw, field.mark

    def _change_one(
        self, place: Place, run_id: str, operation: str, given: bytes
    ) -> Operation[bool]:
        """Change the list at one run. False if the list is not all of the conversation."""
        documents = yield from self.indexer()

        def attempt(place: Place, digested: bool) -> Operation[Any]:
            found = yield from self._find(place, run_id)
            if found is None:
                return False
            place = found.place
            change = documents.of(operation, found.text, given) if documents else b""
            removed = {"edit": [], "remove": [run_id], "truncate": found.behind}[operation]
            args = [*self._lifetimes(place), operation, found.index, found.text, given, change]
            args += map(_digest, removed)
            reply = yield self._command(self._changing(CHANGE), place, args)
            return True if isinstance(reply, int) else reply

        return (yield from self._settled(place, attempt))  # type: ignore[no-any-return]

    def _find(self, place: Place, run_id: str) -> Operation[Found | None]:
        """The run of that id, looked for from the end. None if the list is not everything."""
        before: int | None = None
        behind: list[str] = []
        while before != 0:
            part = yield self._slice(place, before, _CHUNK)
            if not part.is_list or not place.sees(part.record):
                return None
            self._check_all_there(place, part)
            for index, text in reversed(list(enumerate(part.texts, part.start))):
                if (id := decoded_run(text, index).id) == run_id:
                    return Found(place.owned_by(owner_of(part.record)), index, text, behind)
                behind.append(id)
            before = part.start
        raise self._run_not_found(place, run_id)


def _seal(field: Document) -> str:
    """What the record remembers of a field that stands beside a list."""
    return f"list-{field.mark}"


def _digest(run_id: str) -> bytes:
    """What stands for a run in the set of those of the last hour: 16 bytes however long the id."""
    return md5(run_id.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()


def _digests(runs: Sequence[Run]) -> list[bytes]:
    return [_digest(run.id) for run in runs if run.id]


def list_traces(texts: Sequence[bytes], field: Document) -> dict[str, Any]:
    """The fields of the record that follow from the runs in a list and the field beside it."""
    return {"runs": len(texts), "seal": _seal(field), "bytes": sum(map(len, texts))}
