import json
import threading
import time
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import call_command
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from conversation_memory import ConversationIndex, Run, conf, indexes
from conversation_memory.check import Check, Finding, Report, findings
from conversation_memory.exceptions import ConversationCorrupt, RedisDenied, RedisReadOnly
from conversation_memory.keys import Keys
from conversation_memory.management.exit_codes import Exit

from .commands import called, fails
from .servers import SECRET, ServerTestCase
from .strategies import ids
from .utils import RedisTestCase, both, each_layout

GRIPTAPE = b'{"runs": [{"type": "Run", "id": "x", "meta": null}], "metadata": {}}'


def run(id="a"):
    return Run("a question", "an answer", id=id)


class Broken:
    """An index with three conversations, of which "1" is broken, each in one way."""

    def setUp(self):
        super().setUp()
        self.write(self.index)

    def write(self, index):
        for number in range(1, 4):
            index.driver(number, owner="ann", ttl=1000).append(run("a"), run("b"))

    def key(self, name):
        return f"{{{self.index.name}}}:{name}"

    def found(self, report):
        return {kind: problem.found for kind, problem in report.problems.items()}

    def repaired(self, index, kind, count=1):
        """Check without and with --fix: what was found, and nothing of it is left."""
        before = self.content()
        assert self.found(index.check()) == {kind: count}
        fixed = index.check(fix=True)
        assert (self.found(fixed), fixed.left) == ({kind: count}, 0)
        assert index.check().problems == {}
        assert self.content() == before

    def named(self, index, kind, *examples):
        """What --fix names and leaves."""
        before = self.dump()
        report = index.check(fix=True, examples=9)
        assert self.found(report) == {kind: len(examples)}
        assert report.left == len(examples)
        assert sorted(report.problems[kind].examples) == sorted(examples)
        assert self.dump() == before

    def dump(self):
        return {key: self.redis.dump(key) for key in self.keys()}

    def content(self):
        """What no repair may change: documents, runs, owners, titles, times."""
        lists = [key for key in self.keys() if b":runs:" in key]
        records = {key for key in self.keys() if b":record:" in key}
        fields = ("owner", "title", "created", "updated", "expires", "ttl")
        return (
            self.redis.hgetall(self.index.name),
            {key: self.redis.lrange(key, 0, -1) for key in lists},
            {key: kept for key in records if any(kept := self.redis.hmget(key, fields))},
        )


@each_layout
class CheckTests(Broken):
    @both
    def test_nothing_is_wrong_with_what_was_written(self, index):
        self.write(index)
        index.driver("1").edit(run("b"))
        index.driver("1").set_title("A title")
        index.driver("1").persist()
        index.driver("2").move_to("bob")
        index.driver("2").fork("4")
        index.driver("3").rename("5")
        index.driver("6").store([run(str(n)) for n in range(50)], {"text": "x" * 40_000})
        index.driver("7").store([], {})
        assert index.check() == Report(seen=6)
        assert index.check(fix=True) == Report(seen=6)

    @both
    def test_an_empty_index_is_fine(self, index):
        self.wipe()
        assert index.check(fix=True) == Report()

    @both
    def test_an_unreadable_document_is_named_and_left(self, index):
        self.write(index)
        self.put("1", b"\xff no JSON")
        self.named(index, findings.UNREADABLE, "1")

    @both
    def test_a_lost_record_is_written_anew(self, index):
        self.write(index)
        index.driver("1").move_to(None)
        index.driver("1").persist()
        self.redis.delete(self.key("record:1"))
        self.repaired(index, findings.NO_RECORD)
        assert index.driver("1").record().runs == 2
        index.driver("1").append(run("c"))
        assert index.check().problems == {}
        assert len(index.driver("1").load()[0]) == 3

    @both
    def test_an_owner_is_not_guessed(self, index):
        self.write(index)
        self.redis.delete(self.key("record:1"))
        report = index.check(fix=True)
        assert report.problems[findings.LOST_OWNER].left == report.left == 1
        assert index.driver("1").record().owner is None
        assert index.erase(owner="ann").conversations == 3

    @both
    def test_a_lost_place_is_given_back(self, index):
        self.write(index)
        self.redis.zrem(self.key("recent"), "1")
        self.repaired(index, findings.NO_SCORE)
        assert [record.conversation_id for record in index.recent()] == [*"321"]

    @both
    def test_a_wrong_place_is_put_right(self, index):
        self.write(index)
        self.redis.zadd(self.key("recent"), {"1": 9e15})
        self.repaired(index, findings.NO_SCORE)
        assert [record.conversation_id for record in index.recent()] == [*"321"]

    @both
    def test_a_wrong_count_is_put_right(self, index):
        self.write(index)
        for count in ("1", "many"):
            self.redis.hset(self.key("record:1"), "runs", count)
            kind = findings.WRONG_COUNT if count == "1" else findings.NO_RECORD
            self.repaired(index, kind)
            assert index.driver("1").record().runs == 2

    @both
    def test_a_wrong_fingerprint_is_put_right(self, index):
        self.write(index)
        index.driver("1").update_metadata({"with": "a checksum"})
        before = self.redis.hgetall(self.key("record:1"))
        for field in {b"length", b"crc", b"end"} & {*before}:
            self.redis.hset(self.key("record:1"), field, before[field] + b"1")
            self.repaired(index, findings.WRONG_FINGERPRINT)
            assert self.redis.hgetall(self.key("record:1")) == before

    @both
    def test_a_lost_deadline_is_put_in_order(self, index):
        self.write(index)
        before = self.redis.zscore(self.key("expiry"), "1")
        for spoil in (
            lambda: self.redis.zrem(self.key("expiry"), "1"),
            lambda: self.redis.zadd(self.key("expiry"), {"1": 9e15}),
        ):
            spoil()
            self.repaired(index, findings.WRONG_DEADLINE)
            assert self.redis.zscore(self.key("expiry"), "1") == before

    @both
    def test_what_is_past_its_deadline_is_reaped(self, index):
        self.write(index)
        index.driver("4", owner="bob", ttl=0.001).append(run())
        time.sleep(0.002)
        report = index.check(fix=True)
        assert (self.found(report), report.left) == ({findings.EXPIRED: 1}, 0)
        assert index.check() == Report(seen=3)
        assert not [key for key in self.keys() if key.endswith((b":4", b":bob"))]

    @both
    def test_a_record_without_a_conversation_goes(self, index):
        self.write(index)
        self.redis.hset(self.key("record:9"), mapping={"owner": "ann", "version": 1})
        before = self.redis.hgetall(self.index.name)
        assert self.found(index.check()) == {findings.STRAY_RECORD: 1}
        assert index.check(fix=True).left == 0
        assert not self.redis.exists(self.key("record:9"))
        assert self.redis.hgetall(self.index.name) == before

    @both
    def test_places_without_a_conversation_go(self, index):
        self.write(index)
        for order in ("recent", "expiry", "owner:ann", "owner:gone"):
            self.redis.zadd(self.key(order), {"9": 9e15})
            self.repaired(index, findings.STRAY_SCORE)

    @both
    def test_the_order_of_an_owner_is_put_right(self, index):
        self.write(index)
        self.redis.zrem(self.key("owner:ann"), "1")
        self.repaired(index, findings.WRONG_OWNER)
        self.redis.zadd(self.key("owner:bob"), {"1": 1})
        self.repaired(index, findings.WRONG_OWNER)
        assert (index.count("ann"), index.count("bob")) == (3, 0)

    @both
    def test_runs_without_a_field_are_named_and_left(self, index):
        self.write(index)
        self.redis.rpush(self.key("runs:9"), run().to_wire())
        self.redis.zadd(self.key("recent"), {"9": 1})
        self.named(index, findings.STRAY_RUNS, self.key("runs:9"))

    @both
    def test_keys_of_another_type_are_named_and_left(self, index):
        self.write(index)
        wrong = ("record:1", "runs:2", "record:9", "runs:9", "owner:bob")
        for name in wrong:
            self.redis.delete(self.key(name))
            self.redis.set(self.key(name), "text")
        index.driver("3").move_to("cid")
        self.redis.delete(self.key("owner:cid"))
        self.redis.set(self.key("owner:cid"), "text")
        self.named(index, findings.WRONG_TYPE, *map(self.key, [*wrong, "owner:cid"]))

    @both
    def test_without_its_fixed_keys_nothing_else_is_looked_at(self, index):
        for name in (self.index.name, self.key("recent"), self.key("expiry")):
            self.wipe()
            self.write(index)
            self.redis.delete(name)
            self.redis.set(name, "text")
            self.named(index, findings.WRONG_TYPE, name)

    @both
    def test_keys_of_other_features_and_indexes_are_none_of_its_business(self, index):
        self.write(index)
        others = [self.key("run:1:a"), self.key("tokens"), f"{{{self.index.name}x}}:record:1"]
        for key in others:
            self.redis.set(key, "text")
            self.addCleanup(self.redis.delete, key)
        assert index.check(fix=True) == Report(seen=3)

    @both
    def test_conversations_of_other_programs_get_record_and_place(self, index):
        self.write(index)
        self.put("4", GRIPTAPE)
        report = index.check(fix=True)
        assert self.found(report) == {findings.NO_RECORD: 1, findings.NO_SCORE: 1}
        assert (report.left, self.stored("4")) == (0, GRIPTAPE)
        record = index.driver("4").record()
        assert (record.runs, record.updated, record.owner) == (1, None, None)

    @both
    def test_an_overwritten_document_is_counted_anew(self, index):
        self.write(index)
        index.driver("1").set_title("A title")
        self.put("1", GRIPTAPE)
        before = [run.id for run in index.driver("1").load()[0]]
        assert index.check(fix=True).left == 0
        assert index.driver("1").record().runs == len(before)
        assert index.check().problems == {}
        index.driver("1").append(run("y"))
        assert [run.id for run in index.driver("1").load()[0]] == [*before, "y"]
        assert index.driver("1").record().title == "A title"

    @both
    def test_examples_are_few_and_counts_are_not(self, index):
        for number in range(10):
            self.put(f"bad{number}", b"no JSON")
        problem = index.check(examples=3).problems[findings.UNREADABLE]
        assert (problem.found, len(problem.examples)) == (10, 3)

    @both
    def test_says_how_far_it_is(self, index):
        self.write(index)
        said = []
        index.check(progress=lambda report: said.append(report.seen))
        assert said[-1] == 3

    def test_large_conversations_are_read_a_few_at_a_time(self):
        for number in range(4):
            self.index.driver(number).append(Run("a", "b" * 3_000_000, id="a"))
        assert self.index.check() == Report(seen=4)

    @both
    def test_a_list_that_was_lost_is_named_and_nothing_hides_it(self, index):
        if self.index.settings.layout == "hash":
            return
        self.write(index)
        self.redis.delete(self.key("runs:1"))
        for _ in range(2):
            report = index.check(fix=True)
            assert self.found(report) == {findings.LOST_RUNS: 1}
            assert report.left == 1
        for read in (index.driver("1").load, lambda: index.driver("1").tail(1)):
            with pytest.raises(ConversationCorrupt, match="2 runs of its list are missing"):
                read()
        with pytest.raises(ConversationCorrupt, match="2 runs of its list are missing"):
            index.driver("1").append(run("new"))
        assert not self.redis.exists(self.key("runs:1"))

    def test_a_repair_looks_again_before_it_writes(self):
        """What is written between the look and the repair is the writer's."""
        self.redis.hset(self.key("record:1"), "runs", 1)
        original = Check.__dict__["_look"]

        def look(check, inspect, names):
            def late(names):
                found = yield from inspect(names)
                if found and not self.late:
                    self.late = True
                    self.index.driver("1").append(run("late"))
                return found

            yield from original(check, late, names)

        self.late = False
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Check, "_look", look)
            report = self.index.check(fix=True)
        assert report.left == 0
        assert self.index.driver("1").record().runs == 3

    def test_beside_writers_nothing_is_found_and_nothing_lost(self):
        written, stop = [], threading.Event()

        def write(owner):
            while not stop.is_set():
                id = f"{owner}-{len(written)}"
                driver = self.index.driver(id, owner=owner)
                driver.append(run(id))
                if len(written) % 3:
                    driver.move_to("new")
                    written.append(id)
                else:
                    driver.delete()

        threads = [threading.Thread(target=write, args=(name,)) for name in ("x", "y")]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                assert self.index.check(fix=True).problems == {}
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert {*self.index} >= {*written}


class RunsInAListTests(Broken, RedisTestCase):
    entry = {"LAYOUT": "list"}

    @both
    def test_an_element_that_is_no_run_is_unreadable(self, index):
        for text in (b"no JSON", b"[1]", b"[" * 5000):
            self.wipe()
            self.write(index)
            self.redis.lset(self.key("runs:1"), 0, text)
            self.named(index, findings.UNREADABLE, "1")

    @both
    def test_runs_that_another_program_wrote_stay_to_be_taken_over(self, index):
        self.write(index)
        self.put("1", GRIPTAPE)
        assert self.found(index.check(fix=True)) == {findings.WRONG_COUNT: 1}
        assert [run.id for run in index.driver("1").load()[0]] == [*"abx"]
        index.driver("1").append(run("c"))
        assert [run.id for run in index.driver("1").load()[0]] == [*"abxc"]
        assert index.check().problems == {}

    @both
    def test_a_repeated_run_is_known_after_a_lost_record(self, index):
        self.write(index)
        self.redis.delete(self.key("record:1"))
        index.check(fix=True)
        assert index.driver("1").append(run("b")) == 0

    def test_either_layout_checks_what_the_other_wrote(self):
        entry = {**settings.REDIS["default"], "LAYOUT": "hash"}
        with self.settings(REDIS={"default": entry}):
            other = ConversationIndex(conf.get("default"))
        self.addCleanup(other._connection.close)
        other.driver("9").append(run())
        assert other.check(fix=True) == self.index.check(fix=True) == Report(seen=4)


class KeyTests(RedisTestCase):
    @given(name=st.text(st.characters(exclude_characters="{}", codec="utf-8"), min_size=1), id=ids)
    @hypothesis_settings(max_examples=50)
    def test_the_pattern_finds_the_keys_of_the_index_and_no_other(self, name, id):
        keys = Keys(name)
        id = id if isinstance(id, bytes) else id.encode()
        wanted = [keys.record(id), keys.runs(id), keys.recency(id)]
        others = [Keys(f"{name}x").recency(), Keys(f"x{name}").recency()]
        with self.redis.pipeline() as pipeline:
            for key in (*wanted, *others):
                pipeline.set(key, 1)
            pipeline.scan(match=keys.pattern(), count=10**6)
            pipeline.delete(*wanted, *others)
            *_, (_, found), _ = pipeline.execute()
        assert sorted(found) == sorted(wanted)
        assert keys.family(wanted[0]) == (b"record", id)


class FurtherTests(RedisTestCase):
    def test_a_feature_may_add_a_kind(self):
        self.index.driver("1").append(run())

        def inspect(ids):
            yield from ()
            return [Finding("conversations are odd", id) for id in ids]

        check = Check(self.index._layout, self.index._listing, fix=True, examples=1, progress=bool)
        check.inspections.append(inspect)
        report = self.index._run(check.run())
        assert report.problems["conversations are odd"].left == 1


class FailureTests(ServerTestCase):
    def test_a_replica_is_checked_but_not_repaired(self):
        self.index.driver("1").append(run())
        self.redis.hset(self.key("record:1"), "runs", 7)
        self.redis.replicaof("localhost", 1)
        try:
            assert self.index.check().left == 1
            with pytest.raises(RedisReadOnly):
                self.index.check(fix=True)
        finally:
            self.redis.replicaof("NO", "ONE")

    def test_a_user_who_may_only_read_checks_but_does_not_repair(self):
        self.index.driver("1").append(run())
        self.redis.hset(self.key("record:1"), "runs", 7)
        url = self.user(
            "~*", "+@read", "+@connection", "+evalsha", "+eval", "+time", "+@transaction"
        )
        with self.settings(REDIS={"default": {"URL": url, "INDEX": self.index.name}}):
            assert indexes["default"].check().left == 1
            with pytest.raises(RedisDenied):
                indexes["default"].check(fix=True)


class CommandTests(RedisTestCase):
    def check(self, *args, **options):
        return called("checkconversations", *args, **options)

    def check_into(self, out, *args):
        call_command("checkconversations", *args, stdout=out, stderr=StringIO())

    def setUp(self):
        super().setUp()
        self.index.driver("1").append(run())

    def spoil(self):
        self.redis.hset(f"{{{self.index.name}}}:record:1", "runs", 7)
        self.put("b\x1bad", SECRET.encode())

    def test_says_that_nothing_is_wrong(self):
        assert self.check() == ("default: 1 conversation checked.\nNo problems found.\n", "")
        assert self.check(verbosity=0) == ("", "")

    def test_names_what_is_wrong_and_returns_one(self):
        self.spoil()
        out = StringIO()
        with fails(Exit.FAILED, "2 problems found."):
            self.check_into(out)
        assert "Conversations that cannot be read: 1 (such as $'b\\033ad')\n" in out.getvalue()
        assert "Records with a wrong number of runs: 1 (such as 1)\n" in out.getvalue()
        assert SECRET not in out.getvalue()

    def test_says_what_it_repaired(self):
        self.spoil()
        out = StringIO()
        with fails(Exit.FAILED, "1 problem left."):
            self.check_into(out, "--fix")
        assert "Records with a wrong number of runs: 1, 1 repaired (such as 1)\n" in out.getvalue()
        self.index.delete("b\x1bad")
        assert "No problems found." in self.check("--fix")[0]

    def test_json_is_one_object(self):
        self.spoil()
        out = StringIO()
        with fails(Exit.FAILED):
            self.check_into(out, "--json", "--examples", "1")
        found = json.loads(out.getvalue())
        assert (found["seen"], found["left"]) == (2, 2)
        assert {"kind", "found", "left", "examples"} == {*found["problems"][0]}
