"""An index over several shards tells what an index with one hash would tell."""

import random
from copy import deepcopy
from datetime import timedelta
from zlib import crc32

import pytest
from django.conf import settings

from conversation_memory import indexes
from conversation_memory.browse import Span
from conversation_memory.collection.selection import Selection
from conversation_memory.exceptions import (
    ConversationConflict,
    ConversationNotFound,
    InvalidIndexError,
    RedisMisconfigured,
)
from conversation_memory.indexes import ConversationIndex
from conversation_memory.signals import conversations_erased

from .sharding import SHARDS, ShardsTestCase, ids, run
from .utils import both, each_layout, in_loop


def pages(index, limit, **options):
    before, found = None, []
    while True:
        page = index.recent(limit, before=before, **options)
        found += ids(page)
        before = page.next
        if before is None:
            return found


@each_layout
class ListingTests:
    case = ShardsTestCase

    @both
    def test_lists_and_counts_as_without_shards(self, index):
        self.write(60)
        assert index.count() == 60 and index.count("a") == 30
        for limit in (1, 7, 50, 1000):
            assert ids(index.recent(limit)) == ids(self.plain.recent(limit))
        for owner in (None, "a"):
            assert pages(index, 7, owner=owner) == pages(self.plain, 7, owner=owner)

    def test_selects_by_time_and_by_id_and_from_either_end(self):
        self.write(40)
        assert {*self.index} == {*self.plain}
        for options in ({}, {"oldest_first": True}):
            for chosen in (Selection(), Selection(owner="b"), Selection(ids=["c3", "x", "c1"])):
                want = ids(self.plain.select(chosen, **options))
                assert ids(self.index.select(chosen, **options)) == want

    def test_pages_by_number_have_the_order_of_all_shards(self):
        self.write(60)
        middle = 1_700_000_000_000 + 25_000
        for span in (
            Span(),
            Span(oldest_first=True),
            Span(owner=b"a"),
            Span(since=middle),
            Span(until=middle, oldest_first=True),
            Span(since=middle, until=middle + 9000),
        ):
            assert self.index.extent(span) == self.plain.extent(span)
            for offset, limit in ((0, 10), (5, 50), (31, 7), (59, 10), (70, 1)):
                want = ids(self.plain.browse(span, offset, limit))
                assert ids(self.index.browse(span, offset, limit)) == want

    def test_finds_by_name_and_sorts(self):
        self.write(30)
        for index in (self.index, self.plain):
            index.driver("c7").set_title("Zebra")
        self.align()
        for index in (self.index, self.plain):
            assert index.find_named("zebra").ids == [b"c7"]
            found = index.find_with_run(lambda summary, run: "17" in str(run.input.value))
            assert found.ids == [b"c17"]
        measure = lambda summary: crc32(summary.id)  # noqa: E731
        assert self.index.find_sorted(measure).ids == self.plain.find_sorted(measure).ids
        assert ids(self.index.glance("c1", "x", "c2")) == ["c1", "c2"]

    def test_a_stock_driver_writes_into_a_shard_and_is_listed(self):
        shard = self.index.shard_of("stock")
        self.redis.hset(shard.name, "stock", '{"runs": [], "metadata": {}}')
        assert ids(self.index.recent()) == ["stock"]
        assert self.index.driver("stock").load() == ([], {})
        assert self.index.shard_of("stock").name in self.index.driver("stock").index


@each_layout
class ConversationTests:
    case = ShardsTestCase

    @both
    def test_a_conversation_is_where_its_id_says(self, index):
        for number in range(20):
            index.driver(f"c{number}").append(run(number))
        for shard in self.index.shards:
            for id in shard:
                assert self.index.shard_of(id) is shard
                number = crc32(id.encode()) % SHARDS
                assert shard.name == f"{self.index.name}:{SHARDS}:{number:02d}"
        assert index.inspect("c3").runs == index.driver("c3").load()[0]
        assert index.raw("c3") == self.index.shard_of("c3").raw("c3")

    @both
    def test_is_forked_into_any_shard(self, index):
        driver = index.driver("c1", owner="a")
        driver.append(run(1), run(2))
        for number in range(10):
            fork = driver.fork(f"fork{number}")
            assert len(fork.load()[0]) == 2 and fork.owner == "a"
            assert fork.index == self.index.shard_of(f"fork{number}").name
        driver.append(run(3))
        with pytest.raises(ConversationConflict):
            driver.fork("fork1")
        assert len(driver.fork().load()[0]) == 3

    @both
    def test_is_renamed_within_its_shard_only(self, index):
        driver = index.driver("c1")
        driver.append(run(1))
        near = next(
            f"n{n}" for n in range(99) if crc32(b"n%d" % n) % SHARDS == crc32(b"c1") % SHARDS
        )
        far = next(
            f"n{n}" for n in range(99) if crc32(b"n%d" % n) % SHARDS != crc32(b"c1") % SHARDS
        )
        with pytest.raises(ConversationConflict, match="another shard"):
            driver.rename(far)
        driver.rename(near)
        assert ids(index.recent()) == [near]

    def test_only_the_owner_sees_it(self):
        self.index.driver("c1", owner="a").append(run(1))
        with pytest.raises(ConversationNotFound):
            self.index.driver("c1", owner="b").append(run(2))


@each_layout
class ManyTests:
    case = ShardsTestCase

    @both
    def test_deletes_prunes_and_reaps(self, index):
        self.write(30)
        assert index.delete("c1", "c2", "x") == 2
        seen = []
        done = index.prune(Selection(owner="a"), progress=seen.append)
        assert done.conversations == 14 and seen[-1].conversations == 14
        assert index.prune(Selection(ids=["c3", "c4"])).conversations == 1
        assert index.prune(Selection(), dry_run=True).conversations == index.count() == 13
        for id in ("c5", "c7"):
            index.driver(id).expire(timedelta(milliseconds=1))
        while index.count() > 11:
            pass
        assert index.reap() == 2

    @both
    def test_an_owner_is_erased_and_another_anonymised(self, index):
        self.write(30, owners=("a", "b", "c"))
        foreseen = index.erase(owner="a", dry_run=True)
        assert index.erase(owner="a") == foreseen and foreseen.conversations == 10
        assert index.anonymise(owner="b") == 10
        assert [index.count(owner) for owner in (None, "a", "b", "c")] == [20, 0, 0, 10]

    def test_receivers_of_an_erasure_are_told_once(self):
        self.write(6)
        told = []

        def receive(sender, **event):
            told.append((event["index"], event["owner"], event["erasure"].conversations))

        conversations_erased.connect(receive, sender=ConversationIndex)
        self.addCleanup(conversations_erased.disconnect, receive, sender=ConversationIndex)
        self.index.erase(owner="a")
        assert told == [(self.index, "a", 3)]

    def test_a_driver_and_an_index_are_copied_for_each_test(self):
        driver = deepcopy(self.index).driver("c1")
        driver.append(run(1))
        assert len(deepcopy(driver).load()[0]) == 1
        assert driver.to_dict()["type"] == "RedisConversationMemoryDriver"

    @both
    def test_is_measured_checked_and_healthy(self, index):
        self.write(30)
        statistics = index.statistics([0, 2 * 10**12])
        assert (statistics.conversations, statistics.active) == (30, [30])
        assert len(statistics.sizes) == 30 and statistics.memory > 0
        report = index.check()
        assert (report.seen, {**report.problems}.keys() & {"keys of the wrong type"}) == (30, set())
        assert index.health().is_ready
        assert index.copies().replicas is not None

    def test_open_runs_are_listed_in_their_order(self):
        for number in range(12):
            self.index.driver(f"c{number}").begin(f"question {number}")
        found = self.index.open_runs(5)
        more = self.index.open_runs(100, after=found[-1])
        assert [run.conversation_id for run in (*found, *more)] == [f"c{n}" for n in range(12)]
        assert len(self.index.unfinished("c3").runs) == 1
        assert self.index.fail_abandoned() == 0

    def test_another_layout_is_converted_to(self):
        self.write(12)
        other = {"hash": "list", "list": "hash"}[self.index.settings.layout]
        entry = {**settings.REDIS["default"], "LAYOUT": other}
        with self.settings(REDIS={"default": entry}):
            indexes.close()
            done = indexes["default"].convert()
            assert (done.seen, done.converted, done.failed) == (12, 12, 0)
            assert indexes["default"].convert().converted == 0


class InterruptionTests(ShardsTestCase):
    def test_an_interruption_ends_the_work_in_all_shards(self):
        self.write(30)

        def interrupt(counts):
            raise KeyboardInterrupt

        for work in (self.index.check, self.index.convert):
            with pytest.raises(KeyboardInterrupt):
                work(progress=interrupt)
        assert self.index.check().seen == 30

    def test_an_error_of_the_caller_is_raised(self):
        self.write(10)

        def fail(counts):
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            self.index.prune(Selection(), progress=fail)

    def test_a_restricted_user_needs_the_keys_of_all_shards(self):
        name = self.index.name
        patterns = (f"~{name}", f"~{{{name}}}:*", f"~{name}:*", f"~{{{name}:*")
        rights = ("-@all", "+@read", "+@write", "+@connection", "+@transaction", "-@dangerous")
        more = ("+info", "+time", "+eval", "+evalsha", "+script|load")
        self.redis.execute_command(
            "ACL", "SETUSER", name, "reset", "on", ">word", *patterns, *rights, *more
        )
        self.addCleanup(self.redis.execute_command, "ACL", "DELUSER", name)
        entry = {**settings.REDIS["default"], "OPTIONS": {"username": name, "password": "word"}}
        with self.settings(REDIS={"default": entry}):
            indexes.close()
            index = indexes["default"]
            index.driver("c1", owner="a").append(run(1))
            assert index.count() == 1 and ids(index.recent()) == ["c1"]
            assert not index.check().problems
            assert index.erase(owner="a").conversations == 1


class AsyncTests(ShardsTestCase):
    @in_loop
    async def test_every_conversation_comes_once_from_each_loop(self):
        for number in range(30):
            await self.index.driver(f"c{number}").aappend(run(number))
        selected = [it.conversation_id async for it in self.index.aselect()]
        assert {*selected} == {id async for id in self.index} and len(selected) == 30
        await indexes.aclose()


class NumberTests(ShardsTestCase):
    def used_with(self, shards, **entry):
        """The index as a process with this number of shards uses it."""
        entry = {**settings.REDIS["default"], "SHARDS": shards, **entry}
        self.enterContext(self.settings(REDIS={"default": entry}))
        indexes.close()
        index = indexes["default"]
        assert index.driver("c1").append(run(2)) == 1
        assert index.count() == 1 and len(index.driver("c1").load()[0]) == 2
        return index

    def test_that_in_redis_counts(self):
        self.index.driver("c1").append(run(1))
        assert len(self.used_with(4).shards) == SHARDS

    def test_an_index_without_shards_stays_one(self):
        self.plain.driver("c1").append(run(1))
        index = self.used_with(5, INDEX=self.plain.name)
        assert [shard.name for shard in index.shards] == [index.name]

    def test_garbage_instead_of_it_is_told(self):
        self.redis.set(self.index.name, "many")
        for use in (self.index.count, self.index.driver("c1").load):
            with pytest.raises(InvalidIndexError, match="instead of their number"):
                use()

    def test_an_alias_without_shards_cannot_use_it(self):
        self.index.driver("c1").append(run(1))
        entry = {**settings.REDIS["plain"], "INDEX": self.index.name}
        with self.settings(REDIS={"default": entry}):
            indexes.close()
            plain = indexes["default"]
            for use in (
                plain.count,
                plain.recent,
                plain.driver("c1").load,
                plain.driver("c1").read,
                lambda: plain.driver("c1").append(run(2)),
                lambda: plain.driver("c1").store([], {}),
                lambda: plain.erase(owner="a"),
                lambda: plain.anonymise(owner="a"),
                plain.adopt,
            ):
                with pytest.raises(RedisMisconfigured, match="SHARDS"):
                    use()

    def test_a_driver_asks_for_it_once(self):
        self.index.count()
        before = self.redis.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"]
        self.index.driver("c1").load()
        after = self.redis.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"]
        assert after == before


class HostileTests(ShardsTestCase):
    def test_any_id_has_its_shard(self):
        random.seed(1)
        names = [bytes(random.choices(range(256), k=random.randint(1, 40))) for _ in range(60)]
        for name in names:
            self.index.driver(name).append(run(1))
        assert self.index.count() == len({*names})
        assert {encoded(it) for it in self.index.recent(100)} == {*names}

    def test_garbage_in_a_shard_breaks_no_other(self):
        self.write(20)
        self.redis.hset(self.index.shard_of("bad").name, "bad", b"\xff{")
        self.redis.zadd(self.index.shards[0]._layout.keys.recency(), {"ghost": float("inf")})
        assert self.index.count() == 21
        assert len(self.index.recent(50)) == 21
        assert len(self.index.browse(Span(), 0, 50)) == 21
        assert self.index.find_unreadable().ids == [b"bad"]


def encoded(record):
    return record.conversation_id.encode("utf-8", "surrogateescape")
