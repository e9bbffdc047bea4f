import time
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.conf import settings
from django.test import SimpleTestCase

from conversation_memory import Run, Selection, indexes
from conversation_memory.collection import listing
from conversation_memory.collection.bulk import Pruning
from conversation_memory.collection.summaries import summaries
from conversation_memory.exceptions import RedisReadOnly

from .servers import ServerTestCase
from .utils import RedisTestCase, both, each_layout, wait_for

DAY = timedelta(days=1)


def run(id):
    return Run("a question", "an answer", id=id)


def names(listed):
    return [it.conversation_id for it in listed]


class Selecting:
    """Five conversations, the last write to number n being at day n of January."""

    def write(self, index, count=5):
        for number in range(1, count + 1):
            index.driver(number, owner="ann" if number % 2 else "bob").append(run("a"))
            self.age(number, self.day(number))

    def day(self, number):
        return datetime(2026, 1, number, tzinfo=UTC)

    def age(self, id, time):
        """Let the last write to a conversation have been at `time`."""
        stamp = round(time.timestamp() * 1000)
        tag, owner = f"{{{self.index.name}}}", self.index.driver(id).record().owner
        self.redis.hset(f"{tag}:record:{id}", "updated", stamp)
        self.redis.zadd(f"{tag}:recent", {str(id): stamp})
        if owner:
            self.redis.zadd(f"{tag}:owner:{owner}", {str(id): stamp})

    def select(self, index, *args, **options):
        """What a selection lists, in an index or in one of async twins."""
        if index is self.index:
            return list(index.select(*args, **options))

        async def collect():
            return [it async for it in self.index.aselect(*args, **options)]

        return wait_for(collect())


class SelectionTests(SimpleTestCase):
    def test_times_need_a_time_zone(self):
        with pytest.raises(ValueError, match="time zone"):
            Selection(since=datetime(2026, 1, 1))

    def test_nobody_is_no_owner(self):
        with pytest.raises(ValueError, match="`owner` is required"):
            Selection(owner="")

    def test_ids_and_owners_do_not_go_together(self):
        with pytest.raises(ValueError, match="not by both"):
            Selection(ids=["1"], owner="ann")


@each_layout
class SelectTests(Selecting):
    @both
    def test_lists_newest_or_oldest_first(self, index):
        self.write(index)
        assert names(self.select(index)) == [*"54321"]
        assert names(self.select(index, oldest_first=True)) == [*"12345"]

    @both
    def test_by_owner_and_time(self, index):
        self.write(index)
        for oldest_first in (False, True):
            found = self.select(index, Selection("ann"), oldest_first=oldest_first)
            assert sorted(names(found)) == [*"135"]
            january = Selection(since=self.day(2), until=self.day(4))
            found = self.select(index, january, oldest_first=oldest_first)
            assert sorted(names(found)) == [*"23"]
            anns = Selection("ann", since=self.day(2))
            assert sorted(names(self.select(index, anns, oldest_first=oldest_first))) == [*"35"]

    @both
    def test_by_ids(self, index):
        self.write(index)
        chosen = Selection(ids=["4", 2, b"4", "none"])
        assert names(self.select(index, chosen)) == ["4", "2"]

    @both
    def test_in_batches_nothing_is_missed_or_doubled(self, index):
        self.write(index, 9)
        for number in range(1, 10):
            self.age(number, self.day(1 + number // 4))  # ties
        with mock.patch("conversation_memory.collection.selection.BATCH", 2):
            for options in ({}, {"oldest_first": True}):
                found = names(self.select(index, **options))
                assert sorted(found) == [*"123456789"]
                ids = Selection(ids=range(1, 10))
                assert names(self.select(index, ids, **options)) == [*"123456789"]

    @both
    def test_sizes_are_those_of_the_stored_json(self, index):
        index.driver("1").append(run("a"), run("b"))
        [listed] = self.select(index)
        stored = self.index.raw("1")
        assert listed.bytes == sum(map(len, stored))
        assert listed.record.runs == 2

    @both
    def test_conversations_of_other_programs_are_listed(self, index):
        self.put("theirs", b'{"runs": [], "metadata": {}}')
        self.put(b"\xff", b"no JSON")
        assert set(names(self.select(index))) == {"theirs", "\udcff"}

    @both
    def test_what_is_gone_is_not_listed(self, index):
        self.write(index, 3)
        index.driver("4", ttl=0.001).append(run("a"))
        self.redis.hdel(self.index.name, "2")
        time.sleep(0.002)
        assert names(self.select(index)) == ["3", "1"]

    def test_oldest_first_what_moves_comes_again(self):
        self.write(self.index)
        with mock.patch("conversation_memory.collection.selection.BATCH", 2):
            found = self.index.select(oldest_first=True)
            first = next(found)
            self.index.driver(first.conversation_id).append(run("b"))
            self.index.driver("4").append(run("b"))
            assert names(found) == [*"23514"]

    def test_a_conversation_is_inspected_without_letting_its_deadline_slide(self):
        entry = {**settings.REDIS["default"], "TTL": 100, "TTL_ON_READ": True}
        with self.settings(REDIS={"default": entry}):
            indexes["default"].driver("1").append(run("a"))
            before = indexes["default"].driver("1").record().expires
            time.sleep(0.005)
            assert [run.id for run in indexes["default"].inspect("1").runs] == ["a"]
            assert indexes["default"].driver("1").record().expires == before


@each_layout
class PruneTests(Selecting):
    @both
    def test_deletes_what_is_chosen_and_counts_it(self, index):
        self.write(index)
        size = sum(it.bytes for it in self.select(index, Selection(until=self.day(3))))
        foreseen = index.prune(Selection(until=self.day(3)), dry_run=True)
        assert foreseen == Pruning(2, 2, size)
        assert index.count() == 5
        assert index.prune(Selection(until=self.day(3))) == foreseen
        assert names(self.select(index)) == [*"543"]

    @both
    def test_by_owner_by_id_and_all(self, index):
        self.write(index)
        assert index.prune(Selection("bob")).conversations == 2
        assert index.prune(Selection(ids=["1", "2"])).conversations == 1
        assert index.prune(Selection()).conversations == 2
        assert self.keys() == set()

    @both
    def test_by_age_what_another_program_wrote_to_stays(self, index):
        self.write(index, 2)
        self.put("1", b'{"runs": [], "metadata": {"of": "theirs"}}')
        self.put("3", b'{"runs": [], "metadata": {}}')
        later = Selection(until=datetime.now(UTC) + DAY)
        for dry_run in (True, False):
            pruned = index.prune(later, dry_run=dry_run)
            assert (pruned.conversations, pruned.kept) == (1, 2)
        assert index.count() == 2

    def test_by_age_what_somebody_writes_to_meanwhile_stays(self):
        self.write(self.index)

        def overtaken(keys, ids, **options):
            self.index.driver("2").append(run("b"))
            return summaries(keys, ids, **options)

        with mock.patch.object(listing, "summaries", overtaken):
            pruned = self.index.prune(Selection(until=self.day(4)))
        assert (pruned.conversations, pruned.kept) == (2, 1)
        assert names(self.index.select()) == [*"254"]

    @both
    def test_what_went_to_another_owner_meanwhile_stays(self, index):
        self.write(index, 3)

        def overtaken(keys, ids, **options):
            found = yield from summaries(keys, ids, **options)
            self.index.driver("3").move_to("bob")
            return found

        with mock.patch.object(listing, "summaries", overtaken):
            assert index.prune(Selection("ann")).conversations == 1
        assert self.index.count("bob") == 2

    @both
    def test_what_is_left_of_a_conversation_goes_with_its_id(self, index):
        self.write(index, 1)
        self.redis.hdel(self.index.name, "1")
        assert index.prune(Selection(ids=["1"])) == Pruning()
        assert self.keys() == set()

    def test_says_how_far_it_is(self):
        self.write(self.index)
        said = []
        with mock.patch("conversation_memory.collection.selection.BATCH", 2):
            self.index.prune(Selection(), progress=lambda done: said.append(done.conversations))
        assert said == [2, 4, 5]


class ReadOnlyTests(ServerTestCase):
    @both
    def test_a_full_server_lists_and_deletes(self, index):
        index.driver("1").append(run("a"))
        with self.config(maxmemory=1):
            assert names(self.index.select()) == ["1"]
            assert index.prune(Selection()).conversations == 1

    def test_a_replica_lists_but_does_not_delete(self):
        self.index.driver("1").append(run("a"))
        self.redis.replicaof("localhost", 1)
        try:
            assert names(self.index.select()) == ["1"]
            with pytest.raises(RedisReadOnly):
                self.index.prune(Selection())
        finally:
            self.redis.replicaof("NO", "ONE")


class TimeTests(RedisTestCase):
    def test_a_time_in_milliseconds_is_exact(self):
        self.index.driver("1").append(run("a"))
        updated = self.index.driver("1").record().updated
        assert names(self.index.select(Selection(since=updated))) == ["1"]
        assert names(self.index.select(Selection(until=updated))) == []
        after = updated + timedelta(milliseconds=1)
        assert names(self.index.select(Selection(until=after))) == ["1"]
        assert names(self.index.select(Selection(since=after))) == []
