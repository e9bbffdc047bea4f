"""An index over several shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from .. import conf
from ..browse import EVERYTHING as EVERY_SPAN
from ..browse import Extent, RunTest, Span, Unfinished
from ..check import Check, Finding, Report
from ..check.findings import WRONG_SHARD
from ..clock import milliseconds
from ..collection import bulk
from ..collection import erase as erasure
from ..collection.listing import counting
from ..collection.rotation import Rotation
from ..collection.selection import EVERYTHING, Selection
from ..collection.statistics import SAMPLE, Statistics, statistics
from ..collection.summaries import Summary
from ..drivers import RedisConversationMemoryDriver, new_ref
from ..exceptions import ConversationMemoryError
from ..health import Health
from ..indexes import ConversationIndex
from ..keys import Id, encode, shard_name
from ..maintenance import logger
from ..records import page_limit
from ..redis_io.operations import Operation, T
from ..replies.open_runs import OpenRun
from ..search.reindex import Failure, Reindexing
from ..search_index.index_state import SearchState
from .across import Across, Answers, Ask, running
from .merging import (
    Running,
    added,
    whole_copies,
    whole_health,
    whole_report,
    whole_state,
    whole_statistics,
)
from .numbering import Numbering
from .routing import finder, routed
from .shard_count import check_shards
from .shard_driver import ShardDriver
from .sharded_engine import ShardedEngine
from .sharded_listing import ShardedListing, in_order


class ShardedIndex(ConversationIndex):
    """A named collection of conversations, which are in the indexes `shards`.

    See ConversationIndex: its methods ask all shards and merge their answers.
    """

    def __init__(self, settings: conf.IndexSettings):
        super().__init__(settings)
        names = [shard_name(self.name, number) for number in range(settings.shards)]
        own = [replace(settings, index=name, shards=1) for name in names]
        self._shards = tuple(map(ConversationIndex, own))
        for shard in self._shards:
            shard._layout.telemetry = self._layout.telemetry  # which has the name of the index
            shard._layout.share_keys(self._layout)
        self._listing = self._sharded = ShardedListing(self._layout, self._shards)
        self._engine = ShardedEngine(self._layout, self._sharded, self._shards)
        self._find = finder(self._shards)
        self._is_checked = False

    @property
    def shards(self) -> Sequence[ConversationIndex]:
        return self._shards

    def shard_of(self, conversation_id: Id) -> ConversationIndex:
        return self._sharded.shard_of(encode(conversation_id))

    def driver(
        self,
        conversation_id: Id | None = None,
        *,
        owner: Id | None = None,
        ttl: float | timedelta | None = None,
        read_from: str = "primary",
        wait: Mapping[str, int] | None = None,
    ) -> RedisConversationMemoryDriver:
        id = new_ref(conversation_id, owner, ttl).id
        driver = self.shard_of(id).driver(id, owner=owner, ttl=ttl, read_from=read_from, wait=wait)
        return ShardDriver.in_shard(self, driver)

    # Reads, of all shards together.

    def _count(self, owner: Id | None = None) -> Operation[int]:
        owned = None if owner is None else encode(owner)
        counts: list[int] = yield from self._each(
            lambda shard: counting(shard._layout.keys, owned), is_read=True
        )
        return sum(counts)

    def _extent(self, span: Span = EVERY_SPAN) -> Operation[Extent]:
        found = yield from self._each(lambda shard: shard._extent(span), is_read=True)
        return Extent(sum(it.conversations for it in found), sum(it.unlisted for it in found))

    def _numbered(self, span: Span, offset: int, limit: int) -> Operation[tuple[int, list[bytes]]]:
        return Numbering(self._sharded, self._shards, span).page(offset, limit)

    def _statistics(self, edges: Sequence[int] = ()) -> Operation[Statistics]:
        sampled = -(-SAMPLE // len(self._shards))

        def measure(shard: ConversationIndex) -> Operation[Statistics]:
            return statistics(shard._layout.keys, edges, sampled)

        return whole_statistics((yield from self._each(measure, is_read=True)))

    def _open_runs(
        self, limit: int = 100, *, after: OpenRun | None = None
    ) -> Operation[list[OpenRun]]:
        found = yield from self._each(
            lambda shard: shard._open_runs(limit, after=after), is_read=True
        )
        return sorted((run for runs in found for run in runs), key=_asked_at)[: page_limit(limit)]

    def _search_state(self) -> Operation[SearchState]:
        answers: Answers[SearchState] = yield Across(
            self._shards, lambda shard: shard._search_state(), is_read=True
        )
        return whole_state(answers)

    def _examined(self) -> Operation[Health]:
        answers: Answers[Health] = yield Across(
            self._shards, lambda shard: shard._examined(), is_read=True
        )
        return whole_health(answers)

    def _copies(self) -> Operation[erasure.Copies]:
        return whole_copies((yield from self._each(lambda shard: shard._copies())))

    # One conversation, or some of each shard.

    def _unfinished(self, conversation_id: Id) -> Operation[Unfinished]:
        return self._sharded._at(
            self.shard_of(conversation_id), lambda shard: shard._unfinished(conversation_id)
        )

    def _delete(self, *conversation_ids: Id) -> Operation[int]:
        parts = self._split(map(encode, conversation_ids))
        return sum((yield from self._each(lambda shard: shard._delete(*parts[shard]), [*parts])))

    def _with_run(self, listed: list[Summary], is_wanted: RunTest) -> Operation[list[Summary]]:
        return self._sifted(listed, lambda shard, part: shard._with_run(part, is_wanted))

    def _unreadable(self, doubtful: list[Summary]) -> Operation[list[Summary]]:
        return self._sifted(doubtful, lambda shard, part: shard._unreadable(part))

    # What changes all shards, or reads every conversation.

    def _prune(
        self,
        selection: Selection,
        *,
        dry_run: bool = False,
        progress: Callable[[bulk.Pruning], object] = bool,
    ) -> Operation[bulk.Pruning]:
        total = Running(progress, added)

        def prune(shard: ConversationIndex) -> Operation[bulk.Pruning]:
            own = selection
            if selection.ids is not None:
                own = Selection(ids=parts[shard])
            return shard._prune(own, dry_run=dry_run, progress=total.of(shard))

        parts = self._split(map(encode, selection.ids or ()))
        shards = self._shards if selection.ids is None else [*parts]
        return added([bulk.Pruning(), *(yield from self._each(prune, shards))])

    def _reap(self) -> Operation[int]:
        return sum((yield from self._each(lambda shard: shard._reap())))

    def _erasing(self, owner: Id, dry_run: bool) -> Operation[erasure.Erasure]:
        return added((yield from self._each(lambda shard: shard._erasing(owner, dry_run))))

    def _anonymising(self, owner: Id) -> Operation[int]:
        return sum((yield from self._each(lambda shard: shard._anonymising(owner))))

    def _fail_abandoned(self) -> Operation[int]:
        return sum((yield from self._each(lambda shard: shard._fail_abandoned())))

    def _convert(
        self,
        *,
        progress: Callable[[bulk.Conversion], object] = bool,
        failure: Failure = logger.warning,
    ) -> Operation[bulk.Conversion]:
        total = Running(progress, added)
        each = self._each(lambda it: it._convert(progress=total.of(it), failure=failure))
        return added((yield from each))

    def _reindex(
        self, *, progress: Callable[[Reindexing], object] = bool, failure: Failure = logger.warning
    ) -> Operation[Reindexing]:
        total = Running(progress, added)
        each = self._each(lambda it: it._reindex(progress=total.of(it), failure=failure))
        return added((yield from each))

    def _rotate_keys(
        self,
        selection: Selection = EVERYTHING,
        *,
        progress: Callable[[Rotation], object] = bool,
        failure: Callable[[ConversationMemoryError], object] = logger.warning,
    ) -> Operation[Rotation]:
        total = Running(progress, added)

        def rotate(shard: ConversationIndex) -> Operation[Rotation]:
            own = selection
            if selection.ids is not None:
                own = Selection(ids=parts.get(shard, []))
            return shard._rotate_keys(own, progress=total.of(shard), failure=failure)

        parts = self._split(map(encode, selection.ids or ()))
        return added((yield from self._each(rotate)))

    def _check(
        self, *, fix: bool = False, examples: int = 5, progress: Callable[[Report], object] = bool
    ) -> Operation[Report]:
        merge = partial(whole_report, examples=examples)
        total = Running(progress, merge)

        def check(shard: ConversationIndex) -> Operation[Report]:
            own = Check(
                shard._layout,
                shard._listing,
                fix=fix,
                examples=examples,
                progress=total.of(shard),
            )
            own.inspections.append(partial(self._misplaced, shard))
            return own.run()

        return merge((yield from self._each(check)))

    def _misplaced(
        self, shard: ConversationIndex, ids: Sequence[bytes]
    ) -> Operation[list[Finding]]:
        """Find conversations of other shards in this one; the programs of others put them there."""
        yield from _nothing()
        return [Finding(WRONG_SHARD, id) for id in ids if self.shard_of(id) is not shard]

    def embed(self) -> int:
        return sum(shard.embed() for shard in self._shards)

    async def aembed(self) -> int:
        return sum([await shard.aembed() for shard in self._shards])

    def checked(self, operation: Operation[T]) -> Operation[T]:
        """`operation`, before which the number of shards is compared with that in Redis, once."""
        if not self._is_checked:
            answers: Answers[None] = yield Across([self], lambda whole: _nothing())
            answers.all()
        return (yield from operation)

    def _logged_event(self, message: str, *counts: int, owner: Id) -> dict[str, Any]:
        # For receivers that name their sender, it is an index like any other.
        return super()._logged_event(message, *counts, owner=owner) | {"sender": ConversationIndex}

    def _asked(self, operation: Operation[T], *, may_lag: bool) -> Operation[T]:
        # Not of the index, but of each of its shards.
        return self._opened(operation, may_lag=may_lag)

    def _opened(self, operation: Operation[T], *, may_lag: bool) -> Operation[T]:
        if not self._is_checked:
            check = check_shards(self._layout.keys, self.alias, len(self._shards))
            yield from super()._asked(check, may_lag=may_lag)
            self._is_checked = True
        return (yield from routed(operation, self._find))

    def _perform(self, client: Any, operation: Operation[T], name: str) -> T:
        with running(name):
            return super()._perform(client, operation, name)

    async def _aperform(self, client: Any, operation: Operation[T], name: str) -> T:
        with running(name):
            return await super()._aperform(client, operation, name)

    def _each(
        self,
        ask: Ask[T],
        shards: Sequence[ConversationIndex] | None = None,
        *,
        is_read: bool = False,
    ) -> Operation[list[T]]:
        chosen = self._shards if shards is None else shards
        answers: Answers[T] = yield Across(chosen, ask, is_read=is_read)
        return answers.all()

    def _split(self, ids: Iterable[bytes]) -> dict[ConversationIndex, list[bytes]]:
        return self._sharded.split(ids)

    def _sifted(
        self,
        summaries: list[Summary],
        sift: Callable[[Any, list[Summary]], Operation[list[Summary]]],
    ) -> Operation[list[Summary]]:
        known = {summary.id: summary for summary in summaries}
        parts = self._split(known)

        def ask(shard: ConversationIndex) -> Operation[list[Summary]]:
            return sift(shard, [known[id] for id in parts[shard]])

        answers: Answers[list[Summary]] = yield Across([*parts], ask, is_read=True)
        return in_order([*known], _flat(answers.all()))

    def __repr__(self) -> str:
        return f"<ShardedIndex {self.name!r} of {self.alias!r}, {len(self._shards)} shards>"


def _flat(several: Iterable[Iterable[T]]) -> Iterable[T]:
    return (one for part in several for one in part)


def _asked_at(run: OpenRun) -> tuple[int, bytes]:
    id = encode(run.conversation_id)
    begun = 0 if run.begun is None else milliseconds(run.begun)
    return begun, b"%d:%b:%b" % (len(id), id, encode(run.run_id))


def _nothing() -> Operation[None]:
    return
    yield
