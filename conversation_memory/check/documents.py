"""The check of search documents: those of each conversation, those of none, and their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..exceptions import ConversationCorrupt
from ..layouts import Layout, Place
from ..layouts.indexing import Indexed
from ..layouts.refs import Snapshot, owner_of
from ..redis_io.operations import Command, Operation
from ..search_index import sweep as sweeping
from ..search_index.documents import suffix
from . import findings
from .findings import Finding
from .survey import Survey, survey


@dataclass(frozen=True, slots=True)
class Seen:
    """A conversation and its documents at one moment; `time` is that of its last write, in ms."""

    place: Place
    snapshot: Snapshot
    indexed: Indexed
    time: int


def sizes(layout: Layout, ids: Sequence[bytes]) -> Operation[list[tuple[bytes, int]]]:
    """Those of `ids` that should have documents, with the bytes to read; none without search."""
    if layout.schema is None or (yield from layout.indexer()) is None:
        return []
    surveys = yield survey(layout.keys, layout.keys.order(), ids)
    return [(it.id, it.size) for it in surveys if _is_searched(it)]


def inspect_documents(layout: Layout, ids: Sequence[bytes]) -> Operation[list[Finding]]:
    """The conversations whose documents are not those of their runs."""
    surveys = yield survey(layout.keys, layout.keys.order(), ids)
    there = [it.id for it in surveys if _is_searched(it)]
    seen = (yield [_read(layout, id) for id in there]) if there else []
    return [finding for it in seen for finding in _examine(layout, it)]


def inspect_tokens(layout: Layout, tokens: Sequence[bytes]) -> Operation[list[Finding]]:
    """Those of `tokens` that no conversation has."""
    keys = layout.keys
    stray = yield from sweeping.strays(keys, tokens)
    asked = [sweeping.sweeping(keys, token, id, asks=True) for token, id in stray]
    answers = (yield asked) if asked else []
    return [
        Finding(findings.STRAY_DOCUMENTS, id, sweeping.sweeping(keys, token, id))
        for (token, id), answer in zip(stray, answers, strict=True)
        if answer
    ]


def inspect_names(layout: Layout, names: Sequence[bytes]) -> Operation[list[Finding]]:
    """Those of the documents `names` that are in no list."""
    found = yield sweeping.orphans(layout.keys, names, asks=True)
    return [
        Finding(findings.LOST_DOCUMENT, name, sweeping.orphans(layout.keys, [name]))
        for name in found
    ]


def inspect_count(layout: Layout, names: Sequence[bytes]) -> Operation[list[Finding]]:
    """Whether RediSearch has as many documents as there should be, by the one key in `names`."""
    lifecycle = layout.lifecycle
    if lifecycle is None or not (yield from lifecycle.ready()).answers:
        return []
    surplus = yield from lifecycle.surplus()
    fix = lifecycle.recount(surplus)
    return [Finding(findings.WRONG_DOCUMENT_COUNT, name, fix) for name in names if surplus]


def _is_searched(it: Survey) -> bool:
    return it.exists and it.has_right_types and not it.is_past


def _read(layout: Layout, id: bytes) -> Command[Seen]:
    place = Place(id)
    snapshot, indexed = layout.snapshot(place), layout.indexed_command(place, whole=True)
    score = ("ZSCORE", layout.keys.order(), id)

    def decoded(replies: list[Any]) -> Seen:
        *stored, known, time = replies
        found = snapshot.decode(stored)
        assert found is not None
        place = Place(id, owner_of(found.record))
        return Seen(place, found, indexed.decode(known), int(float(time or 0)))

    return Command((*snapshot.calls, *indexed.calls, score), decoded)


def _examine(layout: Layout, seen: Seen) -> list[Finding]:
    """The repair writes all documents anew, whatever is there."""
    documents, wanted = layout.documents, set()
    assert documents is not None
    try:
        document = layout.document(seen.place, seen.snapshot)
        wanted = {suffix(text) for text in document.texts}
    except ConversationCorrupt:
        document = None
    if seen.snapshot.field is None:
        return []
    if seen.indexed.is_current and wanted == {*seen.indexed.suffixes}:
        return []
    change = documents.whole(document, ()) if document else documents.none()
    fix = layout.index_command(seen.place, seen.snapshot.digested(), change, seen.time)
    return [Finding(findings.NOT_INDEXED, seen.place.id, fix)]
