"""An index over several shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from ..health import Health, HealthFinding
from ..indexes import ConversationIndex
from ..keys import Id, encode
from ..maintenance import logger
from ..records import page_limit
from ..redis_io.operations import Operation, T
from ..replies.open_runs import OpenRun
from ..search.reindex import Failure, Reindexing
from ..search_index.index_state import SearchState
from .across import Across, Answers, Ask
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
from .resharding import ReshardedIndex, nothing
from .shard_count import WHOLE
from .shard_driver import ShardDriver
from .sharded_engine import ShardedEngine
from .sharded_listing import ShardedListing, in_order


class ShardedIndex(ReshardedIndex):
    """A named collection of conversations, which are in the indexes `shards`.

    See ConversationIndex: its methods ask all shards and merge their answers.
    """

    def __init__(self, settings: conf.IndexSettings):
        super().__init__(settings)
        self._listing = self._sharded = ShardedListing(self._layout, lambda: self._move)
        self._engine = ShardedEngine(self._layout, self._sharded)

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
        numbering = Numbering(self._sharded, self._move.shards, span)
        return (yield from numbering.page(offset, limit))

    def _statistics(self, edges: Sequence[int] = ()) -> Operation[Statistics]:
        sampled = -(-SAMPLE // len(self._move.shards))

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
            self._move.shards, lambda shard: shard._search_state(), is_read=True
        )
        return whole_state(answers)

    def _examined(self) -> Operation[Health]:
        answers: Answers[Health] = yield Across(
            self._move.shards, lambda shard: shard._examined(), is_read=True
        )
        health = whole_health(answers)
        return Health(tuple(self._with_spread(finding) for finding in health.findings))

    def _with_spread(self, finding: HealthFinding) -> HealthFinding:
        """The finding about the size also tells that the shards are others than SHARDS says."""
        spread, wanted = self._move.spread, self.settings.shards
        if finding.name != "size" or str(spread) == spread.now and spread.number == wanted:
            return finding
        has = "has no shards" if spread.now == WHOLE else f"has {spread.number} shards"
        if spread.before:
            has = f"is being moved into {spread.number} shards"
        detail = f"The index {has}, and SHARDS is {wanted}."
        hint = f"Run convertconversations --shards {wanted}, again if it was interrupted."
        return HealthFinding("size", "warning", detail, hint)

    def _copies(self) -> Operation[erasure.Copies]:
        return whole_copies((yield from self._each(lambda shard: shard._copies())))

    # One conversation, or some of each shard.

    def _unfinished(self, conversation_id: Id) -> Operation[Unfinished]:
        id = encode(conversation_id)
        return self._sharded.at_home(id, lambda shard: shard._unfinished(id))

    def _delete(self, *conversation_ids: Id) -> Operation[int]:
        ids, move = [*map(encode, conversation_ids)], self._move
        stuck = yield from move.stuck(ids)
        parts = {**(yield from move.abandoned(stuck)), **move.split(ids)}
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

        if selection.ids is None:
            self._check_moved()
        ids, move = [*map(encode, selection.ids or ())], self._move
        stuck = yield from move.stuck(ids)
        left = move.by_source(stuck) if dry_run else (yield from move.abandoned(stuck))
        parts = {**left, **move.split(ids)}
        shards = move.shards if selection.ids is None else [*parts]
        return added([bulk.Pruning(), *(yield from self._each(prune, shards))])

    def _reap(self) -> Operation[int]:
        return sum((yield from self._each(lambda shard: shard._reap(), self._move.targets)))

    def _erasing(self, owner: Id, dry_run: bool) -> Operation[erasure.Erasure]:
        if dry_run:
            return added((yield from self._each(lambda shard: shard._erasing(owner, True))))
        move = self._move
        stuck = yield from move.owned(encode(owner))
        left = yield from move.abandoned(stuck, encode(owner))
        each = self._each(lambda shard: shard._erasing(owner, False), [*left, *move.targets])
        return added((yield from each))

    def _anonymising(self, owner: Id) -> Operation[int]:
        move = self._move
        for error in (yield from move.owned(encode(owner))).values():
            raise error
        return sum((yield from self._each(lambda it: it._anonymising(owner), move.targets)))

    def _fail_abandoned(self) -> Operation[int]:
        return sum((yield from self._each(lambda it: it._fail_abandoned(), self._move.targets)))

    def _convert(
        self,
        *,
        progress: Callable[[bulk.Conversion], object] = bool,
        failure: Failure = logger.warning,
    ) -> Operation[bulk.Conversion]:
        self._check_moved()
        total = Running(progress, added)
        each = self._each(lambda it: it._convert(progress=total.of(it), failure=failure))
        return added((yield from each))

    def _reindex(
        self, *, progress: Callable[[Reindexing], object] = bool, failure: Failure = logger.warning
    ) -> Operation[Reindexing]:
        self._check_moved()
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

        self._check_moved()
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

        self._check_moved()
        return merge((yield from self._each(check)))

    def _misplaced(
        self, shard: ConversationIndex, ids: Sequence[bytes]
    ) -> Operation[list[Finding]]:
        """Find conversations of other shards in this one; the programs of others put them there."""
        yield from nothing()
        return [Finding(WRONG_SHARD, id) for id in ids if self.shard_of(id) is not shard]

    def embed(self) -> int:
        return sum(shard.embed() for shard in self._move.targets)

    async def aembed(self) -> int:
        return sum([await shard.aembed() for shard in self._move.targets])

    def _logged_event(self, message: str, *counts: int, owner: Id) -> dict[str, Any]:
        # For receivers that name their sender, it is an index like any other.
        return super()._logged_event(message, *counts, owner=owner) | {"sender": ConversationIndex}

    def _each(
        self,
        ask: Ask[T],
        shards: Sequence[ConversationIndex] | None = None,
        *,
        is_read: bool = False,
    ) -> Operation[list[T]]:
        chosen = self._move.shards if shards is None else shards
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
        move = self._move
        stuck = yield from move.stuck(known)
        parts = {**move.by_source(stuck), **move.split(id for id in known if id not in stuck)}

        def ask(shard: ConversationIndex) -> Operation[list[Summary]]:
            return sift(shard, [known[id] for id in parts[shard]])

        answers: Answers[list[Summary]] = yield Across([*parts], ask, is_read=True)
        return in_order([*known], _flat(answers.all()))

    def __repr__(self) -> str:
        return f"<ShardedIndex {self.name!r} of {self.alias!r}, {len(self._move.shards)} shards>"


def _flat(several: Iterable[Iterable[T]]) -> Iterable[T]:
    return (one for part in several for one in part)


def _asked_at(run: OpenRun) -> tuple[int, bytes]:
    id = encode(run.conversation_id)
    begun = 0 if run.begun is None else milliseconds(run.begun)
    return begun, b"%d:%b:%b" % (len(id), id, encode(run.run_id))
