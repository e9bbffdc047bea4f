import fcntl
import gzip
import json
import os
import resource
import signal
import sys
import termios
import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest

from conversation_memory import Run, Selection, indexes
from conversation_memory.archive import Dump, Restore
from conversation_memory.archive import restore as restoring
from conversation_memory.archive.archive import Source
from conversation_memory.exceptions import (
    ArchiveDamaged,
    ConversationConflict,
    ConversationCorrupt,
    ConversationTooLarge,
    RedisMisconfigured,
    RedisUnavailable,
)
from conversation_memory.management.exit_codes import Exit

from .archives import Facts, archive_of, body, dumped, entry_of, opened, restored
from .commands import called, fails, interrupt, shell
from .programs import start
from .servers import ServerTestCase
from .utils import RedisTestCase, Ticks, counted, each_layout, wait_for

STOCK = b'{"runs": [{"type": "Run", "id": "s", "input": {"value": 1.0}}],  "metadata": null}'
BROKEN = b'\xff{"runs": ['


def run(n=0):
    return Run(f"question {n}", f"answer {n} \u00e9", id=f"{n}")


class Folder:
    """Gives each test a folder of its own, `self.folder`."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(TemporaryDirectory()))

    def file(self, content, name="a.jsonl"):
        path = self.folder / name
        path.write_bytes(content)
        return path


def other(index, layout=None):
    """The index of the alias "other", and how settings.REDIS names it."""
    entry = {"URL": index.settings.url, "INDEX": f"{index.name}-other"}
    return {**entry, "LAYOUT": layout or index.settings.layout}


@each_layout
class RoundTripTests(Folder):
    def setUp(self):
        super().setUp()
        opposite = {"hash": "list", "list": "hash"}[self.index.settings.layout]
        entry = {"URL": self.index.settings.url, "INDEX": self.index.name}
        entries = {
            "default": {**entry, "LAYOUT": self.index.settings.layout},
            "other": other(self.index),
            "opposite": {**other(self.index, opposite), "INDEX": f"{self.index.name}-opposite"},
        }
        self.enterContext(self.settings(REDIS=entries))
        self.index = indexes["default"]
        self.others = [indexes["other"], indexes["opposite"]]
        self.addCleanup(self.wipe_others)

    def wipe_others(self):
        for index in self.others:
            for key in [*self.redis.scan_iter(f"*{index.name}*")]:
                self.redis.delete(key)

    def fill(self):
        for n in range(5):
            self.index.driver(f"c{n}", owner=n % 2 or None).append(*map(run, range(n + 1)))
        self.index.driver("titled", owner="\u00fc", ttl=timedelta(days=1)).append(run())
        self.index.driver("titled").set_title("A title")
        self.index.driver("empty").store([], {"key": [1.0, 10**30]})
        self.index.driver(b"\xff {id}:\n").append(run())
        self.put("stock", STOCK)
        self.put(b"broken\xfe", BROKEN)

    def test_what_is_restored_is_dumped_as_the_same_bytes(self):
        self.fill()
        archive = dumped(self.index)
        for index in self.others:
            counts = restored(index, archive)
            assert (counts.new, counts.unreadable) == (10, 1)
            assert body(dumped(index)) == body(archive)
            assert index.check().problems.keys() <= self.index.check().problems.keys()

    def test_records_owners_order_and_deadlines_come_back(self):
        self.fill()
        archive = dumped(self.index)
        for index in self.others:
            restored(index, archive)
            index.adopt(), self.index.adopt()
            for owner in (None, 1, "\u00fc"):
                before, after = (
                    [
                        (one.conversation_id, one.owner, one.title, one.created, one.updated)
                        + (one.expires,)
                        for one in each.recent(owner=owner)
                        if one.updated
                    ]
                    for each in (self.index, index)
                )
                assert before == after
                assert before
            assert index.driver("titled").record().expires
            assert index.driver("c3").load()[0] == self.index.driver("c3").load()[0]
            with pytest.raises(ConversationCorrupt) as caught:
                index.driver(b"broken\xfe").load()
            assert caught.value.raw == BROKEN

    def test_a_replacement_that_fails_leaves_what_was_there(self):
        driver = self.index.driver("c", owner="ann")
        driver.append(run(1))
        archive = dumped(self.index)
        driver.append(run(2))
        driver.move_to("bob")
        self.redis.set(f"{{{self.index.name}}}:owner:ann", "a string")
        before = {key: self.redis.dump(key) for key in self.keys()}
        with pytest.raises(RedisMisconfigured):
            restored(self.index, archive, on_conflict="replace")
        assert {key: self.redis.dump(key) for key in self.keys()} == before

    def test_what_is_restored_goes_on_as_if_nothing_had_been(self):
        self.fill()
        archive = dumped(self.index)
        for index in self.others:
            restored(index, archive)
            driver = index.driver("c4", owner=None)
            assert driver.append(run(4)) == 0
            assert driver.append(run(5)) == 1
            assert [r.id for r in driver.tail(2)] == ["4", "5"]
            index.driver("titled").append(run(9))
            before, after = (i.driver("titled").record().expires for i in (self.index, index))
            assert after > before

    def test_again_it_finds_everything_the_same(self):
        self.fill()
        archive = dumped(self.index)
        for index in (self.index, *self.others):
            restored(index, archive, on_conflict="skip")
            before = {key: self.redis.dump(key) for key in self.keys()}
            assert restored(index, archive).same == 10
            assert {key: self.redis.dump(key) for key in self.keys()} == before

    def test_the_twins_do_the_same(self):
        self.fill()
        archive = dumped(self.index)

        async def dump():
            return b"".join([chunk async for chunk in Dump(self.index)])

        assert body(wait_for(dump())) == body(archive)
        with opened(archive) as source:
            restore = Restore(self.others[0], source)
            assert wait_for(restore.aplan()).new == 10
            assert self.others[0].count() == 0
            assert wait_for(restore.arun()).new == 10
        assert body(dumped(self.others[0])) == body(archive)

    def test_some_of_them(self):
        self.fill()
        chosen = dumped(self.index, Selection(owner=1))
        assert [json.loads(line).get("id") for line in chosen.splitlines()][1:-1] == ["c1", "c3"]
        chosen = dumped(self.index, Selection(ids=["c4", b"\xff {id}:\n"]))
        assert len(chosen.splitlines()) == 4

    def test_writers_go_on_and_nothing_is_missed_or_doubled(self):
        for n in range(450):
            self.index.driver(f"c{n}").append(run(n))
        chunks = iter(Dump(self.index))
        archive = next(chunks)
        for n in range(450):
            if n % 3 == 0:
                self.index.driver(f"c{n}").append(run(1000))
            elif n % 10 == 1:
                self.index.delete(f"c{n}")
            self.index.driver(f"new {n}").append(run())
            if n % 100 == 0:
                archive += next(chunks, b"")
        archive += b"".join(chunks)
        ids = [json.loads(line).get("id") for line in archive.splitlines()][1:-1]
        assert len({*ids}) == len(ids)
        assert {*ids} >= {f"c{n}" for n in range(450) if n % 3 == 0 or n % 10 != 1}
        with opened(archive):
            pass

    def test_what_is_past_its_deadline_is_neither_dumped_nor_restored(self):
        self.index.driver("a", ttl=1).append(run())
        self.index.driver("b").append(run())
        archive = dumped(self.index)
        time.sleep(1.01)
        assert len(dumped(self.index).splitlines()) == 3
        counts = restored(self.others[0], archive)
        assert (counts.new, counts.expired, counts.examples["expired"]) == (1, 1, ["a"])
        counts = restored(self.others[0], archive, ignore_expiry=True)
        assert (counts.new, counts.same) == (1, 1)
        assert self.others[0].driver("a").record().expires is None

    def test_a_restore_takes_the_place_of_what_is_past_its_deadline(self):
        self.index.driver("a").append(run())
        archive = dumped(self.index)
        self.index.delete("a")
        self.index.driver("a", owner="someone", ttl=0.05).append(run(7))
        time.sleep(0.1)
        assert restored(self.index, archive).new == 1
        assert self.index.driver("a").load()[0][0].id == "0"
        assert self.index.count(owner="someone") == 0

    def test_owners_are_renamed(self):
        self.fill()
        archive = dumped(self.index)
        counts = restored(self.others[1], archive, owners={"1": "one"})
        assert self.others[1].count(owner="one") == 2
        assert self.others[1].count(owner=1) == 0
        assert counts.owners == {"\u00fc": 1}
        assert restored(self.others[1], archive, owners={"1": "one"}).same == 10

    def test_more_than_the_settings_allow_is_refused_before_the_first_write(self):
        self.fill()
        archive = dumped(self.index)
        small = {**other(self.index), "MAX_BYTES": 1000}
        for limit in ({"MAX_BYTES": 500}, {"MAX_RUN_BYTES": 100}):
            with self.settings(REDIS={"small": {**small, **limit}}):
                with pytest.raises(ConversationTooLarge):
                    restored(indexes["small"], archive)
                assert indexes["small"].count() == 0


@each_layout
class ConflictTests:
    def setUp(self):
        super().setUp()
        for n in range(4):
            self.index.driver(f"c{n}", owner="o").append(run(n))
        self.archive = dumped(self.index)
        self.index.driver("c1", owner="o").append(run(9))
        self.index.driver("c2", owner="o").move_to("another")
        self.index.delete("c3")

    def runs(self, id):
        return [one.id for one in self.index.driver(id).load()[0]]

    def test_they_fail_before_anything_is_written(self):
        with pytest.raises(ConversationConflict) as caught:
            restored(self.index, self.archive)
        assert "2 conversations" in str(caught.value)
        assert "'c1', 'c2'" in str(caught.value)
        assert not self.index.driver("c3").exists()

    def test_they_are_skipped(self):
        counts = restored(self.index, self.archive, on_conflict="skip")
        assert (counts.new, counts.same, counts.skipped) == (1, 1, 2)
        assert self.runs("c1") == ["1", "9"]

    def test_they_are_replaced_with_owner_and_order(self):
        counts = restored(self.index, self.archive, on_conflict="replace")
        assert (counts.new, counts.same, counts.replaced) == (1, 1, 2)
        assert body(dumped(self.index)) == body(self.archive)
        assert self.index.count(owner="another") == 0
        assert not self.index.check().problems

    def test_the_newest_stays(self):
        newer = dumped(self.index)
        restored(self.index, self.archive, on_conflict="replace")
        counts = restored(self.index, newer, on_conflict="newest")
        assert (counts.replaced, counts.skipped) == (1, 1)  # a new owner is no write
        assert self.runs("c1") == ["1", "9"]
        assert restored(self.index, self.archive, on_conflict="newest").skipped == 1

    def test_what_cannot_be_read_is_never_overwritten(self):
        self.put("c1", BROKEN)
        counts = restored(self.index, self.archive, on_conflict="replace")
        assert (counts.kept, counts.examples["kept"]) == (1, ["c1"])
        assert self.stored("c1") == BROKEN

    def test_what_others_write_meanwhile_is_not_overwritten(self):
        index, archive = self.index, archive_of(entry_of("c3", [run()]))
        writing = restoring.writing

        def overtaken(layout, items):
            self.put("c3", b'{"runs": [], "metadata": {"by": "others"}}')
            return writing(layout, items)

        with mock.patch.object(restoring, "writing", overtaken):
            with pytest.raises(ConversationConflict):
                restored(index, archive)
        assert b"others" in self.stored("c3")

    def test_a_revision_does_not_come_back(self):
        before = self.index.driver("c1", owner="o").read().revision
        restored(self.index, self.archive, on_conflict="replace")
        assert self.index.driver("c1", owner="o").read().revision != before


class DumpCommandTests(Folder, RedisTestCase):
    def setUp(self):
        super().setUp()
        for n in range(3):
            self.index.driver(n, owner=f"user{n % 2}").append(run(n))

    def test_to_stdout(self):
        out, err = called("dumpconversations")
        with opened(out.encode()) as archive:
            assert archive.count == 3
        assert err == "default: dumped 3 conversations\n"
        assert called("dumpconversations", verbosity=0)[1] == ""

    def test_into_a_file_that_only_its_user_may_read(self):
        for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst"):
            path = self.folder / name
            path.write_text("an older one, which everybody may read")
            called("dumpconversations", "--owner", "user0", "-o", str(path))
            assert path.stat().st_mode & 0o777 == 0o600
            assert "1 new" not in called("loadconversations", str(path))[0]
            assert [*self.folder.glob("*.partial")] == []
        magic = [(self.folder / f"a.jsonl{suffix}").read_bytes()[:2] for suffix in (".gz", ".zst")]
        assert magic == [b"\x1f\x8b", b"\x28\xb5"]

    def test_a_link_stays_one(self):
        (self.folder / "link").symlink_to("target")
        called("dumpconversations", "-o", str(self.folder / "link"))
        assert (self.folder / "link").is_symlink()
        assert (self.folder / "target").stat().st_size

    def test_a_device_is_written_to(self):
        with fails(Exit.DISK_FULL, "No space left on device"):
            called("dumpconversations", "-o", "/dev/full")
        assert Path("/dev/full").is_char_device()

    def test_on_a_full_disk_it_leaves_nothing(self):
        path = self.file(b"an older one")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            with fails(Exit.DISK_FULL, "too large"):
                called("dumpconversations", "-o", str(path))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)
        assert [one.read_bytes() for one in self.folder.iterdir()] == [b"an older one"]

    def test_two_of_one_name_do_not_mix(self):
        path = self.folder / "a.jsonl"
        from conversation_memory.archive import files

        with files.written(path):
            with fails(Exit.FILE, "another dump is writing this file"):
                called("dumpconversations", "-o", str(path))

    def test_an_interruption_leaves_no_file(self):
        with mock.patch.object(Dump, "_lines", side_effect=KeyboardInterrupt):
            with pytest.raises(KeyboardInterrupt):
                called("dumpconversations", "-o", str(self.folder / "a.jsonl"))
        assert [*self.folder.iterdir()] == []

    def test_an_id_that_is_none(self):
        with fails(Exit.NOT_FOUND, "no conversation 'x'"):
            called("dumpconversations", "0", "x")

    def test_what_cannot_be_read_is_counted(self):
        self.put("broken", BROKEN)
        assert "Unreadable, dumped as stored: 1." in called("dumpconversations")[1]

    def test_an_alias_that_is_none(self):
        with fails(Exit.SETTINGS, "nowhere"):
            called("dumpconversations", "--using", "nowhere")


class LoadCommandTests(Folder, RedisTestCase):
    def setUp(self):
        super().setUp()
        for n in range(3):
            self.index.driver(n, owner=n).append(run(n))
        self.path = self.file(dumped(self.index))

    def load(self, *args, **options):
        return called("loadconversations", str(self.path), *args, **options)

    def test_says_what_it_did(self):
        self.index.delete("1")
        counts = "1 conversation (1 new, 0 replaced); 2 unchanged, 0 skipped, 0 expired"
        said = f"default: restored {counts}\n"
        assert self.load() == (said, "")
        assert self.load(verbosity=0) == ("", "")

    def test_a_dry_run_writes_nothing(self):
        self.index.delete("1")
        self.index.driver("2").append(run(7))
        out, err = self.load("--dry-run")
        assert out.startswith(
            "default: would restore 1 conversation (1 new, 0 replaced); 1 unchanged"
        )
        assert "Stored with different content: 1 (2). See --on-conflict." in err
        assert self.index.count() == 2

    def test_a_conflict(self):
        self.index.driver("2").append(run(7))
        with fails(Exit.CONFLICT, "'2'"):
            self.load()
        assert "1 replaced" in self.load("--on-conflict", "replace")[0]

    def test_what_is_kept_fails(self):
        self.put("2", BROKEN)
        with fails(Exit.FAILED, "Not replaced, because the stored value is unreadable: 1 (2)."):
            self.load("--on-conflict", "replace")

    def test_a_map_of_owners(self):
        for text in ("old,new\n1,one\n0,", '{"1": "one", "0": null}', "\ufeff1, one\n0,\n"):
            with self.subTest(text):
                self.index.delete(*self.index)
                path = self.file(text.encode(), "owners")
                _, err = self.load("--owner-map", str(path))
                assert "not in the map, and were not changed: 2 (1)." in err
                assert self.index.count(owner="one") == 1
                assert self.index.driver("0").record().owner is None

    def test_a_map_that_is_none(self):
        for text in (b"a,b,c", b'{"a": []}', b"a,b\na,c", b"\xff", b"{"):
            path = self.file(text, "owners")
            with self.subTest(text), fails(Exit.FILE, "is not an owner map"):
                self.load("--owner-map", str(path))

    def test_files_that_are_none(self):
        with fails(Exit.FILE, "No such file"):
            called("loadconversations", str(self.folder / "none"))
        with fails(Exit.NO_ARCHIVE, "is a folder"):
            called("loadconversations", str(self.folder))
        with fails(Exit.NO_ARCHIVE, "is not an archive"):
            called("loadconversations", str(self.file(b"PK", "b")))
        with fails(Exit.DAMAGED, "damaged at line 3"):
            called(
                "loadconversations", str(self.file(self.path.read_bytes().replace(b"n 1", b"x")))
            )

    def test_a_damaged_one_writes_nothing(self):
        archive = self.path.read_bytes()
        self.index.delete(*self.index)
        self.file(archive[:-1])
        with fails(Exit.DAMAGED):
            self.load()
        assert self.index.count() == 0

    def test_from_stdin(self):
        self.index.delete(*self.index)
        reader, writer = os.pipe()
        os.write(writer, gzip.compress(self.path.read_bytes()))
        os.close(writer)
        with open(reader) as pipe, mock.patch.object(sys, "stdin", pipe):
            out, _ = called("loadconversations", "-")
        assert out.startswith("default: restored 3 ")

    def test_hostile_ids_become_keys_and_no_paths(self):
        hostile = ["../../etc/passwd", "/tmp/x", "{a}:b", "\x1b[31m", "a\nb", "-o", "x" * 5000]
        archive = archive_of(*(entry_of(id, [run()]) for id in hostile))
        self.path = self.file(archive, "hostile")
        self.load()
        assert {*hostile} < {*self.index}
        assert {path.name for path in self.folder.iterdir()} == {"a.jsonl", "hostile"}

    def test_without_the_package_for_zstd(self):
        with mock.patch.dict(sys.modules, zstandard=None):
            with fails(Exit.SETTINGS, "django-conversation-memory[zstd]"):
                called("dumpconversations", "-o", str(self.folder / "a.zst"))

    def test_a_project_without_a_secret_key(self):
        self.index.delete(*self.index)
        with self.settings(SECRET_KEY=""):
            assert "3 new" in self.load()[0]
            assert b"signature" not in dumped(self.index)


class InterruptedTests(Folder, RedisTestCase):
    def test_it_is_simply_run_again(self):
        lines = [entry_of(f"c{n}", [run(n)]) for n in range(500)]
        archive = archive_of(*lines)

        def press(counts):
            raise KeyboardInterrupt

        with opened(archive) as source, pytest.raises(KeyboardInterrupt):
            Restore(self.index, source).run(progress=press)
        assert 0 < self.index.count() < 500
        counts = restored(self.index, archive)
        assert counts.new + counts.same == 500
        assert counts.new
        assert self.index.count() == 500


@each_layout
class CostTests:
    def test_a_dump_asks_for_what_belongs_together_at_once(self):
        ids = [f"c{n}" for n in range(201)]
        for id in ids:
            self.index.driver(id, owner="ann").append(run())
        for selection in (Selection(), Selection(ids=ids)):  # then the scripts are known
            dumped(self.index, selection)
        contents = 2  # batches
        for selection, to_choose in (
            (Selection(), ["HSCAN", "TIME", "INFO"]),
            (Selection(owner="ann"), ["ZSCAN", "TIME", "INFO"]),
            (Selection(ids=ids), ["EVALSHA", "INFO"]),
        ):
            with counted() as sent:
                dumped(self.index, selection)
            assert [names[0] for names in sent[: len(to_choose)]] == to_choose
            assert len(sent) == len(to_choose) + contents

    def test_a_dump_asks_for_half_a_megabyte_at_a_time(self):
        for n in range(5):
            self.index.driver(n).append(Run("?", "x" * 200_000))
        expected = dumped(self.index)
        with counted() as sent:
            assert body(dumped(self.index)) == body(expected)
        assert len(sent) == 3 + 2  # three fit, as the third one is begun within the limit

    def test_a_restore_asks_what_is_stored_only_if_something_is(self):
        archive = archive_of(*(entry_of(f"c{n}", [run()]) for n in range(401)))
        beginning = 2  # permissions, and how many there are
        for _ in range(2):  # the scripts are known from here on
            restored(self.index, archive, on_conflict="skip")
        self.index.delete(*self.index)
        with counted() as sent:
            assert restored(self.index, archive).new == 401
        assert len(sent) == beginning + 3
        with counted() as sent:
            assert restored(self.index, archive, on_conflict="skip").same == 401
        assert len(sent) == beginning + 3

    def test_a_restore_asks_no_more_once_all_is_new(self):
        archive = archive_of(*(entry_of(f"c{n}", [run()]) for n in range(601)))
        self.index.driver("c0").append(run(9))
        restored(self.index, archive, on_conflict="skip")
        assert self.index.count() == 601
        self.index.delete(*(f"c{n}" for n in range(1, 601)))
        with counted() as sent:
            counts = restored(self.index, archive, on_conflict="skip")
        assert (counts.new, counts.skipped) == (600, 1)
        # The second batch has new ones only, which is known when the third has been compared.
        assert len(sent) == 2 + 2 + 2 + 2 + 1


class Slow(Source):
    """A source of three batches, each of which needs the event loop to turn first."""

    trusted = True

    def __init__(self, longest=0):
        self.longest = longest
        self.ticks = Ticks()

    def entries(self):
        for n in range(500):
            if n % 200 == 0:
                self.ticks.wait()
            yield entry_of(f"c{n}", [run(n)])


class Failing(Source):
    """A source that turns out to be damaged after its first batch."""

    trusted = True

    def __init__(self):
        self.longest = 0

    def entries(self):
        yield from (entry_of(f"c{n}", [run(n)]) for n in range(201))
        raise ArchiveDamaged("It is damaged.")


@each_layout
class EventLoopTests:
    def test_a_batch_that_was_sent_is_written_when_the_next_one_fails(self):
        restore = Restore(self.index, Failing())
        for run in (restore.run, lambda: wait_for(restore.arun())):
            with pytest.raises(ArchiveDamaged):
                run()
            assert self.index.count() == 200
            self.index.delete(*self.index)

    def test_goes_on_while_a_slow_source_is_read(self):
        source = Slow()
        restore = Restore(self.index, source)
        assert source.ticks.run(restore.aplan).new == 500
        assert source.ticks.run(restore.arun).new == 500

    def test_goes_on_while_sizes_are_checked(self):
        source = Slow(longest=2**40)
        assert source.ticks.run(Restore(self.index, source).arun).new == 500


class KilledTests(Folder, RedisTestCase):
    def setUp(self):
        self.server = start(persistent=True, data_dir=None)
        self.addCleanup(self.server.close)
        self.enterContext(self.settings(REDIS_URL=self.server.url))
        super().setUp()

    def test_a_server_that_is_killed_in_the_middle(self):
        dated = [Facts(owner=b"o", created=n, updated=n) for n in range(1, 901)]
        archive = archive_of(
            *(entry_of(f"c{facts.updated}", [run()], facts=facts) for facts in dated)
        )

        def kill(counts):
            if counts.new >= 400:
                self.server.kill()

        with opened(archive) as source, pytest.raises(RedisUnavailable):
            Restore(self.index, source).run(progress=kill)
        self.server.restart()
        counts = restored(self.index, archive)
        assert counts.new + counts.same == 900
        assert counts.new
        assert self.index.count() == 900
        assert body(dumped(self.index)) == body(archive)
        assert not self.index.check().problems


class ServerTests(Folder, ServerTestCase):
    def setUp(self):
        super().setUp()
        self.archive = archive_of(*(entry_of(f"c{n}", [run(n)]) for n in range(3)))

    def test_a_full_one_is_left_as_it_was(self):
        with self.config(maxmemory=1):
            with fails(Exit.READ_ONLY, "out of memory"):
                called("loadconversations", str(self.file(self.archive)))
        assert self.keys() == set()

    def test_a_replica_can_be_dumped_but_not_restored_into(self):
        self.put("stock", STOCK)
        self.redis.replicaof("127.0.0.1", 1)
        try:
            assert "stock" in called("dumpconversations")[0]
            with fails(Exit.READ_ONLY, "read-only replica"):
                called("loadconversations", str(self.file(self.archive)))
        finally:
            self.redis.replicaof("NO", "ONE")

    def test_a_user_who_may_only_read_can_dump(self):
        self.put("stock", STOCK)
        url = self.user("~*", "+@read", "+@scripting", "+@connection", "+@transaction", "+time")
        with self.settings(REDIS={"default": {"URL": url, "INDEX": self.index.name}}):
            assert "stock" in called("dumpconversations")[0]
            with fails(Exit.DENIED):
                called("loadconversations", str(self.file(self.archive)))
        assert self.index.count() == 1

    def test_keys_of_another_type_cost_only_what_they_hold(self):
        self.index.driver("a").append(run())
        self.put("b", STOCK)
        self.redis.set(self.key("record:b"), "x")
        self.redis.set(self.key("runs:a"), "x")
        out, _ = called("dumpconversations")
        assert out.count("\n") == 4
        with fails(Exit.CONFLICT, "1 conversation: 'c1'"):
            self.redis.set(self.key("record:c1"), "x")
            called("loadconversations", str(self.file(self.archive)))
        assert self.redis.hget(self.index.name, "c1") is None

    def test_one_that_is_gone(self):
        with self.settings(REDIS={"default": {"URL": "redis://127.0.0.1:1"}}):
            path = self.folder / "a.jsonl"
            with fails(Exit.UNAVAILABLE, "cannot be reached"):
                called("dumpconversations", "-o", str(path))
            assert not path.exists()

    def test_ctrl_c_says_how_to_go_on(self):
        for n in range(2000):
            self.put(f"c{n}", STOCK)
        process = shell(self.server.url, "loadconversations", "-", stdin=-1)
        process.stdin.write('{"format": "')
        process.stdin.flush()
        while fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4)) != bytes(4):
            time.sleep(0.01)  # until it has read that, and waits for the rest
        assert interrupt(process) == Exit.INTERRUPTED
        _, err = process.communicate()
        assert err.strip() == "CommandError: Interrupted. Nothing was written."
