"""The check of search documents: whether those of each conversation are up to date."""

from __future__ import annotations

from collections.abc import Sequence

from ..commands import Operation
from ..layouts import Layout
from ..search.reindexing import unindexed
from . import findings
from .findings import Finding


def inspect_documents(layout: Layout, ids: Sequence[bytes]) -> Operation[list[Finding]]:
    """The conversations that a search misses in part; none where no documents are written.

    A check repairs none of them: to write documents takes as long as `reindexconversations`.
    """
    if (yield from layout.indexer()) is None:
        return []
    missed = yield from unindexed(layout, ids)
    return [Finding(findings.NOT_INDEXED, id) for id, _ in missed]
