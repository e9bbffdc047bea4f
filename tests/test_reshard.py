"""An index moves into another number of shards, and nobody is told anything else meanwhile."""

from zlib import crc32

import pytest

from conversation_memory import Run
from conversation_memory.browse import Span
from conversation_memory.collection.bulk import Conversion
from conversation_memory.collection.selection import Selection
from conversation_memory.exceptions import (
    ConversationConflict,
    InvalidIndexError,
    RedisMisconfigured,
    RedisUnavailable,
)

from .resharding import Killed, ReshardTestCase, killed_at
from .sharding import ids, run
from .utils import both, each_layout

MOVES = ((1, 3), (3, 4), (4, 2))


@each_layout
class MovingTests:
    case = ReshardTestCase

    def test_everything_moves_as_it_is(self):
        for before, after in MOVES:
            old, new = self.at(before), self.at(after)
            self.fill(old)
            facts, archive = self.facts(old), self.archived(old)
            names = [shard.name for shard in old.shards]
            assert new.reshard() == Conversion(len(facts), len(facts), 0)
            assert self.noted() == str(after)
            assert self.facts(new) == facts
            assert self.archived(new) == archive
            assert self.rest(names) == set()
            assert not {"missing"} & {*new.check().problems}
            assert new.reshard() == Conversion()
            self.wipe()

    def test_killed_at_any_round_trip_it_goes_on(self):
        old = self.at(2)
        self.fill(old)
        facts, names, saved = self.facts(old), [it.name for it in old.shards], self.saved()
        for sent in (False, True):
            number, happened = 0, [True]
            while happened:
                number += 1
                self.again(saved)
                with killed_at(number, sent=sent) as happened:
                    try:
                        self.at(3).reshard()
                    except Killed:
                        assert happened
                if number % 4 == 0:  # others go on, before it is called again
                    assert self.at(3).driver("runs").append(run(1, id="new")) == 1
                    assert self.at(2).driver("runs").append(run(1, id="new")) == 0
                    self.at(2).driver("runs").remove("new")
                self.at(3).reshard()
                assert self.noted() == "3"
                found = self.facts(self.at(3))
                if number % 4 == 0:
                    assert len(found.pop(b"runs")[3] or [1]) and found == {**facts, b"runs": 0} | found
                else:
                    assert found == facts
                assert self.rest(names) == set()
