"""The operations that read all conversations of an index over several shards."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, cycle
from math import ceil, sqrt
from typing import Any, TypeVar

from ..collection.listing import SHORT_STEP, Front, Listing, start_of
from ..collection.selection import PageKey
from ..collection.summaries import Summary, summarising
from ..indexes import ConversationIndex
from ..keys import shard_number
from ..layouts import Layout
from ..layouts.refs import Snapshot
from ..records import ConversationState
from ..redis_io.operations import Command, Operation
from .across import Across, Answers, Ask

T = TypeVar("T")

Shards = Sequence[ConversationIndex]


class ShardedListing(Listing):
    """See Listing: lists what is in all of the `shards`."""

    def __init__(self, layout: Layout, shards: Shards):
        super().__init__(layout)
        self._shards = shards
        self._turns = cycle(shards)

    def front(self, limit: int, owner: bytes | None, before: str | None) -> Operation[Front]:
        start = () if before is None else start_of(before)
        turn = next(self._turns)  # together, they take the short step of one index

        def first(shard: ConversationIndex, most: int) -> Command[Front]:
            step = SHORT_STEP if shard is turn else 0
            return shard._listing.first(most, owner, start, step=step)

        def again(shard: ConversationIndex) -> Operation[Front]:
            return shard._listing.front(limit, owner, before)

        listed, answers = yield from self._merged(first, again, limit)
        answers.some()
        return Front(listed, sum(it.unlisted for it in answers.results.values()), answers.missing)

    def page(self, owner: bytes | None, limit: int, *start: Any) -> Operation[list[PageKey]]:
        def first(shard: ConversationIndex, most: int = limit) -> Command[Front]:
            return shard._listing.first(most, owner, start)

        is_oldest_first = start[2:] == ("oldest",)
        listed, answers = yield from self._merged(first, first, limit, is_oldest_first)
        answers.all()
        return listed

    def _merged(
        self,
        first: Callable[[ConversationIndex, int], Command[Front]],
        again: Ask[Front],
        limit: int,
        is_oldest_first: bool = False,
    ) -> Operation[tuple[list[PageKey], Answers[Front]]]:
        """The first of all shards. Each is asked for its share at first, and seldom `again`."""
        most = share_of(limit, len(self._shards))
        answers: Answers[Front] = yield Across(
            self._shards, lambda shard: first(shard, most), is_read=True
        )
        merged = _first_of(answers, limit, is_oldest_first)
        more = [
            shard
            for shard, front in answers.results.items()
            if front.unlisted
            or most == len(front.listed) < limit
            and not _is_behind(front.listed[-1], merged, limit, is_oldest_first)
        ]
        if more:
            answers.update((yield Across(more, again, is_read=True)))
            merged = _first_of(answers, limit, is_oldest_first)
        return merged, answers

    def summaries(
        self,
        ids: Sequence[bytes],
        fields: Sequence[str] = Snapshot.FIELDS,
        *,
        glances: bool = False,
    ) -> Operation[list[Summary]]:
        parts = self.split(ids)

        def ask(shard: ConversationIndex) -> list[Command[list[Summary]]]:
            return summarising(shard._layout.keys, parts[shard], fields, glances=glances)

        answers: Answers[list[list[Summary]]] = yield Across([*parts], ask, is_read=True)
        return in_order(ids, chain(*map(chain.from_iterable, answers.all())))

    def inspect(self, id: bytes) -> Operation[ConversationState]:
        return self._at(self.shard_of(id), lambda shard: shard._listing.inspect(id))

    def raw(self, id: bytes) -> Operation[list[bytes]]:
        return self._at(self.shard_of(id), lambda shard: shard._listing.raw(id))

    def adopt(self) -> Operation[int]:
        answers: Answers[int] = yield Across(self._shards, lambda shard: shard._listing.adopt())
        return sum(answers.all())

    def scan(self, cursor: bytes, count: int = 1000) -> Operation[tuple[bytes, list[bytes]]]:
        return self._in_turn(cursor, lambda listing, at: listing.scan(at, count))

    def every(self, cursor: bytes) -> Operation[tuple[bytes, list[bytes]]]:
        return self._in_turn(cursor, lambda listing, at: listing.every(at))

    def forget(self, ids: Sequence[bytes], listed_for: bytes | None = None) -> Operation[int]:
        parts = self.split(ids)
        answers: Answers[int] = yield Across(
            [*parts], lambda shard: shard._listing.forget(parts[shard], listed_for)
        )
        return sum(answers.all())

    def shard_of(self, id: bytes) -> ConversationIndex:
        return self._shards[shard_number(id, len(self._shards))]

    def split(self, ids: Iterable[bytes]) -> dict[ConversationIndex, list[bytes]]:
        """The ids in each shard, in the order in which they come."""
        parts: dict[ConversationIndex, list[bytes]] = {}
        for id in ids:
            parts.setdefault(self.shard_of(id), []).append(id)
        return parts

    def _at(self, shard: ConversationIndex, ask: Ask[T]) -> Operation[T]:
        answers: Answers[T] = yield Across([shard], ask)
        return answers.all()[0]

    def _in_turn(
        self,
        cursor: bytes,
        ask: Callable[[Listing, bytes], Operation[tuple[bytes, list[bytes]]]],
    ) -> Operation[tuple[bytes, list[bytes]]]:
        """One shard after the other, whose number is in the cursor."""
        number, _, inner = cursor.rpartition(b"-")
        position = int(number or 0)
        shard = self._shards[position]
        inner, ids = yield from self._at(shard, lambda shard: ask(shard._listing, inner))
        if inner == b"0":
            position += 1
        if position == len(self._shards):
            return b"0", ids
        return b"%d-%b" % (position, inner), ids


def share_of(limit: int, shards: int) -> int:
    """How many of one shard are asked for: of 100 pages, 97 or more have no more of any shard."""
    mean = limit / shards
    return min(limit, ceil(mean + 4 * sqrt(mean)))


def _first_of(answers: Answers[Front], limit: int, is_oldest_first: bool) -> list[PageKey]:
    every = (key for front in answers.results.values() for key in front.listed)
    return sorted(every, reverse=not is_oldest_first)[:limit]


def _is_behind(end: PageKey, merged: Sequence[PageKey], limit: int, is_oldest_first: bool) -> bool:
    """True if nothing that follows `end` in its shard belongs to the first `limit`."""
    if len(merged) < limit:
        return False
    return end >= merged[-1] if is_oldest_first else end <= merged[-1]


def in_order(ids: Sequence[bytes], summaries: Iterable[Summary]) -> list[Summary]:
    """The summaries that there are, in the order of the ids."""
    known: Mapping[bytes, Summary] = {summary.id: summary for summary in summaries}
    return [known[id] for id in ids if id in known]
