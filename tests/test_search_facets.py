import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import SimpleTestCase

from conversation_memory import Run
from conversation_memory.search import facets

from .searching import SEARCH, Settled
from .servers import ServerTestCase
from .utils import both, each_layout


class FacetTests(Settled):
    entry = {"SEARCH": SEARCH}

    def fill(self):
        for number, topic in enumerate(["billing", "billing", ["sales & more", "billing"], None]):
            driver = self.index.driver(f"c{number}", owner=number % 2)
            driver.store([Run(f"word {number}", "")], {"topic": topic})
        driver.append(Run("scored", "", meta={"score": 2.5}), Run("scored", "", meta={"score": 3}))

    @both
    def test_values_and_how_many_runs_have_them(self, index):
        self.fill()
        found = index.facets("topic")
        assert [*found.items()] == [("billing", 3), ("sales & more", 1)]
        assert (found.complete, found.reasons) == (True, ())
        assert dict(index.facets("score")) == {"2.5": 1, "3": 1}

    @both
    def test_the_same_filters_as_in_a_search(self, index):
        self.fill()
        assert dict(index.facets("topic", owner=0)) == {"billing": 2, "sales & more": 1}
        assert dict(index.facets("topic", "1")) == {"billing": 1}
        assert dict(index.facets("topic", where={"topic": "sales & more"}, limit=1)) == {
            "billing": 1
        }
        assert dict(index.facets("topic", owner="nobody")) == {}
        assert dict(index.facets("topic", "?!")) == {}

    @both
    def test_what_has_no_facets(self, index):
        for name in ("note", "nothing"):
            with pytest.raises(ValueError, match="not a tag or number"):
                index.facets(name)

    @both
    def test_activity(self, index):
        self.fill()
        today = datetime.now(UTC).date()
        found = index.activity(zone=UTC)
        assert [*found.items()] in ([(today, 6)], [(today - timedelta(1), 6)])
        assert found.complete
        assert sum(index.activity(owner=0).values()) == 2
        assert sum(index.activity("week", "scored").values()) == 2
        assert not index.activity(conversation="none")

    @both
    def test_hours_are_those_of_the_zone(self, index):
        self.fill()
        zone = ZoneInfo("Asia/Kathmandu")
        [hour] = index.activity("hour", zone=zone)
        assert (hour.tzinfo, hour.minute) == (zone, 0)
        assert timedelta(0) <= datetime.now(UTC) - hour < timedelta(hours=1, minutes=1)

    @both
    def test_an_unknown_period(self, index):
        with pytest.raises(ValueError, match="hour, day, week, month"):
            index.activity("decade")

    @both
    def test_what_is_past_its_deadline_does_not_count(self, index):
        self.index.driver("gone", ttl=0.001).store([Run("word", "")], {"topic": "gone"})
        time.sleep(0.005)
        assert dict(index.facets("topic")) == {}
        assert not index.activity()


@each_layout
class RediSearchFacetTests(FacetTests):
    entry = {"SEARCH": SEARCH}


class ScanFacetTests(FacetTests, ServerTestCase):
    pass


class PeriodTests(SimpleTestCase):
    def counts(self, moments, by, zone):
        step = facets.step_of(zone)
        counts = Counter(str(moment.timestamp() * 1000 // step) for moment in moments)
        return facets.in_periods(counts, step, by, zone)

    def test_days_begin_at_midnight_of_the_zone(self):
        moments = [datetime(2025, 3, 1, 22, 59, tzinfo=UTC), datetime(2025, 3, 1, 23, tzinfo=UTC)]
        found = self.counts(moments, "day", ZoneInfo("Europe/Vienna"))
        assert found == {date(2025, 3, 1): 1, date(2025, 3, 2): 1}

    def test_gaps_are_filled(self):
        moments = [datetime(2025, 1, 31, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)]
        assert [*self.counts(moments, "month", UTC).values()] == [1, 0, 0, 1]
        weeks = self.counts(moments, "week", UTC)
        assert [*weeks][0] == date(2025, 1, 27)
        assert (len(weeks), sum(weeks.values())) == (10, 2)

    def test_the_night_of_summer_time_has_23_hours(self):
        zone = ZoneInfo("Europe/Vienna")
        moments = [datetime(2025, 3, 30, tzinfo=zone), datetime(2025, 3, 31, tzinfo=zone)]
        assert len(self.counts(moments, "hour", zone)) == 24

    def test_zones_that_are_off_by_a_part_of_an_hour(self):
        moment = datetime(2025, 1, 1, 18, 20, tzinfo=UTC)  # 00:05 in Kathmandu
        assert self.counts([moment], "day", ZoneInfo("Asia/Kathmandu")) == {date(2025, 1, 2): 1}

    def test_nothing(self):
        assert self.counts([], "day", UTC) == {}
