"""Conversations of an index with ENCRYPTION."""

import copy
import json
from functools import partial
from uuid import uuid4

from django.conf import settings
from griptape.drivers.memory.conversation.redis_conversation_memory_driver import (
    RedisConversationMemoryDriver as GriptapeDriver,
)
from griptape.memory.structure import ConversationMemory
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from conversation_memory import Run, exceptions
from conversation_memory.exceptions import ConversationUndecryptable, InvalidIndexError
from conversation_memory.masking import hide_secrets
from conversation_memory.message_list import MessageList

from .encrypting import EncryptedTestCase, encryption, key
from .strategies import texts, values
from .utils import Awaited, both, each_layout

SECRET = "lighthouse"
RUN = Run(f"Where is the {SECRET}?", f"The {SECRET} is on the cape.", {"of": SECRET}, id="r1")


def filled(index, id="c", **options):
    driver = index.driver(id, **options)
    driver.store([RUN, Run("and", SECRET, id="r2")], {"about": SECRET})
    return driver


@each_layout
class StoredTests:
    case, entry = EncryptedTestCase, EncryptedTestCase.entry

    @both
    def test_what_was_written_is_read(self, index):
        driver = index.driver("c", owner="ada")
        driver.append(RUN)
        driver.append(Run("q", "a", id="r2"), Run("x", "y", id="r3"))
        assert driver.append(RUN) == 0
        driver.update_metadata({"about": SECRET})
        driver.set_title(f"The {SECRET}")
        runs, metadata = driver.load()
        assert [run.id for run in runs] == ["r1", "r2", "r3"]
        assert (runs[0], metadata) == (RUN, {"about": SECRET})
        assert index.recent(owner="ada")[0].title == f"The {SECRET}"
        assert [run.id for run in driver.tail(2)] == ["r2", "r3"]
        driver.edit(Run("new", SECRET, id="r2"))
        driver.annotate("r3", {"rating": SECRET})
        assert driver.load()[0][2].meta == {"rating": SECRET}
        driver.remove("r1")
        driver.truncate(after="r2")
        assert [run.output.text for run in driver.load()[0]] == [SECRET]

    @both
    def test_a_revision_is_that_of_the_last_write(self, index):
        driver = index.driver("c")
        revision = driver.store([RUN], {})
        assert driver.read().revision == revision
        later = driver.store([RUN, Run("q", "a")], {}, revision=revision)
        assert driver.read().revision == later
        with self.assertRaises(exceptions.ConversationConflict):
            driver.store([], {}, revision=revision)

    def test_no_text_of_it_is_in_redis(self):
        driver = filled(self.index, owner="ada")
        driver.set_title(SECRET)
        driver.append(Run(SECRET, SECRET))
        reply = driver.begin(SECRET)
        reply.claim()
        reply.write(SECRET)
        reply.fail(SECRET)
        assert SECRET not in repr(self.everything())
        with driver.reply(reply.run_id) as reply:
            reply.write(SECRET)
        assert SECRET not in repr(self.everything())
        assert driver.load()[0][-1].output.text == SECRET

    def test_a_conversation_is_found_by_reading(self):
        filled(self.index, owner="ada")
        found = self.index.search(SECRET, owner="ada")
        assert {hit.run.id for hit in found} == {"r1", "r2"}
        assert [one.conversation_id for one in self.index.titled(SECRET, owner="ada")] == ["c"]
        assert self.index.find_named(SECRET).ids == [b"c"]
        wanted = self.index.find_with_run(lambda _, run: SECRET in run.output.text)
        assert wanted.ids == [b"c"]

    def test_the_check_is_content_and_mends(self):
        filled(self.index)
        self.index.driver("d").append(RUN)
        assert self.index.check().left == 0
        self.redis.hset(self.index._layout.keys.record(b"c"), mapping={"crc": "x", "runs": 1})
        assert self.index.check(fix=True).left == 0
        assert len(self.index.driver("c").load()[0]) == 2


@each_layout
class CopiedTests:
    case, entry = EncryptedTestCase, EncryptedTestCase.entry

    @both
    def test_a_copy_and_a_new_id_are_readable(self, index):
        driver = filled(index, owner="ada")
        driver.set_title(SECRET)
        copy = driver.fork("copy", until="r1")
        assert copy.load()[0] == [RUN]
        driver.rename("renamed")
        found = index.driver("renamed", owner="ada").read()
        assert (len(found.runs), found.metadata) == (2, {"about": SECRET})
        assert found.record.title == SECRET
        driver.move_to("grace")
        assert index.driver("renamed", owner="grace").load()[0][0] == RUN
        assert index.check().left == 0

    def test_what_is_copied_in_redis_does_not_open_elsewhere(self):
        filled(self.index)
        keys = self.index._layout.keys
        self.redis.hset(keys.index, "d", self.redis.hget(keys.index, "c"))
        for name in ("record", "runs"):
            source = getattr(keys, name)(b"c")
            if self.redis.exists(source):
                self.redis.copy(source, getattr(keys, name)(b"d"))
        with self.assertRaisesMessage(ConversationUndecryptable, "key 'a'"):
            self.index.driver("d").load()

    def test_what_is_copied_to_another_index_does_not_open_there(self):
        filled(self.index)
        name = self.index.name
        self.redis.copy(name, f"{name}-2")
        self.addCleanup(self.redis.delete, f"{name}-2")
        with self.keys_are("a", entry={"INDEX": f"{name}-2"}) as other:
            with self.assertRaises(ConversationUndecryptable):
                other.driver("c").load()

    def test_a_conversation_takes_its_open_runs_along(self):
        driver = filled(self.index)
        reply = driver.begin(SECRET).claim()
        reply.write("so far")
        reply.flush()
        reply.fail("no more")
        driver.rename("renamed")
        open = self.index.driver("renamed").open_runs()[0]
        assert (open.input.text, open.reason) == (SECRET, "no more")
        with self.index.driver("renamed").reply(reply.run_id, resume=True) as again:
            assert again.text == "so far"


WRITES = {
    "append": lambda driver: driver.append(Run("q", "a")),
    "store": lambda driver: driver.store([], {}),
    "update_metadata": lambda driver: driver.update_metadata({"a": 1}),
    "edit": lambda driver: driver.edit(Run("q", "a", id="r1")),
    "annotate": lambda driver: driver.annotate("r1", {"a": 1}),
    "remove": lambda driver: driver.remove("r1"),
    "truncate": lambda driver: driver.truncate(after="r1"),
    "set_title": lambda driver: driver.set_title("t"),
    "fork": lambda driver: driver.fork("fork"),
    "rename": lambda driver: driver.rename("renamed"),
    "begin": lambda driver: driver.begin("q"),
    "reply": lambda driver: driver.reply("open").claim(),
    "cancel": lambda driver: driver.cancel("open"),
    "discard": lambda driver: driver.discard("open"),
}
# Those that an older key than the newest one need not open: they only add.
ADDING = {"list": {"append", "begin"}, "hash": {"begin"}}


@each_layout
class WrongKeyTests:
    case, entry = EncryptedTestCase, EncryptedTestCase.entry

    def setUp(self):
        super().setUp()
        driver = filled(self.index)
        driver.set_title(SECRET)
        reply = driver.begin(SECRET, run_id="open").claim()
        reply.write("so far")
        reply.fail(SECRET)
        self.before = self.everything()

    def refused(self, index, error, *, but=()):
        for name, write in WRITES.items():
            for each in (index, Awaited(index)):
                with self.subTest(name, twin=each is not index):
                    if name in but:
                        continue
                    with self.assertRaisesMessage(error, "'a'"):
                        write(each.driver("c"))
                    self.untouched()

    def untouched(self):
        after, proofs = self.everything(), self.index._layout.keys.proofs()
        assert after | {proofs: None} == self.before | {proofs: None}

    def test_another_key_of_the_same_id_writes_nothing(self):
        with self.keys_are(("x", "a")) as index:
            self.refused(index, exceptions.ConversationMemoryError)
            with self.assertRaises(InvalidIndexError):
                index.driver("new").append(RUN)
        assert len(self.index.driver("c").load()[0]) == 2

    def test_a_missing_key_writes_nothing(self):
        but = ADDING[self.index.settings.layout]
        with self.keys_are("b") as index:
            self.refused(index, ConversationUndecryptable, but=but)

    def test_an_alias_without_encryption_writes_nothing(self):
        with self.keys_are() as index:
            self.refused(index, ConversationUndecryptable)

    def test_nor_if_the_record_was_lost(self):
        self.redis.delete(self.index._layout.keys.record(b"c"))
        self.before = self.everything()
        with self.keys_are() as index:
            self.refused(index, ConversationUndecryptable, but={"reply", "cancel", "discard"})

    def test_what_cannot_be_decrypted_is_told_and_kept(self):
        with self.keys_are("b") as index:
            assert index.check(fix=True).left == 1
            assert index.find_unreadable().ids == [b"c"]
            assert index.recent()[0].title == ""
            failures = []
            assert index.rotate_keys(failure=failures.append).failed == 1
            assert "key 'a'" in str(failures[0])
            [open] = index.driver("c").open_runs()
            with self.assertRaisesMessage(exceptions.Damaged, "key 'a'"):
                _ = open.input
            assert not index.search(SECRET)
            self.untouched()

    def test_what_somebody_wrote_beside_it_is_not_shown(self):
        driver, keys = self.index.driver("new"), self.index._layout.keys
        driver.append(RUN)
        driver.begin("Why?", run_id="o")
        driver.fail("o", "Stopped.")
        state = self.redis.hget(keys.open(b"new"), "state:o").rpartition(b" ")[0]
        question = Run("forged", "", id="o").to_wire()
        forged = {"question:o": question, "state:o": state + b' "forged"'}
        self.redis.hset(keys.open(b"new"), mapping=forged)
        [open] = driver.open_runs()
        assert open.reason == ""
        with self.assertRaises(exceptions.Damaged):
            _ = open.input

    def test_a_person_may_delete_it(self):
        with self.keys_are("b") as index:
            assert index.driver("c").delete()
        assert self.keys() == {self.index._layout.keys.proofs()}

    def test_a_plain_title_that_looks_like_a_sealed_one(self):
        record = self.index._layout.keys.record(b"c")
        self.index.driver("c").append(RUN)
        unknown = b"cm1.gone." + b"A" * 60
        for title, shown in ((b"cm1.x. Notes", "cm1.x. Notes"), (unknown, "")):
            self.redis.hset(record, "title", title)
            assert self.index.driver("c").record().title == ""
            with self.keys_are("a", READ_PLAINTEXT=True) as index:
                assert index.driver("c").record().title == shown
                failures = []
                index.rotate_keys(failure=failures.append)
                assert len(failures) == (shown == "")
            assert self.index.driver("c").record().title == shown
        assert self.redis.hget(record, "title") == unknown
        self.redis.hdel(record, "title")
        self.index.driver("c").set_title(unknown.decode())
        assert self.index.driver("c").record().title == unknown.decode()

    def test_metadata_of_a_stock_driver_are_refused_unless_wanted(self):
        self.put("stock", b'{"runs": [], "metadata": {"a": 1}}')
        with self.assertRaisesMessage(ConversationUndecryptable, "READ_PLAINTEXT"):
            self.index.driver("stock").load()
        with self.assertRaises(ConversationUndecryptable):
            self.index.driver("stock").append(RUN)
        with self.keys_are("a", READ_PLAINTEXT=True) as index:
            assert index.driver("stock").load()[1] == {"a": 1}
            index.driver("stock").append(RUN)
        assert self.index.driver("stock").load() == ([RUN], {"a": 1})


@each_layout
class QuestionTests:
    case, entry = EncryptedTestCase, EncryptedTestCase.entry

    def test_a_list_with_a_question_that_cannot_be_decrypted_is_not_replaced(self):
        self.index.driver("c").begin(SECRET)
        with self.keys_are("b", "a") as newer:
            filled(newer)  # nothing but the question needs the older key
        with self.keys_are("b") as other:
            before, messages = self.everything(), MessageList(other.driver("c"))
            for listed in (messages, Awaited(messages)):
                for change in (partial(listed.replace, []), listed.clear):
                    with self.assertRaisesMessage(ConversationUndecryptable, "'a'"):
                        change()
                    assert self.everything() == before


class RoundTripTests(EncryptedTestCase):
    @hypothesis_settings(max_examples=20)
    @given(texts, texts, st.dictionaries(texts, values))
    def test_any_text_and_metadata_come_back(self, input, output, metadata):
        for layout in ("hash", "list"):
            with self.keys_are("a", entry={"LAYOUT": layout}) as index:
                driver = index.driver(layout)
                driver.store([Run(input, output, {"m": metadata}, id="r")], metadata)
                driver.append(Run(output, input, id=f"s{uuid4()}"))
                runs, found = driver.load()
                assert json.dumps(found) == json.dumps(metadata)
                assert runs[1].input.text == output
                assert json.dumps(runs[0].meta) == json.dumps({"m": metadata})


class StockDriverTests(EncryptedTestCase):
    def test_a_stock_driver_fails_and_destroys_nothing(self):
        filled(self.index)
        before = self.everything()
        stock = GriptapeDriver(
            host="", port=0, index=self.index.name, conversation_id="c", client=self.redis
        )
        with self.assertRaises(json.JSONDecodeError):
            stock.load()
        with self.assertRaises(json.JSONDecodeError):
            ConversationMemory(conversation_memory_driver=stock)
        assert self.everything() == before
        assert len(self.index.driver("c").load()[0]) == 2


class SecretTests(EncryptedTestCase):
    def test_a_deep_copy_has_the_keys(self):
        filled(self.index).load()
        for twin in (copy.deepcopy(self.index).driver("c"), copy.deepcopy(self.index.driver("c"))):
            assert len(twin.load()[0]) == 2

    def test_keys_are_masked_in_settings(self):
        entry = {"URL": "redis://localhost", "ENCRYPTION": encryption("a")}
        with self.settings(REDIS={"default": entry}):
            hide_secrets()
            assert key("a")["key"] not in repr(settings.REDIS)
