import time
from datetime import timedelta
from hashlib import sha1
from unittest import mock

from django.test import SimpleTestCase

from conversation_memory import Run, indexes
from conversation_memory.exceptions import ConversationMemoryError
from conversation_memory.redis_io import scripts
from conversation_memory.redis_io.scripts import Script
from conversation_memory.search import engine, redisearch, verify
from conversation_memory.search_index.index_state import IndexState, SearchState
from conversation_memory.search_index.reasons import Reason

from .searching import SEARCH, SearchTests
from .utils import RedisTestCase, both, each_layout, monitored


class Refusing(Script):
    """A script in which a search is refused, as a cluster refuses it."""

    def __init__(self, *names):
        super().__init__(*names)
        search = b"redis.pcall(unpack(ARGV, 4))"
        refusal = b"redis.error_reply('ERR Cannot block')"
        assert search in self.source
        self.source = self.source.replace(search, refusal)
        self.sha = sha1(self.source).hexdigest()
        scripts._sources[self.sha] = self.source


@each_layout
class RediSearchTests(SearchTests):
    entry = {"SEARCH": SEARCH}

    @both
    def test_the_results_are_complete_and_no_scan(self, index):
        self.fill(a="word")
        results = index.search("word")
        assert (results.complete, results.reasons, results.scanned) == (True, (), False)
        assert results[0].time is not None

    @both
    def test_a_run_has_the_time_when_it_came(self, index):
        driver = self.index.driver("a")
        driver.append(Run("first", "", id="1"))
        [first] = index.search("first")
        driver.append(Run("second", "", id="2"))
        [second] = index.search("second")
        assert index.search("first")[0].time == first.time <= second.time
        moment = timedelta(milliseconds=1)
        assert [hit.run_id for hit in index.search(until=first.time + moment)][-1:] == ["1"]
        assert not index.search(until=first.time)

    @both
    def test_what_another_program_overwrote_is_not_shown(self, index):
        self.index.driver("a").append(Run("old words", "", id="1"), Run("kept words", "", id="2"))
        kept = Run.from_text(self.index.driver("a").load()[0][1].to_wire())
        self.put("a", b'{"runs": [%b], "metadata": {}}' % kept.to_wire())
        hits = sorted(hit.run_id for hit in index.search("words"))
        assert hits == (["2"] if self.index.settings.layout == "hash" else ["1", "2"])

    @both
    def test_a_conversation_that_another_program_deleted_is_not_shown(self, index):
        self.fill(a="word", b="word")
        self.redis.hdel(self.index.name, "a")
        results = index.search("word")
        assert ([hit.conversation_id for hit in results], results.total) == (["b"], 1)

    @both
    def test_an_owner_who_was_erased_and_came_back(self, index):
        self.index.driver("a", owner=1).append(Run("before", ""))
        assert index.search("before", owner=1)
        self.index.erase(owner=1)
        self.index.driver("b", owner=1).append(Run("after", ""))
        assert not index.search("before", owner=1)
        assert [hit.conversation_id for hit in index.search("after", owner=1)] == ["b"]

    @both
    def test_similar_words_are_suggested_if_they_find_something(self, index):
        self.index.driver("a", owner=1).append(Run("a refund of money", ""))
        self.index.driver("b", owner=2).append(Run("the word rebound", ""))
        assert index.search("refnd").suggestions == ["refund"]
        assert index.search("refnd money", owner=1).suggestions == ["refund"]
        assert index.search("refnd", owner=2).suggestions == []
        assert index.search("refnd word", owner=1).suggestions == []

    def test_another_page_does_not_move_when_something_is_written(self):
        self.fill(a="word", b="word", c="word")
        page = self.index.search("word", order_by="-time", limit=2)
        time.sleep(0.002)  # what comes in the same millisecond as "c" is not told from it
        self.fill(d="word")
        rest = self.index.search("word", order_by="-time", limit=2, after=page.next)
        assert [hit.conversation_id for hit in (*page, *rest)] == ["c", "b", "a"]

    def test_a_prefix_of_too_many_words_is_not_complete(self):
        words = " ".join(f"word{number}" for number in range(250))
        self.index.driver("a").append(Run(words, ""))
        results = self.index.search("word*")
        assert (results.complete, results.reasons) == (False, (redisearch.EXPANDED,))
        assert self.index.search("word24*").complete

    def test_a_search_that_took_too_long_is_not_complete(self):
        self.fill(a="word")
        with mock.patch.object(redisearch, "TIMEOUT", 0):  # for RediSearch, no limit
            assert self.index.search("word").reasons == (redisearch.CUT_SHORT,)
            assert self.index.activity().complete  # RediSearch would have told

    def test_a_phrase_that_repeats_a_word_is_right_but_counts_too_much(self):
        self.fill(twice="人人都好", once="人都好")
        results = self.index.search("人人")
        assert [hit.conversation_id for hit in results] == ["twice"]
        assert (results.total, results.complete) == (1, True)
        self.index.driver("more").append(*(Run("人", "", id=f"{n}") for n in range(9)))
        assert self.index.search("人人", limit=1).reasons == (engine.APPROXIMATE,)

    def sent_by(self, **options):
        """The names of the commands of a search that finds one run."""
        with monitored(self.redis) as commands:
            assert len(self.index.search("word", owner=1, **options)) == 1
        return [call["command"].split()[0] for call in commands if call["client_type"] != "lua"]

    def test_a_search_costs_one_round_trip(self):
        self.index.driver("a", owner=1).append(Run("word", ""))
        self.sent_by()
        assert self.sent_by() == self.sent_by(order_by="-time") == ["EVALSHA"]
        assert self.sent_by(limit=1000) == ["ft.search", "EVALSHA"]

    @both
    def test_a_server_that_searches_for_no_script(self, index):
        self.index.driver("a", owner=1).append(Run("word", ""))
        self.index._engine._verifier._searches_in_scripts = True
        with mock.patch.object(verify, "FOUND", Refusing("found")):
            for _ in range(2):
                results = index.search("word", owner=1)
                assert (len(results), results.complete, results.scanned) == (1, True, False)
            assert self.sent_by() == ["ft.search", "EVALSHA"]

    def test_older_protocols_are_read_as_well(self):
        entry = self.index.settings
        options = {"OPTIONS": {"protocol": 2}, "URL": entry.url, "INDEX": entry.index}
        layout = {"LAYOUT": entry.layout, "SEARCH": SEARCH}
        with self.settings(REDIS={"default": {**options, **layout}}):
            index = indexes["default"]
            index.driver("a", owner=1).append(Run("refund 谢谢", "", meta={"topic": "x"}))
            assert [hit.run_id for hit in index.search("REFUND", owner=1)]
            assert index.search("谢谢")[0].score > 0
            assert index.search("refnd").suggestions == ["refund"]
            assert dict(index.facets("topic")) == {"x": 1}
            assert [*index.activity().values()] == [1]
            with mock.patch.object(redisearch, "TIMEOUT", 0):
                assert index.activity().reasons == (redisearch.CUT_SHORT,)


class ReplyTests(SimpleTestCase):
    def test_warnings_of_redisearch_are_told(self):
        warnings = [b"Timeout limit was reached", b"Max prefix expansions limit was reached", b"?"]
        reply = {b"total_results": 1, b"results": [], b"warning": warnings}
        assert redisearch.SearchReply.of(reply, b"").reasons == [
            *(redisearch.CUT_SHORT, redisearch.EXPANDED, Reason("warning", detail="?"))
        ]


class StateTests(RedisTestCase):
    entry = {"SEARCH": True}

    @both
    def test_an_index_that_vanished_is_made_again(self, index):
        self.index.driver("a").append(Run("word", ""))
        assert index.search("word")
        name = self.index._layout.schema.name
        self.redis.execute_command("FT.DROPINDEX", name)
        results = index.search("word")
        assert len(results) == 1 or not results.complete

    @both
    def test_an_index_that_is_not_complete_says_so(self, index):
        self.index.driver("a").append(Run("word", ""))
        state = SearchState("building", Reason("building", 50), self.index._layout.schema.name)
        with mock.patch.object(IndexState, "ready", lambda self: _returns(state)):
            results = index.search("word")
        assert (len(results), results.complete) == (1, False)
        assert results.reasons == (Reason("building", 50),)

    @both
    def test_without_search_in_settings_conversations_are_read(self, index):
        with self.settings(REDIS={"default": {"URL": index.settings.url, "INDEX": index.name}}):
            plain = indexes["default"]
            plain.driver("a").append(Run("word", ""))
            results = plain.search("word")
        assert (len(results), results.scanned, results.complete) == (1, True, True)

    def test_an_error_of_a_search_quotes_no_text(self):
        self.index.driver("a").append(Run("word", ""))
        broken = mock.patch.object(redisearch, "expression", lambda *args: b"@w:(secret")
        with broken, self.assertRaises(ConversationMemoryError) as caught:
            self.index.search("secret")
        assert "secret" not in f"{caught.exception} {caught.exception.__cause__}"


def _returns(value):
    return value
    yield
