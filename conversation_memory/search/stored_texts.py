"""The runs of search documents that have no copy, read from their conversations."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from ..documents import Document
from ..exceptions import Damaged
from ..layouts import ConversationRef, Layout
from ..redis_io.operations import Operation, single
from ..search_index.run_documents import Documents

# By the token of a conversation that can be read: each run by the suffix of its document.
Texts = dict[bytes, dict[bytes, bytes]]


def texts_of(layout: Layout, ids: Mapping[bytes, bytes]) -> Operation[Texts]:
    """The runs of conversations, whose ids are given by token."""
    if not ids or layout.documents is None:
        return {}
    snapshots = yield from layout.snapshots([ConversationRef(id) for id in ids.values()])
    texts: Texts = {}
    for token, snapshot in zip(ids, snapshots, strict=True):
        with suppress(Damaged):
            texts[token] = _by_suffix(layout.documents, snapshot.document) if snapshot else {}
    return texts


def texts_of_documents(layout: Layout, names: Sequence[bytes]) -> Operation[list[bytes | None]]:
    """The runs of search documents, None for one whose run cannot be read."""
    start = len(layout.keys.documents())
    parts = [name[start:].partition(b":") for name in names]
    tokens = [*dict.fromkeys(token for token, _, _ in parts)]
    ids = yield single("HMGET", layout.keys.tokens(), *tokens)
    known = {token: id for token, id in zip(tokens, ids, strict=True) if id is not None}
    texts = yield from texts_of(layout, known)
    return [texts.get(token, {}).get(suffix) for token, _, suffix in parts]


def _by_suffix(documents: Documents, document: Document) -> dict[bytes, bytes]:
    return {suffix: text for text in document.texts for suffix in documents.suffixes(text)}
