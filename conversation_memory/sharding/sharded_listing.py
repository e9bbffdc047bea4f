"""The operations that read all conversations of an index over several shards."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from ..collection.listing import Front, Listing
from ..collection.selection import PageKey
from ..collection.summaries import Summary
from ..indexes import ConversationIndex
from ..layouts import Layout
from ..layouts.refs import Snapshot
from ..records import ConversationState
from ..redis_io.operations import Operation
from .across import Across, Answers, Ask
from .moving import Move

T = TypeVar("T")


class ShardedListing(Listing):
    """See Listing: lists what is in all shards, as `move` knows them."""

    def __init__(self, layout: Layout, move: Move):
        super().__init__(layout)
        self.move = move

    def front(self, limit: int, owner: bytes | None, before: str | None) -> Operation[Front]:
        def ask(shard: ConversationIndex, most: int) -> Operation[Front]:
            return shard._listing.front(most, owner, before)

        listed, answers = yield from self._merged(ask, limit)
        unlisted = sum(front.unlisted for front in answers.some())
        return Front(listed, unlisted, answers.missing)

    def page(self, owner: bytes | None, limit: int, *start: Any) -> Operation[list[PageKey]]:
        def ask(shard: ConversationIndex, most: int) -> Operation[Front]:
            return Front((yield from shard._listing.page(owner, most, *start)))

        oldest = start[2:] == ("oldest",)
        listed, answers = yield from self._merged(ask, limit, oldest_first=oldest)
        answers.all()
        return listed

    def _merged(
        self,
        ask: Callable[..., Operation[Front]],
        limit: int,
        *,
        oldest_first: bool = False,
    ) -> Operation[tuple[list[PageKey], Answers[Front]]]:
        """The first of all shards. Each is asked for its share at first, and seldom for more."""
        share = 2 * limit // len(self.move.parts.shards) + 10
        for most in (share, limit) if share < limit else (limit,):
            answers: Answers[Front] = yield Across(
                self.move.parts.shards, partial(ask, most=most), is_read=True
            )
            pages = [front.listed for front in answers.some()]
            # What moves may be in two of them, and counts in the later one.
            every = {key[1]: key for page in pages for key in page}.values()
            merged = sorted(every, reverse=not oldest_first)[:limit]
            ends = [page[-1] for page in pages if len(page) == most]
            if most == limit or all(_is_behind(end, merged, limit, oldest_first) for end in ends):
                break
        return merged, answers

    def existing(
        self,
        ids: list[bytes],
        owner: bytes | None,
        fields: Sequence[str] = Snapshot.FIELDS,
        *,
        glances: bool = False,
    ) -> Operation[tuple[list[Summary], bool]]:
        before = yield from self._leaving(ids, glances=glances)
        parts = self.split(ids, before)
        answers: Answers[Any] = yield Across(
            [*parts],
            lambda shard: shard._listing.existing(parts[shard], owner, fields, glances=glances),
            is_read=True,
        )
        pairs = answers.all()
        old = [it for it in before.values() if owner in (None, it.owner)]
        found = in_order(ids, (*old, *(summary for listed, _ in pairs for summary in listed)))
        return found, any(moved for _, moved in pairs)

    def _leaving(
        self, ids: Sequence[bytes], *, glances: bool = False
    ) -> Operation[dict[bytes, Summary]]:
        """Those that have not moved into their shard yet."""
        parts = self.move.parts.by_source(ids)
        if not parts:
            return {}
        answers: Answers[list[Summary]] = yield Across(
            [*parts],
            lambda shard: shard._listing.summaries(parts[shard], glances=glances),
            is_read=True,
        )
        found = (summary for listed in answers.all() for summary in listed)
        return {summary.id: summary for summary in found if summary.exists}

    def summaries(self, ids: Sequence[bytes], *, glances: bool = False) -> Operation[list[Summary]]:
        before = yield from self._leaving(ids, glances=glances)
        parts = self.split(ids, before)
        answers: Answers[list[Summary]] = yield Across(
            [*parts],
            lambda shard: shard._listing.summaries(parts[shard], glances=glances),
            is_read=True,
        )
        found = (summary for listed in answers.all() for summary in listed)
        return in_order(ids, (*before.values(), *found))

    def inspect(self, id: bytes) -> Operation[ConversationState]:
        return self.at_home(id, lambda shard: shard._listing.inspect(id))

    def raw(self, id: bytes) -> Operation[list[bytes]]:
        return self.at_home(id, lambda shard: shard._listing.raw(id))

    def adopt(self) -> Operation[int]:
        answers: Answers[int] = yield Across(
            self.move.parts.shards, lambda shard: shard._listing.adopt()
        )
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
        return self.move.parts.home(id)

    def split(
        self, ids: Iterable[bytes], without: Container[bytes] = ()
    ) -> dict[ConversationIndex, list[bytes]]:
        """The ids in each shard, in the order in which they come."""
        parts: dict[ConversationIndex, list[bytes]] = {}
        for id in ids:
            if id not in without:
                parts.setdefault(self.shard_of(id), []).append(id)
        return parts

    def at_home(self, id: bytes, ask: Ask[T]) -> Operation[T]:
        """The result of an operation on the shard of a conversation, which is there then."""
        yield from self.move.arrived([id])
        return (yield from self._at(self.shard_of(id), ask))

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
        shard = self.move.parts.shards[position]
        inner, ids = yield from self._at(shard, lambda shard: ask(shard._listing, inner))
        if inner == b"0":
            position += 1
        if position == len(self.move.parts.shards):
            return b"0", ids
        return b"%d-%b" % (position, inner), ids


def _is_behind(end: PageKey, merged: Sequence[PageKey], limit: int, oldest_first: bool) -> bool:
    """True if nothing that follows `end` in its shard belongs to the first `limit`."""
    if len(merged) < limit:
        return False
    return end >= merged[-1] if oldest_first else end <= merged[-1]


def in_order(ids: Sequence[bytes], summaries: Iterable[Summary]) -> list[Summary]:
    """The summaries that there are, in the order of the ids."""
    known: Mapping[bytes, Summary] = {summary.id: summary for summary in summaries}
    return [known[id] for id in ids if id in known]
