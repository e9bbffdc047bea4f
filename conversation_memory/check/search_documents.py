"""The check of search documents: those of each conversation, stray ones, and their number."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..collection.summaries import summaries
from ..exceptions import ConversationCorrupt, ConversationUndecryptable
from ..layouts import ConversationRef, Layout
from ..layouts.long_lists import may_go_on
from ..layouts.refs import Indexed, Snapshot, owner_of
from ..records import number
from ..redis_io.operations import Command, Operation, single
from ..search_index import sweep as sweeping
from ..search_index.run_documents import Steps
from . import findings
from .findings import Finding

_ATTEMPTS = 5

# A conversation, its search documents, and the time of its last write in ms.
Read = tuple[Snapshot, Indexed, int]


def searched(layout: Layout, ids: Sequence[bytes]) -> Operation[list[tuple[bytes, int]]]:
    """The conversations that should have documents, with the bytes to read; none without search."""
    if layout.schema is None or (yield from layout.indexer()) is None:
        return []
    known = yield from summaries(layout.keys, ids)
    return [(it.id, it.bytes) for it in known if it.exists and it.has_right_types]


def inspect_documents(layout: Layout, ids: Sequence[bytes]) -> Operation[list[Finding]]:
    """Find conversations whose documents do not match their runs."""
    read: list[Read | None] = yield [_read(layout, id) for id in ids]
    for place, id in enumerate(ids):
        if (parts := read[place]) and _is_long(*parts):
            read[place] = yield from _read_long(layout, id)
    return [
        finding
        for id, parts in zip(ids, read, strict=True)
        if parts is not None
        for finding in _examine(layout, id, *parts)
    ]


def inspect_tokens(layout: Layout, tokens: Sequence[bytes]) -> Operation[list[Finding]]:
    """Find tokens of deleted conversations that still have documents."""
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
    """Find documents that no conversation lists among the keys `names`."""
    found = (yield sweeping.orphans(layout.keys, names, asks=True)) if names else []
    return [
        Finding(findings.LOST_DOCUMENT, name, sweeping.orphans(layout.keys, [name])[0])
        for part in found
        for name in part
    ]


def inspect_count(layout: Layout, names: Sequence[bytes]) -> Operation[list[Finding]]:
    """Compare the count of documents with that of RediSearch; `names` is its one key."""
    index_state = layout.index_state
    if index_state is None or not (yield from index_state.ready()).answers:
        return []
    surplus = yield from index_state.surplus()
    fix = index_state.recount(surplus)
    return [Finding(findings.WRONG_DOCUMENT_COUNT, name, fix) for name in names if surplus]


def _read(layout: Layout, id: bytes) -> Command[Read | None]:
    ref = ConversationRef(id)
    snapshot, indexed = layout.first_part(ref), layout.indexed_command(ref, whole=True)
    score = ("ZSCORE", layout.keys.recency(), id)

    def decoded(replies: list[Any]) -> Read:
        *stored, known, time = replies
        found = snapshot.decode(stored)
        assert found is not None
        return found, indexed.decode(known), int(float(time or 0))

    # A key that got another type meanwhile is reported elsewhere.
    return Command((*snapshot.calls, *indexed.calls, score), decoded, otherwise=None)


def _is_long(snapshot: Snapshot, indexed: Indexed, time: int) -> bool:
    return may_go_on(snapshot.texts) or indexed.cursor != b"0"


def _read_long(layout: Layout, id: bytes) -> Operation[Read | None]:
    """The same in parts; None if others write to it all the time."""
    ref = ConversationRef(id)
    for _ in range(_ATTEMPTS):
        [snapshot] = yield from layout.snapshots([ref])
        [indexed] = yield from layout.seen_documents([ref])
        score, version = yield [
            single("ZSCORE", layout.keys.recency(), id),
            single("HGET", layout.keys.record(id), "version", otherwise=None),
        ]
        if snapshot is not None and snapshot.record.version == (number(version) or 0):
            return snapshot, indexed, int(float(score or 0))
    return None


def _examine(
    layout: Layout, id: bytes, snapshot: Snapshot, indexed: Indexed, time: int
) -> list[Finding]:
    documents = layout.documents
    assert documents is not None
    ref = ConversationRef(id, owner_of(snapshot.record))
    try:
        document = layout.document(ref, snapshot)
    except ConversationUndecryptable:
        return []  # with its key, it has its documents again
    except ConversationCorrupt:
        document = None
    texts = document.texts if document else ()
    is_right = indexed.is_current and documents.match(texts, indexed.suffixes)
    if snapshot.field is None or is_right:
        return []
    change = documents.whole(document, ()) if document else documents.none()
    if isinstance(change, Steps):
        return [Finding(findings.NOT_INDEXED, id, partial(layout.index, ref))]
    fix = layout.index_command(ref, snapshot.digested(), change, time)
    return [Finding(findings.NOT_INDEXED, id, fix)]
