"""The checksum by which a run tells that its texts and its messages are as they were."""

from unittest import mock

from django.test import SimpleTestCase
from hypothesis import given

from conversation_memory import Run, wire
from conversation_memory.messages import turns
from conversation_memory.messages.formats import FORMATS
from conversation_memory.messages.parts import said
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
