"""An index that may be moving into another number of shards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from .. import conf
from ..collection.bulk import Conversion
from ..collection.listing import Listing
from ..drivers import RedisConversationMemoryDriver
from ..exceptions import (
    ConversationError,
    RedisMisconfigured,
    RedisUnavailable,
    is_wrong_type,
)
from ..indexes import ConversationIndex
from ..keys import Id, Keys, encode
from ..layouts import ConversationRef
from ..maintenance import logger
from ..redis_io.operations import Command, Operation, Step, T
from ..redis_io.relaying import relayed
from ..redis_io.replicas import replicated
from ..search.engine import Engine
from ..search.reindex import Failure
from .across import Across, Answers, running
from .arriving import closed_for_late
from .merging import Running, added
from .moving import Move
from .routing import KeyNames, Placed, sent
from .shard_count import (
    WHOLE,
    Spread,
    closed,
    has_traces,
    moving_error,
    note_spread,
    noted_spread,
    shard_names,
)


class ReshardedIndex(ConversationIndex):
    """Knows the shards of an index, which Redis tells, and moves everything into others."""

    def __init__(self, settings: conf.IndexSettings):
        super().__init__(settings)
        self._noted = self._shard(self.name)  # where Redis keeps the number of shards
        self._names = KeyNames(self.name)
        self._move = self._over(Spread(str(settings.shards)))
        self._is_checked = False

    def _over(self, spread: Spread) -> Move:
        former = shard_names(self.name, spread.before) if spread.before else []
        sources = [self._shard(name) for name in former]
        for source in sources:
            source._layout.keys.leave()
            source._listing = Listing(source._layout)  # which keeps names of keys
            source._engine = Engine(source._layout, source._listing)
        targets = [self._shard(name) for name in shard_names(self.name, spread.now)]
        if sources:
            # What has left one replica may be late at another.
            for shard in (*sources, *targets):
                shard.settings = replace(shard.settings, read_from="primary")
        return Move(spread, tuple(sources), tuple(targets))

    def _shard(self, name: str) -> ConversationIndex:
        shard = ConversationIndex(replace(self.settings, index=name, shards=1))
        shard._layout.telemetry = self._layout.telemetry  # which has the name of the index
        shard._layout.share_keys(self._layout)
        return shard

    @property
    def _spread(self) -> Spread:
        return self._move.spread

    @property
    def shards(self) -> Sequence[ConversationIndex]:
        return self._move.shards

    def shard_of(self, conversation_id: Id) -> ConversationIndex:
        return self._move.home(encode(conversation_id))

    def _asked(self, operation: Operation[T], *, may_lag: bool) -> Operation[T]:
        # Not of the index, but of each of its shards.
        return self._opened(operation, may_lag=may_lag)

    def _opened(self, operation: Operation[T], *, may_lag: bool) -> Operation[T]:
        keys, number = self._layout.keys, self.settings.shards
        noting = noted_spread(keys, self.alias, number)
        try:
            noted = yield from super()._asked(noting, may_lag=may_lag)
        except RedisUnavailable:
            if not self._is_checked:
                raise
            noted = self._spread  # the other nodes answer, and no move begins without this one
        yield from self._go_to(noted)
        try:
            return (yield from relayed(operation, self._routed))
        except RedisMisconfigured as error:
            noting = noted_spread(keys, self.alias, number)
            if not is_wrong_type(error) or noted == (yield from noting):
                raise
        raise moving_error(keys, self.alias, self._spread)

    def _routed(self, step: Step) -> Operation[Any]:
        if not isinstance(step, Command | Sequence):
            return (yield step)
        return (yield from self._until_found(lambda: sent(step, self._placed)))

    def _go_to(self, noted: Spread) -> Operation[None]:
        if noted != self._spread:
            move = self._over(noted)
            if noted.before not in ("", WHOLE):
                yield from self._across(move.sources, closed)
            self._move = move  # in one step, as other threads may be looking at it
        self._is_checked = True

    def _perform(self, client: Any, operation: Operation[T], name: str) -> T:
        with running(name):
            return super()._perform(client, operation, name)

    async def _aperform(self, client: Any, operation: Operation[T], name: str) -> T:
        with running(name):
            return await super()._aperform(client, operation, name)

    def following(
        self, driver: RedisConversationMemoryDriver, operation: Operation[T]
    ) -> Operation[T]:
        """`operation` on the conversation of a driver, in the shard where that is by now."""
        if not self._is_checked:
            yield from self._look_again()
        result = yield from relayed(operation, lambda step: self._followed(driver, step))
        home = self.shard_of(driver._seen.id)
        if driver._layout is not home._layout:
            driver._connection, driver._layout = home._connection, home._layout
        return result

    def _followed(self, driver: RedisConversationMemoryDriver, step: Step) -> Operation[Any]:
        if not isinstance(step, Command | Sequence):
            return (yield step)

        def waiting(operation: Operation[Any]) -> Operation[Any]:
            return replicated(operation, driver._wait, self.alias)

        def attempt() -> Operation[Any]:
            if self._is_at_home(driver, step):
                return (yield step)
            own = waiting if driver._wait not in (None, self.settings.wait) else None
            return (yield from sent(step, lambda it: self._placed_for(driver, it), own))

        return (yield from self._until_found(attempt))

    def _until_found(self, attempt: Callable[[], Operation[T]]) -> Operation[T]:
        """The result of `attempt`, which is repeated if the index has moved meanwhile."""
        while True:
            move = self._move
            try:
                return (yield from attempt())
            except RedisMisconfigured as error:
                if not is_wrong_type(error):
                    raise
                failure = error
            yield from self._look_again()
            if self._move is move:
                raise failure from failure.__cause__

    def _is_at_home(
        self, driver: RedisConversationMemoryDriver, step: Command[Any] | Sequence[Command[Any]]
    ) -> bool:
        move = self._move
        if move.sources:
            return False
        home = move.home(driver._seen.id)
        return is_of(home._layout.keys, step if isinstance(step, Command) else step[0])

    def _look_again(self) -> Operation[None]:
        yield from self._across([self], lambda _: nothing())

    def _placed(self, command: Command[Any], id: bytes | None = None) -> Operation[Placed]:
        """The shard of a command, and the command with its names of keys there."""
        move, name = self._move, self._names.shard(command)
        if name is None:
            return move.targets[0], command
        ids, owners = self._names.subjects(command)
        if id is not None:
            ids.add(id)
        yield from move.arrived(ids)
        yield from move.arrived(owners, items=True)
        homes = {*map(move.home, (*ids, *owners))}
        if not homes:
            homes = {shard for shard in move.targets if encode(shard.name) == name}
        if len(homes) != 1:
            raise moving_error(self._layout.keys, self.alias, move.spread)
        [shard] = homes
        return shard, self._names.at(shard._layout.keys, command)

    def _placed_for(
        self, driver: RedisConversationMemoryDriver, command: Command[Any]
    ) -> Operation[Placed]:
        ref = driver._seen
        try:
            return (yield from self._placed(command, ref.id))
        except ConversationError:
            move = self._move
            if not ref.scoped or (yield from move.of_owner([ref.id], ref.owner)):
                raise
        # Nobody may tell that it is stuck, and its shard refuses every write for another owner.
        [source] = move.by_source([ref.id])
        return source, self._names.at(source._layout.keys, command)

    def left_of(self, ref: ConversationRef) -> Operation[Sequence[ConversationIndex]]:
        """The former shard of a conversation that is stuck there, for whoever may delete it."""
        owner = ref.owner if ref.scoped else None
        return [*(yield from self._move.abandoned([ref.id], owner))]

    def _check_moved(self) -> None:
        if self._move.sources:
            raise moving_error(self._layout.keys, self.alias, self._spread)

    def _reshard(
        self, *, progress: Callable[[Conversion], object] = bool, failure: Failure = logger.warning
    ) -> Operation[Conversion]:
        if not self._move.sources and self._spread.number != self.settings.shards:
            yield from self._begin()
        if self._spread.number != self.settings.shards:
            raise moving_error(self._layout.keys, self.alias, self._spread)
        if not self._move.sources:
            return Conversion()
        total = Running(progress, added)
        move = self._move
        answers: Answers[Conversion] = yield Across(
            move.sources, lambda it: move.empty(it, total.of(it), failure), name="move"
        )
        done: Conversion = added(answers.all())
        if not done.failed:
            yield from self._across(move.targets, closed_for_late)
            yield from self._note(move.spread, Spread(move.spread.now))
        return done

    def _begin(self) -> Operation[None]:
        number = now = str(self.settings.shards)
        turn = 1
        while True:
            first = self._shard(shard_names(self.name, now)[0])
            if not any((yield from self._across([first], has_traces))):
                break
            turn += 1
            now = f"{number}.{turn}"
        # Made before the first write, an index of RediSearch is known to lack no documents.
        new = [self._shard(name) for name in shard_names(self.name, now)]
        made: Answers[Any] = yield Across(new, lambda it: it._layout.indexer(), name="move")
        made.all()
        yield from self._note(self._spread, Spread(now, self._spread.now))

    def _note(self, before: Spread, now: Spread) -> Operation[None]:
        """Note where the index is, unless another process has, and go there."""
        yield from self._across([self._noted], lambda keys: note_spread(keys, before, now))
        yield from self._look_again()

    def _across(
        self, shards: Sequence[ConversationIndex], ask: Callable[[Keys], Operation[T]]
    ) -> Operation[list[T]]:
        answers: Answers[T] = yield Across(
            shards, lambda shard: ask(shard._layout.keys), name="move"
        )
        return answers.all()


def is_of(keys: Keys, command: Command[Any]) -> bool:
    """True if the first key of a command is one of those, or if it has none."""
    call = command.calls[0]
    if len(call) == 1:
        return True
    key = call[3] if call[0].startswith("EVAL") else call[1]
    return not isinstance(key, bytes) or key.startswith(keys.root) or key == keys.index


def nothing() -> Operation[None]:
    return
    yield
