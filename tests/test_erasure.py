import logging
import threading
import time
from io import StringIO
from unittest import mock

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from conversation_memory import Erasure, Run, indexes
from conversation_memory.signals import conversations_anonymised, conversations_erased

from .servers import ServerTestCase, free_port
from .utils import RedisTestCase, both, each_layout

STOCK = b'{"runs": [], "metadata": {}}'


def run(id="a"):
    return Run("a question", "an answer", id=id)


def write(index, owner="ann", count=3):
    """So many conversations of an owner, of two runs each."""
    for number in range(count):
        index.driver(f"{owner}-{number}", owner=owner).append(run("a"), run("b"))


@each_layout
class EraseTests:
    @both
    def test_leaves_no_key(self, index):
        write(index)
        index.driver("ann-1").expire(100)
        index.driver("ann-2").set_title("A title")
        assert index.erase(owner="ann").conversations == 3
        assert self.keys() == set()

    @both
    def test_leaves_what_others_have(self, index):
        for owner in ("ann", "bob", "anna"):
            write(index, owner)
        index.driver("nobody's").append(run())
        self.put("a stranger's", STOCK)
        index.erase(owner="ann")
        assert len([*index]) == 8
        assert index.count("bob") == index.count("anna") == 3
        assert len(index.driver("bob-1", owner="bob").load()[0]) == 2

    @both
    def test_counts(self, index):
        write(index)
        document = sum(len(self.stored(id)) for id in index)
        texts = [self.redis.lrange(f"{{{self.index.name}}}:runs:{id}", 0, -1) for id in index]
        size = document + sum(len(text) for runs in texts for text in runs)
        assert index.erase(owner="ann") == Erasure(conversations=3, runs=6, bytes=size)

    @both
    def test_a_dry_run_counts_the_same_and_changes_nothing(self, index):
        write(index)
        before = self.dump()
        foreseen = index.erase(owner="ann", dry_run=True)
        assert self.dump() == before
        assert index.erase(owner="ann") == foreseen

    @both
    def test_of_nothing_is_nothing(self, index):
        write(index, "bob")
        for dry_run in (True, False):
            assert index.erase(owner="ann", dry_run=dry_run) == Erasure()
        assert index.count("bob") == 3

    @both
    def test_takes_what_is_past_its_deadline(self, index):
        for id in ("42", "43"):
            index.driver(id, owner="ann", ttl=0.02).append(run())
        self.put("43", STOCK)  # stays in the hash
        time.sleep(0.04)
        assert index.erase(owner="ann", dry_run=True).conversations == 2
        assert index.erase(owner="ann").conversations == 2
        assert self.keys() == set()

    @both
    def test_takes_what_was_moved_to_the_owner_and_not_what_was_moved_away(self, index):
        write(index)
        write(index, "bob", 1)
        index.driver("ann-0").move_to("bob")
        index.driver("ann-1").move_to(None)
        index.driver("bob-0").move_to("ann")
        assert index.erase(owner="ann").conversations == 2
        assert sorted(index) == ["ann-0", "ann-1"]

    @both
    def test_takes_what_lost_its_record(self, index):
        write(index, count=1)
        self.redis.delete(f"{{{self.index.name}}}:record:ann-0")
        assert index.erase(owner="ann").conversations == 1
        assert self.keys() == set()

    @both
    def test_takes_what_is_unreadable(self, index):
        write(index)
        self.put("ann-1", b"\xff no JSON")
        assert index.erase(owner="ann").conversations == 3
        assert self.keys() == set()

    @both
    def test_goes_on_where_it_was_interrupted(self, index):
        write(index)
        self.redis.delete(f"{{{self.index.name}}}:record:ann-0")
        self.redis.hdel(self.index.name, "ann-0", "ann-1")
        index.erase(owner="ann")
        assert self.keys() == set()

    @both
    def test_goes_in_batches(self, index):
        with mock.patch("conversation_memory.collection.erase.BATCH", 2):
            write(index, count=7)
            assert index.erase(owner="ann", dry_run=True).conversations == 7
            assert index.erase(owner="ann").conversations == 7
        assert self.keys() == set()

    @both
    def test_takes_every_kind_of_owner(self, index):
        for owner in (7, b"\xff", "a:b {c} 🙂", "x" * 1000):
            index.driver("42", owner=owner).append(run())
            assert index.erase(owner=owner).conversations == 1
            assert self.keys() == set()

    @both
    def test_wants_an_owner(self, index):
        index.driver("42").append(run())
        for owner in (None, "", b""):
            for call in (index.erase, index.anonymise):
                with pytest.raises(ValueError, match="`owner` is required"):
                    call(owner=owner)
        assert index.count() == 1

    def test_ends_beside_a_writer_who_never_rests(self):
        stop = threading.Event()

        def keep_writing():
            while not stop.is_set():
                self.index.driver("42", owner="ann").append(Run("q", "a"))

        writer = threading.Thread(target=keep_writing)
        writer.start()
        try:
            for _ in range(20):
                self.index.erase(owner="ann")
        finally:
            stop.set()
            writer.join()
        self.index.erase(owner="ann")
        assert self.keys() == set()

    def dump(self):
        return {key: self.redis.dump(key) for key in self.keys()}


@each_layout
class AnonymiseTests:
    @both
    def test_gives_what_an_owner_has_to_nobody(self, index):
        write(index)
        write(index, "bob")
        assert index.anonymise(owner="ann") == 3
        assert (index.count("ann"), index.count("bob"), index.count()) == (0, 3, 6)
        assert index.driver("ann-1").record().owner is None
        assert len(index.driver("ann-1").load()[0]) == 2
        assert not index.driver("ann-1", owner="ann").exists()

    @both
    def test_leaves_no_key_of_the_owner(self, index):
        write(index)
        self.redis.hdel(self.index.name, "ann-1")
        index.driver("ann-2").expire(0.01)
        time.sleep(0.02)
        assert index.anonymise(owner="ann") == 1
        assert not [key for key in self.keys() if b":owner:" in key]

    @both
    def test_goes_in_batches(self, index):
        with mock.patch("conversation_memory.collection.bulk.BATCH", 2):
            write(index, count=5)
            assert index.anonymise(owner="ann") == 5


class ReceiptTests(RedisTestCase):
    def received(self, signal, act):
        receipts = []

        def receive(sender, **arguments):
            receipts.append(arguments)

        signal.connect(receive)
        try:
            with self.assertLogs("conversation_memory", logging.INFO) as logs:
                act()
        finally:
            signal.disconnect(receive)
        self.log = logs.output
        return receipts

    @both
    def test_of_an_erasure(self, index):
        write(index)
        [receipt] = self.received(conversations_erased, lambda: index.erase(owner="ann"))
        assert (receipt["index"], receipt["owner"]) == (self.index, "ann")
        assert (receipt["erasure"].conversations, receipt["erasure"].runs) == (3, 6)
        assert "Erased 3 conversations (6 runs, " in self.log[0]
        assert "of owner 'ann' from index" in self.log[0]
        assert "question" not in self.log[0]

    @both
    def test_of_an_anonymisation(self, index):
        write(index)
        act = lambda: index.anonymise(owner="ann")  # noqa: E731
        [receipt] = self.received(conversations_anonymised, act)
        assert (receipt["owner"], receipt["conversations"]) == ("ann", 3)

    @both
    def test_a_dry_run_gives_none(self, index):
        def act():
            index.erase(owner="ann", dry_run=True)
            logging.getLogger("conversation_memory").info("nothing else")

        assert self.received(conversations_erased, act) == []
        assert len(self.log) == 1

    @both
    def test_a_receiver_that_fails_breaks_nothing(self, index):
        def receive(sender, **arguments):
            raise RuntimeError

        conversations_erased.connect(receive)
        self.addCleanup(conversations_erased.disconnect, receive)
        write(index)
        with self.assertLogs("django.dispatch"):
            assert index.erase(owner="ann").conversations == 3


class CommandTests(RedisTestCase):
    def erase(self, *args, answer=None, **options):
        out, err = StringIO(), StringIO()
        with mock.patch("builtins.input", return_value=answer):
            try:
                call_command("eraseconversations", *args, stdout=out, stderr=err, **options)
            finally:
                self.errors = err.getvalue()
        return out.getvalue()

    def test_asks_before_it_erases(self):
        write(self.index)
        with pytest.raises(CommandError, match="Nothing was erased"):
            self.erase("ann", answer="no")
        assert self.index.count() == 3
        out = self.erase("ann", answer="yes")
        assert "default: 3 conversations, 6 runs, " in out
        assert "to erase\ndefault: 3 conversations" in out
        assert self.keys() == set()

    def test_does_not_ask_if_it_shall_not(self):
        write(self.index)
        assert self.erase("ann", "--no-input").count("\n") == 1
        write(self.index)
        self.erase("ann", interactive=False)
        assert self.keys() == set()

    def test_a_dry_run_only_counts(self):
        write(self.index)
        assert self.erase("ann", "--dry-run").startswith("default: 3 conversations, 6 runs, ")
        assert self.index.count() == 3

    def test_names_what_may_hold_copies(self):
        write(self.index)
        self.erase("ann", interactive=False)
        for word in ("RDB snapshot (last written 2", "run BGSAVE", "Dumps and backups"):
            assert word in self.errors

    def test_a_quiet_one_says_nothing(self):
        write(self.index)
        assert (self.erase("ann", interactive=False, verbosity=0), self.errors) == ("", "")

    def test_names_the_indexes_that_it_did_not_look_into(self):
        other = {"URL": settings.REDIS_URL, "INDEX": f"{self.index.name}-2"}
        with self.settings(REDIS={**settings.REDIS, "other": other}):
            self.erase("ann", interactive=False)
            assert "Not included: 'other' (see --all-indexes)." in self.errors
            out = self.erase("ann", "--all-indexes", "--no-input")
            assert "default: 0 conv" in out
            assert "other: 0 conv" in out
            assert "Not included" not in self.errors

    def test_failures_are_sentences(self):
        with pytest.raises(CommandError, match="An owner is required"):
            self.erase("", interactive=False)
        with pytest.raises(CommandError, match="There is no alias 'nobody'"):
            self.erase("ann", using="nobody")
        down = {"HOST": "localhost", "PORT": free_port()}
        with self.settings(REDIS={"default": down}):
            with pytest.raises(CommandError, match="Redis of alias 'default' cannot be reached"):
                self.erase("ann", interactive=False)
        with self.settings(REDIS=[]):
            with pytest.raises(CommandError, match="not a dict"):
                self.erase("ann", interactive=False)


class CopiesTests(ServerTestCase):
    options = {"appendonly": "yes"}

    @both
    def test_the_server_says(self, index):
        copies = index.copies()
        assert copies.append_only_file
        assert copies.replicas == 0
        assert copies.saved is not None

    @both
    def test_or_is_not_permitted_to(self, index):
        url = self.user("~*", "&*", "+@all", "-info")
        entry = {"URL": url, "INDEX": index.name}
        with self.settings(REDIS={"default": entry}):
            copies = indexes["default"].copies()
        assert (copies.append_only_file, copies.saved, copies.replicas) == (None, None, None)

    def test_the_command_says_what_to_do(self):
        err = StringIO()
        write(self.index)
        call_command("eraseconversations", "ann", "--no-input", stdout=StringIO(), stderr=err)
        assert "run BGREWRITEAOF" in err.getvalue()
