"""What the meta of a run tells, in the forms of several frameworks and in none."""

from types import SimpleNamespace

from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory import Artifact, Run
from conversation_memory.admin.run_facts import (
    RUN_TESTS,
    Feedback,
    Usage,
    feedback_of,
    usage_of,
)
from conversation_memory.messages import tool_calls
from conversation_memory.rendering.shown_steps import MAX_STEPS

from .admin import AdminTestCase
from .strategies import values
from .test_admin_transcript import PageMixin
from .test_messages import TURNS

NAMES = ("usage", "messages", "feedback", "model", "tool_calls", "function", "cost", "latency_ms")


def facts_of(run):
    calls = tuple(tool_calls(run))
    return SimpleNamespace(usage=usage_of(run), calls=calls, feedback=feedback_of(run))


def tools(count=1):
    asked = [
        {"id": f"t{n}", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        for n in range(count)
    ]
    return [
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "tool_calls": asked},
        {"role": "tool", "tool_call_id": "t0", "content": '{"degrees": 21}'},
    ]


class UsageTests(SimpleTestCase):
    def test_the_names_of_each_framework_are_known(self):
        openai = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        known = Usage(models=("m",), input=10, output=5, total=15)
        for meta in (
            {"model": "m", "usage": openai},
            {"model": "m", "usage": {"input_tokens": 10, "output_tokens": 5}},
            {"model": "m", "input_token_count": 10, "output_token_count": 5},
            {"model_name": "m", "usage": {"request_tokens": 10, "response_tokens": 5}},
            {"response_metadata": {"model_name": "m", "token_usage": openai}},
        ):
            with self.subTest(meta):
                assert usage_of(Run("q", "a", meta)) == known
                assert usage_of(Run("q", Artifact("a", meta=meta))) == known

    def test_times_and_costs_are_those_of_their_unit(self):
        assert usage_of(Run("q", "a", {"latency_ms": 1500, "cost": 0.5})).seconds == 1.5
        assert usage_of(Run("q", "a", {"duration": 2, "usage": {"cost": 0.5}})).cost == 0.5

    def test_sums_leave_unknown_what_no_run_tells(self):
        one, other = Usage(models=("a",), input=1), Usage(models=("b", "a"), input=2, cost=0.5)
        assert one + other == Usage(models=("a", "b"), input=3, cost=0.5)
        assert not Usage() and one

    def test_nonsense_is_unknown(self):
        for value in (-1, True, "5", float("nan"), float("inf"), 10**30, None, [], {}):
            meta = {"usage": {"input_tokens": value}, "model": 7, "cost": value}
            assert usage_of(Run("q", "a", meta)) == Usage(), value


class AnyMetaTests(SimpleTestCase):
    @given(st.dictionaries(st.sampled_from(NAMES) | st.text(), values, max_size=5))
    def test_whatever_meta_holds_is_read(self, meta):
        for whole in (meta, {name: meta for name in NAMES}, {"messages": [meta]}):
            run = Run("q", "a", whole)
            facts_of(run)
            for test in RUN_TESTS.values():
                assert test(None, run) in (True, False)


class FactTests(SimpleTestCase):
    def test_a_rating_has_several_names(self):
        for rating in ("up", 1, True, "thumbs_up"):
            assert feedback_of(Run("q", "a", {"feedback": {"rating": rating}})).rating == "up"
            assert feedback_of(Run("q", "a", {"feedback": rating})).rating == "up"
        for rating in ("down", -1, 0, False):
            assert feedback_of(Run("q", "a", {"feedback": {"rating": rating}})).rating == "down"
        told = feedback_of(Run("q", "a", {"feedback": {"rating": 4, "comment": "meh"}}))
        assert told == Feedback(rating="4", comment="meh")
        for meta in (None, {}, {"feedback": None}, {"feedback": {}}, [1]):
            assert feedback_of(Run("q", "a", meta)) is None

    def test_a_call_has_the_result_with_its_id(self):
        first, second = tool_calls(Run("q", "a", {"messages": tools(2)}))
        assert (first.name, first.arguments, first.result) == ("weather", "{}", '{"degrees": 21}')
        assert second.result is None


class TranscriptTests(PageMixin, AdminTestCase):
    def test_usage_is_beside_the_run_and_summed(self):
        usage = {"prompt_tokens": 1200, "completion_tokens": 300}
        meta = {"model": "gpt-4o", "usage": usage, "latency": 1.25, "cost": 0.0021}
        self.store(Run("q", "a", meta), Run("q", "a", meta))
        page = self.page()
        for word in ("gpt-4o", "1,200 tokens in", "300 tokens out", "1.25 s", "cost 0.0021"):
            assert f'<span class="cm-usage">{word}</span>' in page
        total = "gpt-4o · 2,400 tokens in · 600 tokens out · 2.5 s · cost 0.0042"
        assert f"<strong>All runs:</strong> {total}" in page

    def test_of_a_long_conversation_the_page_is_summed_and_all_on_request(self):
        self.store(*(Run("q", "a", {"usage": {"input_tokens": 1}}) for _ in range(60)))
        assert "Runs on this page:</strong> 50 tokens in · 50 tokens" in self.page()
        assert "All runs:</strong> 60 tokens in · 60 tokens" in self.page(sums="1")

    def test_tool_calls_of_every_format_are_shown(self):
        for name, messages in TURNS.items():
            self.store()
            self.index.driver("c1").append_messages(messages, format=name)
            call = self.page().partition('<details class="cm-step">')[2].partition("</details>")[0]
            assert "find" in call and "&quot;thing&quot;: &quot;lamp&quot;" in call, name

    def test_feedback_and_tool_calls_are_shown(self):
        meta = {"messages": tools(), "feedback": {"rating": "down", "comment": "No <b>!"}}
        self.store(Run("Rain?", "No.", meta))
        page = self.page()
        assert "<strong>Rated down</strong>" in page and "No &lt;b&gt;!</bdi>" in page
        call = page.partition('<details class="cm-step">')[2].partition("</details>")[0]
        assert "weather" in call and "&quot;degrees&quot;: 21" in call

    def test_a_search_opens_the_call_that_it_is_found_in(self):
        self.store(Run("Rain?", "degrees", {"messages": tools()}))
        assert '<details class="cm-step" open>' in self.page(q="degrees")

    def test_no_more_calls_than_a_page_holds_are_shown(self):
        self.store(Run("q", "a", {"messages": tools(MAX_STEPS + 5)}))
        assert self.page().count('<details class="cm-step"') == MAX_STEPS

    def test_a_permalink_leads_to_the_run_wherever_it_has_moved(self):
        runs = [Run(f"question {n}.", "a", id=f"r {n}&") for n in range(120)]
        self.store(*runs)
        transcript = self.get(until=20).context["transcript"]
        link = transcript.entries[4].permalink
        self.index.driver("c1").remove("r 0&")
        address, _, anchor = link.partition("#")
        page = self.client.get(self.page_url() + address).content.decode()
        assert "question 4." in page and f'id="{anchor}"' in page
