"""One conversation, written by one framework and read by all others."""

import json
from itertools import product

from ..utils import each_layout
from .members import are_all_installed
from .members.member import (
    CALLS,
    FILES,
    NEXT_QUESTION,
    OPEN,
    PICTURES,
    QUESTION,
    REASONING,
    TEXTS,
)
from .pairs import losses, members, on_page, table

# What a reader has no place for; docs/frameworks/pairs.md says why.
LOST = {
    "Chat messages": {REASONING},
    "Griptape": {CALLS, FILES, REASONING, OPEN},
    "OpenAI Agents": {REASONING},
    "LlamaIndex": {REASONING},
    "pydantic-ai": {OPEN},
    "Agent Framework": {REASONING},
}


@each_layout
class PairTests:
    def test_everything_arrives_for_which_the_reader_has_a_place(self):
        with members(self.index) as found:
            lost = losses(found)
        for writer, reader in product(found, found):
            kinds = LOST.get(reader.name, set()).intersection(writer.writes)
            with self.subTest(writer=writer.name, reader=reader.name):
                assert {*lost[writer.name][reader.name]} == (
                    kinds if writer is not reader else set()
                )
        if are_all_installed():
            assert on_page() == table(lost), "run python -m tests.integrations.pairs --write"

    def test_a_turn_of_another_changes_nothing_of_what_was_written(self):
        with members(self.index) as found:
            for writer, other in product(found, found):
                with self.subTest(writer=writer.name, other=other.name):
                    self.check_unchanged(writer, other, f"{writer.name}, {other.name}")

    def check_unchanged(self, writer, other, id):
        written = [kind for kind in (CALLS, PICTURES, REASONING) if kind in writer.writes]
        for kind in written:
            writer.write(id, kind)
        before, own = writer.read(id), writer.own(id)
        other.write_next(id)
        after = writer.read(id)
        assert dumped(after[: len(before)]) == dumped(before)
        assert dumped(writer.own(id)[: len(own)]) == dumped(own)
        assert writer.has_next(after[len(before) :])
        self.check_going_on(writer, id, len(written))

    def check_going_on(self, writer, id, count):
        writer.write(id, TEXTS)
        asked = [run.input.text for run in self.index.driver(id).load()[0]]
        assert [QUESTION in one for one in asked] == [*[True] * count, False, True]
        assert asked[count] == NEXT_QUESTION

    def test_an_open_question_stays_when_another_goes_on(self):
        with members(self.index) as found:
            for writer, other in product(found, found):
                id = f"{writer.name}, {other.name}"
                if OPEN in writer.writes:
                    writer.write(id, OPEN)
                    other.write_next(id)
                    said = dumped(found[0].read(id))
                    with self.subTest(writer=writer.name, other=other.name):
                        assert QUESTION in said
                        assert NEXT_QUESTION in said

    def test_an_owner_sees_and_changes_nothing_of_another_one(self):
        with members(self.index, owner=7) as found, members(self.index, owner=8) as others:
            found[0].write("c", TEXTS)
            before = dumped(found[0].read("c"))
            for other in others:
                with self.subTest(other.name):
                    assert other.read("c") == []
                    with self.assertRaises(other.refusal):
                        other.write_next("c")
            assert dumped(found[0].read("c")) == before


def dumped(messages):
    return json.dumps(messages)
