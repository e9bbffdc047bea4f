from io import StringIO

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from conversation_memory import Run, indexes
from conversation_memory.exceptions import RedisMisconfigured
from conversation_memory.search import embeddings
from conversation_memory.search_index.reasons import Reason
from conversation_memory.tasks import embed_conversations

from .embedders import DIMENSIONS
from .searching import Settled
from .servers import ServerTestCase
from .utils import RedisTestCase, both, each_layout


def embedding(name="embed"):
    return {"SEARCH": {"EMBED": f"tests.embedders.{name}", "DIMENSIONS": DIMENSIONS}}


@each_layout
class EmbeddingTests(Settled):
    entry = embedding()

    def fill(self):
        self.index.driver("a", owner=1).append(
            Run("dogs bark loudly", "yes", id="dogs"), Run("rain and snow", "no", id="rain")
        )
        self.index.driver("b", owner=2).append(Run("dogs bark loudly again", "", id="others"))
        self.index.driver("c", owner=1).append(Run("cats purr", "", id="cats"))

    @both
    def test_what_is_like_a_text_comes_first(self, index):
        self.fill()
        assert index.embed() == 4
        results = index.search(like="loudly dogs bark yes", owner=1)
        assert [hit.run_id for hit in results][0] == "dogs"
        assert len(results) == 3
        assert results.complete
        assert results[0].score > results[1].score

    @both
    def test_words_and_likeness_are_ranked_together(self, index):
        self.fill()
        index.embed()
        results = index.search("purr", like="dogs bark", owner=1)
        assert {hit.run_id for hit in results} == {"dogs", "cats", "rain"}
        assert [hit.run_id for hit in results][-1] == "rain"

    @both
    def test_pages(self, index):
        self.fill()
        index.embed()
        first = index.search(like="dogs", limit=3)
        second = index.search(like="dogs", limit=3, after=first.next)
        assert len({hit.run_id for hit in (*first, *second)}) == 4
        assert second.next is None

    @both
    def test_runs_without_a_vector_are_counted(self, index):
        self.fill()
        results = index.search(like="dogs")
        assert (len(results), results.reasons) == (0, (Reason("not_embedded", 4),))

    @both
    def test_only_what_changed_is_embedded_again(self, index):
        self.fill()
        index.embed()
        driver = self.index.driver("a", owner=1)
        driver.edit(Run("sun", "", id="rain"))
        driver.append(Run("wind", "", id="wind"))
        assert index.embed() == 2
        assert index.embed() == 0
        assert [hit.run_id for hit in index.search(like="sun", limit=1)] == ["rain"]

    @both
    def test_a_run_that_went_meanwhile_comes_not_back(self, index):
        self.fill()
        self.index.delete("a")
        assert index.embed() == 2

    @both
    def test_recall_of_a_conversation_and_of_an_owner(self, index):
        self.fill()
        index.embed()
        driver = index.driver("a", owner=1)
        assert [run.id for run in driver.recall("snow and rain", 1)] == ["rain"]
        assert {run.id for run in driver.recall("cats purr", 5)} == {"dogs", "rain"}
        assert driver.recall("cats purr", 2, of="owner")[0].id == "cats"
        assert index.driver("a", owner=2).recall("dogs") == []

    @both
    def test_what_cannot_be_recalled(self, index):
        for driver, of in ((index.driver("a"), "owner"), (index.driver("a"), "world")):
            with pytest.raises(ValueError):
                driver.recall("x", of=of)

    def test_the_task_and_the_command(self):
        self.fill()
        assert embed_conversations.func() == {"default": 4}
        self.index.driver("d").append(Run("new", ""))
        out = StringIO()
        call_command("embedconversations", stdout=out)
        assert out.getvalue() == "default: embedded 1 run\n"


class SettingsTests(RedisTestCase):
    def of(self, entry):
        entry = {"URL": self.index.settings.url, "INDEX": self.index.name, **entry}
        self.enterContext(self.settings(REDIS={"default": entry}))
        return indexes["default"]

    def test_an_embedder_may_be_a_coroutine_function(self):
        index = self.of(embedding("aembed"))
        index.driver("a").append(Run("dogs", ""))
        assert index.embed() == 1
        assert len(index.search(like="dogs")) == 1

    def test_vectors_of_another_length_are_refused(self):
        index = self.of(embedding("too_short"))
        index.driver("a").append(Run("dogs", ""))
        with pytest.raises(ImproperlyConfigured, match="must return one vector of 64 numbers"):
            index.embed()

    def test_what_could_not_be_embedded_waits(self):
        index = self.of(embedding("failing"))
        index.driver("a").append(Run("dogs", ""))
        with pytest.raises(ConnectionError):
            index.embed()
        assert self.of(embedding()).embed() == 1

    def test_without_embed_there_is_no_likeness(self):
        index = self.of({"SEARCH": True})
        for ask in (lambda: index.search(like="x"), lambda: index.driver("a").recall("x")):
            with pytest.raises(ImproperlyConfigured, match="needs EMBED in SEARCH"):
                ask()
        for using, who in (("default", "Alias 'default' does not have"), (None, "No alias has")):
            with pytest.raises(CommandError, match=f"{who} EMBED in SEARCH") as caught:
                call_command("embedconversations", using=using)
            assert caught.value.returncode == 2


class WithoutRediSearchTests(ServerTestCase):
    entry = embedding()

    @both
    def test_a_short_conversation_is_compared_run_by_run(self, index):
        driver = index.driver("a", owner=1)
        driver.append(Run("dogs bark", "", id="dogs"), Run("rain", "", id="rain"))
        assert [run.id for run in driver.recall("the rain", 1)] == ["rain"]

    @both
    def test_more_is_refused(self, index):
        driver = index.driver("a", owner=1)
        driver.append(*(Run("x", "", id=f"{n}") for n in range(embeddings.FEW + 1)))
        for of in embeddings.SCOPES:
            with pytest.raises(RedisMisconfigured, match="needs RediSearch .alias 'default'"):
                driver.recall("x", of=of)

    @both
    def test_a_search_looks_for_words_and_says_so(self, index):
        index.driver("a").append(Run("dogs", ""))
        results = index.search("dogs", like="cats")
        assert (len(results), results.complete) == (1, False)
        assert Reason("no_likeness") in results.reasons
        assert not index.search(like="dogs")
