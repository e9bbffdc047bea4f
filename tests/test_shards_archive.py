"""Archives of an index over several shards, owners' exports, and encryption."""

import io
import zipfile
from unittest import skipUnless

import pytest
from django.conf import settings

from conversation_memory import indexes
from conversation_memory.archive import Dump, Restore
from conversation_memory.collection.selection import Selection
from conversation_memory.exceptions import ConversationConflict, ConversationNotFound

from .archives import body, dumped, opened, restored
from .encrypting import HAS_CRYPTOGRAPHY, encryption
from .sharding import ShardsTestCase, ids, run
from .utils import each_layout, wait_for


async def adumped(index):
    parts = [part async for part in Dump(index)]
    await indexes.aclose()
    return b"".join(parts)


async def arestored(index, archive):
    with opened(archive) as source:
        counts = await Restore(index, source).arun()
    await indexes.aclose()
    return counts


@each_layout
class ArchiveTests:
    case = ShardsTestCase

    def fill(self, count=30):
        self.write(count)
        self.index.driver("c1").begin("a question without an answer")
        self.index.driver("c2").set_title("a title")
        self.index.driver("c3").expire(3600)

    def test_a_dump_is_restored_with_other_shards_or_none_and_dumped_as_the_same_bytes(self):
        self.fill()
        archive = dumped(self.index)
        self.plain.prune(Selection())
        assert restored(self.plain, archive).new == 30
        assert body(dumped(self.plain)) == body(archive)
        self.index.prune(Selection())
        assert restored(self.index, dumped(self.plain)).new == 30
        assert body(dumped(self.index)) == body(archive)
        assert [one.conversation_id for one in self.index.open_runs()] == ["c1"]

    def test_the_twins_do_the_same(self):
        self.fill()
        archive = wait_for(adumped(self.index))
        assert body(archive) == body(dumped(self.index))
        self.index.prune(Selection())
        assert wait_for(arestored(self.index, archive)).new == 30
        assert body(dumped(self.index)) == body(archive)

    def test_a_restore_counts_what_is_stored_already(self):
        self.fill()
        archive = dumped(self.index)
        self.index.driver("c4").append(run("late"))
        self.index.delete("c5")
        with pytest.raises(ConversationConflict, match="c4"):
            restored(self.index, archive)
        with opened(archive) as source:
            plan = Restore(self.index, source, on_conflict="skip").plan()
        done = restored(self.index, archive, on_conflict="skip")
        assert (done.new, done.same, done.skipped) == (1, 28, 1)
        assert (plan.new, plan.same, plan.skipped) == (1, 28, 1)
        assert restored(self.index, archive, on_conflict="replace").replaced == 1

    def test_some_are_dumped_by_owner_or_id(self):
        self.fill()
        assert len(body(dumped(self.index, Selection(owner="a"))).splitlines()) == 16
        assert len(body(dumped(self.index, Selection(ids=["c1", "c7", "c8"]))).splitlines()) == 4
        with pytest.raises(ConversationNotFound):
            dumped(self.index, Selection(ids=["c1", "nowhere"]))

    def test_an_owner_takes_all_along(self):
        self.fill()
        target = io.BytesIO()
        export = self.index.export_owner("a", target)
        assert (export.count, export.unreadable) == (15, 0)
        with zipfile.ZipFile(target) as file:
            assert sum(name.endswith(".json") for name in file.namelist()) == 16


@skipUnless(HAS_CRYPTOGRAPHY, "needs cryptography")
class EncryptedTests(ShardsTestCase):
    entry = {"ENCRYPTION": encryption("a"), "LAYOUT": "list"}

    def test_every_shard_is_encrypted_and_its_keys_are_rotated(self):
        self.write(12)
        assert all(b"question" not in self.index.raw(f"c{n}")[0] for n in range(12))
        entry = {**settings.REDIS["default"], "ENCRYPTION": encryption("b", "a")}
        with self.settings(REDIS={"default": entry}):
            indexes.close()
            index = indexes["default"]
            seen = []
            assert index.rotate_keys(progress=seen.append).rotated == 12
            assert seen[-1].seen == 12
            assert index.rotate_keys(Selection(ids=["c1", "c2"])).rotated == 0
            assert len(ids(index.recent())) == 12 and index.health().is_ready
            archive = dumped(index)
            with opened(archive, keyring=index.keyring) as source:
                assert Restore(index, source).run().same == 12
