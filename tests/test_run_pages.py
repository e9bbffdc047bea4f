"""Runs that are read together, of which orjson may read what it reads as json does."""

from unittest import mock

from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory import Run, wire
from conversation_memory.exceptions import Damaged
from conversation_memory.runs import lenient

from .strategies import json_texts

# Numbers and texts that orjson reads in a way of its own or not at all, deep and doubled ones.
odd_texts = st.sampled_from(
    [
        *"NaN -Infinity 1e400 -0 -0.0 1E5 1.10 1e16 0.1000000000000000055511151231257827".split(),
        *("9" * digits for digits in range(16, 24)),
        *("-" + "9" * digits for digits in range(16, 24)),
        '"\\ud800"',
        '{"a": 1, "b": 2, "a": 3}',
        *("[" * depth + "]" * depth for depth in (190, 210, 300, 490, 510)),
    ]
) | st.floats(allow_nan=False).map(repr)


def dumps_or_none(run):
    """The JSON of a run, in which the order of members shows; None if it is damaged."""
    try:
        return wire.dumps_unchecked(run.to_dict())
    except Damaged:
        return None


class PageTests(SimpleTestCase):
    @given(st.lists(json_texts | odd_texts, min_size=1, max_size=3))
    def test_a_page_with_any_json_in_its_meta_says_what_json_reads(self, metas):
        plain = Run("q", "a", id="1" * 30)
        for form in ('["i","q","a",{"m":%s}]', Run("q", "a", {"m": 0}).to_wire().decode()):
            texts = [form.replace("%s", meta).replace('"m": 0', f'"m": {meta}') for meta in metas]
            raw = [text.encode("utf-8", "surrogatepass") for text in texts]
            for run, text in zip(lenient([*raw, plain.to_list()]), raw, strict=False):
                alone = Run.from_text(text)
                assert dumps_or_none(run) == dumps_or_none(alone)

    def test_a_run_with_a_meta_is_not_read_a_second_time(self):
        texts = [Run("q", "a", {"n": 1.5, "of": [{"x": None}]}).to_list() for _ in range(3)]
        for found in (texts, [Run.from_text(text).to_wire() for text in texts]):
            runs = lenient(found)
            with mock.patch("conversation_memory.runs.loads_any", side_effect=AssertionError):
                assert [run.meta["n"] for run in runs] == [1.5] * 3
