"""The two forms of stored runs, changed into each other: many at a time as one by one."""

import json
from json.encoder import encode_basestring
from unittest import mock

from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory import Run, wire
from conversation_memory.runs import lenient, list_texts, wire_texts

from .strategies import run_dicts, run_texts, texts

LOADED = run_texts.map(lambda text: Run.from_text(text.encode("utf-8", "surrogatepass")))
RUNS = st.lists(run_dicts.map(Run.from_dict) | LOADED | st.builds(Run, texts, texts), max_size=4)


class FormTests(SimpleTestCase):
    @given(RUNS)
    def test_many_runs_change_their_form_as_each_of_them_does(self, runs):
        stored = [run.to_list() for run in runs] + [run.to_wire() for run in runs]
        alone = [*map(Run.from_text, stored)]
        for readers in (wire._readers, [json.loads]):  # with orjson, and without it
            with mock.patch.object(wire, "_readers", readers):
                assert wire_texts(stored) == [run.to_wire() for run in alone]
                assert list_texts(stored) == [run.to_list() for run in alone]

    @given(RUNS, st.sampled_from([b"", b" "]))
    def test_runs_that_are_decoded_at_a_time_say_what_each_of_them_does(self, runs, space):
        stored = [space + run.to_wire() for run in runs] + [space + run.to_list() for run in runs]
        for read in (Run.to_wire, Run.to_list, lambda run: wire.dumps_unchecked(run.to_dict())):
            together, alone = lenient(stored), [*map(Run.from_text, stored)]
            assert [*map(read, together)] == [*map(read, alone)]
            assert [*map(Run.to_wire, together)] == [*map(Run.to_wire, alone)]  # and afterwards
            assert [run.glance() for run in together] == [run.glance() for run in alone]

    def test_plain_runs_change_their_form_and_back(self):
        for text in ("a", "", 'a "quote"\n\\', "…🚣\x01", "\ud800", '", "output": {"'):
            with self.subTest(ascii(text)):
                run = Run(text, text, id=text or "x")
                assert wire_texts([run.to_list()]) == [run.to_wire()]
                assert list_texts([run.to_wire()]) == [run.to_list()]

    def test_a_run_that_is_damaged_keeps_its_text(self):
        for text in (b'["a","b"', b"{}", b'["a",1,"c"]', b'["a","b","c","d","e"]', b"[[]]", b""):
            with self.subTest(text):
                assert wire_texts([text]) == list_texts([text]) == [text]

    @given(st.lists(texts, max_size=3))
    def test_strings_are_written_alike_with_and_without_orjson(self, strings):
        found = wire.literals(strings)
        with mock.patch.object(wire, "_string", lambda text: encode_basestring(text).encode()):
            assert wire.literals(strings) == found
        assert [*map(json.loads, found)] == strings
