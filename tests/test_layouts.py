import json
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

import pytest
from redis.crc import key_slot

from conversation_memory import ConversationIndex, Run, indexes
from conversation_memory.archive import Dump
from conversation_memory.conf import IndexSettings
from conversation_memory.documents import build
from conversation_memory.exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationNotFound,
    ConversationTooLarge,
    InvalidIndexError,
)
from conversation_memory.layouts import LAYOUTS, ConversationRef
from conversation_memory.layouts.refs import Snapshot
from conversation_memory.redis_io.operations import Pause

from .utils import RedisTestCase, both, each_layout, monitored

NO_RECORD = [None] * len(Snapshot.FIELDS)
LONG = "x" * 40_000  # a document beyond 32 kB is no argument of a script


def run(id, output="an answer"):
    return Run("a question", output, id=id)


def ids(runs):
    return [run.id for run in runs]


def document(*runs, **metadata):
    return json.dumps({"runs": [run.to_dict() for run in runs], "metadata": metadata}).encode()


def short_document(*runs):
    """As we write it, without what Griptape fills in."""
    return build(runs, {}).raw


def interrupted(operation, act, before):
    """`operation`, with `act()` called right before the round trips of these numbers."""
    round_trip = 0
    try:
        step = next(operation)
        while True:
            if not isinstance(step, Pause):
                if round_trip in before:
                    act()
                round_trip += 1
            step = operation.send((yield step))
    except StopIteration as stop:
        return stop.value


class LayoutsTests(RedisTestCase):
    def test_are_known_by_their_name(self):
        assert LAYOUTS["hash"].name == "hash"
        assert all(layout.name == name for name, layout in LAYOUTS.items())

    def test_hash_is_the_default(self):
        assert indexes["default"].settings.layout == "hash"

    def test_an_unknown_one_is_an_error_that_names_the_known(self):
        with self.settings(REDIS={"default": {"URL": "redis://localhost", "LAYOUT": "tree"}}):
            with pytest.raises(InvalidIndexError, match="'default'.*'tree'.*'hash'"):
                indexes["default"]


class HashByHandTests(RedisTestCase):
    """A layout does no I/O: its operations can be driven without any server."""

    def setUp(self):
        super().setUp()
        self.layout = LAYOUTS["hash"](
            IndexSettings(alias="default", index="chats", max_bytes=100_000)
        )

    def append(self, *runs, place=None):
        return self.layout.append(place or ConversationRef(b"42"), runs)

    def result(self, operation, reply):
        with pytest.raises(StopIteration) as end:
            operation.send(reply)
        return end.value.value

    def test_append_is_one_script_with_the_run(self):
        [call] = next(self.append(run("a"))).calls
        assert call[0] == "EVALSHA"
        assert run("a").to_wire() in call

    def test_append_returns_how_many_were_written(self):
        operation = self.append(run("a"), run("b"))
        write = next(operation)
        assert self.result(operation, write.decode(b"2 17")) == 2

    def test_append_to_a_long_document_writes_what_it_was_given(self):
        operation = self.append(run("a"), run("b"))
        long = [b"long", NO_RECORD, document(run("z", LONG))]
        [write] = operation.send(next(operation).decode(long)).calls
        [written] = [arg for arg in write if str(arg).startswith('b\'{"runs"')]
        assert ids(map(Run.from_dict, json.loads(written)["runs"])) == ["z", "a", "b"]

    def test_append_is_done_by_the_script_after_a_refusal_of_a_long_document(self):
        operation = self.append(run("a"))
        first = next(operation)
        operation.send(first.decode([b"long", NO_RECORD, document(run("z", LONG))]))
        assert isinstance(operation.send([b"changed"]), Pause)
        again = operation.send(None)
        assert again.calls[0][1] == first.calls[0][1]
        assert self.result(operation, again.decode(b"1 17")) == 1

    def test_append_to_another_form_reads_and_writes(self):
        for id in ("a", 'an "id"'):  # of which no script can tell how it is stored
            operation = self.append(run(id))
            step = next(operation)
            if id == "a":
                operation.send(step.decode([b"changed"]))
            [write] = operation.send([NO_RECORD, document(run("z")), [], None]).calls
            [written] = [arg for arg in write if str(arg).startswith('b\'{"runs"')]
            assert ids(map(Run.from_dict, json.loads(written)["runs"])) == ["z", id]
            assert self.result(operation, 17) == 1

    def test_append_of_what_is_there_writes_nothing(self):
        operation = self.append(run("a"))
        long = [b"long", NO_RECORD, document(run("a"))]
        assert self.result(operation, next(operation).decode(long)) == 0

    def test_append_to_a_damaged_document_writes_nothing(self):
        operation = self.append(run("a"))
        operation.send(next(operation).decode([b"changed"]))
        with pytest.raises(ConversationCorrupt, match="'42' in index 'chats'"):
            operation.send([NO_RECORD, b"{", [], None])

    def test_append_of_too_much_writes_nothing(self):
        write = next(self.append(run("a")))
        with pytest.raises(ConversationTooLarge, match="100,000 are allowed"):
            write.decode([b"large", 100_001])

    def test_append_gives_up_after_some_seconds_of_refusals(self):
        operation, waited = self.append(run('an "id"')), 0
        step = next(operation)
        with pytest.raises(ConversationConflict, match="kept changing.*Nothing was written"):
            while True:
                if isinstance(step, Pause):
                    waited += step.seconds
                    step = operation.send(None)
                elif len(step.calls) > 1:
                    step = operation.send([NO_RECORD, None, [], None])
                else:
                    step = operation.send([b"changed"])
        assert 3 < waited < 15

    def test_a_read_that_a_write_came_between_is_repeated_in_a_transaction(self):
        owned = [b"ann", *NO_RECORD[1:]]
        owned[Snapshot.FIELDS.index("version")] = b"7"
        operation = self.layout.load(ConversationRef(b"42", b"ann", scoped=True))
        calls = next(operation).calls
        again = operation.send([owned, document(run("a")), [], b"8"])
        assert again.calls == calls[:-1]
        theirs = [b"bob", *owned[1:]]
        assert self.result(operation, [theirs, document(run("b")), []]) == ([], {})

    def test_store_reads_nothing(self):
        stored = run("a")
        [write] = next(self.layout.store(ConversationRef(b"42"), [stored], {}, None)).calls
        assert b'{"runs": [%b], "metadata": {}}' % stored.to_wire() in write

    def test_store_asks_again_as_the_owner_that_a_refusal_named(self):
        operation = self.layout.store(ConversationRef(b"42"), [run("a")], {}, None)
        first = next(operation)
        assert isinstance(operation.send([b"owner", b"ann"]), Pause)
        second = operation.send(None)
        assert b"{chats}:owner:ann" not in first.calls[0]
        assert b"{chats}:owner:ann" in second.calls[0]

    def test_no_command_prints_a_document(self):
        operation = self.layout.store(ConversationRef(b"42"), [run("a", "the secret")], {}, None)
        assert "secret" not in repr(next(operation))


@each_layout
class SlotTests:
    @both
    def test_all_keys_of_an_index_share_a_slot(self, index):
        for id in ("42", "{x}", "a{b}c", b"\xff", ""):
            index.driver(id, owner="{ann}").append(run("a"))
            index.driver(id).set_title("title")
        index.recent()
        assert len(self.keys()) > 6
        assert {key_slot(key) for key in self.keys()} == {key_slot(self.index.name.encode())}


class ListTests(RedisTestCase):
    """What stands where in layout `list`, and what a stock driver makes of it."""

    entry = {"LAYOUT": "list"}

    def in_list(self, id="42"):
        texts = self.redis.lrange(f"{{{self.index.name}}}:runs:{id}", 0, -1)
        return ids(map(Run.from_text, texts))

    @both
    def test_runs_are_in_a_list_and_metadata_in_the_field(self, index):
        index.driver("42").store([run("a"), run("b")], {"k": "v"})
        index.driver("42").append(run("c"))
        assert self.in_list() == ["a", "b", "c"]
        assert self.stored("42") == document(k="v")

    @both
    def test_an_append_costs_the_same_at_any_length(self, index):
        driver, found = index.driver("42"), []
        driver.append(run("which lets the server know the script"))
        for size in (1, 2000):
            driver.store([run(f"{number}") for number in range(size)], {})
            with monitored(self.redis) as commands:
                driver.append(run("new"))
            found.append([sent["command"] for sent in commands if "EVAL" in sent["command"]])
        assert len(found[0]) == len(found[1]) == 1

    @both
    def test_a_list_that_was_lost_can_be_stored_over(self, index):
        for runs in ([], [run("new")]):
            index.driver("42").store([run("a"), run("b")], {})
            self.redis.delete(f"{{{self.index.name}}}:runs:42")
            index.driver("42").store(runs, {})
            assert ids(index.driver("42").load()[0]) == ids(runs)

    @both
    def test_a_list_that_lacks_runs_is_dumped_as_unreadable(self, index):
        for id in ("cut", "42"):
            index.driver(id).store([run("a"), run("b")], {})
        self.redis.rpop(f"{{{self.index.name}}}:runs:cut")
        dump = Dump(self.index)
        assert b"".join(dump).count(b'"list": [{') == 1
        assert (dump.count, dump.unreadable) == (2, 1)

    def test_more_runs_than_lua_can_unpack_at_once(self):
        expected = [f"{number}" for number in range(9000)]
        runs = [*map(run, expected)]
        driver = self.index.driver("42", owner="ann")
        driver.store(runs, {})
        assert ids(driver.load()[0]) == self.in_list() == expected
        driver.update_metadata({"k": "v"})
        driver.fork("copy")
        driver.remove("8500")
        driver.edit(run("8501", "another answer"))
        driver.truncate(after="10")
        assert self.in_list() == expected[:11]
        assert self.in_list("copy") == expected
        assert self.index.driver("new").append(*runs) == 9000
        self.put("stock", document(*runs))
        self.index.adopt()
        assert self.index.convert().converted == 1
        assert self.in_list("stock") == expected
        assert self.index.check().problems == {}

    @both
    def test_knows_a_repetition_after_thirty_others(self, index):
        driver = index.driver("42")
        driver.append(run("a"))
        driver.append(*(run(f"b{number}") for number in range(30)))
        assert driver.append(run("a")) == 0

    @both
    def test_runs_that_a_stock_driver_wrote_come_behind_ours(self, index):
        index.driver("42").append(run("a"), run("b"))
        self.put("42", document(run("c"), theirs=1))
        runs, metadata = index.driver("42").load()
        assert (ids(runs), metadata) == (["a", "b", "c"], {"theirs": 1})
        assert ids(index.driver("42").tail(2)) == ["b", "c"]

    @both
    def test_an_append_takes_over_what_a_stock_driver_wrote(self, index):
        index.driver("42").append(run("a"))
        self.put("42", document(run("b"), theirs=1))
        assert index.driver("42").append(run("c")) == 1
        assert self.in_list() == ["a", "b", "c"]
        assert self.stored("42") == document(theirs=1)
        assert index.driver("42").record().runs == 3

    @both
    def test_an_append_that_is_interrupted_by_a_stock_driver_loses_nothing(self, index):
        layout, appending = self.index._layout, self.index._layout.append
        index.driver("42").append(run("a"))
        act = lambda: self.put("42", document(run("b")))  # noqa: E731
        with mock.patch.object(
            layout, "append", lambda *args: interrupted(appending(*args), act, [0])
        ):
            index.driver("42").append(run("c"))
        assert ids(index.driver("42").load()[0]) == ["a", "b", "c"]

    @both
    def test_metadata_keep_those_of_the_same_length_of_a_stock_driver(self, index):
        layout, updating = self.index._layout, self.index._layout.update_metadata
        index.driver("42").store([run("a")], {"k": 1})
        act = lambda: self.put("42", document(k=2))  # noqa: E731
        with mock.patch.object(
            layout, "update_metadata", lambda *args: interrupted(updating(*args), act, [1])
        ):
            assert index.driver("42").update_metadata({"l": 3}) == {"k": 2, "l": 3}
        assert ids(index.driver("42").load()[0]) == ["a"]

    @both
    def test_a_field_that_became_corrupt_is_left_and_so_are_the_runs(self, index):
        index.driver("42").append(run("a"))
        self.put("42", b"{")
        for use in (index.driver("42").load, lambda: index.driver("42").append(run("b"))):
            with pytest.raises(ConversationCorrupt) as caught:
                use()
            assert caught.value.raw == self.stored("42") == b"{"
        assert self.in_list() == ["a"]

    @both
    def test_a_refused_write_leaves_nothing_behind(self, index):
        revision = index.driver("42").store([run("a")], {})
        index.driver("42").append(run("b"))
        before = {key: self.redis.dump(key) for key in self.keys()}
        with pytest.raises(ConversationConflict):
            index.driver("42").store([run("c")], {}, revision=revision)
        assert {key: self.redis.dump(key) for key in self.keys()} == before


class MoveTests(RedisTestCase):
    """Each layout reads what the other wrote, and its next write moves it."""

    def index_of(self, layout):
        return ConversationIndex(replace(self.index.settings, layout=layout))

    def test_writers_of_both_layouts_by_turns_lose_nothing(self):
        drivers = [self.index_of(layout).driver("42") for layout in LAYOUTS]
        for number in range(5):
            for letter, driver in zip("ab", drivers, strict=True):
                assert driver.append(run(f"{letter}{number}")) == 1
        expected = [f"{letter}{number}" for number in range(5) for letter in "ab"]
        assert [ids(driver.load()[0]) for driver in drivers] == [expected, expected]


class Interruption:
    answer = "an answer"

    def new(self, id):
        return run(id, self.answer)

    @contextmanager
    def interrupted(self, name, act, before=(0, 1)):
        """Let others act in the middle of an operation of the index."""
        layout = self.index._layout
        operation = getattr(layout, name)
        with mock.patch.object(
            layout, name, lambda *args: interrupted(operation(*args), act, before)
        ):
            yield

    def other(self, id="42", **kwargs):
        """The same conversation in the hand of another, who is not interrupted."""
        return ConversationIndex(self.index.settings).driver(id, **kwargs)


@each_layout
class InterruptedTests(Interruption):
    """Others write between any two round trips of an operation."""

    @both
    def test_append_keeps_what_others_append(self, index):
        theirs = []

        def act():
            theirs.append(f"b{len(theirs)}")
            self.other().append(self.new(theirs[-1]))

        index.driver("42").append(self.new("a"))
        with self.interrupted("append", act, before=range(6)):
            assert index.driver("42").append(self.new("c")) == 1
        assert ids(index.driver("42").load()[0]) == ["a", *theirs, "c"]

    @both
    def test_append_keeps_what_others_append_to_a_new_conversation(self, index):
        with self.interrupted("append", lambda: self.other().append(self.new("b"))):
            index.driver("42").append(self.new("a"))
        assert sorted(ids(index.driver("42").load()[0])) == ["a", "b"]

    @both
    def test_append_adds_once_what_others_append_at_the_same_time(self, index):
        with self.interrupted("append", lambda: self.other().append(self.new("a"))):
            index.driver("42").append(self.new("a"), self.new("b"))
        assert sorted(ids(index.driver("42").load()[0])) == ["a", "b"]

    @both
    def test_append_keeps_what_others_stored_of_the_same_length(self, index):
        theirs = ["a"]

        def act():
            theirs.append(f"{len(theirs)}")
            self.other().store([self.new(theirs[-1])], {})

        index.driver("42").append(self.new("a"))
        with self.interrupted("append", act):
            index.driver("42").append(self.new("c"))
        assert ids(index.driver("42").load()[0]) == [theirs[-1], "c"]

    @both
    def test_append_keeps_the_metadata_of_others(self, index):
        index.driver("42").append(self.new("a"))
        with self.interrupted("append", lambda: self.other().update_metadata({"theirs": 1})):
            index.driver("42").append(self.new("b"))
        assert index.driver("42").load()[1] == {"theirs": 1}
        assert ids(index.driver("42").load()[0]) == ["a", "b"]

    @both
    def test_metadata_keep_those_of_others_and_their_runs(self, index):
        def act():
            self.other().update_metadata({"theirs": 1})
            self.other().append(self.new("b"))

        index.driver("42").append(self.new("a"))
        with self.interrupted("update_metadata", act):
            assert index.driver("42").update_metadata({"ours": 2}) == {"theirs": 1, "ours": 2}
        assert ids(index.driver("42").load()[0]) == ["a", "b"]

    @both
    def test_store_with_a_revision_is_refused(self, index):
        revision = index.driver("42").store([self.new("a")], {})
        with self.interrupted("store", lambda: self.other().append(self.new("b"))):
            with pytest.raises(ConversationConflict):
                index.driver("42").store([self.new("d")], {}, revision=revision)
        assert ids(index.driver("42").load()[0]) == ["a", "b"]

    @both
    def test_append_survives_a_deletion(self, index):
        index.driver("42").append(self.new("a"))
        with self.interrupted("append", lambda: self.other().delete()):
            assert index.driver("42").append(self.new("b")) == 1
        assert ids(index.driver("42").load()[0]) == ["b"]
        assert index.driver("42").record().runs == 1

    @both
    def test_no_write_reaches_what_became_the_conversation_of_another(self, index):
        def act():
            self.other().delete()
            self.other(owner="bob").append(self.new("b"))

        for name, write in (
            ("append", lambda driver: driver.append(self.new("c"))),
            ("store", lambda driver: driver.store([self.new("d")], {})),
            ("update_metadata", lambda driver: driver.update_metadata({"k": "v"})),
        ):
            index.driver("42").delete()
            ann = index.driver("42", owner="ann")
            ann.append(self.new("a"))
            with self.interrupted(name, act), pytest.raises(ConversationNotFound):
                write(ann)
            assert ids(index.driver("42", owner="bob").load()[0]) == ["b"]
            assert (index.count("ann"), index.count("bob")) == (0, 1)

    @both
    def test_deletion_follows_a_new_owner(self, index):
        def act():
            self.other().delete()
            self.other(owner="bob").append(self.new("b"))

        index.driver("42", owner="ann").append(self.new("a"))
        with self.interrupted("delete", act, before=[0]):
            assert index.driver("42").delete() is True
        assert self.keys() == set()

    @both
    def test_reading_for_an_owner_never_shows_what_is_of_another(self, index):
        def act():
            self.other().delete()
            self.other(owner="bob").append(self.new("b"))

        index.driver("42", owner="ann").append(self.new("a"))
        with self.interrupted("load", act):
            assert index.driver("42", owner="ann").load() == ([], {})
        with self.interrupted("read", act):
            assert not index.driver("42", owner="ann").read().exists


@each_layout
class LongInterruptedTests(InterruptedTests):
    answer = LONG


class StockInterruptionTests(Interruption, RedisTestCase):
    """A stock driver writes the whole field, and bumps no version."""

    def stock(self, *runs, **metadata):
        return lambda: self.put("42", document(*runs, **metadata))

    @both
    def test_append_keeps_what_a_stock_driver_wrote(self, index):
        index.driver("42").append(self.new("a"))
        with self.interrupted("append", self.stock(self.new("a"), self.new("b"))):
            index.driver("42").append(self.new("c"))
        assert ids(index.driver("42").load()[0]) == ["a", "b", "c"]

    @both
    def test_append_keeps_a_new_conversation_of_a_stock_driver(self, index):
        with self.interrupted("append", self.stock(self.new("b"))):
            index.driver("42").append(self.new("a"))
        assert ids(index.driver("42").load()[0]) == ["b", "a"]

    @both
    def test_append_follows_a_deletion_of_the_field(self, index):
        index.driver("42").append(self.new("a"))
        with self.interrupted("append", lambda: self.redis.hdel(self.index.name, "42")):
            index.driver("42").append(self.new("b"))
        assert ids(index.driver("42").load()[0]) == ["b"]

    @both
    def test_append_leaves_what_became_corrupt(self, index):
        index.driver("42").append(self.new("a"))
        with self.interrupted("append", lambda: self.put("42", b"{")):
            with pytest.raises(ConversationCorrupt):
                index.driver("42").append(self.new("b"))
        assert self.stored("42") == b"{"

    @both
    def test_metadata_keep_what_a_stock_driver_wrote(self, index):
        index.driver("42").append(self.new("a"))
        with self.interrupted(
            "update_metadata", self.stock(self.new("a"), self.new("b"), theirs=1)
        ):
            index.driver("42").update_metadata({"ours": 2})
        assert ids(index.driver("42").load()[0]) == ["a", "b"]
        assert index.driver("42").load()[1] == {"theirs": 1, "ours": 2}

    @both
    def test_store_with_a_revision_is_refused(self, index):
        revision = index.driver("42").store([self.new("a")], {})
        with self.interrupted("store", self.stock(self.new("b"), self.new("c")), before=[1]):
            with pytest.raises(ConversationConflict):
                index.driver("42").store([self.new("d")], {}, revision=revision)
        assert ids(index.driver("42").load()[0]) == ["b", "c"]

    @both
    def test_a_refused_write_leaves_nothing_behind(self, index):
        self.stock(self.new("a"))()
        revision = index.driver("42").read().revision
        with self.interrupted("store", self.stock(self.new("b"), self.new("c")), before=[1]):
            with pytest.raises(ConversationConflict):
                index.driver("42").store([self.new("d")], {}, revision=revision)
        assert self.keys() == {self.index.name.encode()}


class LongStockInterruptionTests(StockInterruptionTests):
    answer = LONG


class SeenBeforeTests(Interruption, RedisTestCase):
    """A driver appends to what it has seen without reading again, unless others wrote."""

    def seen(self, index, *, owner=None):
        """A driver that has loaded a conversation, and one that has created it."""
        self.other(owner=owner).append(self.new("a"))
        loaded = index.driver("42", owner=owner)
        loaded.load()
        yield loaded
        self.wipe()
        created = index.driver("42", owner=owner)
        created.append(self.new("a"))
        yield created

    @both
    def test_append_does_not_read(self, index):
        for driver in self.seen(index):
            with monitored(self.redis) as commands:
                driver.append(self.new("b"))
            by_client = [sent["command"] for sent in commands if sent["client_type"] != "lua"]
            assert not [sent for sent in by_client if sent.startswith(("HGET", "HMGET"))]

    @both
    def test_append_adds_once(self, index):
        for driver in self.seen(index):
            assert [driver.append(self.new(id)) for id in "abbca"] == [0, 1, 0, 1, 0]
            assert ids(driver.load()[0]) == ["a", "b", "c"]

    @both
    def test_an_owner_appends_again_and_again(self, index):
        for driver in self.seen(index, owner="ann"):
            assert [driver.append(self.new(id)) for id in "bcd"] == [1, 1, 1]
            assert ids(self.other(owner="ann").load()[0]) == ["a", "b", "c", "d"]

    @both
    def test_append_keeps_what_others_appended(self, index):
        for driver in self.seen(index):
            self.other().append(self.new("b"))
            driver.append(self.new("c"))
            assert ids(driver.load()[0]) == ["a", "b", "c"]

    @both
    def test_append_keeps_the_metadata_of_others(self, index):
        for driver in self.seen(index):
            self.other().update_metadata({"theirs": 1})
            driver.append(self.new("b"))
            assert driver.load()[1] == {"theirs": 1}

    @both
    def test_append_keeps_what_the_driver_itself_changed(self, index):
        for driver in self.seen(index):
            driver.update_metadata({"ours": 1})
            driver.append(self.new("b"))
            driver.store([self.new("c")], {"ours": 2})
            driver.append(self.new("d"))
            assert (ids(driver.load()[0]), driver.load()[1]) == (["c", "d"], {"ours": 2})

    @both
    def test_append_keeps_what_a_stock_driver_wrote(self, index):
        for driver in self.seen(index):
            self.stock("b", "c")
            driver.append(self.new("d"))
            assert ids(driver.load()[0]) == ["b", "c", "d"]

    @both
    def test_append_keeps_what_a_stock_driver_wrote_of_the_same_length(self, index):
        for driver in self.seen(index):
            self.stock("b")
            driver.append(self.new("c"))
            assert ids(driver.load()[0]) == ["b", "c"]

    @both
    def test_append_keeps_a_new_conversation_of_the_same_length(self, index):
        for driver in self.seen(index):
            self.other().delete()
            self.other().append(self.new("b"))
            driver.append(self.new("c"))
            assert ids(driver.load()[0]) == ["b", "c"]

    @both
    def test_append_after_a_deletion_begins_anew(self, index):
        for delete in (lambda: self.other().delete(), lambda: self.redis.delete(self.index.name)):
            for driver in self.seen(index):
                delete()
                driver.append(self.new("b"))
                assert ids(driver.load()[0]) == ["b"]

    @both
    def test_append_leaves_what_became_corrupt(self, index):
        for driver in self.seen(index):
            self.put("42", b"{")
            with pytest.raises(ConversationCorrupt):
                driver.append(self.new("b"))
            assert self.stored("42") == b"{"

    @both
    def test_append_does_not_reach_what_became_the_conversation_of_another(self, index):
        for driver in self.seen(index, owner="ann"):
            self.other().delete()
            self.other(owner="bob").append(self.new("a"))
            with pytest.raises(ConversationNotFound):
                driver.append(self.new("b"))
            assert ids(self.other(owner="bob").load()[0]) == ["a"]
            self.wipe()

    @both
    def test_append_keeps_a_new_owner(self, index):
        for driver in self.seen(index, owner=None):
            self.other().delete()
            self.other(owner="bob").append(self.new("b"))
            driver.append(self.new("c"))
            assert ids(self.other(owner="bob").load()[0]) == ["b", "c"]
            self.wipe()

    def stock(self, *new):
        self.put("42", document(*map(self.new, new)))


class LongSeenBeforeTests(SeenBeforeTests):
    """A long document is read again: no digest would tell of a write of the same length."""

    answer = LONG
    test_append_does_not_read = None


class SameLengthTests(Interruption, RedisTestCase):
    """Up to 32 kB, where a digest costs little, the length need not tell of a stock write."""

    @both
    def test_append_keeps_what_a_stock_driver_wrote_of_the_same_length(self, index):
        theirs = lambda: self.put("42", short_document(run("b", "no!")))  # noqa: E731
        # The second one is not appended by a script, but read, changed and written back.
        for id, round_trip in (("c", 0), ('an "id"', 1)):
            index.driver("42").store([run("a", "yes")], {})
            with self.interrupted("append", theirs, before=[round_trip]):
                index.driver("42").append(run(id))
            assert ids(index.driver("42").load()[0]) == ["b", id]
