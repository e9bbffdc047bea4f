"""Searches over several shards find what a search of one index would find."""

import pytest
from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory import Run
from conversation_memory.exceptions import RedisUnavailable
from conversation_memory.search.request import Cursor
from conversation_memory.sharding.sharded_engine import Position

from .embedders import DIMENSIONS
from .searching import settled
from .sharding import ShardsTestCase, ids
from .utils import both, monitored

EMBED = {"EMBED": "tests.embedders.embed", "DIMENSIONS": DIMENSIONS}


def found(results):
    return [hit.run_id for hit in results]


def every(index, limit, **options):
    """The ids of the hits of all pages."""
    after, hits = None, []
    while True:
        page = index.search("needle", limit=limit, after=after, **options)
        hits += found(page)
        after = page.next
        if after is None:
            return hits


class SearchCase(ShardsTestCase):
    entry = {"SEARCH": {"FIELDS": {"topic": "tag"}}}

    def setUp(self):
        super().setUp()
        for index in (self.index, self.plain):
            settled(index.search_state)

    def fill(self, count):
        """Runs of both indexes, of which each has the word more often than the one before."""
        for number in range(count):
            topic = {"topic": f"t{number % 3}"}
            text = Run("needle " * (number % 7 + 1), "x" * number, id=f"r{number}", meta=topic)
            for index in (self.index, self.plain):
                index.driver(f"c{number}", owner="ab"[number % 2]).append(text)


class RediSearchTests(SearchCase):
    @both
    def test_all_pages_have_every_hit_once(self, index):
        self.fill(40)
        for order in ("relevance", "-time", "time"):
            for limit in (3, 20, 100):
                hits = every(index, limit, order_by=order)
                assert sorted(hits) == sorted(found(self.plain.search("needle", limit=100)))
        assert index.search("needle", limit=3).total == 40

    def test_the_order_is_that_of_time(self):
        self.fill(30)
        for order in ("-time", "time"):
            times = [hit.milliseconds for hit in self.index.search("", order_by=order, limit=100)]
            assert times == sorted(times, reverse=order == "-time") and len(times) == 30

    def test_a_new_run_does_not_shift_the_pages(self):
        self.fill(30)
        first = self.index.search("needle", order_by="-time", limit=10)
        self.index.driver("late").append(Run("needle", "", id="late"))
        second = self.index.search("needle", order_by="-time", limit=100, after=first.next)
        assert sorted([*found(first), *found(second)]) == sorted(f"r{n}" for n in range(30))

    @both
    def test_counts_are_those_of_all_shards(self, index):
        self.fill(30)
        for owner in (None, "a"):
            want = self.plain.facets("topic", "needle", owner=owner)
            assert index.facets("topic", "needle", owner=owner) == want
            assert sum(index.activity("day", "needle", owner=owner).values()) == sum(want.values())
        assert index.facets("topic", limit=1).keys() == {"t0"}

    @both
    def test_of_one_conversation_and_of_an_owner(self, index):
        self.fill(12)
        assert found(index.search("needle", conversation="c3")) == ["r3"]
        assert {*found(index.search("needle", owner="a"))} == {f"r{n}" for n in range(0, 12, 2)}
        assert index.search("nothing").total == 0
        assert index.search_state().complete

    @both
    def test_one_shard_may_have_all_hits_of_a_page(self, index):
        self.fill(15)
        runs = [Run("needle " * 9, "", id=f"m{number}") for number in range(30)]
        self.index.driver("much").append(*runs)
        for order in ("relevance", "-time"):
            page = index.search("needle", order_by=order, limit=20)
            assert len(page) == 20 and "much" in {hit.conversation_id for hit in page}
            assert len({*every(index, 20, order_by=order)}) == 45

    def test_pages_of_different_lengths_have_every_hit_once(self):
        self.fill(40)
        for order in ("relevance", "-time"):
            after, found_ids = None, []
            for limit in (20, 3, 7, 1, 5, 100):
                page = self.index.search("needle", order_by=order, limit=limit, after=after)
                found_ids += found(page)
                after = page.next
            assert after is None and sorted(found_ids) == sorted(f"r{n}" for n in range(40))

    def test_similar_words_are_looked_for_only_where_no_shard_has_a_hit(self):
        self.fill(12)
        assert self.index.search("needel").suggestions == ["needle"]
        with monitored(self.redis) as sent:
            assert self.index.search("needle").total == 12
        assert not [line for line in sent if line["command"].startswith("FT.SPELLCHECK")]

    def test_a_wrong_cursor_is_refused(self):
        for cursor in ("i3-0-", "m0:~e1", "m" + "~".join(["x"] * 5), "m" + "~".join(["9:q"] * 5)):
            with pytest.raises(ValueError):
                self.index.search("needle", after=cursor)

    def test_titles_are_searched_and_reindexing_counts(self):
        self.fill(12)
        self.index.driver("c7").set_title("Zebra crossing")
        assert ids(self.index.titled("zebra")) == ["c7"]
        assert self.index.reindex().seen == 12

    @both
    def test_a_shard_that_is_down_is_named(self, index):
        self.fill(20)
        name = self.break_off(2)
        results = index.search("needle", limit=100)
        assert [(it.code, it.detail) for it in results.reasons] == [("shards", name)]
        assert 0 < len(results) < 20 and not results.complete
        assert not index.facets("topic").complete
        assert (
            index.search(
                "needle", conversation="c3" if self.index.shard_of("c3").name != name else "c4"
            ).total
            == 1
        )
        self.mend()


class ScanTests(SearchCase):
    entry = {}

    def setUp(self):
        ShardsTestCase.setUp(self)

    @both
    def test_all_pages_have_every_hit_once(self, index):
        self.fill(25)
        for order in ("relevance", "-time"):
            for limit in (4, 100):
                hits = every(index, limit, order_by=order)
                assert sorted(hits) == sorted(f"r{n}" for n in range(25))
        assert index.search("needle").scanned


class LikenessTests(SearchCase):
    entry = {"SEARCH": EMBED}

    @both
    def test_the_nearest_of_all_shards_comes_first(self, index):
        for number, text in enumerate(("red fox", "blue whale", "green parrot", "grey mouse")):
            self.index.driver(f"c{number}", owner="a").append(Run(text, "", id=f"r{number}"))
        assert index.embed() in (4, 0)
        assert found(index.search(like="a blue whale"))[0] == "r1"
        recalled = index.driver("other", owner="a").recall("green parrot", 2, of="owner")
        assert recalled[0].id == "r2"


class DownTests(ShardsTestCase):
    @both
    def test_a_listing_tells_what_is_missing(self, index):
        self.write(30)
        name = self.break_off(3)
        page = index.recent(50)
        assert page.missing == (name,) and 0 < len(page) < 30
        with pytest.raises(RedisUnavailable, match=name):
            page.whole  # noqa: B018
        for refused in (index.count, index.statistics, index.reap, index.adopt):
            with pytest.raises(RedisUnavailable, match=name):
                refused()
        health = index.health()
        assert not health.is_ready and name in health["reachable"].detail
        self.mend()

    @both
    def test_all_others_are_erased_before_the_error(self, index):
        self.write(30, owners=("a",))
        name = self.break_off(3)
        with pytest.raises(RedisUnavailable, match=name):
            index.erase(owner="a")
        assert [shard.count() for shard in self.index.shards if shard.name != name] == [0] * 4
        self.mend()

    def test_another_shard_is_not_held_up(self):
        self.write(30)
        name = self.break_off(3)
        for number in range(30):
            driver = self.index.driver(f"c{number}")
            if driver.index == name:
                with pytest.raises(RedisUnavailable):
                    driver.load()
            else:
                assert len(driver.load()[0]) == 1


class PositionTests(SimpleTestCase):
    @given(st.integers(0, 10**9 - 1), st.integers(0, 10**13), st.integers(0, 1000))
    def test_a_position_is_read_as_it_was_written(self, offset, newest, skipped):
        for position in (
            Position(Cursor(offset, newest), skipped),
            Position(Cursor(offset, count=7, before="1-YQ", is_scan=True), skipped),
            Position(total=offset),
        ):
            assert Position.parse(str(position)) == position
            whole = Cursor(shards=f"{position}~{position}")
            assert Cursor.parse(str(whole)) == whole

    @given(st.text("ei0129:~m-s.", max_size=12))
    def test_any_other_text_is_refused_with_a_value_error(self, text):
        try:
            position = Position.parse(text)
        except ValueError:
            return
        assert Position.parse(str(position)) == position
