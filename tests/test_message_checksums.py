"""The checksum by which a run tells that its texts and its messages are as they were."""

from unittest import mock

from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory import Run, wire
from conversation_memory.exceptions import Damaged
from conversation_memory.messages import stored_turns, turns
from conversation_memory.messages.formats import FORMATS
from conversation_memory.messages.parts import said
from conversation_memory.messages.stored_turns import messages_in
from conversation_memory.messages.turns import CHECKSUM, Turn, messages_of

from .strategies import texts, values
from .test_messages import TURNS, answer, calling, result, user

CALLED = [user("Where?"), calling("t"), result("t"), answer("There.")]


def stored(messages, name="openai"):
    """The run of a turn, as it is read again."""
    return Run.from_text(Turn(FORMATS[name], messages, id="r").run().to_list())


class ChecksumTests(SimpleTestCase):
    def test_unchanged_messages_are_not_converted_to_see_it(self):
        run = stored(CALLED)
        with mock.patch.object(turns, "projected", side_effect=AssertionError):
            assert messages_of(run, FORMATS["openai"]) == CALLED

    def test_whatever_is_changed_is_seen(self):
        for name, new in (("input", "Who?"), ("output", "(removed)")):
            run = stored(CALLED)
            setattr(run, name, new)
            edited = [user(run.input.text), answer(run.output.text)]
            assert messages_of(run, FORMATS["openai"]) == edited, name
        run = stored(CALLED)
        run.meta["messages"] = [user("Where?"), answer("Elsewhere.")]
        assert messages_of(run, FORMATS["openai"]) == [user("Where?"), answer("There.")]

    def test_messages_that_others_wrote_need_none(self):
        for checksum in ({}, {CHECKSUM: None}, {CHECKSUM: "00000000"}, {CHECKSUM: ["x"]}):
            run = Run("Where?", "There.", {"messages": CALLED, **checksum})
            assert messages_of(run, FORMATS["openai"]) == CALLED

    def test_a_plain_exchange_and_a_picture_have_none(self):
        assert stored([user("Why?"), answer("Because.")]).meta is None
        for name, messages in TURNS.items():
            assert CHECKSUM not in stored(messages, name).meta, name

    def test_a_number_that_readers_may_round_has_none_and_comes_back(self):
        messages = [user("Why?"), {**answer("Because."), "x": [10**30, 0.1]}]
        run = stored(messages)
        assert CHECKSUM not in run.meta
        assert messages_in([run.to_list()], FORMATS["openai"]) == messages

    def test_an_id_of_many_digits_has_one(self):
        run = Turn(FORMATS["openai"], CALLED, id="1" * 32).run()
        assert CHECKSUM in run.meta
        with mock.patch.object(stored_turns, "decoded_runs", side_effect=AssertionError):
            assert messages_in([run.to_list()], FORMATS["openai"]) == CALLED

    @given(values)
    def test_any_message_is_found_again_with_orjson_and_without(self, value):
        messages = [user("Why?"), {**answer("Because."), "x": value}]
        for installed in (wire.orjson, None):
            with mock.patch.object(wire, "orjson", installed):
                run = stored(messages)
                assert wire.dumps(messages_of(run, FORMATS["openai"])) == wire.dumps(messages)

    @given(texts, texts)
    def test_the_quick_way_from_texts_is_that_through_the_chat_form(self, question, answer):
        for form in FORMATS.values():
            whole = form.from_chat(said(question, answer), "r")
            assert form.exchange(question, answer, "r") == whole
            assert wire.dumps(form.exchange(question, answer, "r")) == wire.dumps(whole)


class StoredTurnTests(SimpleTestCase):
    """messages_in() beside messages_of(), on the texts of runs in a list and in a document."""

    def same(self, texts, form):
        """Both, which find the same or fail alike."""
        try:
            one_by_one = [m for text in texts for m in messages_of(Run.from_text(text), form)]
        except Damaged as damage:
            with self.assertRaises(Damaged) as raised:
                messages_in(texts, form)
            return raised.exception.raw == damage.raw
        return wire.dumps_unchecked(messages_in(texts, form)) == wire.dumps_unchecked(one_by_one)

    def test_what_stands_beside_kept_messages_is_not_decoded(self):
        texts = [stored(CALLED).to_list(), Run("Why?", "Because.", id="s").to_list()]
        found = [*CALLED, user("Why?"), answer("Because.")]
        with mock.patch.object(stored_turns, "decoded_runs", side_effect=AssertionError):
            assert messages_in(texts, FORMATS["openai"]) == found

    def test_runs_of_any_format_are_found_in_any_other(self):
        runs = [stored(messages, name) for name, messages in TURNS.items()]
        runs += [stored(CALLED), Run("a", ""), Run("", "b"), Run("a", "b", {"c": 1}), Run("a", "b")]
        for form in FORMATS.values():
            assert self.same([run.to_list() for run in runs], form), form.name
            assert self.same([run.to_wire() for run in runs], form), form.name
            assert self.same([run.to_list() for run in runs] + [runs[0].to_wire()], form), form.name
            assert messages_in([], form) == []

    @given(values, texts, st.text(max_size=3))
    def test_any_message_is_found_with_orjson_and_without(self, value, text, id):
        messages = [user(text or "?"), {**answer(text), "x": value}]
        for installed in (wire.orjson, None):
            with mock.patch.object(wire, "orjson", installed):
                run = Turn(FORMATS["openai"], messages, id=id or "r").run()
                kept = [run.to_list(), stored(CALLED).to_list()]
                assert self.same(kept, FORMATS["openai"])

    @given(st.integers(0, 400), st.binary(max_size=3) | st.sampled_from([b'"', b"}]", b",{"]))
    def test_a_text_that_was_damaged_is_noticed(self, position, inserted):
        text = stored(CALLED).to_list()
        for damaged in (
            text[:position] + inserted + text[position + len(inserted) :],
            text[:position] + inserted,
        ):
            assert self.same([text, damaged, text], FORMATS["openai"])

    def test_a_text_whose_end_was_damaged_is_noticed(self):
        text = stored(CALLED).to_list()
        for end in (b"\0}]", b'"\0]', b'"}\0', b'"}', b""):
            assert self.same([text, text[:-3] + end], FORMATS["openai"])

    def test_a_damaged_run_is_named_by_its_position(self):
        with self.assertRaisesMessage(Damaged, "run 12 is damaged"):
            messages_in([stored(CALLED).to_list(), b"["], FORMATS["openai"], 11)
