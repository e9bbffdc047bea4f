"""reindexconversations, and the index.reindex() behind it."""

import io
import json
import threading
from itertools import pairwise
from unittest import mock

import pytest
from django.core.management import CommandError, call_command

from conversation_memory import Run
from conversation_memory.exceptions import RedisMisconfigured
from conversation_memory.search import reindex as reindexing
from conversation_memory.search.reindex import Reindexing

from .servers import ServerTestCase
from .test_search_writes import Documents, run
from .utils import RedisTestCase, both, each_layout


def document(*runs, **metadata):
    return json.dumps({"runs": [run.to_dict() for run in runs], "metadata": metadata}).encode()


@each_layout
class ReindexTests(Documents):
    entry = {"SEARCH": {"FIELDS": {"topic": "tag"}}}

    @both
    def test_what_others_wrote_is_found(self, index):
        self.put("42", document(run("a"), run("b"), topic="x"))
        self.put("43", document())
        assert index.reindex() == Reindexing(seen=2, indexed=2, documents=2)
        assert self.documents() == self.expected("42")
        assert self.document("42", "a")[b"tag_topic"] == b"x"
        assert index.search_state().complete

    @both
    def test_run_again_it_writes_nothing(self, index):
        index.driver("1").append(run("a"))
        self.put("42", document(run("a")))
        index.reindex()
        before = {key: self.redis.dump(key) for key in self.keys()}
        assert index.reindex() == Reindexing(seen=2)
        after = {key: self.redis.dump(key) for key in self.keys()}
        del before[self.key("search").encode()], after[self.key("search").encode()]
        assert after == before

    @both
    def test_what_others_added_and_took_out_since(self, index):
        self.put("42", document(run("a"), run("b")))
        index.reindex()
        self.put("42", document(run("b"), run("c"), run("longer")))
        assert index.reindex().documents == 2
        assert self.documents() == self.expected("42")

    @both
    def test_only_what_is_missing_is_written(self, index):
        kept = run("a")
        self.put("42", document(kept))
        index.reindex()
        self.put("42", document(kept, run("b")))
        assert index.reindex().documents == 1
        assert self.documents() == self.expected("42")

    @both
    def test_runs_from_before_search_was_set(self, index):
        plain = self.plain()
        for number in range(5):
            plain.driver(number, owner="ann").append(run("a"), run("b"))
        assert index.reindex().documents == 10
        assert self.documents() == self.expected(*"01234")
        assert b"o" in self.document("0", "a")
        index.driver("0", owner="ann").append(run("c"))
        assert self.is_current("0")
        index.erase(owner="ann")
        assert self.documents() == {}

    @both
    def test_the_time_of_a_run_is_that_of_the_last_write(self, index):
        self.plain().driver("42").append(run("a"))
        index.reindex()
        updated = index.driver("42").record().updated
        assert int(self.document("42", "a")[b"t"]) == round(updated.timestamp() * 1000)

    @both
    def test_a_write_by_a_stranger_is_read_on_with_his_metadata(self, index):
        index.driver("42").store([run("a")], {"topic": "mine"})
        index.driver("42").delete()
        self.put("42", document(run("a"), topic="theirs"))
        index.reindex()
        assert self.document("42", "a")[b"tag_topic"] == b"theirs"

    @both
    def test_what_cannot_be_read_is_named_and_keeps_no_other_waiting(self, index):
        self.put("1", document(run("a")))
        self.put("2", b"no JSON")
        self.put("3", document(run("a")))
        failures = []
        done = index.reindex(failure=failures.append)
        assert (done.indexed, done.failed) == (2, 1)
        assert "'2'" in str(failures[0])
        assert self.documents() == self.expected("1", "3")

    @both
    def test_what_cannot_be_read_does_not_make_searches_incomplete(self, index):
        self.put("1", document(run("a")))
        self.put("2", b"no JSON")
        index.reindex(failure=lambda error: None)
        assert index.search_state().complete
        done = index.reindex()
        assert (done.seen, done.indexed, done.failed) == (2, 0, 0)
        self.put("2", document(run("b")))
        assert index.reindex().indexed == 1
        assert self.documents() == self.expected("1", "2")
        self.put("2", b"no JSON again")
        index.reindex(failure=lambda error: None)
        assert self.documents() == self.expected("1")
        assert self.stored("2") == b"no JSON again"

    @both
    def test_documents_of_what_others_deleted_are_swept(self, index):
        for id in ("1", "2"):
            index.driver(id).append(run("a"))
        self.redis.hdel(self.index.name, "1")
        assert index.reindex().swept == 1
        assert self.documents() == self.expected("2")
        self.redis.delete(self.key("record:2"))
        assert index.reindex().swept == 1
        assert self.documents() == self.expected("2")

    @both
    def test_interrupted_it_goes_on(self, index):
        for number in range(6):
            self.put(str(number), document(run("a")))

        def stop(done):
            if done.indexed:
                raise KeyboardInterrupt

        with mock.patch.object(reindexing, "_CONVERSATIONS", 2):
            with pytest.raises(KeyboardInterrupt):
                index.reindex(progress=stop)
            assert len(self.documents()) == 2
            assert index.reindex().indexed == 4
        assert self.documents() == self.expected(*"012345")

    def test_it_reads_a_little_at_a_time(self):
        for number in range(9):
            self.put(str(number), document(run("a", "x" * 1000)))
        seen = []
        with mock.patch.object(reindexing, "_BYTES", 4000):
            self.index.reindex(progress=seen.append)
        counts = [after.indexed - before.indexed for before, after in pairwise(seen)]
        assert max(counts) <= 3

    def test_beside_writers_no_document_is_missing(self):
        for number in range(20):
            self.put(str(number), document(run("first")))

        def write():
            for number in range(200):
                self.index.driver(str(number % 20)).append(run(f"{number}"))

        thread = threading.Thread(target=write)
        thread.start()
        while thread.is_alive():
            self.index.reindex()
        self.index.reindex()
        assert self.documents() == self.expected(*map(str, range(20)))

    def test_the_command_counts_and_says_what_it_did(self):
        self.put("42", document(run("a"), run("b")))
        self.put("43", document(run("a")))
        out = self.call()
        assert out == "Wrote 3 search documents for 2 conversations; 0 had theirs already.\n"
        assert "; 2 had theirs already" in self.call()
        self.redis.hdel(self.index.name, "43")
        assert ", removed those of 1 deleted conversation; 1 had" in self.call()
        assert self.call(verbosity=0) == ""

    def test_the_command_says_a_line_now_and_then(self):
        for number in range(3):
            self.put(str(number), document(run("a")))
        with mock.patch("conversation_memory.management.command.EVERY", 0):
            self.call()
        assert "3 of 3, 3 indexed" in self.errors

    def test_the_command_fails_if_something_was_left(self):
        self.put("42", b"no JSON")
        with pytest.raises(CommandError, match="Not readable, see above: 1 conversation"):
            self.call()
        assert "'42'" in self.errors

    def test_the_command_shows_a_bar_at_a_terminal(self):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        self.put("42", document(run("a")))
        self.call(err=Terminal())
        assert "Indexing: 100%" in self.errors

    def call(self, *args, err=None, **options):
        out, err = io.StringIO(), err or io.StringIO()
        try:
            call_command("reindexconversations", *args, stdout=out, stderr=err, **options)
        finally:
            self.errors = err.getvalue()
        return out.getvalue()


class OffTests(RedisTestCase):
    @both
    def test_without_search_there_is_nothing_to_index(self, index):
        with pytest.raises(RedisMisconfigured, match="'default' is not switched on"):
            index.reindex()
        with pytest.raises(CommandError, match="not switched on"):
            call_command("reindexconversations")


class WithoutModuleTests(ServerTestCase):
    entry = {"SEARCH": True}

    def test_it_says_that_there_is_no_redisearch(self):
        self.index.driver("42").append(Run("a", "b"))
        with pytest.raises(RedisMisconfigured, match="has no RediSearch"):
            self.index.reindex()
        assert not self.redis.keys(self.key("run:*"))
