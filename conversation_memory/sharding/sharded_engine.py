"""The searches of an index over several shards, each of which searches its own conversations."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from ..clock import milliseconds
from ..indexes import ConversationIndex
from ..layouts import Layout
from ..redis_io.operations import Operation
from ..search.engine import Engine
from ..search.facets import Counts, Grouping
from ..search.request import MOST, Cursor, Request
from ..search.results import Hit, SearchResults
from ..search_index.reasons import Reason, Reasons, unique
from .across import Across, Answers
from .merging import unreached
from .sharded_listing import ShardedListing, share_of

_END = re.compile(r"e(\d{1,12})", re.ASCII).fullmatch
_POSITION = re.compile(r"(\d{1,4}):([\w.-]*)", re.ASCII).fullmatch
_MOST_SUGGESTIONS = 5


@dataclass(frozen=True, slots=True)
class Position:
    """Where a search goes on in a shard: after `skipped` hits of the page at `cursor`.

    At the end it has the `total` of the shard, which is not asked any more.
    """

    cursor: Cursor = Cursor()
    skipped: int = 0
    total: int | None = None

    @property
    def is_end(self) -> bool:
        return self.total is not None

    def __str__(self) -> str:
        if self.is_end:
            return f"e{self.total}"
        return f"{self.skipped}:{'' if self.cursor == Cursor() else self.cursor}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Raises ValueError."""
        if end := _END(text):
            return cls(total=int(end[1]))
        if not (parts := _POSITION(text)):
            raise ValueError("This is not a cursor of a search.")
        return cls(Cursor.parse(parts[2] or None), int(parts[1]))

    def after(self, results: SearchResults, taken: int, order_by: str) -> Position:
        """The position after `taken` more hits of the page."""
        skipped = self.skipped + taken
        if skipped < len(results.hits):
            is_pinned = order_by == "-time" and not results.scanned
            cursor = _pinned(self.cursor, results) if is_pinned else self.cursor
            return replace(self, cursor=cursor, skipped=skipped)
        if results.next is None:
            return Position(total=results.total)
        return Position(Cursor.parse(results.next))


class ShardedEngine(Engine):
    """See Engine: a search asks all shards."""

    def __init__(self, layout: Layout, listing: ShardedListing):
        super().__init__(layout, listing)
        self._sharded = listing

    def search(self, request: Request) -> Operation[SearchResults]:
        shards = yield from self._of(request)
        if request.is_hopeless or len(shards) == 1:
            answers: Answers[SearchResults] = yield Across(
                shards[:1], lambda shard: shard._engine.search(request)
            )
            return answers.all()[0]
        positions = dict(zip(shards, _positions(request.cursor, len(shards)), strict=True))
        page = yield from self._found(replace(request, suggests=False), positions)
        is_first = request.cursor == Cursor()
        if page.total or page.scanned or request.query.is_blank or not is_first:
            return page
        words: Answers[list[str]] = yield Across(
            shards, lambda shard: shard._engine.suggestions(request), is_read=True
        )
        found = dict.fromkeys(chain.from_iterable(words.results.values()))
        return replace(page, suggestions=[*found][:_MOST_SUGGESTIONS])

    def _found(
        self, request: Request, positions: Mapping[ConversationIndex, Position]
    ) -> Operation[SearchResults]:
        """A page. Each shard is asked for its share at first, and seldom for more."""
        asked = [shard for shard in positions if not positions[shard].is_end]
        first = replace(request, limit=self._share(request, len(positions)))
        answers: Answers[SearchResults] = yield self._across(asked, first, positions)
        if asked:
            answers.some()
        more = _exhausted(request, positions, answers)
        if any(shard._layout.keys.is_leaving for shard in more):
            more = [*answers.results]  # or what moves now would be missed
        if more:
            answers.update((yield self._across(more, request, positions)))
        return _page(request, positions, answers)

    def _across(
        self,
        shards: Sequence[ConversationIndex],
        request: Request,
        positions: Mapping[ConversationIndex, Position],
    ) -> Across[SearchResults]:
        """The page of each shard from its position on, with as many hits behind it as wanted."""

        def ask(shard: ConversationIndex) -> Operation[SearchResults]:
            position = positions[shard]
            limit = min(MOST, position.skipped + request.limit)
            own = replace(request, cursor=position.cursor, limit=limit)
            return shard._engine.search(own)

        return Across(shards, ask, is_read=True)

    def _share(self, request: Request, shards: int) -> int:
        # A scan would read twice, and other totals are the less exact the less is asked for.
        is_divided = self._layout.schema and request.is_exact and request.vector is None
        return share_of(request.limit, shards) if is_divided else request.limit

    def _counts(self, request: Request, grouping: Grouping) -> Operation[tuple[Counts, Reasons]]:
        shards = yield from self._of(request)
        answers: Answers[tuple[Counts, Reasons]] = yield Across(
            shards, lambda shard: shard._engine._counts(request, grouping), is_read=True
        )
        found = answers.some()
        total: Counts = sum((counts for counts, _ in found), Counter())
        return total, _merged((reasons for _, reasons in found), answers)

    def _of(self, request: Request) -> Operation[Sequence[ConversationIndex]]:
        """The shards that may have hits."""
        id, move = request.filters.conversation, self._sharded.move
        if id is None:
            return move.shards
        yield from move.arrived([id])
        return [move.home(id)]


def _positions(cursor: Cursor, shards: int) -> list[Position]:
    if cursor == Cursor():
        return [Position()] * shards
    positions = [*map(Position.parse, cursor.shards.split("~"))]
    if len(positions) != shards:
        raise ValueError("This is a cursor of a search in another number of shards.")
    return positions


def _page(
    request: Request,
    positions: Mapping[ConversationIndex, Position],
    answers: Answers[SearchResults],
) -> SearchResults:
    """The best hits of all shards, as far as it is known which are the best."""
    results = answers.results
    rest = {shard: found.hits[positions[shard].skipped :] for shard, found in results.items()}
    hits, taken = _best(request, results, rest)
    after = {**positions} | {
        shard: positions[shard].after(found, taken[shard], request.order_by)
        for shard, found in results.items()
    }
    is_over = all(position.is_end for position in after.values())
    return SearchResults(
        hits,
        sum(found.total for found in results.values())
        + sum(position.total or 0 for position in positions.values()),
        _merged((found.reasons for found in results.values()), answers),
        None if is_over else str(Cursor(shards="~".join(map(str, after.values())))),
        scanned=any(found.scanned for found in results.values()),
    )


def _exhausted(
    request: Request,
    positions: Mapping[ConversationIndex, Position],
    answers: Answers[SearchResults],
) -> list[ConversationIndex]:
    """The shards of whose hits more may belong to the page: they have given half of theirs."""
    results = answers.results
    rest = {shard: found.hits[positions[shard].skipped :] for shard, found in results.items()}
    hits, taken = _best(request, results, rest)
    if len(hits) == request.limit:
        return []
    return [
        shard
        for shard, found in results.items()
        if found.next is not None and 2 * taken[shard] >= len(rest[shard]) < request.limit
    ]


def _best(
    request: Request,
    results: dict[ConversationIndex, SearchResults],
    rest: dict[ConversationIndex, list[Hit]],
) -> tuple[list[Hit], dict[ConversationIndex, int]]:
    """The hits of a page, and how many of each shard they are."""
    taken = dict.fromkeys(results, 0)
    rank, hits = _rank(request), list[Hit]()
    # At equal times, one direction is the reverse of the other.
    sign = -1 if request.order_by == "time" else 1
    order = {shard: sign * number for number, shard in enumerate(results)}
    heads = [(rank(left[0]), order[shard], shard) for shard, left in rest.items() if left]
    heapq.heapify(heads)
    while heads and len(hits) < request.limit:
        _, number, shard = heapq.heappop(heads)
        hits.append(rest[shard][taken[shard]])
        taken[shard] += 1
        if taken[shard] < len(rest[shard]):
            heapq.heappush(heads, (rank(rest[shard][taken[shard]]), number, shard))
        elif results[shard].next is not None:
            break  # its next hit may be better than those of the others
    return hits, taken


def _rank(request: Request) -> Callable[[Hit], float]:
    """By what hits are ordered, the first of them the least."""
    if request.by_relevance or request.vector is not None:
        return lambda hit: -hit.score
    return _time if request.order_by == "time" else lambda hit: -_time(hit)


def _time(hit: Hit) -> int:
    if hit.milliseconds is not None:
        return hit.milliseconds
    updated = hit.record.updated  # what a scan knows
    return milliseconds(updated) if updated else 0


def _pinned(cursor: Cursor, results: SearchResults) -> Cursor:
    # A later run would shift the page that is read again.
    newest = results.hits[0].milliseconds or 0
    return cursor if cursor.newest else replace(cursor, newest=newest)


def _merged(reasons: Iterable[Reasons], answers: Answers[Any]) -> Reasons:
    """Each reason once, with the number of all shards."""
    total: dict[tuple[str, str], Reason] = {}
    for reason in (reason for several in reasons for reason in several):
        key = reason.code, reason.detail
        known = total.get(key, replace(reason, count=0))
        is_percentage = reason.code == "building"
        count = min(known.count or 100, reason.count) if is_percentage else 0
        total[key] = replace(reason, count=count or known.count + reason.count)
    missing = answers.missing
    return unique([*total.values(), unreached(missing) if missing else None])
