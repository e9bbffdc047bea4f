"""The operations that read all conversations of an index over several shards."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from ..collection.listing import Front, Listing
from ..collection.selection import PageKey
from ..collection.summaries import Summary
from ..indexes import ConversationIndex
from ..keys import shard_number
from ..layouts import Layout
from ..layouts.refs import Snapshot
from ..records import ConversationState
from ..redis_io.operations import Operation
from .across import Across, Answers, Ask

T = TypeVar("T")

Shards = Sequence[ConversationIndex]


class ShardedListing(Listing):
    """See Listing: lists what is in all of the `shards`."""

    def __init__(self, layout: Layout, shards: Shards):
        super().__init__(layout)
        self._shards = shards

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
        share = 2 * limit // len(self._shards) + 10
        for most in (share, limit) if share < limit else (limit,):
            answers: Answers[Front] = yield Across(
                self._shards, partial(ask, most=most), is_read=True
            )
            pages = [front.listed for front in answers.some()]
            every = (key for page in pages for key in page)
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
        parts = self.split(ids)
        answers: Answers[Any] = yield Across(
            [*parts],
            lambda shard: shard._listing.existing(parts[shard], owner, fields, glances=glances),
            is_read=True,
        )
        pairs = answers.all()
        found = in_order(ids, (summary for listed, _ in pairs for summary in listed))
        return found, any(moved for _, moved in pairs)

    def summaries(self, ids: Sequence[bytes], *, glances: bool = False) -> Operation[list[Summary]]:
        parts = self.split(ids)
        answers: Answers[list[Summary]] = yield Across(
            [*parts],
            lambda shard: shard._listing.summaries(parts[shard], glances=glances),
            is_read=True,
        )
        return in_order(ids, (summary for listed in answers.all() for summary in listed))

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


def _is_behind(end: PageKey, merged: Sequence[PageKey], limit: int, oldest_first: bool) -> bool:
    """True if nothing that follows `end` in its shard belongs to the first `limit`."""
    if len(merged) < limit:
        return False
    return end >= merged[-1] if oldest_first else end <= merged[-1]


def in_order(ids: Sequence[bytes], summaries: Iterable[Summary]) -> list[Summary]:
    """The summaries that there are, in the order of the ids."""
    known: Mapping[bytes, Summary] = {summary.id: summary for summary in summaries}
    return [known[id] for id in ids if id in known]
