import io
import json
import threading
import time
from io import StringIO
from unittest import mock

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from conversation_memory import ConversationIndex, Run, conf
from conversation_memory.collection.bulk import Conversion
from conversation_memory.layouts import ConversationRef
from conversation_memory.redis_io.operations import perform

from .utils import Awaited, RedisTestCase, monitored


def run(id, output="an answer"):
    return Run("a question", output, id=id)


def ids(runs):
    return [run.id for run in runs]


def document(*runs, **metadata):
    return json.dumps({"runs": [run.to_dict() for run in runs], "metadata": metadata}).encode()


class ConvertTestCase(RedisTestCase):
    def to(self, layout):
        """The index, as a process sees it whose settings say `layout`."""
        entry = {**settings.REDIS["default"], "LAYOUT": layout}
        with self.settings(REDIS={"default": entry}):
            index = ConversationIndex(conf.get("default"))
        self.addCleanup(index._connection.close)
        return index

    def each(self):
        """Old and new index: both ways, sync and async."""
        for old, new in (("hash", "list"), ("list", "hash")):
            for twin in (lambda index: index, Awaited):
                with self.subTest(old=old, new=new, twin=twin.__name__):
                    self.new = new
                    yield self.to(old), twin(self.to(new))
                self.wipe()

    def is_converted(self, id):
        """Whether the conversation is stored in the form of the new layout, and in no other."""
        listed = self.redis.llen(f"{{{self.index.name}}}:runs:{id}")
        in_field = len(json.loads(self.stored(id))["runs"])
        return (not in_field) if self.new == "list" else (not listed)


class ConvertTests(ConvertTestCase):
    def test_brings_every_conversation_into_the_layout(self):
        for old, new in self.each():
            old.driver("42", owner="ann").store([run("a"), run("b")], {"k": [1.0, {}]})
            old.driver("43").append(run("long", "x" * 40_000))
            old.driver("44").store([], {"k": "v"})
            before = [old.driver(id).read() for id in ("42", "43", "44")]
            assert new.convert() == Conversion(seen=3, converted=3, failed=0)
            for conversation in before:
                now = new.driver(conversation.conversation_id).read()
                assert (now.runs, now.metadata) == (conversation.runs, conversation.metadata)
                assert self.is_converted(conversation.conversation_id)

    def test_keeps_owner_title_times_and_order(self):
        for old, new in self.each():
            for id in ("1", "2", "3"):
                old.driver(id, owner="ann").append(run("a"))
                time.sleep(0.002)
            old.driver("2").set_title("A title")
            before = {id: old.driver(id).record() for id in "123"}
            new.convert()
            assert [record.conversation_id for record in new.recent(owner="ann")] == [*"321"]
            assert [record.conversation_id for record in new.recent()] == [*"321"]
            for id, record in before.items():
                now = new.driver(id).record()
                assert (now.owner, now.title, now.runs) == ("ann", record.title, 1)
                assert (now.created, now.updated) == (record.created, record.updated)

    def test_keeps_the_deadline(self):
        for old, new in self.each():
            old.driver("42", ttl=100).append(run("a"))
            old.driver("43").append(run("a"))
            old.driver("44", ttl=0.01).append(run("a"))
            before = old.driver("42").record().expires
            time.sleep(0.02)
            assert new.convert().converted == 2
            assert new.driver("42").record().expires == before
            if self.knows("HPEXPIRETIME"):
                expires = self.redis.hpexpiretime(self.index.name, "42", "43")
                assert expires == [round(before.timestamp() * 1000), -1]
            assert new.driver("43").record().expires is None
            assert not new.driver("44").exists()

    def test_does_not_begin_a_lifetime(self):
        self.enterContext(self.settings(REDIS={"default": {**settings.REDIS["default"], "TTL": 9}}))
        self.to("hash").driver("42").append(run("a"))
        self.to("hash").driver("42").persist()
        self.put("43", document(run("a")))
        self.to("list").convert()
        expires = [self.to("list").driver(id).record().expires for id in ("42", "43")]
        assert expires == [None, None]
        if self.knows("HPEXPIRETIME"):
            assert self.redis.hpexpiretime(self.index.name, "42", "43") == [-1, -1]

    def test_run_again_it_skips_what_is_converted(self):
        for old, new in self.each():
            for id in range(5):
                old.driver(id).append(run("a"))
            new.convert()
            before = {key: self.redis.dump(key) for key in self.keys()}
            assert new.convert() == Conversion(seen=5, converted=0, failed=0)
            assert {key: self.redis.dump(key) for key in self.keys()} == before

    def test_interrupted_it_goes_on(self):
        for old, new in self.each():
            for id in range(5):
                old.driver(id).append(run("a"))
            index, place = new.driver("x")._layout, ConversationRef(b"3")
            perform(old._connection.client, index.adapt(place), "default")
            assert new.convert() == Conversion(seen=5, converted=4, failed=0)

    def test_what_cannot_be_read_is_reported_and_left(self):
        for old, new in self.each():
            old.driver("42").append(run("a"))
            old.driver("43").append(run("a"))
            self.put("43", b"\xff no JSON")
            self.put("44", b"[]")
            failures = []
            done = new.convert(failure=failures.append)
            assert (done.seen, done.converted) == (3, 1)
            assert done.failed == len(failures)
            assert "'43'" in str(failures)
            assert (self.stored("43"), self.stored("44")) == (b"\xff no JSON", b"[]")

    def test_reports_progress(self):
        for twin in (lambda index: index, Awaited):
            # Beyond a listpack, which comes at once; most have the form of layout `hash` already.
            self.redis.hset(self.index.name, mapping=dict.fromkeys(range(1100), document(run("a"))))
            for id in range(20):
                self.to("list").driver(f"list {id}").append(run("a"))
            progress = []
            twin(self.to("hash")).convert(progress=progress.append)
            assert len(progress) > 1
            assert progress[-1] == Conversion(1120, 20, 0)
            assert progress == sorted(progress, key=lambda done: done.seen)
            self.wipe()

    def test_looks_at_what_is_converted_in_few_round_trips(self):
        for id in range(100):
            self.to("hash").driver(id).append(run("a"))
        self.to("hash").convert()  # the server knows the scripts now
        with monitored(self.redis) as commands:
            self.to("hash").convert()
        scripts = [sent for sent in commands if "EVAL" in sent["command"]]
        assert len(scripts) <= 2

    def test_a_deadline_that_is_set_while_it_reads_counts(self):
        for change, expires in (
            (lambda driver: driver.expire(100), True),
            (lambda driver: driver.persist(), False),
        ):
            for old, new in self.each():
                driver = old.driver("42", ttl=None if expires else 1000)
                driver.append(run("a"))
                layout = getattr(new, "subject", new)._layout
                original = layout._write

                def late(*args, driver=driver, change=change, original=original, **options):
                    change(driver)
                    return original(*args, **options)

                with mock.patch.object(layout, "_write", late):
                    assert new.convert().converted == 1
                assert (driver.record().expires is not None) == expires
                assert self.redis.zcard(f"{{{old.name}}}:expiry") == expires

    def test_refused_it_leaves_the_times_of_the_other_writer(self):
        # The write of another process comes between reading and writing.
        for old, new in self.each():
            driver, moments = old.driver("42", ttl=100), []
            driver.append(run("a"))
            layout = new.driver("42")._layout
            write = layout._write

            def interrupted(*args, driver=driver, moments=moments, write=write, **options):
                if not moments:
                    driver.append(run("b"))
                    moments.append(driver.record())
                return write(*args, **options)

            with mock.patch.object(layout, "_write", interrupted):
                assert perform(
                    old._connection.client, layout.adapt(ConversationRef(b"42")), "default"
                )
            now = new.driver("42").record()
            assert (now.updated, now.expires) == (moments[0].updated, moments[0].expires)
            assert ids(new.driver("42").load()[0]) == ["a", "b"]


class StrangerTests(ConvertTestCase):
    """A stock Griptape driver wrote into the index."""

    def test_in_a_list_index_it_is_read_and_moved(self):
        for twin in (lambda index: index, Awaited):
            index = twin(self.to("list"))
            self.put("42", document(run("a"), run("b"), k="v"))
            assert (
                ids(index.driver("42").load()[0]) == ids(index.driver("42").tail(2)) == ["a", "b"]
            )
            assert [record.conversation_id for record in index.recent()] == ["42"]
            assert index.convert() == Conversion(1, 1, 0)
            self.new = "list"
            assert self.is_converted("42")
            runs, metadata = index.driver("42").load()
            assert (ids(runs), metadata) == (["a", "b"], {"k": "v"})
            self.wipe()

    def test_its_time_stays_unknown_and_its_place_too(self):
        index = self.to("list")
        self.put("42", document(run("a")))
        index.recent()
        time.sleep(0.002)
        index.driver("43").append(run("a"))
        index.convert()
        assert index.driver("42").record().updated is None
        assert [record.conversation_id for record in index.recent()] == ["43", "42"]

    def test_over_a_list_its_runs_come_behind_those(self):
        for new in ("list", "hash"):
            self.new, index = new, self.to(new)
            self.to("list").driver("42").append(run("a"))
            self.put("42", document(run("b")))
            assert index.convert().converted == 1
            assert ids(index.driver("42").load()[0]) == ["a", "b"]
            assert self.is_converted("42")
            self.wipe()

    def test_in_a_hash_index_it_stays_as_it_is(self):
        self.put("42", document(run("a")))
        assert self.to("hash").convert() == Conversion(1, 0, 0)
        assert self.keys() == {self.index.name.encode()}

    def test_a_lost_record_loses_no_run(self):
        for new in ("list", "hash"):
            self.new, index = new, self.to(new)
            self.to("list").driver("42").append(run("a"))
            self.redis.delete(f"{{{self.index.name}}}:record:42")
            self.put("42", document(run("b")))
            index.convert()
            assert ids(index.driver("42").load()[0]) == ["a", "b"]
            self.wipe()


class WriterTests(ConvertTestCase):
    def test_no_run_is_lost_or_doubled_while_writers_of_both_layouts_go_on(self):
        old, new = self.to("hash"), self.to("list")
        for number in range(20):
            old.driver(number, owner="ann").append(run(f"{number}-first"))
        written, stop = {number: set() for number in range(20)}, threading.Event()

        def write(index, name):
            count = 0
            while not stop.is_set():
                number, id = count % 20, f"{name}-{count}"
                index.driver(number).append(run(id))
                written[number].add(id)
                count += 1

        threads = [
            threading.Thread(target=write, args=(index, name))
            for index, name in ((old, "old"), (new, "new"), (old, "older"))
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                assert new.convert().failed == 0
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        new.convert()
        assert new.convert() == Conversion(20, 0, 0)
        for number in range(20):
            found = ids(new.driver(number).load()[0])
            assert sorted(found) == sorted({f"{number}-first", *written[number]})
            assert not self.redis.hexists(f"{{{self.index.name}}}:record:{number}", "keep")
        assert new.count("ann") == len([*new]) == 20


class CommandTests(ConvertTestCase):
    def convert(self, *args, err=None, **options):
        out, err = StringIO(), err or StringIO()
        try:
            call_command("convertconversations", *args, stdout=out, stderr=err, **options)
        finally:
            self.errors = err.getvalue()
        return out.getvalue()

    def setUp(self):
        super().setUp()
        for number in range(3):
            self.to("hash").driver(number).append(run("a"))
        entry = {**settings.REDIS["default"], "LAYOUT": "list"}
        self.enterContext(self.settings(REDIS={"default": entry}))

    def test_counts_what_it_converted(self):
        text = "Converted {} conversations to layout 'list'; {} had it already.\n"
        assert self.convert(using="default") == text.format(3, 0)
        assert self.convert() == text.format(0, 3)
        assert self.convert(verbosity=0) == ""

    def test_reports_what_it_leaves(self):
        self.put("9", b"no JSON")
        with pytest.raises(CommandError, match="Not converted, see above: 1 conversation"):
            self.convert()
        assert "'9'" in self.errors

    def test_says_a_line_now_and_then(self):
        with mock.patch("conversation_memory.management.command.EVERY", 0):
            self.convert()
        assert self.errors == "Converting: 3 of 3, 3 converted\n"

    def test_shows_a_bar_at_a_terminal(self):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        self.convert(err=Terminal())
        assert "Converting: 100%" in self.errors

    def test_an_unknown_alias_is_an_error(self):
        with pytest.raises(CommandError, match="There is no alias 'nobody'"):
            self.convert(using="nobody")
        with pytest.raises(CommandError):
            call_command("convertconversations", "--using", "nobody")
