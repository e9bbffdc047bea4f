"""The memory of one conversation of an index over several shards."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from ..drivers import RedisConversationMemoryDriver, new_ref
from ..exceptions import ConversationConflict, ConversationError
from ..indexes import ConversationIndex
from ..keys import Id, encode
from ..redis_io.operations import Operation, T
from ..search.request import Request
from ..search.results import SearchResults
from .across import Across, Answers

if TYPE_CHECKING:
    from .sharded_index import ShardedIndex


class ShardDriver(RedisConversationMemoryDriver):
    """See RedisConversationMemoryDriver: the conversation is in one shard of the index `whole`."""

    _whole: ShardedIndex

    @classmethod
    def in_shard(cls, whole: ShardedIndex, driver: RedisConversationMemoryDriver) -> ShardDriver:
        """The driver of an index that is a shard of `whole`, as one that knows of that."""
        own = cls.__new__(cls)
        own.__dict__.update(vars(driver))
        own._whole = whole
        return own

    def _fork(
        self, new_id: Id | None = None, *, until: str | None = None
    ) -> Operation[RedisConversationMemoryDriver]:
        fork = copy(self)
        fork._seen = self._seen.at(new_ref(new_id, None, None).id)
        runs, metadata = yield from self._layout.until(self._ref, until)
        shard = self._whole.shard_of(fork._seen.id)
        fork.move_into(shard)
        stored = fork._layout.store(fork._ref, runs, metadata, "0-absent")
        answers: Answers[Any] = yield Across([shard], lambda _: fork._asked(stored, may_lag=False))
        answers.all()
        return fork

    def _rename(self, new_id: Id) -> Operation[None]:
        shard = self._whole.shard_of(new_id)
        if shard is not self._whole.shard_of(self._seen.id):
            reason = f"cannot get an id of another shard ({shard.name}): fork it, then delete it"
            where = {"index": self.index, "conversation_id": self.conversation_id}
            raise ConversationConflict(reason, alias=self.alias, **where)
        return super()._rename(encode(new_id))

    def _delete(self) -> Operation[bool]:
        """Also one that cannot be moved into its new shard: where it is."""
        try:
            return (yield from super()._delete())
        except ConversationError:
            left = yield from self._whole.left_of(self._ref)
            if not left:
                raise
        answers: Answers[bool] = yield Across([*left], lambda it: it._layout.delete(self._ref))
        deleted = any(answers.all())
        return (yield from super()._delete()) or deleted

    def move_into(self, shard: ConversationIndex) -> None:
        """Be the driver of the conversation in another shard."""
        self._connection, self._layout = shard._connection, shard._layout

    def _searched(self, request: Request) -> Operation[SearchResults]:
        """The conversations of an owner are in all shards."""
        answers: Answers[SearchResults] = yield Across(
            [self._whole], lambda whole: whole._engine.search(request)
        )
        return answers.all()[0]

    def _asked(self, operation: Operation[T], *, may_lag: bool) -> Operation[T]:
        # In here, as what says that a key has another type asks where the conversation is.
        guarded = self._layout.guarded(self._ref, operation)
        return super()._asked(self._whole.following(self, guarded), may_lag=may_lag)

    def to_dict(self) -> dict[str, Any]:
        """See RedisConversationMemoryDriver."""
        return {**super().to_dict(), "type": RedisConversationMemoryDriver.__name__}
