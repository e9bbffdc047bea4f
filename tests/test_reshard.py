"""An index moves into another number of shards as it is, whatever happens on the way."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from unittest import mock

import pytest
from django.conf import settings

from conversation_memory import Run, indexes
from conversation_memory.collection.bulk import Conversion
from conversation_memory.exceptions import (
    ConversationConflict,
    InvalidIndexError,
    RedisMisconfigured,
    RedisNotReplicated,
    RedisUnavailable,
)
from conversation_memory.sharding import moving
from conversation_memory.sharding.arriving import take_in, take_in_items
from conversation_memory.sharding.leaving import read_leaving
from conversation_memory.sharding.moving import Move

from .resharding import Killed, ReshardTestCase, failing_at, killed_at
from .sharding import run
from .test_sentinel import SentinelTestCase
from .utils import each_layout

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

    def test_a_large_conversation_moves_alone(self):
        old = self.at(1)
        for name in ("small", "smaller", "smallest"):
            old.driver(name).append(run(1))
        old.driver("large").append(*(Run("q", "x" * 1000) for _ in range(3)))
        bring = mock.patch.object(Move, "bring", autospec=True, side_effect=Move.bring)
        with mock.patch.object(moving, "_BYTES", 2000), bring as brought:
            assert self.at(2).reshard() == Conversion(4, 4, 0)
        together = [call.args[2] for call in brought.call_args_list]
        assert [b"large"] in together and len(together) < 4


class KilledTests(ReshardTestCase):
    entry = {"LAYOUT": "list"}

    def test_killed_at_any_round_trip_it_goes_on(self):
        for before, after, sent in ((1, 3, True), (2, 3, False)):
            old = self.at(before)
            self.fill_little(old)
            facts, names, saved = self.facts(old), [it.name for it in old.shards], self.saved()
            number, happened = 0, [True]
            while happened:
                number += 1
                self.again(saved)
                with killed_at(number, sent=sent) as happened:
                    try:
                        self.at(after).reshard()
                    except Killed:
                        assert happened
                new = self.at(after)
                new.reshard()
                assert self.noted() == str(after)
                assert self.facts(new) == facts
                assert self.rest(names) == set()
            self.wipe()

    def test_a_server_that_fails_is_told_or_asked_again(self):
        old = self.at(2)
        self.fill_little(old)
        facts = self.facts(old)
        for number in (3, 12, 20):
            with failing_at(number), suppress(RedisUnavailable):
                self.at(3).reshard()
        self.at(3).reshard()
        assert self.facts(self.at(3)) == facts


class LateTests(ReshardTestCase):
    """What was read before everything had moved, and what others do meanwhile."""

    def test_nothing_arrives_twice(self):
        self.fill_little(self.at(1))
        [source] = self.begun(3)._move.sources
        found = source._run(read_leaving(source._layout.keys, [b"all"]))
        new = self.at(3)
        new.driver("all").delete()
        home = new.shard_of("all")
        assert home._run(take_in(home._layout, found, bool)) == {b"all"}
        assert not new.driver("all").exists()
        assert not [key for key in self.rest([home.name]) if b"arriving" in key]
        new.reshard()
        assert home._run(take_in(home._layout, found, bool)) == {b"all"}
        assert not new.driver("all").exists()

    def test_no_items_arrive_in_a_shard_that_is_closed(self):
        self.at(3).driver("c").append(run(1))
        [home] = {self.at(3).shard_of("ann")}
        self.at(2).reshard()
        items = {b"1:a": {b"k": b"1 1 0 0 2:{}"}}
        with pytest.raises(RedisMisconfigured):
            home._run(take_in_items(home._layout.keys, b"ann", items))
        assert not [key for key in self.rest([home.name]) if b"}:arriving:" not in key]

    def test_a_call_that_is_sent_again_gets_its_answer(self):
        self.at(2).count()
        shard = self.at(2).shard_of("c")
        sent = []

        def send():
            if not sent:
                sent.append(next(shard._layout.append(shard.driver("c")._ref, [run(1, id="r")])))
            return (yield sent[0])

        answer = shard._run(send())
        self.at(3).reshard()
        assert shard._run(send()) == answer
        assert [it.id for it in self.at(3).driver("c").load()[0]] == ["r"]

    def test_two_movers_share_the_work(self):
        old = self.at(2)
        self.fill(old)
        facts = self.facts(old)
        with ThreadPoolExecutor(3) as threads:
            movers = [threads.submit(self.at(3).reshard) for _ in range(3)]
            assert not any(mover.result().failed for mover in movers)
        assert self.facts(self.at(3)) == facts

    def test_a_number_that_the_index_had_before_gets_other_names(self):
        self.at(3).driver("c").append(run(1))
        self.at(2).reshard()
        self.at(3).reshard()
        assert self.noted() == "3.2"
        index = self.at(3)
        assert index.driver("c").append(run(2)) == 1 and index.count() == 1
        assert index.shard_of("c").name.startswith(f"{self.index.name}:3.2:")
        self.at(2).reshard()
        assert self.noted() == "2.2"

    def test_what_another_program_wrote_is_left_and_told(self):
        old = self.at(2)
        old.driver("c").append(run(1, id="ours"))
        old.driver("d").append(run(1))
        new = self.begun(3)
        self.redis.hset(new.shard_of("c").name, "c", b'{"runs": [], "metadata": {"k": "theirs"}}')
        failures = []
        done = new.reshard(failure=failures.append)
        assert (done.converted, done.failed) == (1, 1)
        assert len(failures) == 1 and "new shard" in str(failures[0])
        assert self.noted() == "2>3"
        for call in (new.driver("c").load, lambda: new.driver("c").append(run(2))):
            with pytest.raises(ConversationConflict):
                call()
        self.redis.hdel(new.shard_of("c").name, "c")
        assert new.reshard().failed == 0
        assert [it.id for it in new.driver("c").load()[0]] == ["ours"]

    def test_a_key_of_another_type_is_left_and_told(self):
        old = self.at(2)
        old.driver("c").append(run(1))
        record = old.shard_of("c")._layout.keys.record(b"c")
        self.redis.delete(record)
        self.redis.set(record, "?")
        new, failures = self.at(3), []
        assert new.reshard(failure=failures.append).failed == 1
        assert "is a string, not a hash" in str(failures)
        self.redis.delete(record)
        assert new.reshard().failed == 0 and new.count() == 1

    def test_an_alias_without_shards_writes_nothing_more(self):
        plain = self.at(1)
        plain.driver("c").append(run(1))
        new = self.begun(3)
        for call in (plain.count, plain.driver("c").load, lambda: plain.driver("c").append(run(2))):
            with pytest.raises(RedisMisconfigured, match="SHARDS"):
                call()
        assert new.reshard() == Conversion(1, 1, 0)
        with pytest.raises(RedisMisconfigured, match="SHARDS"):
            plain.driver("c").append(run(2))
        assert len(new.driver("c").load()[0]) == 1

    def test_an_alias_without_shards_has_none_to_move_into(self):
        with pytest.raises(InvalidIndexError, match="has no SHARDS"):
            self.at(1).reshard()

    def test_an_empty_index_moves(self):
        self.at(2).count()
        assert self.at(3).reshard() == Conversion() and self.noted() == "3"
        assert self.at(2).driver("c").append(run(1)) == 1 and self.at(3).count() == 1


class WaitTests(SentinelTestCase, ReshardTestCase):
    def test_the_original_stays_until_replicas_have_the_copy(self):
        old = self.at(2)
        old.driver("c").append(run(1, id="r"))
        source = old.shard_of("c")
        self.begun(3)
        for _ in range(2):
            with self.hanging(self.watched.nodes[1]), self.waiting() as new:
                with pytest.raises(RedisNotReplicated):
                    new.driver("c").load()
            assert self.redis.hexists(self.left_in(source), "c")
        with self.waiting() as new:
            assert [it.id for it in new.driver("c").load()[0]] == ["r"]
        assert not self.redis.exists(self.left_in(source))

    @contextmanager
    def waiting(self):
        """The index of a process that has written nothing yet, and that waits for replicas."""
        entry = {**settings.REDIS["default"], "WAIT": {"replicas": 2, "timeout": 300}}
        with self.settings(REDIS={"default": entry}):
            indexes.close()
            yield self.at(3)
        indexes.close()

    def left_in(self, source):
        return source._layout.keys.leaving()
