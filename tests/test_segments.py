"""Appends to an encrypted document: segments, which nobody can move."""

import random
from threading import Thread
from unittest import skipUnless

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_memory import ConversationIndex, Run
from conversation_memory.archive import Dump
from conversation_memory.exceptions import ConversationCorrupt, ConversationUndecryptable
from conversation_memory.segments import MOST_SEGMENTS as MOST
from conversation_memory.segments import opened_document

from .archives import restored
from .encrypting import HAS_CRYPTOGRAPHY, EncryptedTestCase
from .utils import Awaited, both, counted


class SegmentCase(EncryptedTestCase):
    def setUp(self):
        super().setUp()
        self.driver = self.index.driver("c")

    def process(self):
        """The same index as another process has it."""
        return ConversationIndex(self.index.settings)

    def fill(self, count, id="c", first=0):
        for number in range(first, first + count):
            self.index.driver(id).append(Run(f"q{number}", "a", id=f"r{number}"))

    def segments(self, id="c"):
        return self.redis.hget(self.index.name, id).split(b"~")

    def put_segments(self, segments, id="c", record=True):
        """As somebody would who may write to Redis, and who writes the record too."""
        field = b"~".join(segments)
        self.redis.hset(self.index.name, id, field)
        if record:
            facts = {"length": len(field), "crc": field[-22:]}
            self.redis.hset(self.index._layout.keys.record(id.encode()), mapping=facts)

    def ids(self, index=None):
        return [run.id for run in (index or self.index).driver("c").load()[0]]


@skipUnless(HAS_CRYPTOGRAPHY, "cryptography is not installed")
class SegmentTests(SegmentCase):
    def test_an_append_behind_a_known_end_is_one_round_trip(self):
        self.driver.append(Run("q", "a"))
        with counted() as sent:
            self.driver.append(Run("q", "a"))
        assert len(sent) == 1
        Awaited(self.driver).append(Run("q", "a"))
        assert len(self.segments()) == 3
        other = self.process().driver("c")
        with counted() as sent:
            other.append(Run("q", "a"))
        assert sent[1:] == [["EVALSHA"]] * 2  # behind the proof of the key
        loaded = self.process().driver("c")
        loaded.load()
        with counted() as sent:
            loaded.append(Run("q", "a"), Run("q", "b"))
        assert sent[1:] == [["EVALSHA"]]
        assert len(self.ids()) == 6

    @both
    def test_several_processes_append_in_turn(self, index):
        others = [index, self.process(), self.process()]
        for number in range(12):
            assert others[number % 3].driver("c").append(Run("q", "a", id=f"r{number}")) == 1
        assert self.ids() == [f"r{number}" for number in range(12)]
        assert index.driver("c").record().runs == 12
        assert index.check().left == 0

    def test_many_segments_become_one(self):
        self.fill(2 * MOST + 5)
        assert len(self.segments()) <= MOST
        assert self.ids() == [f"r{number}" for number in range(2 * MOST + 5)]
        self.driver.update_metadata({"a": [[], {"metadata": 1}]})
        assert len(self.segments()) == 1
        self.fill(2, first=100)
        assert self.driver.load()[1] == {"a": [[], {"metadata": 1}]}

    def test_a_run_is_appended_once(self):
        self.fill(3)
        other = self.process().driver("c")
        assert other.append(Run("again", "a", id="r1")) == 0
        assert other.append(Run("again", "a", id="r1"), Run("q", "a", id="r3")) == 1
        self.redis.delete(self.index._layout.keys.ids(b"c"))
        assert self.driver.append(Run("again", "a", id="r0")) == 0
        self.driver.remove("r1")
        assert self.driver.append(Run("anew", "a", id="r1")) == 1
        assert self.ids() == ["r0", "r2", "r3", "r1"]

    def test_a_conversation_that_is_deleted_meanwhile_begins_anew(self):
        self.fill(3)
        other = self.process()
        other.driver("c").delete()
        self.fill(1, first=7)
        assert self.ids() == ["r7"]
        other.driver("c").store([], {"a": 1})
        self.fill(1, first=8)
        assert self.driver.load()[1] == {"a": 1}
        self.redis.hdel(self.index.name, "c")
        self.fill(1, first=9)
        assert self.ids() == ["r9"]

    def test_a_long_document(self):
        self.driver.store([Run("q", "a" * 100_000, id="long")], {"a": 1})
        self.fill(3)
        assert len(self.segments()) == 4
        assert self.process().driver("c").append(Run("q", "a", id="r1")) == 0
        self.fill(MOST)
        assert len(self.segments()) < MOST
        assert self.ids() == ["long", *(f"r{number}" for number in range(MOST))]
        assert self.index.check().left == 0

    def test_without_its_record_it_is_read_and_adopted(self):
        self.driver.append(Run("q", "a", id="r0", meta={"x": [], "metadata": {}}))
        self.fill(3, first=1)
        self.driver.update_metadata({"b": [1], "metadata": {"runs": ["~"]}})
        self.fill(2, first=4)
        self.redis.delete(self.index._layout.keys.record(b"c"))
        assert self.ids() == [f"r{number}" for number in range(6)]
        self.fill(1, first=6)
        assert self.ids() == [f"r{number}" for number in range(7)]
        assert self.driver.load()[1] == {"b": [1], "metadata": {"runs": ["~"]}}

    def test_with_a_wrong_record_it_is_read_and_mended(self):
        number, record = 0, self.index._layout.keys.record(b"c")
        for field, value in (("crc", "x"), ("crc", ""), ("end", "10"), ("end", ""), ("length", 9)):
            for process in (self.index, self.process()):
                self.driver.append(Run("q", "a", id=f"r{number}"))
                self.driver.append(Run("q", "a", id=f"r{number + 1}"))
                self.redis.hset(record, field, value)
                process.driver("c").append(Run("q", "a", id=f"r{number + 2}"))
                number += 3
                assert self.ids() == [f"r{place}" for place in range(number)], field
        assert self.index.check().left == 0

    def test_segments_of_several_keys(self):
        self.fill(2)
        with self.keys_are("b", "a") as index:
            index.driver("c").append(Run("q", "a", id="r2"))
            assert len(self.ids(index)) == 3
        with self.assertRaisesMessage(ConversationUndecryptable, "key 'b'"):
            self.driver.load()
        with self.keys_are("b") as index:
            with self.assertRaisesMessage(ConversationUndecryptable, "key 'a'"):
                index.driver("c").append(Run("q", "a"))
        with self.keys_are("b", "a") as index:
            assert index.rotate_keys().rotated == 1
            assert len(self.segments()) == 1
        with self.keys_are("b") as index:
            assert self.ids(index) == ["r0", "r1", "r2"]

    def test_it_is_dumped_renamed_and_converted(self):
        self.fill(3)
        self.driver.rename("d")
        assert [run.id for run in self.index.driver("d").load()[0]] == ["r0", "r1", "r2"]
        self.fill(2, "d", first=3)
        archive = b"".join(Dump(self.index, plain=True))
        self.index.driver("d").delete()
        assert restored(self.index, archive).new == 1
        with self.keys_are("a", entry={"LAYOUT": "list"}) as index:
            index.convert()
            assert len(index.driver("d").tail(9)) == 5
            assert index.driver("d").append(Run("q", "a", id="r4")) == 0


@skipUnless(HAS_CRYPTOGRAPHY, "cryptography is not installed")
class MovedSegmentTests(SegmentCase):
    def test_a_segment_stays_where_it_is(self):
        self.fill(4)
        self.fill(4, "other")
        first, second, third, fourth = self.segments()
        foreign = self.segments("other")
        old = self.segments()
        self.driver.edit(Run("q", "b", id="r0"))  # makes one segment of all
        self.fill(1, first=9)
        new = self.segments()
        for moved in (
            [first, third, second, fourth],
            [first, third, fourth],
            [first, second, fourth],
            [first, second, second, third],
            [first, second, third, fourth, fourth],
            [second, first],
            [first, *foreign[1:]],
            [first, second, foreign[2]],
            [*new, old[-1]],
            [old[0], new[-1]],
            [first, first],
            [first, b""],
            [first, second[:-1]],
        ):
            self.put_segments(moved)
            with pytest.raises(ConversationUndecryptable):
                self.driver.load()
        self.put_segments(new)
        assert len(self.ids()) == 5

    def test_an_end_that_is_missing_is_noticed(self):
        self.fill(3)
        before = self.segments()
        self.put_segments(before[:2], record=False)
        for use in (
            lambda: self.driver.load(),
            lambda: self.driver.append(Run("q", "a")),
            lambda: self.process().driver("c").append(Run("q", "a")),
            lambda: self.driver.store([], {}),
        ):
            with self.assertRaisesMessage(ConversationCorrupt, "its end is missing"):
                use()
        assert self.segments() == before[:2]
        archive = b"".join(Dump(self.index, plain=True))  # as it is, and not as a shorter one
        assert b"".join(before[:2]) in archive.replace(b"~", b"")

    def test_a_thousand_corruptions_are_refused(self):
        self.fill(5)
        whole = b"~".join(self.segments())
        sealing, generator = self.index._layout.sealing, random.Random(7)
        plain = opened_document(sealing, b"c", whole, None)
        for _ in range(1000):
            raw = bytearray(whole)
            place = generator.randrange(len(raw))
            change = generator.choice(("flip", "cut", "double", "swap", "set"))
            if change == "flip":
                raw[place] ^= 1 << generator.randrange(8)
            elif change == "cut":
                del raw[place : place + generator.randint(1, 40)]
            elif change == "double":
                raw[place:place] = raw[place : place + generator.randint(1, 40)]
            elif change == "swap":
                other = generator.randrange(len(raw))
                raw[place], raw[other] = raw[other], raw[place]
            else:
                raw[place] = generator.choice(b"~A-_=+/ .")
            if bytes(raw) == whole:
                continue
            try:
                found = opened_document(sealing, b"c", bytes(raw), None)
            except ConversationCorrupt:
                continue
            # What is left when whole segments are cut off is an older state.
            assert whole.startswith(bytes(raw) + b"~") and found != plain


@skipUnless(HAS_CRYPTOGRAPHY, "cryptography is not installed")
class SegmentModelTests(SegmentCase):
    names = st.sampled_from(("append", "append", "two", "edit", "remove", "metadata", "store"))

    @given(st.lists(st.tuples(names, st.integers(0, 4), st.booleans()), max_size=14))
    @settings(max_examples=25)
    def test_two_processes_make_what_one_would(self, operations):
        self.driver.delete()
        processes = [self.index.driver("c"), self.process().driver("c")]
        expected, metadata = {}, {}
        for turn, (name, number, which) in enumerate(operations):
            driver, run = processes[which], Run('~"', f"é{turn}", id=f"r{number}")
            if name == "append":
                driver.append(run)
                expected.setdefault(run.id, run.output.text)
            elif name == "two":
                driver.append(run, Run("q", "a", id=f"s{number}"))
                expected.setdefault(run.id, run.output.text)
                expected.setdefault(f"s{number}", "a")
            elif name == "metadata":
                driver.update_metadata({"n": turn})
                metadata["n"] = turn
            elif name == "store":
                driver.store([run], {})
                expected, metadata = {run.id: run.output.text}, {}
            elif name == "edit" and run.id in expected:
                driver.edit(run)
                expected[run.id] = run.output.text
            elif name == "remove" and expected.pop(run.id, None):
                driver.remove(run.id)
        found, known = self.process().driver("c").load()
        assert [(run.id, run.output.text) for run in found] == [*expected.items()]
        assert known == metadata

    def test_nothing_is_lost_among_writers(self):
        self.driver.append(Run("q", "a", id="first"))
        errors = []

        def write(number):
            try:
                driver = self.process().driver("c")
                for turn in range(8):
                    driver.append(Run("q", "a", id=f"{number}-{turn}"))
            except Exception as error:
                errors.append(error)

        writers = [Thread(target=write, args=(number,)) for number in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert errors == []
        ids = self.ids()
        assert len(ids) == len({*ids}) == 33
        for number in range(4):
            own = [id for id in ids if id.startswith(f"{number}-")]
            assert own == [f"{number}-{turn}" for turn in range(8)]
