"""The contract of a layout, and reading a conversation whichever layout wrote it.

A conversation is in the layout that wrote it last: its record tells. Each layout reads what the
other wrote, and moves a conversation into its own form with the next write.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

from ..documents import Document, Runs
from ..exceptions import (
    ConversationCorrupt,
    ConversationNotFound,
    RedisDenied,
    RedisMisconfigured,
    RedisReadOnly,
    is_wrong_type,
)
from ..keys import decode
from ..records import LARGEST, Conversation, Excerpt, Record, RunPage
from ..redis_io.operations import Operation, T, single
from ..runs import Run
from .refs import ConversationRef, Memo, distinct, identified
from .writes import Writes

_CHUNK = 50


class Layout(Writes, ABC):
    """How an index is laid out in Redis. Each method returns an operation; none does I/O."""

    name: ClassVar[str]

    @abstractmethod
    def page(self, ref: ConversationRef, before: int | None, limit: int) -> Operation[RunPage]:
        """At most `limit` runs in front of position `before`, or the last ones."""

    def append(
        self, ref: ConversationRef, runs: Sequence[Run], memo: Memo | None = None
    ) -> Operation[int]:
        """Add the runs whose id is not there yet. Returns how many those were."""
        added: list[Run] = []
        runs = identified(runs)

        def change(document: Document) -> Document | None:
            added[:] = [run for run in distinct(runs) if not run.id or not document.has(run.id)]
            return document.appended(added) if added else None

        yield from self._change(ref, change, memo=memo, added=added)
        return len(added)

    def read(self, ref: ConversationRef, memo: Memo | None = None) -> Operation[Conversation]:
        """The whole conversation; one without runs if it does not exist."""
        snapshot = yield from self._snapshot(ref)
        if snapshot.field is None or not ref.sees(snapshot.record):
            return Conversation(Record(decode(ref.id)), Runs(), {}, "0-absent", exists=False)
        document = self.document(ref, snapshot)
        if memo is not None and not snapshot.is_list:
            memo.keep(snapshot, document)
        is_list, version = snapshot.is_list, snapshot.record.version
        revision = snapshot.revision if is_list else f"{version}-{document.fingerprint}"
        runs = document.runs
        record = replace(snapshot.record, runs=len(runs))  # others count no runs
        return Conversation(record, runs, document.metadata, revision, exists=True)

    def fork(
        self, ref: ConversationRef, target: ConversationRef, until: str | None
    ) -> Operation[None]:
        """Copy a conversation, up to a run, to an id that is not taken."""
        source = yield from self.read(ref)
        if not source.exists:
            raise self.not_found(ref)
        runs = source.runs
        if until is not None:
            runs = runs[: self._position(ref, runs, until) + 1]
        yield from self.guarded(target, self.store(target, runs, source.metadata, "0-absent"))

    def excerpt(
        self, ref: ConversationRef, before: int | None, limit: int, *, strict: bool
    ) -> Operation[Excerpt]:
        """At most `limit` runs in front of position `before`, or the last ones, and the rest."""
        found = yield from self.read(ref)
        page = self._cut(found.runs, before, limit)
        return Excerpt(
            found.record, page.runs, page.start, len(found.runs), found.metadata, found.exists
        )

    def raw(self, ref: ConversationRef) -> Operation[bytes | None]:
        """The document as it is stored, readable or not; of a list, put together from its parts."""
        try:
            snapshot = yield from self._snapshot(ref)
        except RedisMisconfigured as error:
            if ref.scoped or not is_wrong_type(error):
                raise
            return (yield single("HGET", self.keys.content(ref.id), ref.id))  # type: ignore[no-any-return]
        if snapshot.field is None or not ref.sees(snapshot.record):
            return None
        if snapshot.is_list:
            with suppress(ConversationCorrupt):
                return self.document(ref, snapshot).raw
        return snapshot.field

    def find(
        self, ref: ConversationRef, wanted: Callable[[Run], bool], limit: int
    ) -> Operation[int | None]:
        """The position of the last run that is `wanted`, looked for among the last `limit`."""
        page = yield from self.page(ref, None, limit)
        places = reversed(list(enumerate(page.runs, page.start)))
        return next((position for position, run in places if wanted(run)), None)

    @staticmethod
    def _cut(runs: list[Run], before: int | None, limit: int) -> RunPage:
        stop = len(runs) if before is None else min(before, len(runs))
        start = max(0, stop - limit)
        return RunPage(list(runs[start:stop]), start)

    def tail(self, ref: ConversationRef, count: int) -> Operation[list[Run]]:
        """The last `count` runs, oldest first."""
        return (yield from self.page(ref, None, count)).runs if count > 0 else []

    def reading(self, ref: ConversationRef, operation: Operation[T]) -> Operation[T]:
        """`operation`, which lets the deadline slide as a write does if the index wants it."""
        result = yield from operation
        if not self.slides_on_read:
            return result
        with suppress(ConversationNotFound, RedisReadOnly, RedisDenied):
            yield from self.set_lifetime(ref)
        return result

    def window(
        self,
        ref: ConversationRef,
        max_runs: int | None,
        max_tokens: int | None,
        count: Callable[[Run], int],
    ) -> Operation[list[Run]]:
        """The last runs that fit, oldest first; never a part of one."""
        chosen: list[Run] = []
        tokens, before = 0, None
        max_runs = None if max_runs is None else min(max_runs, LARGEST)
        while before != 0 and (max_runs is None or len(chosen) < max_runs):
            wanted = _CHUNK if max_runs is None else max_runs - len(chosen)
            page = yield from self.page(ref, before, wanted)
            for run in reversed(page.runs):
                if max_tokens is not None:
                    tokens += count(run)
                    if tokens > max_tokens:
                        return chosen[::-1]
                chosen.append(run)
            before = page.start
        return chosen[::-1]
