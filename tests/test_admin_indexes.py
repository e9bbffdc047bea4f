from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.conf import settings
from django.test import SimpleTestCase, override_settings
from django.utils import timezone

from conversation_memory import Run, conf, indexes
from conversation_memory.admin import formatting, plots
from conversation_memory.collection import statistics
from conversation_memory.collection.statistics import Statistics
from conversation_memory.exceptions import InvalidIndexError

from .admin import AdminTestCase
from .utils import RedisTestCase, both, each_layout

URL = "redis://h"


@each_layout
class StatisticsTests:
    @both
    def test_tells_how_many_there_are_and_when_the_last_was_written(self, index):
        driver = self.index.driver("a")
        driver.append(Run("q", "a"))
        self.put("b", b'{"runs": [], "metadata": {}}')
        found = index.statistics()
        assert (found.conversations, len(found.sizes)) == (2, 2)
        assert found.newest == driver.record().updated
        assert found.version.startswith(("Redis ", "Valkey "))

    @both
    def test_an_empty_index_has_empty_figures(self, index):
        found = index.statistics([0, 1, 2])
        assert (found.conversations, found.newest, found.active) == (0, None, [0, 0])
        assert (found.sizes, found.memory) == ([], 0)

    @both
    def test_counts_what_was_active_between_two_times(self, index):
        order = f"{{{self.index.name}}}:recent"
        for id, time in (("a", 10), ("b", 20), ("c", 29), ("d", 30)):
            self.put(id, b"{}")
            self.redis.zadd(order, {id: time})
        assert index.statistics([10, 20, 30]).active == [1, 2]

    @both
    def test_the_memory_is_about_that_of_all_keys(self, index):
        for number in range(200):
            driver = self.index.driver(f"conversation-{number}", owner=str(number % 3))
            driver.append(Run("question " * 20, "answer " * 20))
        found = index.statistics().memory
        truth = sum(self.redis.memory_usage(key, samples=0) for key in self.keys())
        assert 0.8 < found / truth < 1.25


class DiscoveryTests(RedisTestCase):
    def setUp(self):
        super().setUp()
        self.prefix = f"{self.index.name}-tenant"
        for name in ("1", "2", "10"):
            self.redis.hset(f"{self.prefix}-{name}", "c", b"{}")
        self.redis.set(f"{self.prefix}-3", "no hash")
        self.redis.hset(f"{self.prefix}-{{4}}", "c", "no name of an index")
        self.addCleanup(self.remove)

    def remove(self):
        for key in self.redis.scan_iter(f"*{self.prefix}*", count=1000):
            self.redis.delete(key)

    def opened(self, *patterns):
        entry = {**settings.REDIS["default"], "INDEXES": patterns}
        self.enterContext(self.settings(REDIS={"default": entry}))
        return indexes["default"]

    def names(self, found):
        return [name.removeprefix(self.prefix) for name in found.names]

    @both
    def test_finds_hashes_by_pattern(self, _):
        found = self.opened(f"{self.prefix}-*").discover()
        assert (self.names(found), found.is_complete) == (["-1", "-10", "-2"], True)
        assert self.names(self.opened(f"{self.prefix}-?").discover()) == ["-1", "-2"]

    def test_finds_hashes_by_name(self):
        found = self.opened(f"{self.prefix}-1", f"{self.prefix}-3", "missing").discover()
        assert self.names(found) == ["-1"]

    def test_says_when_it_stopped_before_the_end(self):
        pipeline = self.redis.pipeline(transaction=False)
        for number in range(300):
            pipeline.set(f"{{{self.prefix}}}:{number}", "")
        pipeline.execute()
        with mock.patch.multiple(statistics, _KEYS_A_STEP=1, _MOST_STEPS=1):
            assert not self.opened(f"{self.prefix}-*").discover().is_complete

    def test_opens_what_indexes_are_about_and_nothing_else(self):
        self.opened(f"{self.prefix}-*")
        index = indexes.open("default", f"{self.prefix}-1")
        assert (index.alias, index.name) == ("default", f"{self.prefix}-1")
        assert indexes.open("default", f"{self.prefix}-1") is index
        assert indexes.open("default", self.index.name) is indexes["default"]
        with pytest.raises(InvalidIndexError, match="'default' are not about index 'secret'"):
            indexes.open("default", "secret")


class IndexesSettingTests(SimpleTestCase):
    def test_faults(self):
        for value, says in (
            ("tenant-*", "is not a list"),
            ([1], "is not a list"),
            ([""], "is empty or has a bracket"),
            (["a[bc]"], "is empty or has a bracket"),
            (["{a}"], "is empty or has a bracket"),
            ([r"a\*"], "is empty or has a bracket"),
        ):
            with override_settings(REDIS={"a": {"URL": URL, "INDEXES": value}}):
                with pytest.raises(InvalidIndexError, match=f"INDEXES of .*'a'.* {says}"):
                    conf.get("a")


class PageTests(AdminTestCase):
    def page(self, **redis):
        with self.settings(REDIS={**settings.REDIS, **redis}):
            return self.client.get(self.url("index_changelist"))

    def rows(self, page):
        return {row.name: row for row in page.context["cl"].result_list}

    def test_a_row_shows_what_is_known(self):
        self.index.driver("c").append(Run("q", "a"))
        entry = {**settings.REDIS["default"], "TTL": 30 * 86400, "LAYOUT": "list"}
        text = self.page(default=entry).content.decode()
        for shown in (self.index.name, "list", "about", "30 days after the last write", "just now"):
            assert shown in text, shown
        assert f"{self.index.server} (Redis" in text or f"{self.index.server} (Valkey" in text

    def test_a_row_opens_the_conversations_of_its_index(self):
        self.index.driver("c").append(Run("q", "a"))
        url = self.url("index_change", str(self.address()))
        assert url in self.page().content.decode()
        opened = self.client.get(url, follow=True)
        assert [row.conversation_id for row in opened.context["cl"].result_list] == ["c"]
        assert self.client.get(self.url("index_change", "nonsense")).status_code == 404

    def test_indexes_found_by_pattern_have_rows_of_their_own(self):
        name = f"{self.index.name}-tenant"
        self.redis.hset(name, "c", b"{}")
        self.addCleanup(self.redis.delete, name)
        entry = {**settings.REDIS["default"], "INDEXES": [f"{self.index.name}-*"]}
        rows = self.rows(self.page(default=entry))
        assert rows[name].statistics.conversations == 1

    def test_the_plots_are_about_all_indexes_that_are_shown(self):
        self.index.driver("c").append(Run("q", "a"))
        self.index.driver("d").append(Run("q", "a" * 100_000))
        activity, sizes = self.page().context["plots"]
        assert activity.bars[-1].value >= 2 and len(activity.bars) == 30
        assert sum(bar.value for bar in sizes.bars) == self.total()
        assert "<svg" in self.page().content.decode()

    def total(self):
        rows = self.rows(self.page()).values()
        return sum(survey.statistics.conversations for survey in rows if survey.statistics)

    def test_a_cache_that_lends_its_connection_has_a_row(self):
        with self.settings(REDIS={}):
            page = self.client.get(self.url("index_changelist"))
        assert [row.alias for row in page.context["cl"].result_list] == ["default"]

    def test_there_is_no_index_at_all(self):
        with self.settings(REDIS={}, CACHES={"default": {"BACKEND": "x.locmem.LocMemCache"}}):
            assert self.client.get(self.url("index_changelist")).status_code == 200
            assert self.notes() == ["There is no index that you may view."]

    def test_no_password_is_on_the_page(self):
        entry = {"URL": "redis://user:hush@127.0.0.1:1/0"}
        assert "hush" not in self.page(other=entry).content.decode()


class FigureTests(SimpleTestCase):
    def test_spans_of_time(self):
        for seconds, text in ((86400 * 30, "30 days"), (3600, "1 hour"), (90, "90 seconds")):
            assert formatting.lasting(seconds) == text

    def test_days_end_today_and_begin_at_midnight(self):
        with timezone.override("Europe/Berlin"):
            days = plots.days()
            edges = plots.edges(days)
        assert (len(days), len(edges)) == (30, 31)
        assert edges[0] < datetime.now(UTC).timestamp() * 1000 < edges[-1]

    def test_sizes_of_a_sample_stand_for_all(self):
        found = [Statistics(1000, sizes=[500, 5000]), Statistics(1, sizes=[3_000_000])]
        plot = plots.sizes(found)
        assert [bar.value for bar in plot.bars] == [500, 0, 500, 0, 0, 0, 1]
        assert plot.note == "Estimated from 3 of 1,001 conversations."
        assert plots.sizes([Statistics(1, sizes=[1])]).note == ""

    def test_times_say_how_long_ago(self):
        now = timezone.now()
        assert formatting.ago(None) is None and formatting.ahead(None) is None
        assert "3\xa0hours ago" in formatting.ago(now - timedelta(hours=3, minutes=20))
        assert "just now" in formatting.ago(now + timedelta(hours=1))  # clocks differ
        assert "in 2\xa0days" in formatting.ahead(now + timedelta(days=2, minutes=1))
