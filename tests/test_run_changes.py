"""`driver.change()`: a run is replaced by what is made of it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from conversation_memory import Run
from conversation_memory.exceptions import ConversationNotFound, RunNotFound

from .utils import both, each_layout


def shouted(run):
    run.output = run.output.text.upper()
    return run


@each_layout
class ChangeTests:
    @both
    def test_a_run_is_replaced_and_the_others_stay(self, index):
        index.driver("42").store([Run("q", "a", id="a"), Run("q", "b", id="b")], {"k": 1})
        index.driver("42").change("a", shouted)
        runs, metadata = index.driver("42").load()
        assert [run.output.text for run in runs] == ["A", "b"]
        assert metadata == {"k": 1}

    @both
    def test_a_run_that_does_not_exist_is_an_error(self, index):
        with pytest.raises(RunNotFound):
            index.driver("42").change("a", shouted)
        index.driver("42").append(Run("q", "a", id="a"))
        with pytest.raises(RunNotFound):
            index.driver("42").change("b", shouted)

    @both
    def test_a_run_of_another_owner_is_not_changed(self, index):
        index.driver("42", owner=1).append(Run("q", "a", id="a"))
        with pytest.raises(ConversationNotFound):
            index.driver("42", owner=2).change("a", shouted)
        assert index.driver("42").load()[0][0].output.text == "a"

    @both
    def test_a_run_keeps_its_id(self, index):
        index.driver("42").append(Run("q", "a", id="a"))
        with pytest.raises(ValueError, match="id of a run cannot be changed"):
            index.driver("42").change("a", lambda run: run.with_id("b"))
        assert index.driver("42").load()[0][0].id == "a"

    def test_no_change_is_lost_when_many_make_one(self):
        self.index.driver("42").append(Run("q", "a", meta={"n": 0}, id="a"))

        def counted(run):
            run.meta = {"n": run.meta["n"] + 1}
            return run

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: self.index.driver("42").change("a", counted), range(20)))
        assert self.index.driver("42").load()[0][0].meta == {"n": 20}
