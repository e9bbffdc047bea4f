"""The operations that read all conversations of an index over several shards."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from math import ceil, sqrt
from typing import Any, TypeVar

from ..collection.listing import SHORT_STEP, Front, Listing, start_of
from ..collection.selection import PageKey
from ..collection.summaries import Summary, summarising
from ..exceptions import RedisUnavailable
from ..indexes import ConversationIndex
from ..layouts import Layout
from ..layouts.refs import Snapshot
from ..records import ConversationState
from ..redis_io.operations import Command, Operation
from .across import Across, Answers, Ask
from .moving import Move

T = TypeVar("T")


class ShardedListing(Listing):
    """See Listing: lists what is in all shards, which `now` tells."""

    def __init__(self, layout: Layout, now: Callable[[], Move]):
        super().__init__(layout)
        self._now = now
        self._turn = 0

    @property
    def move(self) -> Move:
        """The shards of the index at this moment."""
        return self._now()

    def front(self, limit: int, owner: bytes | None, before: str | None) -> Operation[Front]:
        start = () if before is None else start_of(before)
        shards = self.move.shards
        # Together, they take the short step of one index.
        self._turn += 1
        turn = shards[self._turn % len(shards)]

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
        parts = self.move
        most = share_of(limit, len(parts.shards))
        answers: Answers[Front] = yield Across(
            parts.shards, lambda shard: first(shard, most), is_read=True
        )
        merged = _first_of(answers, limit, is_oldest_first)
        more = [
            shard
            for shard, front in answers.results.items()
            if front.unlisted
            or most == len(front.listed) < limit
            and not _is_behind(front.listed[-1], merged, limit, is_oldest_first)
        ]
        if any(shard in more for shard in parts.sources):
            more = [*answers.results]  # or what moves now would be missed
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
        move = self.move
        before = yield from self._leaving(move, ids, fields, glances=glances)
        parts = move.split(id for id in ids if id not in before)
        later = yield from self._summaries(parts, fields, glances=glances)
        return in_order(ids, (*before.values(), *later))

    def _leaving(
        self, move: Move, ids: Sequence[bytes], fields: Sequence[str], *, glances: bool
    ) -> Operation[dict[bytes, Summary]]:
        """Those that have not moved into their shard yet."""
        parts = move.by_source(ids)
        found = (yield from self._summaries(parts, fields, glances=glances)) if parts else ()
        return {summary.id: summary for summary in found if summary.exists}

    def _summaries(
        self,
        parts: Mapping[ConversationIndex, list[bytes]],
        fields: Sequence[str],
        *,
        glances: bool,
    ) -> Operation[Iterable[Summary]]:
        def ask(shard: ConversationIndex) -> list[Command[list[Summary]]]:
            return summarising(shard._layout.keys, parts[shard], fields, glances=glances)

        answers: Answers[list[list[Summary]]] = yield Across([*parts], ask, is_read=True)
        return chain(*map(chain.from_iterable, answers.all()))

    def inspect(self, id: bytes) -> Operation[ConversationState]:
        return self.at_home(id, lambda shard: shard._listing.inspect(id))

    def raw(self, id: bytes) -> Operation[list[bytes]]:
        return self.at_home(id, lambda shard: shard._listing.raw(id))

    def adopt(self) -> Operation[int]:
        answers: Answers[int] = yield Across(self.move.shards, lambda shard: shard._listing.adopt())
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
        return self.move.home(id)

    def split(self, ids: Iterable[bytes]) -> dict[ConversationIndex, list[bytes]]:
        """The ids in each shard, in the order in which they come."""
        return self.move.split(ids)

    def at_home(self, id: bytes, ask: Ask[T]) -> Operation[T]:
        """The result of an operation on the shard of a conversation, which is there then."""
        move = self.move
        yield from move.arrived([id])
        return (yield from self._at(move.home(id), ask))

    def _at(self, shard: ConversationIndex, ask: Ask[T]) -> Operation[T]:
        answers: Answers[T] = yield Across([shard], ask)
        return answers.all()[0]

    def _in_turn(
        self,
        cursor: bytes,
        ask: Callable[[Listing, bytes], Operation[tuple[bytes, list[bytes]]]],
    ) -> Operation[tuple[bytes, list[bytes]]]:
        """One shard after the other, whose number is in the cursor."""
        move = self.move
        shards, spread = move.shards, str(move.spread).encode()
        number, _, inner = cursor.rpartition(b"-")
        place, _, known = number.partition(b"/")
        position = int(place or 0)
        if known not in (b"", spread):
            raise RedisUnavailable(
                f"Index {self._keys.name!r} of alias {self._layout.alias!r} has moved into other "
                "shards while it was read. Call this again."
            )
        shard = shards[position]
        inner, ids = yield from self._at(shard, lambda shard: ask(shard._listing, inner))
        if inner == b"0":
            position += 1
        if position == len(shards):
            return b"0", ids
        return b"%d/%b-%b" % (position, spread, inner), ids


def share_of(limit: int, shards: int) -> int:
    """How many of one shard are asked for: of 100 pages, 97 or more have no more of any shard."""
    mean = limit / shards
    return min(limit, ceil(mean + 4 * sqrt(mean)))


def _first_of(answers: Answers[Front], limit: int, is_oldest_first: bool) -> list[PageKey]:
    # What moves may be in two of them, and counts in the later one.
    every = {key[1]: key for front in answers.results.values() for key in front.listed}
    return sorted(every.values(), reverse=not is_oldest_first)[:limit]


def _is_behind(end: PageKey, merged: Sequence[PageKey], limit: int, is_oldest_first: bool) -> bool:
    """True if nothing that follows `end` in its shard belongs to the first `limit`."""
    if len(merged) < limit:
        return False
    return end >= merged[-1] if is_oldest_first else end <= merged[-1]


def in_order(ids: Sequence[bytes], summaries: Iterable[Summary]) -> list[Summary]:
    """The summaries that there are, in the order of the ids."""
    known: Mapping[bytes, Summary] = {summary.id: summary for summary in summaries}
    return [known[id] for id in ids if id in known]
