"""Search documents that were lost, doubled or never written: said so, found by a check, mended."""

import json
from unittest import mock

import pytest
from django.conf import settings

from conversation_memory import ConversationIndex, conf
from conversation_memory.archive import restore
from conversation_memory.check import findings
from conversation_memory.search_index import sweep as sweeping
from conversation_memory.search_index.reasons import Reason, explained

from .archives import dumped, restored
from .searching import Settled, settled
from .test_search_writes import Documents, run
from .utils import both, each_layout

OF_DOCUMENTS = {
    findings.NOT_INDEXED,
    findings.STRAY_DOCUMENTS,
    findings.LOST_DOCUMENT,
    findings.WRONG_DOCUMENT_COUNT,
}


class Repair(Settled, Documents):
    """Two conversations of one owner, "1" and "2", of which one is spoilt."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.redis.delete, self.key("search"))
        self.write(self.index)

    def wipe(self):
        """Delete every key, but let it stay known that all runs have documents."""
        for key in self.keys() - {self.key("search").encode()}:
            self.redis.delete(key)
        self.redis.hdel(self.key("search"), "documents")

    def write(self, index):
        for id in "12":
            index.driver(id, owner="ann").append(run(f"{id}a"), run(f"{id}b"))

    def token(self, id):
        return self.redis.hget(self.key(f"record:{id}"), "token").decode()

    def state(self):
        """That of a process that has seen nothing yet."""
        index = ConversationIndex(conf.get("default"))
        self.addCleanup(index._connection.close)
        return settled(index.search_state)

    def found(self, index, text="question", **options):
        return sorted(hit.run_id for hit in index.search(text, **options))

    def kinds(self, report):
        return {kind: problem.found for kind, problem in report.problems.items()}

    def is_fine(self, index, *ids):
        assert not {*index.check().problems} & OF_DOCUMENTS
        assert self.documents() == self.expected(*ids)
        assert self.count() == self.indexed()
        assert self.state().kind == "ready", self.state().reason

    def count(self):
        return int(self.redis.hget(self.key("search"), "documents") or 0)

    def mended(self, index, spoil, ids="12", kinds=None):
        """Whatever `spoil` does, check finds it, and either check --fix or a reindex mends it.

        In one layout the sync check and the async reindex, in the other one the other two.
        """
        kinds = kinds or {findings.NOT_INDEXED: 1}
        self.wipe()
        self.write(index)
        self.is_fine(index, *"12")
        spoil()
        assert self.kinds(index.check()).items() >= kinds.items()
        if (index is self.index) == (self.entry["LAYOUT"] == "hash"):
            index.check(fix=True)
        else:
            index.reindex()
        self.is_fine(index, *ids)


@each_layout
class RenamedTests(Repair):
    entry = {"SEARCH": True}

    @both
    def test_a_sweep_leaves_what_was_renamed_while_it_looked(self, index):
        self.write(index)
        original = sweeping.strays

        def late(keys, tokens):
            found = yield from original(keys, tokens)
            stale = [(token, b"1") for token in tokens if token == self.token("1").encode()]
            self.index.driver("1").rename("3")
            return [*found, *stale]

        with mock.patch.object(sweeping, "strays", late):
            index.reindex()
        self.is_fine(index, "2", "3")
        assert self.found(index) == ["1a", "1b", "2a", "2b"]

    @both
    def test_a_token_is_not_taken_twice(self, index):
        """As by a writer who repeats himself when the conversation has another id by now."""
        self.write(index)
        token = b"0123456789abcdef"
        with mock.patch(
            "conversation_memory.search_index.run_documents.fresh_token", return_value=token
        ):
            index.driver("3", owner="ann").append(run("3a"))
            index.driver("3").rename("4")
            index.driver("3", owner="bob").append(run("3b"))
        assert self.token("4") == token.decode() != self.token("3")
        assert len({*self.redis.hvals(self.key("owners"))}) == 2
        index.driver("3").delete()
        self.is_fine(index, "1", "2", "4")

    @both
    def test_the_documents_of_another_are_not_deleted_with_a_token(self, index):
        self.write(index)
        self.redis.hset(self.key("record:1"), "token", self.token("2"))
        index.driver("1").delete()
        assert self.expected("2").items() <= self.documents().items()


@each_layout
class LossTests(Repair):
    entry = {"SEARCH": True}

    @both
    def test_a_document_that_was_evicted(self, index):
        def spoil():
            [key] = [*self.redis.scan_iter(self.key(f"run:{self.token('1')}:*"))][:1]
            self.redis.delete(key)
            state = self.state()
            assert (state.kind, state.complete) == ("incomplete", False)
            assert state.reason == Reason("lost", 1)

        self.mended(index, spoil)

    @both
    def test_the_list_of_documents(self, index):
        def spoil():
            self.redis.delete(self.key(f"documents:{self.token('1')}"))

        self.mended(index, spoil, kinds={findings.NOT_INDEXED: 1, findings.LOST_DOCUMENT: 2})

    @both
    def test_what_tokens_stand_for(self, index):
        self.mended(
            index,
            lambda: self.redis.delete(self.key("tokens")),
            kinds={findings.NOT_INDEXED: 2, findings.LOST_DOCUMENT: 4},
        )

    @both
    def test_what_stands_for_owners(self, index):
        def spoil():
            self.redis.delete(self.key("owners"))
            self.index._engine._verifier._tags.clear()
            results = index.search("question", owner="ann")
            assert (len(results), results.complete) == (0, False)

        self.mended(index, spoil, kinds={findings.NOT_INDEXED: 2})
        assert self.found(index, owner="ann") == ["1a", "1b", "2a", "2b"]

    @both
    def test_a_token_that_stands_for_another_conversation(self, index):
        def spoil():
            self.redis.hset(self.key("record:1"), "token", self.token("2"))

        self.mended(index, spoil)

    @both
    def test_a_record(self, index):
        def spoil():
            index.driver("1").move_to(None)
            self.redis.delete(self.key("record:1"))

        self.mended(index, spoil)

    @both
    def test_a_count_that_is_wrong(self, index):
        for count in (0, 77):
            self.mended(
                index,
                lambda count=count: self.redis.hset(self.key("search"), "documents", count),
                kinds={findings.WRONG_DOCUMENT_COUNT: 1},
            )

    @both
    def test_a_conversation_that_another_program_deleted(self, index):
        def spoil():
            self.redis.hdel(self.index.name, "1")
            self.redis.delete(self.key("runs:1"))

        self.mended(index, spoil, ids="2", kinds={findings.STRAY_RECORD: 1})

    @both
    def test_a_token_of_nothing(self, index):
        def spoil():
            self.redis.hdel(self.index.name, "1")
            self.redis.delete(self.key("runs:1"), self.key("record:1"))
            self.redis.zrem(self.key("recent"), "1")
            self.redis.zrem(self.key("owner:ann"), "1")

        self.mended(index, spoil, ids="2", kinds={findings.STRAY_DOCUMENTS: 1})

    @both
    def test_an_orphan_without_a_conversation(self, index):
        self.write(index)
        self.redis.delete(self.key(f"documents:{self.token('1')}"))
        index.driver("1").delete()
        assert self.kinds(index.check()) == {findings.LOST_DOCUMENT: 2}
        assert index.check(fix=True).left == 0
        self.is_fine(index, "2")

    @both
    def test_an_erasure_leaves_no_orphan(self, index):
        self.write(index)
        index.driver("3", owner="bob").append(run("3a"))
        self.redis.delete(self.key(f"documents:{self.token('1')}"))
        self.plain().erase(owner="ann")
        self.is_fine(index, "3")

    @both
    def test_an_overwritten_run_of_the_same_length(self, index):
        index.driver("3").append(run("3a", "an answer"))
        name, key = (
            (self.index.name, None)
            if self.entry["LAYOUT"] == "hash"
            else (None, self.key("runs:3"))
        )
        text = self.redis.lindex(key, 0) if key else self.redis.hget(name, "3")
        other = text.replace(b"an answer", b"an anchor")
        self.redis.lset(key, 0, other) if key else self.redis.hset(name, "3", other)
        assert findings.NOT_INDEXED in self.kinds(index.check())
        assert index.check(fix=True).left == 0
        assert self.found(index, "anchor") == ["3a"]
        assert index.check().problems == {}


@each_layout
class CompleteTests(Repair):
    """`results.complete` is true only if nothing is known to be missing."""

    entry = {"SEARCH": True}

    @both
    def test_a_writer_without_search_is_known(self, index):
        self.write(index)
        plain = self.plain()
        plain.driver("1", owner="ann").append(run("1c"))
        assert self.state().kind == "incomplete"
        assert self.state().reason == Reason("partly_indexed", 1)
        index.driver("1").append(run("1d"))
        assert self.state().kind == "incomplete"
        index.driver("1").rename("3")
        assert self.state().kind == "incomplete"
        index.reindex()
        self.is_fine(index, "2", "3")

    @both
    def test_whatever_makes_it_whole_makes_it_ready(self, index):
        for make in (
            lambda driver: driver.store([run("1x")]),
            lambda driver: driver.delete(),
            lambda driver: index.reindex(),
            lambda driver: index.check(fix=True),
        ):
            self.wipe()
            self.write(index)
            self.plain().driver("1").append(run("1c"))
            make(index.driver("1"))
            assert self.state().kind == "ready", self.state().reason

    @both
    def test_runs_beside_those_of_another_program(self, index):
        self.write(index)
        self.put("3", json.dumps({"runs": [run("3a").to_dict()], "metadata": {}}).encode())
        assert self.state().kind == "incomplete"
        index.driver("3").append(run("3b"))
        assert self.state().kind == "incomplete"
        index.reindex()
        self.is_fine(index, *"123")

    @both
    def test_hits_in_what_another_program_overwrote(self, index):
        self.write(index)
        runs = [run("1a").to_dict(), run("new").to_dict()]
        self.put("1", json.dumps({"runs": runs, "metadata": {}}).encode())
        results = index.search("question", owner="ann")
        assert not results.complete
        assert "reindexconversations" in explained(results.reasons)
        index.reindex()
        assert index.search("question", owner="ann").complete

    def test_a_changed_definition_does_not_make_the_old_one_incomplete(self):
        entry = {**settings.REDIS["default"], "SEARCH": {"FIELDS": {"topic": "tag"}}}
        with self.settings(REDIS={"default": entry}):
            changed = ConversationIndex(conf.get("default"))
        self.addCleanup(changed._connection.close)
        for number in range(3):
            changed.driver("1").append(run(f"more-{number}"))
        assert self.state().kind == "ready"
        state = settled(changed.search_state)
        assert (state.kind, state.name) == ("ready", self.index._layout.schema.name)
        changed.reindex()
        assert changed.check().problems == {}

    def test_an_append_without_search_sends_no_more_than_before(self):
        driver = self.plain().driver("5")
        driver.append(run("a"))
        driver.append(run("b"))
        assert not self.redis.exists(self.key("stale"))


@each_layout
class RestoreTests(Settled, Documents):
    entry = {"SEARCH": True}

    def archive(self):
        index = self.plain()
        for number in range(20):
            index.driver(number, owner="ann").append(run(f"{number}"))
        archive = dumped(index)
        self.wipe()
        return archive

    def new(self):
        """The index, as a process that has seen nothing yet."""
        index = ConversationIndex(conf.get("default"))
        self.addCleanup(index._connection.close)
        return index

    def test_interrupted_and_run_again_everything_is_found(self):
        archive = self.archive()
        with (
            mock.patch.object(restore, "catch_up", side_effect=KeyboardInterrupt),
            mock.patch.object(restore, "_BATCH", 7),
            pytest.raises(KeyboardInterrupt),
        ):
            restored(self.new(), archive)
        assert not self.documents()
        counts = restored(self.new(), archive)
        assert (counts.same, counts.new) == (7, 13)
        assert len(self.new().search("question", limit=50)) == 20
        assert self.new().check().problems == {}

    def test_an_interruption_is_seen_until_then(self):
        archive = self.archive()
        with (
            mock.patch.object(restore, "catch_up", side_effect=KeyboardInterrupt),
            pytest.raises(KeyboardInterrupt),
        ):
            restored(self.new(), archive)
        assert self.new().search_state().kind == "incomplete"

    def test_into_an_index_that_is_not_there_it_is_ready_afterwards(self):
        archive = self.archive()
        self.drop()
        self.wipe()
        restored(self.new(), archive)
        state = settled(lambda: self.new().search_state())
        assert state.kind == "ready", state.reason
