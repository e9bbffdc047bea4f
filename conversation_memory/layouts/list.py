"""Layout `list`: the runs in a Redis list, metadata and nothing else in the field of the hash.

An append, a tail and a page cost the same however long the conversation is. The field holds a
document without runs. A stock Griptape driver reads an empty conversation from it, and overwrites
it with its own runs: they are read behind those of the list, and moved there by the next write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..clock import moment
from ..documents import Document, build, read_field
from ..encryption.sealing import RUN
from ..exceptions import ConversationNotFound, RunNotFound
from ..keys import decode
from ..records import LARGEST, Excerpt, Record, RunPage, Runs, number
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Call, Script
from ..runs import Run, decoded_run, decoded_runs, lenient
from ..search_index.run_documents import Change, Steps
from ..wire import dumps, fingerprint
from .base import Layout
from .long_lists import indexes_before, whole
from .refs import ConversationRef, Encoded, Slice, Snapshot, digest, is_past, merged, owner_of
from .stored import Refusal
from .written import WRITE

CHANGE = Script("change")
LOCATE = Script("locate")

_CHUNK = 200

# What a record tells of field and list, if both are as the app wrote them.
_TOLD = ("version", "owner", "expires", "layout", "length", "crc", "runs", "bytes")

# Whoever writes JSON spells such an id in this way; some escape a slash, or what HTML escapes.
_has_one_spelling = re.compile(r"[ \w.:-]*", re.ASCII).fullmatch


class ListLayout(Layout):
    name = "list"
    apart = True

    def is_own(self, record: Record, size: int, runs: int) -> bool:
        return record.layout == self.form and record.length == size

    def encoded(self, document: Document) -> Encoded:
        document = document.listed()
        return Encoded(document.raw, document.texts, derived_list_fields(document.texts, document))

    def formed(self, document: Document) -> Document:
        return document.listed()

    def text_of(self, run: Run) -> bytes:
        return run.to_list()

    def load(self, ref: ConversationRef) -> Operation[tuple[Runs, dict[str, Any]]]:
        if self.sealing is not None:
            return (yield from super().load(ref))

        def read(last: int) -> Operation[list[Any]]:
            calls = self._between(ref, ("LRANGE", self.keys.runs(ref.id), 0, last))
            return (yield Command(calls, is_atomic=False))  # type: ignore[no-any-return]

        field, texts, told = yield from whole(
            self.keys, ref.id, read, lambda replies: (replies[2][0], replies[1])
        )
        if field is None:
            return Runs(), {}
        counts = len(texts), sum(map(len, texts))
        if not (yield from self._is_told(ref, told, field, *counts)):
            return (yield from super().load(ref))
        document = read_field(field)
        return Runs(lenient(texts), document.members), document.metadata

    def page(self, ref: ConversationRef, before: int | None, limit: int) -> Operation[RunPage]:
        runs, (first, last) = self.keys.runs(ref.id), indexes_before(before, limit)
        calls = self._between(ref, ("LLEN", runs), ("LRANGE", runs, first, last))
        field, length, texts, told = yield Command(calls, is_atomic=False)
        if field is None:
            return RunPage([], 0)
        start = max(0, (length if before is None else before) - limit)
        is_within = before is None or before <= length
        if not (is_within and (yield from self._is_told(ref, told, field, length))):
            part = yield from self._slice(ref, before, limit)
            if part is None:
                return (yield from super().page(ref, before, limit))
            start, texts = part.start, part.texts
        elif self.sealing:
            texts = self.sealing.open_all(RUN, ref.id, texts)
        return RunPage(decoded_runs(texts, start), start)

    def _between(self, ref: ConversationRef, *reads: Call) -> tuple[Call, ...]:
        """Reads of the list between those of the field and of what the record tells of both."""
        field = ("HGET", self.keys.content(ref.id), ref.id)
        return field, *reads, ("HMGET", self.keys.record(ref.id), *_TOLD)

    def _is_told(
        self, ref: ConversationRef, told: Sequence[bytes | None], field: bytes, *counts: int
    ) -> Operation[bool]:
        """True if the record, read last, tells the field that was read first, and its list.

        So both were as they are told when the list was read. `counts` are its runs and bytes.
        """
        _, owner, expires, layout, *numbers = told
        known = [*fingerprint(field).split("-", 1), *map(str, counts)]
        if layout != self.form.encode() or [*map(str.encode, known)] != numbers[: len(known)]:
            return False
        is_visible = not ref.scoped or owner == ref.owner
        return is_visible and not (yield from is_past(moment(number(expires))))

    def excerpt(
        self, ref: ConversationRef, before: int | None, limit: int, *, strict: bool
    ) -> Operation[Excerpt]:
        field = ("HGET", self.keys.content(ref.id), ref.id)
        part = yield from self._slice(ref, before, limit, field)
        if part is None:
            return (yield from super().excerpt(ref, before, limit, strict=strict))
        found = Snapshot(part.more[0], replace(part.record, runs=None), sealing=self.sealing)
        metadata = self.document(ref, found).metadata
        runs = decoded_runs(part.texts, part.start) if strict else [*map(Run.from_text, part.texts)]
        record = replace(part.record, runs=part.length)
        return Excerpt(record, runs, part.start, part.length, metadata, True, found.revision)

    def find(
        self, ref: ConversationRef, wanted: Callable[[Run], bool], limit: int
    ) -> Operation[int | None]:
        # `wanted` need not look at a run, which is decoded only then.
        found = yield from self._find(ref, lambda text, _: wanted(Run.from_text(text)), limit)
        if found is None:
            return (yield from super().find(ref, wanted, limit))
        return found[1]

    def told(self, ref: ConversationRef, run: Run, text: bytes) -> bytes | None:
        return digest(run.id)

    def store(
        self,
        ref: ConversationRef,
        runs: Sequence[Run],
        metadata: Mapping[str, Any],
        revision: str | None,
    ) -> Operation[str]:
        # A store that only adds runs is an append.
        document = build(runs, dict(metadata), apart=True)
        encoded = self.encoded(document)
        snapshot = yield from self._snapshot(ref)
        ref = self._seen(ref, snapshot)
        known = snapshot.opened
        stored = [*known.texts]
        grown = (
            snapshot.is_list
            and not snapshot.lost
            and known.field == encoded.field
            and stored == document.texts[: len(stored)]
            and revision in (None, snapshot.revision)
        )
        if grown and (added := runs[len(stored) :]):
            args = yield from self._appended(ref, added)
            reply = yield self._append(ref, snapshot.record.version, 0, args or [])
            if isinstance(reply, bytes):
                return f"{int(reply.split()[1])}-{fingerprint(snapshot.field or b'')}"
        elif grown:
            with suppress(ConversationNotFound):  # deleted meanwhile: then it is written anew
                yield from self.set_lifetime(ref)  # a write, even of the same, slides it
                return snapshot.revision
        return (yield from super().store(ref, runs, metadata, revision))

    def update_metadata(
        self, ref: ConversationRef, changes: Mapping[str, Any], remove: Sequence[str]
    ) -> Operation[dict[str, Any]]:
        dumps(dict(changes))  # raises if they are nested too deeply
        documents = yield from self.indexer()

        def attempt(
            ref: ConversationRef, digested: bool
        ) -> Operation[dict[str, Any] | Refusal | None]:
            step: Change = documents.added([]) if documents else b""
            field = ("HGET", self.keys.content(ref.id), ref.id)
            part = yield from self._slice(ref, 0, 1, field)
            if part is None or part.more[0] is None:
                return None
            record = replace(part.record, runs=None)
            found = Snapshot(part.more[0], record, is_digested=True, sealing=self.sealing)
            document = self.document(ref, found)
            changed = document.with_metadata(merged(document.metadata, changes, remove))
            if document.count:
                return None
            if documents and documents.facets(document) != documents.facets(changed):
                if not Steps.is_needed(part.length):
                    return None
                step = documents.in_steps(changed)
            ref = ref.owned_by(owner_of(record))
            encoded = Encoded(changed.raw, [], field_facts(changed)).sealed(self.sealing, ref.id)
            self._check_size(ref, encoded.size + part.size)
            _, *known = found.expectation  # appends may raise the version meanwhile
            begun = step.begun if isinstance(step, Steps) else step
            args = ["", *known, encoded.field, *self._lifetimes(ref), begun, 0, ""]
            args += encoded.args("kept")
            written = yield self._command(self._changing(WRITE), ref, args)
            if not isinstance(written, int):
                return written  # type: ignore[no-any-return]
            yield from self._index_rest(ref, step)
            return changed.metadata

        metadata = yield from self._settled(ref, attempt)
        if metadata is not None:
            return metadata
        return (yield from super().update_metadata(ref, changes, remove))

    def _change_run(
        self,
        ref: ConversationRef,
        run_id: str,
        operation: str,
        renewed: Callable[[bytes], bytes | None] | None = None,
    ) -> Operation[None]:
        documents = yield from self.indexer()

        def attempt(ref: ConversationRef, digested: bool) -> Operation[bool | Refusal]:
            texts: list[bytes] = []
            found = yield from self._locate(ref, run_id, texts)
            if found is None:
                return False
            record, index, stored, plain = found
            if index is None:
                raise self._error(RunNotFound, ref, repr(run_id))
            ref = ref.owned_by(owner_of(record))
            text = renewed(plain) if renewed else None
            what = "remove" if operation == "edit" and text is None else operation
            self._check_runs(ref, [text or b""])
            cut = texts[:-1] if what == "truncate" else []
            change = documents.of(what, plain, text or b"", cut) if documents else b""
            # A script cannot tell the documents of what is encrypted: those that go are named here.
            is_named = what == "truncate" and change != b"" and self.sealing is not None
            length: int | str = index + 1 + len(cut) if is_named else ""
            if text is not None and self.sealing is not None:
                text = self.sealing.seal(RUN, ref.id, text)
            args = [*self._lifetimes(ref), what, index, stored, text or b"", change, digest(run_id)]
            while True:
                reply = yield self._command(self._changing(CHANGE), ref, [*args, length])
                if what != "truncate" or isinstance(reply, list) or reply <= index + 1:
                    return True if isinstance(reply, int) else reply
                ref, length = ref.for_a_call(), reply if is_named else ""  # the next part

        if not (yield from self._settled(ref, attempt)):
            yield from super()._change_run(ref, run_id, operation, renewed)

    def _locate(
        self, ref: ConversationRef, run_id: str, texts: list[bytes]
    ) -> Operation[tuple[Record, int | None, bytes, bytes] | None]:
        """See _find(), of the last run with that id. The server looks for it where it can.

        `texts` get those that are decrypted for that, from the end up to the run.
        """

        def is_wanted(text: bytes, index: int) -> bool:
            texts.append(text)
            return decoded_run(text, f"run {index}").id == run_id

        if self.sealing is not None or not _has_one_spelling(run_id):
            return (yield from self._find(ref, is_wanted, LARGEST))
        part = yield from self._slice(ref, None, _CHUNK)
        if part is None:
            return None
        if found := part.last(is_wanted):
            return found
        before, id = part.start, dumps(run_id)
        while before > 0:
            args = [before, part.step, b"[%b," % id, id]
            before, *text = yield single(*LOCATE.call([self.keys.runs(ref.id)], args))
            if text and is_wanted(text[0], before):
                return part.record, before, text[0], text[0]
        return part.record, None, b"", b""

    def _find(
        self, ref: ConversationRef, is_wanted: Callable[[bytes, int], bool], limit: int
    ) -> Operation[tuple[Record, int | None, bytes, bytes] | None]:
        """The record, and of the last of `limit` runs that is wanted, if any is, its position and
        its text, as it is stored and decrypted.

        None if the list cannot be used.
        """
        before, looked, chunk = None, 0, _CHUNK
        while True:
            part = yield from self._slice(ref, before, chunk)
            if part is None:
                return None
            if found := part.last(is_wanted):
                return found
            before, looked = part.start, looked + len(part.texts)
            if before == 0 or looked >= limit:
                return part.record, None, b"", b""
            chunk = min(2 * chunk, part.step)

    def last(self, ref: ConversationRef, count: int, *more: Call) -> Operation[Slice | None]:
        runs = self.keys.runs(ref.id)
        calls = self._between(ref, ("LLEN", runs), ("LRANGE", runs, -count, -1), *more)
        field, length, texts, *others, told = yield Command(calls, is_atomic=False)
        if field is not None and (yield from self._is_told(ref, told, field, length)):
            record = Record(decode(ref.id), decode(told[1]) if told[1] else None)
            plain = self.sealing.open_all(RUN, ref.id, texts) if self.sealing else texts
            return Slice(record, plain, max(0, length - count), length, texts, others)
        part = yield from self._slice(ref, None, count, *more)
        return part or (yield from super().last(ref, count, *more))

    def _slice(
        self, ref: ConversationRef, before: int | None, limit: int, *more: Call
    ) -> Operation[Slice | None]:
        """At most `limit` elements of the list in front of index `before`, or the last ones.

        None if the list is not the whole conversation, or if the caller must not see it.
        """
        first, last = indexes_before(before, limit)
        content, runs = self.keys.content(ref.id), self.keys.runs(ref.id)
        lengths = ("HSTRLEN", content, ref.id), ("LLEN", runs)
        calls = (self._record_call(ref), *lengths, ("LRANGE", runs, first, last), *more)
        replies = yield from self._at_one_moment(ref, calls)
        (*fields, bytes), size, length, texts, *others = replies
        record = Record.from_reply(ref.id, fields)
        if length < (record.runs or 0):  # or the list has expired meanwhile: see _snapshot_beside()
            (*fields, bytes), size, length, texts, *others = yield Command(calls)
            record = Record.from_reply(ref.id, fields)
        is_visible = self.is_own(record, size, length) and ref.sees(record)
        if not is_visible or (yield from is_past(record.expires)):
            return None
        if (lost := (record.runs or 0) - length) > 0:
            raise self.lost(ref, lost)
        if before is not None and before > length:
            return (yield from self._slice(ref, length, limit, *more))
        start = max(0, (length if before is None else before) - limit)
        plain = self.sealing.open_all(RUN, ref.id, texts) if self.sealing else texts
        return Slice(record, plain, start, length, texts, others, size=number(bytes) or 0)


def derived_list_fields(texts: Sequence[bytes], field: Document) -> dict[str, Any]:
    """The fields of the record that follow from a list and its field."""
    return {**field_facts(field), "runs": len(texts), "bytes": sum(map(len, texts))}


def field_facts(field: Document) -> dict[str, Any]:
    """The fields of the record that follow from the field alone."""
    return {"layout": "list", "length": len(field.raw), "crc": field.crc}
