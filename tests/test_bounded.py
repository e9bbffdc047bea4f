"""No command takes the server longer because a conversation, or an index, is large."""

import json
from contextlib import contextmanager
from functools import partial
from unittest import mock

import pytest

from conversation_memory import Artifact, Run, health, indexes
from conversation_memory.archive.dump import Dump
from conversation_memory.exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    RunNotFound,
)
from conversation_memory.layouts import long_lists, refs
from conversation_memory.layouts.base import DELETE
from conversation_memory.layouts.declared import declared

from .archives import body, dumped, restored
from .encrypting import HAS_CRYPTOGRAPHY, EncryptedTestCase
from .utils import RedisTestCase, both, monitored


def run(number, text="An answer."):
    return Run(f"Question {number}", text, id=f"run-{number}")


def ids(runs):
    return [run.id for run in runs]


@contextmanager
def small_parts(first=10, read=7, written=5):
    """Lists are long from a few elements on."""
    sizes = {"FIRST_PART": first, "_READ": read, "_WRITTEN": written}
    with mock.patch.multiple(long_lists, **sizes):
        yield


class LongListTests(RedisTestCase):
    """Lists that are read and written in parts."""

    entry = {"LAYOUT": "list"}

    def key(self, name):
        return f"{{{self.index.name}}}:{name}"

    def fill(self, id, count):
        self.index.driver(id).append(*map(run, range(count)))

    @both
    def test_a_list_of_any_length_is_read_whole_and_in_order(self, index):
        with small_parts():
            for count in (1, 9, 10, 11, 17, 18, 40):
                self.fill(f"c{count}", count)
                driver = index.driver(f"c{count}")
                assert ids(driver.load()[0]) == [f"run-{n}" for n in range(count)]
                assert len(driver.read().runs) == len(index.raw(f"c{count}")) - 1 == count
                assert driver.update_metadata({"a": 1}) == {"a": 1}

    def test_the_parts_are_of_one_moment(self):
        driver, other, parts = self.index.driver("c"), self.index.driver("c"), []
        driver.store([run(n, "old") for n in range(30)], {})
        read_rest = long_lists._read_rest

        def disturbed(keys, id, texts):
            parts.append(len(texts))
            if len(parts) == 1:
                other.store([run(n, "new") for n in range(30)], {"k": 1})
            return read_rest(keys, id, texts)

        with small_parts(), mock.patch.object(long_lists, "_read_rest", disturbed):
            runs, metadata = driver.load()
        assert {run.output.text for run in runs} == {"new"} and metadata == {"k": 1}
        assert len(parts) == 3 and len(runs) == 30

    def test_a_list_that_is_written_all_the_time_is_read_at_once(self):
        driver, other = self.index.driver("c"), self.index.driver("c")
        self.fill("c", 30)
        read_rest = long_lists._read_rest

        def disturbed(keys, id, texts):
            other.append(Run("one", "more"))
            return read_rest(keys, id, texts)

        with small_parts(), mock.patch.object(long_lists, "_read_rest", disturbed):
            assert len(driver.load()[0]) == 33

    @both
    def test_a_long_store_is_staged_and_leaves_nothing_else(self, index):
        with small_parts():
            driver = index.driver("c", owner=1)
            driver.store([run(n) for n in range(23)], {"k": 1})
            driver.store([run(n, "Another.") for n in range(12)], {"k": 2})
            copy = driver.fork("copy")
        for stored in (driver, copy):
            runs, metadata = stored.load()
            assert ids(runs) == [f"run-{n}" for n in range(12)] and metadata == {"k": 2}
        assert not [key for key in self.keys() if b":staged:" in key]
        assert self.redis.ttl(self.key("runs:c")) == -1
        assert index.check().problems == {}

    def test_no_part_of_a_staged_list_is_without_a_deadline(self):
        steps = long_lists.stage(b"key", [b"text"])
        next(steps)
        assert [call[0] for call in steps.send(0).calls] == ["RPUSH", "PEXPIRE"]  # in one MULTI

    @both
    def test_a_long_store_has_the_deadline_of_its_conversation(self, index):
        with small_parts():
            index.driver("c", ttl=1000).store([run(n) for n in range(23)], {})
        assert 900 < self.redis.ttl(self.key("runs:c")) <= 1000

    def test_a_long_store_that_is_refused_changes_nothing(self):
        driver = self.index.driver("c")
        driver.append(run(0))
        revision = driver.read().revision
        driver.append(run(1))
        with small_parts(), pytest.raises(ConversationConflict):
            driver.store([run(n) for n in range(23)], {}, revision=revision)
        assert ids(driver.load()[0]) == ["run-0", "run-1"]
        assert not [key for key in self.keys() if b":staged:" in key]

    def test_a_staged_list_that_is_not_complete_is_staged_again(self):
        staged, stage = [], long_lists.stage

        def lossy(key, texts):
            told = yield from stage(key, texts)
            if not staged:
                self.redis.rpop(key)
            staged.append(told)
            return told

        with small_parts(), mock.patch("conversation_memory.layouts.written.stage", lossy):
            self.index.driver("c").store([run(n) for n in range(23)], {})
        assert staged == ["staged 23"] * 2
        assert len(self.index.driver("c").load()[0]) == 23

    def test_a_dump_and_a_check_read_a_long_list_in_parts(self):
        with small_parts():
            self.fill("c", 30)
            whole = b"".join(Dump(self.index))
            assert self.index.check().problems == {}
        assert b"".join(Dump(self.index)).splitlines()[1:] == whole.splitlines()[1:]
        assert whole.count(b"Question") == 31  # the title too

    def test_of_long_runs_a_dump_reads_a_few_at_a_time(self):
        self.index.driver("c").store([run(n, "x" * 100_000) for n in range(20)], {})
        with monitored(self.redis) as sent:
            whole = b"".join(Dump(self.index))
        ranges = [it["command"].split() for it in sent if it["command"].startswith("LRANGE")]
        assert [it[2:] for it in ranges] == [["0", "5"], ["0", "5"], ["6", "46"]]
        assert whole.count(b"Question") == 21

    @both
    def test_a_restore_stages_a_long_list(self, index):
        with small_parts():
            self.index.driver("c", owner=1, ttl=1000).store([run(n) for n in range(23)], {"k": 1})
            self.index.driver("d").append(run(0))
            archive = dumped(index)
            index.driver("c").update_metadata({"k": 2})
            for ways in ({"on_conflict": "replace"}, {}):
                with monitored(self.redis) as sent:
                    restored(index, archive, **ways)
                pushes = [it["command"] for it in sent if it["command"].startswith("RPUSH")]
                assert max(it.count("Question") for it in pushes) == 5
                assert body(dumped(index)) == body(archive)
                assert 900 < self.redis.ttl(self.key("runs:c")) <= 1000
                assert not [key for key in self.keys() if b":staged:" in key]
                assert index.check().problems == {}
                index.delete("c", "d")

    def test_a_restore_whose_staged_list_is_not_complete_stages_it_again(self):
        staged, stage = [], long_lists.stage

        def lossy(key, texts):
            yield from stage(key, texts)
            if not staged:
                self.redis.rpop(key)
            staged.append(key)

        self.index.driver("c").store([run(n) for n in range(23)], {})
        archive = dumped(self.index)
        for ways in ({"on_conflict": "replace"}, {}):
            self.index.driver("c").update_metadata({"k": 2})
            if not ways:
                self.index.delete("c")
            with (
                small_parts(),
                mock.patch("conversation_memory.archive.items.staging", lossy),
            ):
                counts = restored(self.index, archive, **ways)
                assert counts.new + counts.replaced == 1
            assert len(staged) == 2
            assert body(dumped(self.index)) == body(archive)
            staged.clear()


@pytest.mark.skipif(not HAS_CRYPTOGRAPHY, reason="cryptography is not installed")
class LongEncryptedListTests(EncryptedTestCase):
    entry = {**EncryptedTestCase.entry, "LAYOUT": "list"}

    @both
    def test_a_new_name_stages_a_long_list(self, index):
        runs = [run(n) for n in range(23)]
        with small_parts():
            self.index.driver("c", owner=1, ttl=1000).store(runs, {"k": 1})
            driver = index.driver("c", owner=1)
            with monitored(self.redis) as sent:
                driver.rename("d")
            pushes = [it["command"] for it in sent if it["command"].startswith("RPUSH")]
            assert max(it.count("cm1.") for it in pushes) == 5
            assert ids(index.driver("d", owner=1).load()[0]) == ids(runs)
        assert not [key for key in self.keys() if b":staged:" in key]
        assert 900 < self.redis.ttl(f"{{{index.name}}}:runs:d") <= 1000
        assert index.check().problems == {}
        self.index.driver("c").append(run(0))
        with small_parts(), pytest.raises(ConversationConflict):
            self.index.driver("d").rename("c")
        assert not [key for key in self.keys() if b":staged:" in key]
        index.delete("c", "d")


class LongChangeTests(RedisTestCase):
    """Changes of one run among many."""

    entry = {"LAYOUT": "list"}

    def setUp(self):
        super().setUp()
        self.driver = self.index.driver("c", owner=1)
        self.runs = f"{{{self.index.name}}}:runs:c"

    def fill(self, count):
        for start in range(0, count, 500):
            stop = min(start + 500, count)
            self.driver.append(*map(run, range(start, stop)))

    @both
    def test_a_run_is_found_wherever_it_is(self, index):
        self.fill(700)
        driver = index.driver("c", owner=1)
        with mock.patch.object(refs, "_STEP", 90):
            for number in (699, 500, 499, 410, 321, 1, 0):
                driver.annotate(f"run-{number}", {"seen": number})
                assert driver.page(before=number + 1, limit=1)[0].meta == {"seen": number}
            with pytest.raises(RunNotFound):
                driver.remove("run-700")

    def test_an_id_in_a_text_or_with_another_spelling_is_no_trap(self):
        picture = Run(
            Artifact(b"hi", type="ImageArtifact", id="run-1", format="png"), '"run-1"', id="é"
        )
        odd = Run("run-1", "x", id='a "quoted" \\ id')
        self.driver.append(run(1), picture, odd, Run("a", "b", id=""), run(10), run(11))
        self.fill(400)
        for id in ("run-1", "é", odd.id, "run-10"):
            self.driver.annotate(id, {"id": id})
        changed = [run for run in self.driver.load()[0] if run.meta]
        assert [run.id for run in changed] == [run.meta["id"] for run in changed]
        assert len(changed) == 4

    def test_a_run_is_found_however_another_program_has_spelled_its_id(self):
        self.driver.append(run(1), run(2))
        text = json.dumps(Run("a", "b", id="a/b").to_dict()).replace("/", "\\/")
        self.redis.lset(self.runs, 0, text)
        self.fill(400)
        self.driver.annotate("a/b", {"seen": 1})
        assert self.driver.page(before=1, limit=1)[0].meta == {"seen": 1}

    def test_a_damaged_run_is_not_passed_over(self):
        self.fill(600)
        self.redis.lset(self.runs, 300, "garbage")
        for change in (self.driver.remove, lambda id: self.driver.truncate(after=id)):
            with pytest.raises(ConversationCorrupt, match="run 300"):
                change("run-5")
        assert self.redis.llen(self.runs) == 600

    @both
    def test_a_long_list_is_truncated_in_steps(self, index):
        self.fill(2300)
        driver = index.driver("c", owner=1)
        with monitored(self.redis) as sent:
            driver.truncate(after="run-9")
        trims = [it["command"] for it in sent if self.runs in it["command"]]
        assert [c.split()[-1] for c in trims if c.startswith("LTRIM")] == ["1299", "299", "9"]
        assert ids(driver.load()[0]) == [f"run-{n}" for n in range(10)]
        assert driver.record().runs == 10 and index.check().problems == {}
        # The ids of the runs that went are unknown, so that they may come again.
        assert driver.append(run(2299), run(10)) == 2
        self.wipe()

    def test_the_ids_of_the_runs_that_stay_are_known_after_a_truncate(self):
        self.fill(20)
        self.driver.truncate(after="run-9")
        assert self.driver.append(run(9), run(10)) == 1
        self.driver.remove("run-10")
        assert self.driver.append(run(9), run(10)) == 1

    def test_a_run_is_removed_from_the_nearer_end(self):
        self.fill(9)
        for number in (7, 1, 5):
            with monitored(self.redis) as sent:
                self.driver.remove(f"run-{number}")
            [removal] = [it["command"] for it in sent if it["command"].startswith("LREM")]
            assert removal.split()[2] == ("1" if number == 1 else "-1")
        assert ids(self.driver.load()[0]) == [f"run-{n}" for n in (0, 2, 3, 4, 6, 8)]


class CostTests(RedisTestCase):
    """How many commands the server runs for an operation, by itself and in scripts."""

    entry = {"LAYOUT": "list"}

    def cost(self, operation):
        with monitored(self.redis) as sent:
            operation()
        return [it["command"] for it in sent if self.index.name in it["command"]]

    def changes(self, id):
        driver = self.index.driver(id, owner=id)
        yield lambda: driver.append(Run("one", "more", id="last"))
        yield lambda: driver.update_metadata({"topic": "parcels"})
        yield lambda: driver.edit(Run("one", "else", id="last"))
        yield lambda: driver.annotate("last", {"good": True})
        yield lambda: driver.remove("last")
        yield lambda: driver.truncate(after=driver.tail(1)[0].id)
        yield lambda: driver.tail(5)
        yield lambda: driver.page(before=5, limit=5)
        yield driver.record
        yield lambda: driver.set_title("A title")
        yield lambda: driver.expire(1000)
        yield driver.persist
        yield lambda: driver.rename(f"{id}-renamed")
        yield lambda: driver.move_to("another")
        yield lambda: self.index.driver(f"{id}-renamed").delete()

    def test_a_change_costs_the_same_in_a_long_conversation(self):
        costs = {}
        for id, count in (("first", 5), ("short", 5), ("long", 3000)):
            with mock.patch.object(long_lists, "_WRITTEN", 10_000):
                self.index.driver(id, owner=id).store([run(n) for n in range(count)], {})
            costs[id] = [len(self.cost(change)) for change in self.changes(id)]
        assert costs["long"] == costs["short"]

    def test_metadata_is_changed_without_the_runs(self):
        self.index.driver("c").store([run(n) for n in range(300)], {})
        commands = self.cost(lambda: self.index.driver("c").update_metadata({"a": 1}))
        assert not any("Question" in command for command in commands)
        assert {it.split()[-2:] == ["1", "0"] for it in commands if it.startswith("LRANGE")} == {
            True
        }

    def test_counting_costs_the_same_for_an_owner_of_many(self):
        many = {f"many-{n}": n for n in range(1500)}
        self.redis.zadd(f"{{{self.index.name}}}:owner:many", many)
        self.index.driver("one", owner="one", ttl=1000).append(Run("a", "b"))
        self.index.count(owner="one")  # the server knows the script then
        one, many = (self.cost(partial(self.index.count, owner=it)) for it in ("one", "many"))
        assert len(one) == len(many) <= 4

    @both
    def test_the_expired_conversations_of_an_owner_do_not_count(self, index):
        order, expiry = (f"{{{index.name}}}:{name}" for name in ("owner:1", "expiry"))
        for count, past, others in ((10, 3, 5), (1500, 7, 900), (2500, 1200, 0)):
            self.redis.zadd(order, {f"c{n}": n for n in range(count)})
            self.redis.zadd(expiry, {f"c{n}": 1 for n in range(past)})
            self.redis.zadd(expiry, {f"c{n}": 10**14 for n in range(past, count)})
            self.redis.zadd(expiry, {"another": 1, **{f"other{n}": 1 for n in range(others)}})
            assert index.count(owner=1) == count - past
            self.redis.delete(order, expiry)

    def test_of_very_many_expired_conversations_a_part_tells(self):
        order, expiry = (f"{{{self.index.name}}}:{name}" for name in ("owner:1", "expiry"))
        self.redis.zadd(order, {f"c{n}": n for n in range(5000)})
        self.redis.zadd(expiry, {f"{'c' if n % 2 else 'x'}{n}": n for n in range(4000)})
        assert 2800 <= self.index.count(owner=1) <= 3200  # 3,000 in truth

    def test_what_has_expired_of_others_takes_nothing_from_the_count_of_an_owner(self):
        order, expiry = (f"{{{self.index.name}}}:{name}" for name in ("owner:1", "expiry"))
        self.redis.zadd(order, {f"c{n}": n for n in range(2000)})
        self.redis.zadd(expiry, {f"c{n}": n for n in range(1000)})
        self.redis.zadd(expiry, {f"x{n}": n + 1000 for n in range(3000)})
        assert 950 <= self.index.count(owner=1) <= 1050  # 1,000 in truth

    def test_fifty_conversations_at_a_time_are_summarised(self):
        for n in range(120):
            self.index.driver(f"c{n}").append(Run("a", "b"))
        with monitored(self.redis) as sent:
            assert len(self.index.recent(120)) == 120
        scripts = [it["command"] for it in sent if it["command"].startswith("EVALSHA")]
        assert [it.count(":record:") for it in scripts if ":record:" in it] == [50, 50, 20]


class LargeKeyTests(RedisTestCase):
    def test_no_script_frees_a_key_while_others_wait(self):
        driver = self.index.driver("c", owner=1)
        driver.append(Run("a", "b"))
        with monitored(self.redis) as sent:
            driver.delete()
        names = {it["command"].split()[0] for it in sent if self.index.name in it["command"]}
        assert "UNLINK" in names and "DEL" not in names

    def test_the_token_that_a_deletion_answers_is_no_number_if_it_is_sent_again(self):
        layout, ref = self.index._layout, self.index.driver("c")._ref
        self.redis.set(layout.keys.call(ref.call), "1234567890123456")
        [reply] = self.index._run(declared([layout._command(DELETE, ref, [])]))
        assert reply == b"1234567890123456"

    @both
    def test_health_names_an_index_that_is_too_large(self, index):
        assert index.health(within=10)["size"].state == "ok"
        for id in "abc":
            index.driver(id).append(Run("a", "b"))
        with mock.patch.object(health, "_LARGE", 3):
            found = index.health(within=10)
        assert found["size"].state == "warning" and found.is_ready
        assert "3 conversations in one hash" in found["size"].detail
        assert indexes["default"].health(within=10)["size"].state == "ok"
