"""Damaged texts whose bytes make sense together with those of their neighbours."""

from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory import Run
from conversation_memory.exceptions import ConversationCorrupt, Damaged
from conversation_memory.runs import decoded_runs
from conversation_memory.wire import loads_together

from .utils import RedisTestCase, both

# Each pair is two runs if a comma joins it.
PAIRS = (
    (b'["a","b","c"],["d","e"', b'"f"]'),
    (b'["a","b"', b'"c"],["d","e","f"]'),
    (b'["a","b","c"],-7,["d","e"', b'"f"]'),
)


class NeighbourTests(RedisTestCase):
    entry = {"LAYOUT": "list"}

    def test_no_run_is_made_of_two_damaged_ones(self):
        texts = [run.to_list() for run in (Run("Why?", "Because."), Run("When?", "Then."))]
        for pair in PAIRS:
            with self.subTest(pair), self.assertRaisesRegex(Damaged, "run [12] is damaged"):
                decoded_runs([texts[0], *pair, texts[1]])

    @both
    def test_a_list_with_two_such_runs_is_damaged(self, index):
        driver = index.driver("c")
        driver.append(Run("Why?", "Because."), Run("When?", "Then."))
        for number, text in enumerate(PAIRS[0]):
            self.redis.lset(driver._layout.keys.runs(b"c"), number, text)
        with self.assertRaises(ConversationCorrupt):
            driver.tail(2)


class TogetherTests(SimpleTestCase):
    @given(st.lists(st.sampled_from([b"1", b"-7", b"[]", b'"a"', b"[1", b"2]", b"3,4", b""])))
    def test_texts_are_read_together_if_each_of_them_is_a_value(self, texts):
        found = loads_together(texts)
        alone = [loads_together([text]) for text in texts]
        assert found is None or found == [value for values in alone for value in values or [None]]
