import json

import pytest

from conversation_memory import Run
from conversation_memory.exceptions import ConversationTooLarge

from .utils import both, each_layout


def runs(count):
    return [Run(f"question {n}", f"answer {n}", id=f"r{n}") for n in range(count)]


@each_layout
class ExcerptTests:
    @both
    def test_is_the_end_with_the_number_of_all_runs_and_the_metadata(self, index):
        driver = index.driver("c1")
        driver.store(runs(5), {"topic": "art"})
        found = driver.excerpt(limit=2)
        assert found.revision == driver.read().revision
        assert [run.id for run in found.runs] == ["r3", "r4"]
        assert (found.start, found.total, found.record.runs) == (3, 5, 5)
        assert found.metadata == {"topic": "art"}
        assert found.exists

    @both
    def test_pages_back_to_the_beginning(self, index):
        index.driver("c1").store(runs(5))
        found = index.driver("c1").excerpt(before=3, limit=4)
        assert [run.id for run in found.runs] == ["r0", "r1", "r2"]
        assert found.start == 0

    @both
    def test_behind_the_end_is_as_the_end(self, index):
        driver = index.driver("c1")
        driver.store(runs(5), {"topic": "art"})
        for before in (5, 6, 7, 9, 10, 2**63, 10**30):
            assert driver.excerpt(before=before, limit=4) == driver.excerpt(limit=4)
            assert driver.page(before=before, limit=4) == driver.page(limit=4)

    @both
    def test_in_front_of_the_beginning_is_nothing(self, index):
        driver = index.driver("c1")
        driver.store(runs(5))
        for part in (driver.excerpt(before=0), driver.page(before=0)):
            assert (part.runs, part.start) == ([], 0)

    @both
    def test_a_negative_position_is_refused(self, index):
        for read in (index.driver("c1").excerpt, index.driver("c1").page):
            with pytest.raises(ValueError, match="0 or more"):
                read(before=-1)

    @both
    def test_any_limit_is_fine_that_is_positive(self, index):
        driver = index.driver("c1")
        driver.store(runs(5))
        for most in (2**63, 10**30):
            assert len(driver.excerpt(limit=most).runs) == len(driver.page(limit=most)) == 5
            assert len(driver.page(before=4, limit=most)) == 4
            assert len(index.recent(most)) == 1
            assert len(driver.tail(most)) == len(driver.window(max_runs=most)) == 5

    @both
    def test_of_nothing_is_empty(self, index):
        found = index.driver("c1").excerpt()
        assert (found.exists, found.runs, found.total) == (False, [], 0)

    @both
    def test_of_another_owner_is_empty(self, index):
        index.driver("c1", owner=1).store(runs(1))
        assert not index.driver("c1", owner=2).excerpt().exists

    @both
    def test_of_what_others_wrote_is_whole(self, index):
        self.put("c1", b'{"runs": [{"id": "x"}, {"id": "y"}], "metadata": {"a": 1}}')
        found = index.driver("c1").excerpt(limit=1)
        assert ([run.id for run in found.runs], found.total) == (["y"], 2)
        assert found.metadata == {"a": 1}


@each_layout
class FindTests:
    @both
    def test_tells_the_position_of_the_last_one_that_is_wanted(self, index):
        driver = index.driver("c1")
        driver.store(runs(450))
        assert driver.find(lambda run: run.id == "r7") == 7
        assert driver.find(lambda run: "4" in run.id) == 449
        assert driver.find(lambda run: run.id == "x") is None

    @both
    def test_ends_at_its_limit(self, index):
        index.driver("c1").store(runs(450))
        assert index.driver("c1").find(lambda run: run.id == "r7", limit=10) is None


@each_layout
class RawTests:
    @both
    def test_is_the_document(self, index):
        index.driver("c1").store(runs(2), {"topic": "art"})
        raw = json.loads(index.driver("c1").raw())
        assert [run["id"] for run in raw["runs"]] == ["r0", "r1"]
        assert raw["metadata"] == {"topic": "art"}

    @both
    def test_of_what_is_damaged_is_what_is_stored(self, index):
        self.put("c1", b"{nonsense \xff")
        assert index.driver("c1").raw() == b"{nonsense \xff"

    @both
    def test_of_nothing_or_of_another_owner_is_none(self, index):
        index.driver("c1", owner=1).store(runs(1))
        assert index.driver("c1", owner=2).raw() is None
        assert index.driver("c2").raw() is None


@each_layout
class WindowTests:
    def ids(self, index, **options):
        return [run.id for run in index.driver("c1").window(**options)]

    @both
    def test_is_the_last_runs_that_fit(self, index):
        index.driver("c1").store(runs(120))
        for options, count in (
            ({}, 120),
            ({"max_runs": 3}, 3),
            ({"max_runs": 0}, 0),
            ({"max_tokens": 70, "count": lambda run: 1}, 70),
            ({"max_tokens": 70, "count": lambda run: 1, "max_runs": 60}, 60),
            ({"max_tokens": 70, "count": lambda run: 20}, 3),
        ):
            for strict in (False, True):
                found = self.ids(index, **options, strict=strict)
                assert found == [f"r{n}" for n in range(120)][120 - count :]

    @both
    def test_has_the_last_run_even_if_that_does_not_fit(self, index):
        index.driver("c1").store(runs(3))
        for most in (9, 0, -1):
            assert self.ids(index, max_tokens=most, count=lambda run: 10) == ["r2"]

    @both
    def test_that_is_strict_raises_if_the_last_run_does_not_fit(self, index):
        index.driver("c1").store([Run("question", "a long answer " * 100)])
        with pytest.raises(ConversationTooLarge, match="last run of 353 tokens, 50 are allowed"):
            index.driver("c1").window(max_tokens=50, strict=True)

    @both
    def test_counts_the_output(self, index):
        index.driver("c1").store([*runs(1), Run("short", "x" * 4000, id="long")])
        assert self.ids(index, max_tokens=900) == ["long"]

    @both
    def test_of_nothing_is_empty(self, index):
        assert self.ids(index, max_tokens=1, strict=True) == []
