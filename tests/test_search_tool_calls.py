"""Search in tool calls and their results, with RediSearch and without."""

import json
import re

from django.conf import settings
from django.test import SimpleTestCase, override_settings
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory import Run, conf, indexes
from conversation_memory.keys import Keys
from conversation_memory.messages.formats import FORMATS
from conversation_memory.search_index.passages import LONGEST, passages
from conversation_memory.search_index.reasons import Reason
from conversation_memory.search_index.run_documents import Documents
from conversation_memory.search_index.schema import Schema

from .admin import AdminTestCase
from .searching import Settled, settled
from .servers import ServerTestCase
from .strategies import texts, values
from .test_messages import TURNS, answer, calling, result, user
from .test_steps import FAILED, run_of
from .utils import both, each_layout

CITY = json.dumps({"city": "Zürich", "note": "near\nlake"})  # with escapes of JSON in it


class ToolCallTests(Settled):
    """For a RedisTestCase whose entry has TOOL_CALLS."""

    def fill(self):
        chat = [user("Rain?"), calling("t1", name="get_weather", arguments=CITY)]
        found = [{"type": "text", "text": '{"sky": "cloudless"}'}]
        self.index.driver("c", owner=7).append_messages(
            [*chat, result("t1", found), answer("No rain.")], ids=["r"]
        )
        self.index.driver("plain").append(Run("near", "the river"))

    @both
    def test_names_arguments_and_results_are_found(self, index):
        self.fill()
        for query, part in (
            ("get_weather", "call"),
            ("zurich city", "call"),
            ("lake", "call"),
            ("cloudl*", "result"),
            ("rain", "input"),
            ('"no rain"', "output"),
        ):
            [hit] = index.search(query)
            assert (hit.run_id, hit.part) == ("r", part), query
            assert hit.tool == ("get_weather" if part in ("call", "result") else "")
        assert not index.search("cloudless", owner=8)
        assert not index.search('"weather city near"')

    @both
    def test_the_snippet_is_of_the_call_and_marked(self, index):
        self.fill()
        [hit] = index.search("lake near rain")
        assert hit.snippet_html == (
            "get_weather city: Zürich note: <mark>near</mark> <mark>lake</mark>"
        )
        assert index.search("cloudless")[0].snippet == "sky: cloudless"

    @both
    def test_what_is_excluded_is_excluded_in_tool_calls_too(self, index):
        self.fill()
        assert [hit.conversation_id for hit in index.search("near -lake")] == ["plain"]

    @both
    def test_calls_of_every_format_are_found(self, index):
        for name, messages in TURNS.items():
            self.index.driver(name).append_messages(messages, format=name)
        assert {hit.conversation_id for hit in index.search('"thing lamp"')} == {*TURNS}

    def test_a_long_result_is_searched_up_to_a_limit(self):
        words = "word " * (LONGEST // 5)
        chat = [user("q"), calling("t1"), result("t1", f"{words}beyond"), answer("a")]
        self.index.driver("long").append_messages(chat)
        assert self.index.search("word").total == 1
        assert self.index.search("beyond").total == 0

    def test_what_continues_a_run_is_found(self):
        driver = self.index.driver("c")
        driver.append_messages([user("Rain?"), calling("t1")])
        driver.append_messages([result("t1", "cloudless"), answer("No.")])
        [hit] = self.index.search("cloudless")
        assert (hit.part, hit.tool) == ("result", "find")


@each_layout
class RediSearchToolCallTests(ToolCallTests):
    entry = {"SEARCH": {"TOOL_CALLS": True}}

    def test_both_engines_give_the_same_answers(self):
        self.index.driver("x").append(
            *(run_of(messages, name) for name, messages in FAILED.items()),
            run_of([*TURNS["openai"], calling("2", arguments="lamp _ TOWER"), result("2", None)]),
            run_of([{"role": "tool", "content": "tower"}, {"tool_calls": [{}]}]),
            Run("lamp", "tower", {"messages": "tower"}),
        )
        runs = self.index.driver("x").load()[0]
        for text in ("lamp", "timed out", '"lamp tower"', "tower -thing", "_", "find*", "{}"):
            results = self.index.search(text, limit=50)
            query = self.index.search(text)[0]._query if results else None
            wanted = {run.id for run in runs if query and query.matches(query.stream(run))}
            assert {hit.run_id for hit in results} == wanted, text


class ScanToolCallTests(ToolCallTests, ServerTestCase):
    entry = {"SEARCH": {"TOOL_CALLS": True}}


class AdminTests(Settled, AdminTestCase):
    entry = {"SEARCH": {"TOOL_CALLS": True}}

    def test_the_list_says_in_which_tool_and_leads_to_the_open_call(self):
        chat = [user("q"), calling("t1", name="<b>"), result("t1", "a harbour"), answer("a")]
        self.index.driver("c").append_messages(chat)
        page = self.list(q="harbour").content.decode()
        assert "a <mark>harbour</mark>" in page
        assert "in a result of the tool \u2068&lt;b&gt;\u2069" in page
        link = re.search(r'href="([^"]*run=[^"]*#hit)"', page)[1].replace("&amp;", "&")
        opened = self.client.get(link).content.decode()
        assert 'id="hit"' in opened and '<details class="cm-step" open>' in opened
        assert "in a call of the tool" in self.list(q="lamp").content.decode()


class OffTests(SimpleTestCase):
    def documents(self, **search):
        index = conf.IndexSettings(alias="default", search=conf.SearchSettings(**search))
        return Documents(Schema.of(index, Keys("c")))

    def test_without_the_option_documents_and_the_definition_stay_as_they_are(self):
        run = run_of(FAILED["openai"])
        off, on = self.documents(), self.documents(tool_calls=True)
        texts = [len(it._document(run, run.to_wire())[-3]) for it in (off, on)]
        assert texts[0] < texts[1]
        assert off.schema.digest != on.schema.digest
        assert "tool_calls" not in repr(off.schema.words) + repr(conf.SearchSettings())
        plain = Run("q", "a", id="r")
        both = [it._document(plain, plain.to_wire()) for it in (off, on)]
        assert both[0] == both[1]

    @given(st.sampled_from([*FORMATS]), st.lists(values | texts, max_size=4))
    def test_whatever_messages_hold_is_searched(self, name, messages):
        found = passages(run_of(messages, name), with_calls=True)
        assert all(isinstance(it.text, str) and isinstance(it.tool, str) for it in found)

    def test_the_option_must_be_a_boolean(self):
        search = {"TOOL_CALLS": "yes"}
        [fault] = conf.find_faults("default", {"URL": "redis://x", "SEARCH": search})
        assert fault == "TOOL_CALLS in SEARCH of settings.REDIS['default'] must be True or False."
        with override_settings(
            REDIS={"default": {"URL": "redis://x", "SEARCH": {"TOOL_CALLS": True}}}
        ):
            assert conf.get("default").search.tool_calls


@each_layout
class ChangeTests(Settled):
    entry = {"SEARCH": True}

    def setUp(self):
        super().setUp()
        chat = [user("q"), calling("t1"), result("t1", "harbour"), answer("a")]
        self.index.driver("c").append_messages(chat)

    def test_without_the_option_tool_calls_are_not_found(self):
        assert self.index.search("harbour").complete
        assert not self.index.search("harbour")
        [hit] = self.index.search("q")
        assert (hit.part, hit.tool) == ("input", "")

    def test_what_a_change_needs_is_said_and_done(self):
        entry = {**settings.REDIS["default"], "SEARCH": {"TOOL_CALLS": True}}
        with override_settings(REDIS={"default": entry}):
            index = indexes["default"]
            settled(index.search_state)
            assert index.search("q").total == 1
            assert index.search("harbour").reasons == (Reason("older"),)
            assert index.reindex().documents == 1
            results = index.search("harbour")
            assert (results.total, results.complete) == (1, True)
        assert indexes["default"].reindex().documents == 1
        assert not indexes["default"].search("harbour")
