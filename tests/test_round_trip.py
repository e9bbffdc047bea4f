"""Whatever an id, a run or the metadata hold, it comes back from a real Redis as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory import Run
from conversation_memory.exceptions import ConversationCorrupt
from conversation_memory.keys import decode, encode

from .oracle import expected, same
from .strategies import documents_in_any_encoding, ids, run_dicts, texts, values
from .utils import RedisTestCase, both

run_lists = st.lists(run_dicts, max_size=3, unique_by=lambda run: Run.from_dict(run).id)
metadata_dicts = st.dictionaries(texts, values, max_size=3)


def contents(driver):
    runs, metadata = driver.load()
    return [run.to_dict() for run in runs], metadata


def as_given(runs, given):
    """The stored runs, those that an append gave an id as they were before."""
    pairs = zip(runs, given, strict=True)
    return [old if is_only_named(run, old) else run for run, old in pairs]


def is_only_named(run, old):
    rest, before = ({k: v for k, v in it.items() if k != "id"} for it in (run, old))
    return not Run.from_dict(old).id and bool(Run.from_dict(run).id) and same(rest, before)


class RoundTripTests(RedisTestCase):
    @given(ids, run_lists, metadata_dicts)
    def test_what_is_stored_is_loaded(self, id, runs, metadata):
        driver = self.index.driver(id)
        driver.store(runs, metadata)
        assert same(contents(driver), (runs, metadata))

    @given(ids, run_lists, st.integers(0, 3))
    def test_what_is_appended_is_behind_what_was_stored(self, id, runs, middle):
        driver = self.index.driver(id)
        given = runs
        driver.store(runs[:middle])
        assert driver.append(*runs[middle:]) == len(runs[middle:])
        runs, metadata = contents(driver)
        assert same((as_given(runs, given), metadata), (given, {}))

    @given(ids, run_lists)
    def test_an_append_that_is_repeated_adds_nothing(self, id, runs):
        driver = self.index.driver(id)
        driver.store([])
        runs = [run for run in runs if Run.from_dict(run).id]
        driver.append(*runs)
        assert driver.append(*runs) == 0
        assert same(contents(driver), (runs, {}))

    @given(ids, metadata_dicts, metadata_dicts)
    def test_metadata_is_merged(self, id, metadata, changes):
        driver = self.index.driver(id)
        driver.store([], metadata)
        assert same(driver.update_metadata(changes), {**metadata, **changes})
        assert same(driver.load()[1], {**metadata, **changes})

    @given(ids, documents_in_any_encoding, run_lists)
    def test_what_others_wrote_is_kept_by_an_append(self, id, raw, added):
        self.put(encode(id), raw)
        driver = self.index.driver(id)
        if before := expected(raw):
            known = {Run.from_dict(run).id for run in before[0]}
            added = [run for run in added if Run.from_dict(run).id not in known]
            driver.append(*added)
            runs, metadata = contents(driver)
            given = before[0] + added
            assert same((as_given(runs, given), metadata), (given, before[1]))

    @given(ids, documents_in_any_encoding)
    def test_what_others_wrote_is_kept_by_storing_what_was_loaded(self, id, raw):
        self.put(encode(id), raw)
        driver = self.index.driver(id)
        if before := expected(raw):
            conversation = driver.read()
            driver.store(conversation.runs, conversation.metadata, revision=conversation.revision)
            assert same(expected(self.stored(encode(id))), before)

    @given(ids, documents_in_any_encoding, st.data())
    def test_what_is_damaged_is_never_overwritten(self, id, raw, data):
        damaged = raw[: data.draw(st.integers(0, len(raw)))]
        if expected(damaged) is not None:
            return
        self.put(encode(id), damaged)
        driver = self.index.driver(id)
        for use in (driver.load, lambda: driver.append(Run("q", "a"))):
            with pytest.raises(ConversationCorrupt) as caught:
                use()
            assert caught.value.raw == damaged
            assert caught.value.conversation_id == driver.conversation_id
        assert self.stored(encode(id)) == damaged

    @given(st.lists(ids, min_size=1, max_size=4, unique_by=encode), ids)
    def test_conversations_and_owners_do_not_mix(self, many, owner):
        self.wipe()
        for id in many:
            self.index.driver(id, owner=owner or "someone").append(Run("q", encode(id).hex()))
        for id in many:
            [run] = self.index.driver(id, owner=owner or "someone").load()[0]
            assert run.output.text == encode(id).hex()
        assert {record.conversation_id for record in self.index.recent()} == {
            decode(encode(id)) for id in many
        }

    @given(st.lists(ids, max_size=4, unique_by=encode), ids)
    def test_every_id_is_listed_and_deleted(self, many, owner):
        self.wipe()
        for id in many:
            self.index.driver(id, owner=owner or "someone").append(Run("q", "a"))
        assert sorted(self.index) == sorted(decode(encode(id)) for id in many)
        assert self.index.count(owner or "someone") == len(many)
        assert self.index.delete(*many) == len(many)
        assert self.keys() == set()

    @both
    def test_an_id_as_it_is_listed_opens_the_conversation(self, index):
        for id in (b"\xff\xfe", "x" * 1024, "{a}:b/c d", "👩‍👩‍👧‍👦"):
            index.driver(id).append(Run("q", "a"))
        for record in index.recent():
            assert len(index.driver(record.conversation_id).load()[0]) == 1


class WithoutIdTests(RedisTestCase):
    @both
    def test_runs_that_have_no_id_are_all_kept(self, index):
        for number, run in enumerate(({}, {}, {"id": None}, {"id": None}, {"id": ""}, {"id": ""})):
            assert index.driver("42").append({"type": "Run", **run, "meta": number}) == 1
        assert [run.meta for run in index.driver("42").load()[0]] == [0, 1, 2, 3, 4, 5]

    @both
    def test_an_id_named_none_is_an_id(self, index):
        index.driver("42").append({"type": "Run", "id": None})
        assert index.driver("42").append(Run("q", "a", id="None")) == 1
