"""What meets search: a restore, which writes many conversations, and a check of the index."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from conversation_memory import Run
from conversation_memory.check import findings

from .archives import dumped, restored
from .searching import Settled
from .utils import both, each_layout


@each_layout
class JointTests(Settled):
    entry = {"SEARCH": True}

    @both
    def test_what_is_restored_is_found(self, index):
        self.index.driver("42", owner=7).append(Run("Where is the harbour?", "By the sea."))
        archive = dumped(self.index)
        self.index.delete("42")
        assert not index.search("harbour")
        restored(self.index, archive)
        [hit] = index.search("harbour", owner=7)
        assert hit.conversation_id == "42"
        assert not index.search("harbour", owner=8)

    def test_what_a_restore_replaces_is_found_as_it_is_now(self):
        self.index.driver("42").append(Run("harbour", "old", id="a"))
        archive = dumped(self.index)
        self.index.driver("42").store([Run("lighthouse", "new", id="a")])
        restored(self.index, archive, on_conflict="replace")
        assert [hit.run.output.text for hit in self.index.search("harbour")] == ["old"]
        assert not self.index.search("lighthouse")

    def test_what_is_restored_and_cannot_be_read_is_restored_all_the_same(self):
        self.put("42", b"no JSON")
        archive = dumped(self.index)
        self.redis.delete(self.index.name)
        restored(self.index, archive)
        assert self.stored("42") == b"no JSON"

    @both
    def test_a_check_counts_what_a_search_misses(self, index):
        self.index.driver("42").append(Run("harbour", "sea"))
        assert not index.check().problems
        self.put("43", self.stored("42") or b"")
        problem = index.check().problems[findings.NOT_INDEXED]
        assert (problem.found, problem.left, [*problem.examples]) == (1, 1, ["43"])
        problem = index.check(fix=True).problems[findings.NOT_INDEXED]
        assert (problem.found, problem.left) == (1, 0)
        assert not index.check().problems

    def test_the_command_names_what_mends_it(self):
        self.put("43", b'{"runs": [], "metadata": {}}')
        output = StringIO()
        with pytest.raises(CommandError):
            call_command("checkconversations", stdout=output)
        assert "run `reindexconversations`" in output.getvalue()
