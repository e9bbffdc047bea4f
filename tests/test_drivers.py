import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from unittest import mock
from uuid import UUID

import pytest
from django.conf import settings
from redis import Redis

from conversation_memory import RedisConversationMemoryDriver, Run, indexes
from conversation_memory.exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationNotFound,
    ConversationTooLarge,
)

from .utils import Awaited, RedisTestCase, both, each_layout, monitored

HOSTILE = [
    "\x00\x1f\x7f",
    'quote " backslash \\ slash /',
    "lone \ud800 surrogate",
    "👩‍👩‍👧‍👦 \u202eשלום\u2028",
    ', {"type": "Run", "id": "b"}, ',
    '], "metadata": {',
    -(2**70) + 1,
    10**30 - 1,
    1.0,
    -0.0,
    1e-300,
    True,
    None,
    [],
    {},
    {"": [{"type": "Run", "id": "b"}]},
]
IDS = [
    7,
    UUID(int=7),
    "a b",
    "a:b/../{c}",
    "ключ 🙂",
    "a\n\x00b",
    b"bytes",
    b"\xff\xfe no UTF-8",
    "x" * 1000,
    "",
]
STOCK = b'{"runs": [], "metadata": {"written by": "a stock driver"}}'


def run(id, output="an answer"):
    return Run("a question", output, id=id)


def ids(runs):
    return [run.id for run in runs]


@each_layout
class LoadTests:
    @both
    def test_takes_dicts_and_foreign_objects_as_runs(self, index):
        index.driver("42").store([run("a").to_dict()], {})
        index.driver("42").append(mock.Mock(spec=["to_dict"], to_dict=run("b").to_dict))
        assert ids(index.driver("42").load()[0]) == ["a", "b"]

    @both
    def test_storing_what_is_no_run_writes_nothing(self, index):
        with pytest.raises(TypeError):
            index.driver("42").store([run("a"), "text"], {})
        assert self.keys() == set()

    @both
    def test_what_was_loaded_may_be_stored_again(self, index):
        driver = index.driver("42")
        driver.store([run("a"), run("b")], {"k": HOSTILE})
        runs, metadata = driver.load()
        driver.store([*runs, run("c")], metadata)
        assert ids(driver.load()[0]) == ["a", "b", "c"]
        assert repr(driver.load()[1]) == repr({"k": HOSTILE})

    @both
    def test_a_run_that_was_changed_is_stored_as_it_is_now(self, index):
        driver = index.driver("42")
        driver.append(run("a"), run("b"))
        runs, metadata = driver.load()
        runs[0].meta = {"rating": 5}
        driver.store(runs, metadata)
        assert [run.meta for run in driver.load()[0]] == [{"rating": 5}, None]


@each_layout
class ReadTests:
    @both
    def test_reads_all_at_once(self, index):
        index.driver("42", owner="ann").store([run("a")], {"k": "v"})
        conversation = index.driver("42").read()
        assert conversation.conversation_id == "42"
        assert conversation.exists
        assert (ids(conversation.runs), conversation.metadata) == (["a"], {"k": "v"})
        assert (conversation.record.owner, conversation.record.runs) == ("ann", 1)


@each_layout
class RevisionTests:
    @both
    def test_store_accepts_the_revision_of_a_read(self, index):
        driver = index.driver("42")
        driver.append(run("a"))
        driver.store([run("b")], {}, revision=driver.read().revision)
        assert ids(driver.load()[0]) == ["b"]

    @both
    def test_store_returns_the_revision_for_the_next(self, index):
        driver = index.driver("42")
        revision = driver.store([run("a")], {})
        assert driver.read().revision == revision
        revision = driver.store([run("b")], {}, revision=revision)
        assert driver.read().revision == revision
        driver.store([run("c")], {}, revision=revision)
        assert ids(driver.load()[0]) == ["c"]

    @both
    def test_every_write_of_ours_changes_the_revision(self, index):
        driver = index.driver("42")
        driver.store([run("a")], {})
        for write in (
            lambda: driver.append(run("b")),
            lambda: driver.update_metadata({"k": "v"}),
            lambda: driver.store([run("c")], {}),
            lambda: driver.delete(),
        ):
            revision = driver.read().revision
            write()
            with pytest.raises(ConversationConflict, match="'42'.*'default'.*Nothing was written"):
                driver.store([run("d")], {}, revision=revision)
            assert "d" not in ids(driver.load()[0])

    @both
    def test_a_refused_store_writes_nothing(self, index):
        driver = index.driver("42")
        revision = driver.store([run("a")], {"k": "v"})
        driver.append(run("b"))
        before = self.dump()
        with pytest.raises(ConversationConflict):
            driver.store([], {}, revision=revision)
        assert self.dump() == before

    @both
    def test_a_store_that_was_retried_is_accepted(self, index):
        driver = index.driver("42")
        revision = driver.store([run("a")], {})
        first = driver.store(runs := [run("b")], {"k": "v"}, revision=revision)
        assert driver.store(runs, {"k": "v"}, revision=revision) == first

    @both
    def test_the_revision_of_an_absent_conversation_means_it_must_not_exist_yet(self, index):
        driver = index.driver("42")
        absent = driver.read().revision
        driver.store([run("a")], {}, revision=absent)
        with pytest.raises(ConversationConflict):
            driver.store([run("b")], {}, revision=absent)
        assert ids(driver.load()[0]) == ["a"]

    @both
    def test_a_deleted_conversation_is_absent_again(self, index):
        driver = index.driver("42")
        driver.store([run("a")], {})
        driver.delete()
        driver.store([run("b")], {}, revision=driver.read().revision)
        assert ids(driver.load()[0]) == ["b"]

    @both
    def test_a_conversation_that_others_deleted_is_absent_again(self, index):
        driver = index.driver("42")
        driver.store([run("a")], {})
        self.redis.hdel(self.index.name, "42")
        driver.store([run("b")], {}, revision=driver.read().revision)
        assert ids(driver.load()[0]) == ["b"]

    def dump(self):
        return {key: self.redis.dump(key) for key in self.keys()}


@each_layout
class AppendTests:
    @both
    def test_adds_a_run_whose_id_is_only_mentioned(self, index):
        driver = index.driver("42")
        mention = run("b").to_dict()
        for first in (run("a"), Run(json.dumps(mention), "text", meta=mention)):
            driver.store([first], {"last": mention})
            assert driver.append(run("b")) == 1
            assert ids(driver.load()[0]) == [first.id, "b"]

    @both
    def test_a_repetition_changes_nothing(self, index):
        driver = index.driver("42")
        driver.append(run("a"))
        revision = driver.read().revision
        driver.append(run("a"))
        assert driver.read().revision == revision


@each_layout
class LimitTests:
    entry = {"MAX_BYTES": 1000}

    @both
    def test_too_large_a_store_writes_nothing(self, index):
        with pytest.raises(ConversationTooLarge, match="'42'.*'default'.*1,000 are allowed"):
            index.driver("42").store([run("a", "x" * 1000)], {})
        assert self.keys() == set()

    @both
    def test_too_large_an_append_writes_nothing(self, index):
        driver = index.driver("42")
        driver.append(run("a"))
        revision = driver.read().revision
        with pytest.raises(ConversationTooLarge):
            driver.append(run("b", "x" * 1000))
        assert driver.read().revision == revision
        assert ids(driver.load()[0]) == ["a"]

    @both
    def test_too_large_metadata_are_not_written(self, index):
        driver = index.driver("42")
        driver.store([], {"k": "v"})
        with pytest.raises(ConversationTooLarge):
            driver.update_metadata({"k": "x" * 1000})
        assert driver.load()[1] == {"k": "v"}


@each_layout
class MetadataTests:
    @both
    def test_keeps_the_runs(self, index):
        driver = index.driver("42")
        driver.store([run("a"), run("b")], {"k": "a long value"})
        driver.update_metadata({"k": "short"})
        driver.append(run("c"))
        assert ids(driver.load()[0]) == ["a", "b", "c"]

    @both
    def test_what_is_no_json_is_not_written(self, index):
        with pytest.raises(TypeError):
            index.driver("42").update_metadata({"k": object()})
        assert self.keys() == set()


@each_layout
class ExistenceTests:
    @both
    def test_exists_once_something_is_stored(self, index):
        assert not index.driver("42").exists()
        index.driver("42").store([], {})
        assert index.driver("42").exists()

    @both
    def test_delete_removes_every_key(self, index):
        driver = index.driver("42", owner="ann")
        driver.append(run("a"))
        driver.update_metadata({"k": "v"})
        driver.set_title("title")
        index.driver("42").delete()
        assert self.keys() == set()

    @both
    def test_delete_leaves_the_others(self, index):
        index.driver("42", owner="ann").append(run("a"))
        index.driver("43", owner="ann").append(run("b"))
        index.driver("42").delete()
        assert ids(index.driver("43", owner="ann").load()[0]) == ["b"]
        assert [record.conversation_id for record in index.recent(owner="ann")] == ["43"]


@each_layout
class RecordTests:
    @both
    def test_knows_when_it_was_created_and_updated(self, index):
        index.driver("42").append(run("a"))
        record = index.driver("42").record()
        assert record.created == record.updated
        assert abs(record.created - datetime.now(UTC)) < timedelta(minutes=1)

    @both
    def test_has_no_owner_by_default(self, index):
        index.driver("42").append(run("a"))
        assert index.driver("42").record().owner is None

    @both
    def test_garbage_in_it_does_no_harm(self, index):
        driver = index.driver("42")
        driver.append(run("a"))
        garbage = dict.fromkeys(("title", "created", "updated", "runs", "crc"), b"\xff9" * 9)
        self.redis.hset(f"{{{self.index.name}}}:record:42", mapping=garbage)
        record = driver.record()
        assert (record.created, record.updated, record.runs) == (None, None, None)
        assert driver.append(run("b")) == 1
        assert driver.record().runs == 2


@each_layout
class TitleTests:
    @both
    def test_is_kept(self, index):
        for title in ("Refund", "Ünïcödé 👩‍👩‍👧‍👦\x00\n", "x" * 1000, ""):
            index.driver("42").store([], {})
            index.driver("42").set_title(title)
            assert index.driver("42").record().title == title

    @both
    def test_may_not_be_too_long(self, index):
        index.driver("42").append(run("a"))
        with pytest.raises(ValueError, match="at most 1,000 characters"):
            index.driver("42").set_title("x" * 1001)

    @both
    def test_needs_a_conversation(self, index):
        with pytest.raises(ConversationNotFound, match="no conversation '42'.*'default'"):
            index.driver("42").set_title("Refund")
        assert self.keys() == set()

    @both
    def test_ends_with_the_conversation(self, index):
        index.driver("42").append(run("a"))
        index.driver("42").set_title("Refund")
        index.driver("42").delete()
        index.driver("42").append(run("a"))
        assert index.driver("42").record().title == run("a").input.text


@each_layout
class OwnerTests:
    def dump(self):
        return {key: self.redis.dump(key) for key in self.keys()}

    @both
    def test_what_an_owner_creates_is_theirs(self, index):
        for id, write in (
            ("1", lambda driver: driver.append(run("a"))),
            ("2", lambda driver: driver.store([run("a")], {})),
            ("3", lambda driver: driver.update_metadata({"k": "v"})),
        ):
            write(index.driver(id, owner="ann"))
            assert index.driver(id, owner="ann").record().owner == "ann"
            assert index.driver(id, owner="ann").exists()
        assert index.count("ann") == 3

    @both
    def test_an_owner_may_do_all_with_their_own(self, index):
        driver = index.driver("42", owner="ann")
        driver.append(run("a"))
        driver.set_title("Refund")
        driver.store([run("b"), run("c")], {}, revision=driver.read().revision)
        driver.update_metadata({"k": "v"})
        assert (ids(driver.load()[0]), driver.load()[1]) == (["b", "c"], {"k": "v"})
        assert ids(driver.tail(1)) == ["c"]
        assert driver.record().title == "Refund"
        assert driver.delete()
        assert self.keys() == set()

    @both
    def test_no_write_reaches_the_conversation_of_another(self, index):
        for owner in ("bob", None):
            index.driver("42", owner=owner).store([run("a")], {"k": "v"})
            before = self.dump()
            for write in (
                lambda driver: driver.append(run("b")),
                lambda driver: driver.append(run("a")),
                lambda driver: driver.store([], {}),
                lambda driver: driver.store([], {}, revision=driver.read().revision),
                lambda driver: driver.update_metadata({"k": "w"}),
                lambda driver: driver.set_title("Refund"),
            ):
                with pytest.raises(ConversationNotFound, match="for this owner"):
                    write(index.driver("42", owner="ann"))
            assert self.dump() == before
            self.wipe()

    @both
    def test_nothing_is_moved_or_copied_over_the_conversation_of_another(self, index):
        for owner in ("bob", None):
            index.driver("42", owner=owner).store([run("a")], {"k": "v"})
            index.driver("own", owner="ann").append(run("b"))
            before = self.dump()
            for move in (lambda driver: driver.rename("42"), lambda driver: driver.fork("42")):
                driver = index.driver("own", owner="ann")
                with pytest.raises(ConversationNotFound, match="conversation '42' .* this owner"):
                    move(driver)
                assert driver.conversation_id == "own"
            assert self.dump() == before
            self.wipe()

    @both
    def test_a_taken_id_of_the_same_owner_is_a_conflict(self, index):
        for owner in ("ann", None):
            index.driver("42", owner="ann").append(run("a"))
            index.driver("own", owner="ann").append(run("b"))
            before = self.dump()
            for move in (lambda driver: driver.rename("42"), lambda driver: driver.fork("42")):
                with pytest.raises(ConversationConflict, match="'42'"):
                    move(index.driver("own", owner=owner))
            assert self.dump() == before
            self.wipe()

    @both
    def test_an_empty_owner_is_refused(self, index):
        # It would be the owner of what has none.
        with pytest.raises(ValueError):
            index.driver("42", owner="")

    @both
    def test_a_driver_without_owner_sees_all(self, index):
        index.driver("42", owner="ann").append(run("a"))
        index.driver("42").append(run("b"))
        assert ids(index.driver("42").load()[0]) == ["a", "b"]
        assert index.driver("42").exists()

    @both
    def test_a_driver_without_owner_keeps_the_owner(self, index):
        for number, write in enumerate(
            (
                lambda driver: driver.append(run("b")),
                lambda driver: driver.store([run("b")], {}),
                lambda driver: driver.store([], {}, revision=driver.read().revision),
                lambda driver: driver.update_metadata({"k": "v"}),
                lambda driver: driver.set_title("Refund"),
            )
        ):
            index.driver(number, owner="ann").append(run("a"))
            write(index.driver(number))
            assert index.driver(number).record().owner == "ann"

    @both
    def test_a_driver_without_owner_keeps_the_order_of_the_owner(self, index):
        for id in "12":
            index.driver(id, owner="ann").append(run("a"))
            time.sleep(0.002)
        index.driver("1").append(run("b"))
        assert [record.conversation_id for record in index.recent(owner="ann")] == ["1", "2"]

    @both
    def test_a_deleted_conversation_may_get_another_owner(self, index):
        index.driver("42", owner="ann").append(run("a"))
        index.driver("42").delete()
        index.driver("42", owner="bob").append(run("b"))
        assert index.driver("42", owner="ann").load() == ([], {})
        assert (index.count("ann"), index.count("bob")) == (0, 1)

    @both
    def test_a_conversation_that_others_deleted_may_get_another_owner(self, index):
        index.driver("42", owner="ann").append(run("a"))
        self.redis.hdel(self.index.name, "42")
        list(index.recent())  # which notices
        index.driver("42", owner="bob").append(run("b"))
        assert ids(index.driver("42", owner="bob").load()[0]) == ["b"]
        assert index.count("ann") == 0

    @both
    def test_owners_are_compared_as_text(self, index):
        for number, (one, same) in enumerate(
            [(7, "7"), (UUID(int=7), str(UUID(int=7))), ("Zoë 🙂 {x}:y", "Zoë 🙂 {x}:y")]
        ):
            driver = index.driver(number, owner=one)
            driver.append(run("a"))
            assert driver.owner == driver.record().owner == same
            assert index.driver(number, owner=same).exists()

    @both
    def test_an_owner_that_contains_another_is_not_that_owner(self, index):
        index.driver("42", owner="ann").append(run("a"))
        for owner in ("an", "anna", "Ann", "ann ", "ann\x00"):
            assert not index.driver("42", owner=owner).exists()


@each_layout
class IdTests:
    def test_the_text_of_an_id_names_the_same_conversation(self):
        for id in IDS:
            self.index.driver(id).append(run("a"))
            assert self.index.driver(self.index.driver(id).conversation_id).exists()

    def test_an_id_is_the_field_that_griptape_would_use(self):
        for id in IDS:
            self.index.driver(id).store([], {})
            assert self.redis.hexists(self.index.name, id if isinstance(id, bytes) else str(id))

    def test_a_driver_without_an_id_has_one_of_its_own(self):
        one, other = self.index.driver(), self.index.driver()
        assert one.conversation_id != other.conversation_id
        assert UUID(one.conversation_id).hex == one.conversation_id


class WireTests(RedisTestCase):
    """What a stock Griptape driver, or a hand, wrote into the field."""

    odd = (
        b' {"created":"1970" ,"runs" :\n\t[ {"id":"a","type" : "Run",  "n":1.0,'
        b'"x":"\xc3\xa9\\u00e9","big":123456789012345678901234567890 } ] , '
        b'"metadata": { "k" : [ ] },"z":{}}\n'
    )

    @both
    def test_reads_what_others_wrote(self, index):
        self.put("42", self.odd)
        runs, metadata = index.driver("42").load()
        assert ids(runs) == ["a"]
        assert runs[0].to_dict()["big"] == 123456789012345678901234567890
        assert metadata == {"k": []}

    @both
    def test_has_no_record_of_what_others_wrote(self, index):
        self.put("42", self.odd)
        record = index.driver("42").record()
        assert (record.created, record.updated, record.runs) == (None, None, None)
        assert index.driver("42").exists()

    @both
    def test_append_keeps_every_byte_of_what_others_wrote(self, index):
        self.put("42", self.odd)
        index.driver("42").append(run("b"))
        stored, added = self.stored("42"), b", " + json.dumps(run("b").to_dict()).encode()[:28]
        ref = stored.index(added)
        end = stored.index(b"]", ref + stored[ref:].index(b'"output"'))
        assert stored[:ref].rstrip() + stored[end:].lstrip() in (
            self.odd,
            self.odd.replace(b" ]", b"]", 1),
        )
        assert json.loads(stored)["runs"][1]["id"] == "b"

    @both
    def test_append_twice_keeps_every_byte_too(self, index):
        self.put("42", self.odd)
        driver = index.driver("42")
        assert [driver.append(run(id)) for id in "bacb"] == [1, 0, 1, 0]
        before, after = self.odd.split(b" ] , ")
        assert self.stored("42").startswith(before)
        assert self.stored("42").endswith(after)
        assert ids(driver.load()[0]) == ["a", "b", "c"]

    @both
    def test_append_to_a_list_without_runs(self, index):
        self.put("42", b'{"metadata": null, "runs": [\n]}')
        index.driver("42").append(run("a"))
        assert ids(index.driver("42").load()[0]) == ["a"]
        assert self.stored("42").startswith(b'{"metadata": null, "runs": [')

    @both
    def test_metadata_keep_every_other_byte_of_what_others_wrote(self, index):
        self.put("42", self.odd)
        index.driver("42").update_metadata({"k": 1})
        assert self.stored("42") == self.odd.replace(b'{ "k" : [ ] }', b'{"k": 1}')

    @both
    def test_loaded_and_stored_keeps_every_run_as_it_was(self, index):
        self.put("42", self.odd)
        driver = index.driver("42")
        driver.store(*driver.load())
        first = self.odd[self.odd.index(b'{"id"') : self.odd.index(b" ] , ")]
        assert first in self.stored("42")
        assert {"created", "z"} < set(json.loads(self.stored("42")))

    @both
    def test_writes_a_document_of_the_wire_texts_of_its_runs(self, index):
        runs = [run("a"), run("b")]
        index.driver("42").append(runs[0])
        index.driver("42").append(runs[1])
        texts = b", ".join(run.to_wire() for run in runs)
        assert self.stored("42") == b'{"runs": [%b], "metadata": {}}' % texts

    @both
    def test_appends_behind_what_others_stored_over_ours(self, index):
        index.driver("42").append(run("a"), run("b"))
        self.put("42", json.dumps({"runs": [run("c").to_dict()], "metadata": {}}))
        assert index.driver("42").append(run("a")) == 1
        assert ids(index.driver("42").load()[0]) == ["c", "a"]

    @both
    def test_a_write_of_others_changes_the_revision(self, index):
        driver = index.driver("42")
        revision = driver.store([run("a")], {})
        self.put("42", STOCK)
        with pytest.raises(ConversationConflict):
            driver.store([], {}, revision=revision)
        assert self.stored("42") == STOCK

    @both
    def test_a_write_of_others_of_the_same_length_changes_the_revision(self, index):
        driver = index.driver("42")
        revision = driver.store([run("a", "yes")], {})
        self.put("42", theirs := self.stored("42").replace(b"yes", b"no!"))
        with pytest.raises(ConversationConflict):
            driver.store([], {}, revision=revision)
        assert self.stored("42") == theirs

    @both
    def test_a_new_conversation_of_others_is_no_longer_absent(self, index):
        absent = index.driver("42").read().revision
        self.put("42", STOCK)
        with pytest.raises(ConversationConflict):
            index.driver("42").store([], {}, revision=absent)
        assert self.stored("42") == STOCK

    @both
    def test_store_accepts_the_revision_of_what_others_wrote(self, index):
        self.put("42", STOCK)
        index.driver("42").store([run("a")], {}, revision=index.driver("42").read().revision)
        assert ids(index.driver("42").load()[0]) == ["a"]

    @both
    def test_counts_the_runs_that_others_wrote(self, index):
        index.driver("42").append(run("a"))
        runs = [run(id).to_dict() for id in "abc"]
        self.put("42", json.dumps({"runs": runs, "metadata": {}}))
        assert index.driver("42").read().record.runs == 3

    @both
    def test_a_conversation_of_others_can_get_a_title(self, index):
        self.put("42", STOCK)
        index.driver("42").set_title("Refund")
        assert index.driver("42").record().title == "Refund"
        assert self.stored("42") == STOCK

    @both
    def test_deletes_a_conversation_of_others(self, index):
        self.put("42", STOCK)
        assert index.driver("42").delete() is True
        assert self.keys() == set()


class CorruptTests(RedisTestCase):
    raws = [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"runs": {}, "metadata": {}}',
        b'{"runs": [1], "metadata": {}}',
        b'{"runs": [], "metadata": []}',
        b'{"runs": [], "metadata": {}} more',
        b'{"runs": [,], "metadata": {}}',
        b'{"runs": [], "metadata": {"k": "\xff"}}',
        b"[" * 100_000,
        b'{"runs": ' + b"[" * 100_000,
        b"\x80\x04pickle",
    ]

    @both
    def test_is_an_error_that_names_all(self, index):
        for raw in self.raws:
            self.put("42", raw)
            with pytest.raises(ConversationCorrupt, match="'42'.*'default'.*not changed") as caught:
                index.driver("42").load()
            error = caught.value
            assert (error.alias, error.index) == ("default", self.index.name)
            assert (error.conversation_id, error.raw) == ("42", raw)
            assert error.reason

    @both
    def test_no_change_overwrites_it(self, index):
        driver = index.driver("42")
        for raw in self.raws:
            self.put("42", raw)
            for change in (
                lambda: driver.append(run("a")),
                lambda: driver.update_metadata({"k": "v"}),
                lambda: driver.tail(1),
            ):
                with pytest.raises(ConversationCorrupt):
                    change()
            assert self.keys() == {self.index.name.encode()}
            assert self.stored("42") == raw

    @both
    def test_store_and_delete_are_meant(self, index):
        self.put("42", b"{")
        index.driver("42").store([run("a")], {})
        assert ids(index.driver("42").load()[0]) == ["a"]
        self.put("42", b"{")
        assert index.driver("42").delete()

    @both
    def test_is_listed(self, index):
        self.put("42", b"{")
        index.driver("43").append(run("a"))
        assert {record.conversation_id for record in index.recent()} == {"42", "43"}
        assert index.driver("42").exists()

    @both
    def test_does_not_exist_for_an_owner(self, index):
        self.put("42", b"{")
        assert index.driver("42", owner="ann").load() == ([], {})
        with pytest.raises(ConversationNotFound):
            index.driver("42", owner="ann").append(run("a"))

    @both
    def test_says_nothing_of_the_content(self, index):
        self.put("42", b'{"runs": "the secret", "metadata": {}}')
        with pytest.raises(ConversationCorrupt) as caught:
            index.driver("42").load()
        assert "secret" not in f"{caught.value} {caught.value!r}"


class ConstructorTests(RedisTestCase):
    """The constructor of the original."""

    def setUp(self):
        super().setUp()
        pool = self.redis.connection_pool.connection_kwargs
        known = ("host", "port", "db", "username", "password")
        self.server = {"host": "localhost", "port": 6379}
        self.server |= {key: pool[key] for key in known if key in pool}
        self.addCleanup(indexes.close)

    def open(self, *, twin=False, **kwargs):
        driver = RedisConversationMemoryDriver(index=self.index.name, **self.server, **kwargs)
        return Awaited(driver) if twin else driver

    def test_finds_what_the_index_stored(self):
        self.index.driver("42").append(run("a"))
        for twin in (False, True):
            with self.subTest(twin=twin):
                assert ids(self.open(conversation_id="42", twin=twin).load()[0]) == ["a"]

    def test_stores_what_the_index_finds(self):
        for id, twin in (("1", False), ("2", True)):
            with self.subTest(twin=twin):
                self.open(conversation_id=id, owner="ann", twin=twin).append(run("a"))
                assert ids(self.index.driver(id, owner="ann").load()[0]) == ["a"]

    def test_knows_what_it_was_opened_with(self):
        driver = self.open(conversation_id=42, owner=7)
        assert (driver.host, driver.port) == (self.server["host"], self.server["port"])
        assert (driver.index, driver.conversation_id) == (self.index.name, "42")
        assert driver.owner == "7"

    def test_each_driver_has_an_id_of_its_own(self):
        assert self.open().conversation_id != self.open().conversation_id

    def test_errors_name_the_server(self):
        self.put("42", b"{")
        with pytest.raises(ConversationCorrupt, match=f"{self.server['port']}/"):
            self.open(conversation_id="42").load()

    def test_drivers_share_a_client(self):
        assert self.open().client is self.open().client

    def test_uses_a_client_that_it_is_given(self):
        with Redis.from_url(settings.REDIS_URL) as client:
            driver = self.open(conversation_id="42", client=client)
            driver.append(run("a"))
            assert driver.client is client
        assert ids(self.index.driver("42").load()[0]) == ["a"]

    def test_a_client_may_decode_replies_and_speak_either_protocol(self):
        self.put(b"\xff", STOCK)
        for options in ({"decode_responses": True}, {"protocol": 2}, {"protocol": 3}):
            with self.subTest(**options), Redis.from_url(settings.REDIS_URL, **options) as client:
                driver = self.open(conversation_id=b"\xff", client=client)
                driver.append(run("a"))
                assert ids(driver.load()[0]) == ["a"]
                assert driver.record().runs == 1

    def test_a_client_serves_the_async_twins_too(self):
        async def use(driver):
            await driver.aappend(run("a"))
            return await driver.atail(1)

        with Redis.from_url(settings.REDIS_URL) as client:
            driver = self.open(conversation_id="42", client=client)
            assert ids(asyncio.run(use(driver))) == ["a"]

    def test_a_client_that_it_is_given_stays_open(self):
        with Redis.from_url(settings.REDIS_URL) as client:
            self.open(client=client).exists()
            indexes.close()
            assert client.connection_pool._available_connections

    def test_to_dict_has_no_secret(self):
        driver = RedisConversationMemoryDriver(
            host="redis.internal", port=1, index="chats", username="me", password="hunter2"
        )
        assert driver.to_dict() == {
            "type": "RedisConversationMemoryDriver",
            "host": "redis.internal",
            "port": 1,
            "db": 0,
            "index": "chats",
        }

    def test_from_dict_opens_a_new_conversation_of_the_same_index(self):
        data = self.open(conversation_id="42").to_dict()
        driver = RedisConversationMemoryDriver.from_dict({**data, "unknown": 1})
        assert driver.to_dict() == data
        assert driver.conversation_id != "42"
        driver.append(run("a"))
        assert [*self.index] == [driver.conversation_id]

    def test_arguments_are_keyword_only(self):
        with pytest.raises(TypeError):
            RedisConversationMemoryDriver("localhost", 6379, "chats")


class OpeningTests(RedisTestCase):
    def test_costs_no_round_trip(self):
        with monitored(self.redis) as commands:
            self.index.driver("42", owner="ann")
            repr(self.index.driver())
        assert commands == []

    def test_needs_no_server(self):
        RedisConversationMemoryDriver(host="no.such.host", port=1, index="conversations")
