"""`convertconversations --shards`."""

from io import StringIO
from unittest import mock

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from conversation_memory import indexes

from .resharding import ReshardTestCase
from .sharding import run


class CommandTests(ReshardTestCase):
    def setUp(self):
        super().setUp()
        for number in range(3):
            self.index.driver(f"c{number}").append(run(number))

    def move(self, shards, of=3, **options):
        entry = {**settings.REDIS["default"], "SHARDS": of}
        out, err = StringIO(), StringIO()
        with self.settings(REDIS={"default": entry}):
            try:
                call_command(
                    "convertconversations", f"--shards={shards}", stdout=out, stderr=err, **options
                )
            finally:
                self.errors = err.getvalue()
            assert indexes["default"].health().findings
        return out.getvalue()

    def test_counts_what_it_moved(self):
        assert self.move(3) == "Moved 3 conversations. The index has 3 shards.\n"
        assert self.move(3) == "Moved 0 conversations. The index has 3 shards.\n"
        assert self.move(2, of=2, verbosity=0) == ""
        assert self.noted() == "2"

    def test_tells_how_far_it_is(self):
        with mock.patch("conversation_memory.management.command.EVERY", 0):
            self.move(3)
        assert self.errors == "Moving: 3 of 3\n"

    def test_wants_the_number_in_the_settings_first(self):
        with pytest.raises(CommandError, match="SHARDS of alias 'default' is 3, not 4"):
            self.move(4)
        for shards in (1, 0, -1):
            with pytest.raises(CommandError, match="at least 2"):
                self.move(shards)
        assert self.redis.type(self.index.name) == b"hash"

    def test_what_cannot_move_is_told_with_an_exit_code(self):
        self.move(3)
        shard = self.at(3).shard_of("c1")
        record = shard._layout.keys.record(b"c1")
        self.redis.delete(record)
        self.redis.set(record, "?")
        with pytest.raises(CommandError, match="Moved 2 conversations. Not moved, see above: 1"):
            self.move(2, of=2)
        assert "'c1'" in self.errors
        with pytest.raises(CommandError, match="is being moved into 2 shards"):
            self.move(3)

    def test_health_tells_of_another_number_and_of_a_move(self):
        finding = self.at(3).health(within=10)["size"]
        assert finding.state == "warning" and "has no shards, and SHARDS is 3" in finding.detail
        self.begun(3)
        assert "is being moved into 3 shards" in self.at(3).health(within=10)["size"].detail
        self.move(3)
        assert self.at(3).health(within=10)["size"].state == "ok"
