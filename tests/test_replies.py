"""Open runs: begun, answered, cancelled, failed, lost, and taken up again."""

import asyncio
import time
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from django.core.management import call_command

from conversation_memory import Run
from conversation_memory.check import findings
from conversation_memory.collection.selection import Selection
from conversation_memory.exceptions import (
    ConversationNotFound,
    ConversationTooLarge,
    ReplyCancelled,
    ReplyLost,
)

from .archives import dumped, restored
from .searching import Settled
from .utils import both, close_connections, each_layout


def raised(kind, call, *args, **kwargs):
    """The error of that kind that a call raises."""
    try:
        call(*args, **kwargs)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


@each_layout
class ReplyTests:
    entry = {"REPLY_LEASE": 30}

    def driver(self, **options):
        return self.index.driver("c", owner="ann", **options)

    def expire_lease(self, run_id, by=60_000, id="c"):
        """Let the lease of a reply be over, and its question be old."""
        key, field = f"{{{self.index.name}}}:open:{id}", f"state:{run_id}"
        status, begun, changed, lease, rest = self.redis.hget(key, field).split(b" ", 4)
        lease, begun = (b"%d" % max(0, int(t) - by) for t in (lease, begun))
        self.redis.hset(key, field, b" ".join([status, begun, changed, lease, rest]))

    @both
    def test_an_open_run_is_not_in_the_conversation(self, index):
        driver = index.driver("c", owner="ann")
        reply = driver.begin("Why?", meta={"model": "m"})
        [run] = driver.open_runs()
        assert driver.load() == ([], {})
        assert b"Why?" not in self.stored("c")
        assert (run.run_id, run.state, run.input.text) == (reply.run_id, "waiting", "Why?")
        assert (run.owner, run.meta, run.conversation_id) == ("ann", {"model": "m"}, "c")
        assert [record.conversation_id for record in index.recent(owner="ann")] == ["c"]

    @both
    def test_beginning_again_changes_nothing(self, index):
        driver = index.driver("c")
        driver.begin("Why?", run_id="r")
        driver.reply("r")
        driver.begin("Why?", run_id="r")
        assert [(run.run_id, run.state) for run in driver.open_runs()] == [("r", "claimed")]

    def test_a_finished_reply_is_a_run(self):
        driver = self.driver()
        driver.append(Run("Hello", "Hi"))
        driver.begin("Why?", meta={"model": "m"}, run_id="r")
        reply = driver.reply("r")
        for word in ("a ", "b ", "c"):
            reply.write(word)
        reply.finish(meta={"usage": 3})
        run = driver.load()[0][-1]
        assert (run.id, run.input.text, run.output.text) == ("r", "Why?", "a b c")
        assert run.meta == {"model": "m", "usage": 3}
        assert driver.open_runs() == []
        assert self.index.check().left == 0

    def test_a_reply_is_finished_once(self):
        driver = self.driver()
        driver.begin("Why?", run_id="r")
        reply = driver.reply("r")
        reply.write("so")
        reply.finish()
        reply.finish()
        assert len(driver.load()[0]) == 1

    def test_a_run_of_that_id_that_was_appended_settles_the_reply(self):
        driver = self.driver()
        driver.begin("Why?", run_id="r")
        reply = driver.reply("r")
        driver.append(Run("Why?", "because", id="r"))
        reply.finish("other")
        assert [run.output.text for run in driver.load()[0]] == ["because"]
        assert driver.open_runs() == []

    def test_begin_after_the_end_does_not_open_the_run_again(self):
        driver = self.driver()
        driver.begin("Why?", run_id="r")
        driver.reply("r").finish("so")
        driver.begin("Why?", run_id="r")
        assert driver.open_runs() == []
        assert "was finished" in str(raised(ReplyLost, driver.reply, "r"))

    def test_a_claimed_reply_is_not_claimed_by_another_worker(self):
        driver = self.driver()
        driver.begin("Why?", run_id="r")
        driver.reply("r")
        assert "another worker" in str(raised(ReplyLost, driver.reply, "r"))

    def test_a_worker_may_claim_its_reply_again(self):
        driver = self.driver()
        reply = driver.begin("Why?", run_id="r").claim()
        reply.claim()
        reply.write("one ")
        reply.claim(resume=True)
        reply.write("two")
        reply.finish()
        assert driver.load()[0][0].output.text == "one two"
        assert "".join(chunk.text for chunk in driver.follow("r")) == "one two"

    def test_a_reply_that_nobody_has_claimed_is_not_written(self):
        reply = self.driver().begin("Why?")
        for call in (lambda: reply.write("so"), reply.flush, reply.finish):
            assert "claim() first" in str(raised(ReplyLost, call))

    def test_a_lost_reply_is_begun_anew_or_resumed(self):
        driver = self.driver()
        driver.begin("Why?", run_id="r")
        first = driver.reply("r")
        first.write("one ")
        self.expire_lease("r")
        assert [run.state for run in driver.open_runs()] == ["lost"]
        second = driver.reply("r", resume=True)
        assert second.text == "one "
        first._flushed = 0
        assert "claimed by another" in str(raised(ReplyLost, first.write, "no"))
        assert raised(ReplyLost, first.finish)
        second.write("two")
        second.flush()
        self.expire_lease("r")
        third = driver.reply("r")
        assert third.text == ""
        third.write("three")
        third.finish()
        assert [run.output.text for run in driver.load()[0]] == ["three"]

    def test_a_worker_goes_on_after_its_lease_if_nobody_came(self):
        driver = self.driver()
        driver.begin("Why?", run_id="r")
        reply = driver.reply("r")
        self.expire_lease("r")
        reply.write("so")
        assert [run.state for run in driver.open_runs()] == ["claimed"]
        reply.finish()

    def test_a_failed_reply_keeps_its_text_for_a_retry(self):
        driver = self.driver()
        driver.begin("Why?", run_id="r")
        reply = driver.reply("r")
        reply.write("half")
        reply.write(" of it")
        reply.fail("The model is overloaded.")
        [run] = driver.open_runs()
        assert (run.state, run.reason) == ("failed", "The model is overloaded.")
        again = driver.reply("r", resume=True)
        assert again.text == "half of it"
        again.finish()
        assert driver.load()[0][0].output.text == "half of it"

    @both
    def test_a_cancelled_reply_keeps_what_was_said(self, index):
        driver = index.driver("c")
        driver.begin("Why?", meta={"model": "m"}, run_id="r")
        reply = self.index.driver("c").reply("r")
        reply.write("half")
        assert driver.cancel("r")
        [run] = driver.load()[0]
        assert (run.output.text, run.meta) == ("half", {"model": "m", "cancelled": True})
        assert raised(ReplyCancelled, reply.write, "x" * 2000)
        assert driver.open_runs() == []
        assert driver.cancel("r")
        assert not driver.cancel("other")

    def test_a_reply_that_was_cancelled_before_it_said_anything_stays_a_question(self):
        driver = self.driver()
        driver.begin("Why?", run_id="r")
        assert driver.cancel("r")
        assert driver.load()[0] == []
        assert [run.state for run in driver.open_runs()] == ["cancelled"]
        driver.reply("r").finish("so")
        assert len(driver.load()[0]) == 1

    def test_a_cancel_after_the_finish_changes_nothing(self):
        driver = self.driver()
        driver.begin("Why?", run_id="r")
        driver.reply("r").finish("so")
        assert not driver.cancel("r")
        assert driver.load()[0][0].output.text == "so"

    @both
    def test_a_question_that_was_removed_may_be_begun_again(self, index):
        driver = index.driver("c")
        driver.begin("Why?", run_id="r")
        with self.assertRaises(ZeroDivisionError), self.index.driver("c").reply("r") as reply:
            reply.write("Because")
            raise ZeroDivisionError
        assert driver.discard("r")
        driver.begin("Why not?", run_id="r")
        [run] = driver.open_runs()
        assert (run.state, run.input.text) == ("waiting", "Why not?")
        with self.index.driver("c").reply("r") as reply:
            reply.write("Yes.")
        said = [chunk.text for chunk in self.index.driver("c").follow("r") if chunk.kind == "text"]
        assert said == ["Yes."]
        assert driver.load()[0][0].output.text == "Yes."

    def test_a_reply_is_failed_and_discarded_from_outside(self):
        driver = self.driver()
        driver.begin("Why?", run_id="r")
        reply = driver.reply("r")
        staff = self.index.driver("c")
        assert staff.fail("r", "Stopped by staff.")
        assert raised(ReplyLost, reply.finish)
        assert staff.discard("r")
        assert not staff.fail("r", "Too late.")
        assert not staff.discard("other")
        assert driver.open_runs() == []
        assert driver.load()[0] == []

    def test_a_block_finishes_or_fails_its_reply(self):
        driver = self.driver()
        with driver.begin("Why?") as reply:
            reply.write("so")
        assert driver.load()[0][0].output.text == "so"
        with self.assertRaises(ZeroDivisionError), driver.begin("Why?") as reply:
            reply.write("a")
            reply.write("b")
            _ = 1 / 0
        [run] = driver.open_runs()
        assert run.reason == "The worker failed (ZeroDivisionError)."
        assert driver.reply(run.run_id, resume=True).text == "ab"

    def test_a_block_that_is_interrupted_leaves_its_reply_to_another_worker(self):
        driver = self.driver()
        with self.assertRaises(KeyboardInterrupt), driver.begin("Why?") as reply:
            reply.write("a")
            reply.write("b")
            raise KeyboardInterrupt
        assert [run.state for run in driver.open_runs()] == ["claimed"]
        self.expire_lease(reply.run_id)
        assert driver.reply(reply.run_id, resume=True).text == "ab"

    def test_another_owner_sees_no_open_run(self):
        self.driver().begin("Why?", run_id="r")
        other = self.index.driver("c", owner="bob")
        assert other.open_runs() == []
        assert raised(ReplyLost, other.reply, "r")
        assert raised(ConversationNotFound, list, other.follow("r"))
        assert raised(ConversationNotFound, other.begin, "Why?")
        assert not (other.cancel("r") or other.fail("r", "") or other.discard("r"))
        assert [run.state for run in self.driver().open_runs()] == ["waiting"]

    def test_a_reply_is_not_larger_than_a_run_may_be(self):
        driver = self.driver()
        reply = driver.begin("Why?").claim()
        reply._layout.max_run_bytes = 100
        assert raised(ConversationTooLarge, reply.write, "x" * 101)

    def test_many_tokens_are_few_commands(self):
        reply = self.driver().begin("Why?").claim()
        before = self.redis.info("commandstats").get("cmdstat_xadd", {"calls": 0})["calls"]
        for _ in range(1000):
            reply.write("word ")
        reply.finish()
        calls = self.redis.info("commandstats")["cmdstat_xadd"]["calls"] - before
        assert calls < 10, calls
        assert self.driver().load()[0][0].output.text == "word " * 1000

    def test_the_rest_of_an_async_reply_is_written_by_a_timer(self):
        driver = self.driver()

        async def run():
            async with await driver.abegin("Why?", run_id="r") as reply:
                await reply.awrite("a")
                await reply.awrite("b")
                await asyncio.wait([reply._timer])
                other = await driver._arun(driver._replies.chunks("r"))
                assert "".join(chunk.text for chunk in other) == "ab"
            await close_connections()

        asyncio.run(run())
        assert driver.load()[0][0].output.text == "ab"

    def test_the_timer_tells_the_next_write_of_a_cancel(self):
        driver = self.driver()

        async def run():
            reply = await (await driver.abegin("Why?", run_id="r")).aclaim()
            await reply.awrite("a")
            await driver.acancel("r")
            await reply.awrite("b")
            await asyncio.wait([reply._timer])
            try:
                await reply.awrite("c")
            except ReplyCancelled:
                return True
            finally:
                await close_connections()

        assert asyncio.run(run())
        assert driver.load()[0][0].output.text == "a"

    def test_nothing_is_finished_in_an_expired_conversation(self):
        for owner in (None, "ann"):
            driver = self.index.driver("short", owner=owner)
            driver.begin("Why?", run_id="r")
            reply = driver.reply("r")
            reply.write("too late")
            driver.expire(0.001)
            time.sleep(0.005)
            assert raised(ReplyLost, reply.finish)
            self.index.reap()
            assert not [key for key in self.redis.keys(f"*{self.index.name}*") if b"short" in key]

    def test_what_nobody_finished_fails_after_a_time(self):
        driver = self.driver()
        for run_id in ("new", "waiting", "lost", "alive"):
            driver.begin("Why?", run_id=run_id)
        driver.reply("lost")
        driver.reply("alive")
        for run_id in ("waiting", "lost"):
            self.expire_lease(run_id, by=3_700_000)
        assert self.index.fail_abandoned() == 2
        states = {run.run_id: run.state for run in driver.open_runs()}
        expected = {"new": "waiting", "waiting": "failed", "lost": "failed", "alive": "claimed"}
        assert states == expected

    @both
    def test_a_reply_of_another_type_keeps_no_other_from_being_failed(self, index):
        for id in ("bad", "good"):
            index.driver(id).begin("Why?", run_id="r")
            self.expire_lease("r", by=3_700_000, id=id)
        self.redis.set(f"{{{self.index.name}}}:chunks:3:bad:r", "x")
        assert index.fail_abandoned() == 1
        assert index.driver("good").open_runs()[0].state == "failed"

    @both
    def test_the_index_lists_its_open_runs(self, index):
        for number in range(5):
            index.driver(f"a:{number}", owner="ann").begin("Why?", run_id=f"r:{number}")
            time.sleep(0.002)
        index.driver("a:1").reply("r:1")
        index.delete("a:2")
        first = index.open_runs(3)
        rest = index.open_runs(3, after=first[-1])
        found = [(run.conversation_id, run.run_id, run.state) for run in [*first, *rest]]
        states = ["waiting", "claimed", "waiting", "waiting"]
        expected = [(f"a:{n}", f"r:{n}", s) for n, s in zip((0, 1, 3, 4), states, strict=True)]
        assert found == expected


@each_layout
class LifeTests:
    """What happens to open runs when something happens to their conversation."""

    def begin(self, id="c", **options):
        driver = self.index.driver(id, owner="ann", **options)
        driver.begin("Why?", run_id="r:1")
        reply = driver.reply("r:1")
        reply.write("half")
        driver.begin("And?", run_id="done")
        driver.reply("done").finish("so")
        return driver

    def assert_nothing_is_left(self):
        left = {key for key in self.keys() if b":ids:" not in key}
        assert left == set(), left

    def test_deleting_leaves_nothing(self):
        self.begin().delete()
        self.assert_nothing_is_left()

    def test_erasing_leaves_nothing(self):
        self.begin()
        self.index.erase(owner="ann")
        self.assert_nothing_is_left()

    def test_deleting_leaves_nothing_of_a_lost_record(self):
        for delete in (
            lambda: self.index.driver("c").delete(),
            lambda: self.index.delete("c"),
            lambda: self.index.prune(Selection(ids=["c"])),
            lambda: asyncio.run(self.index.adelete("c")),
        ):
            self.begin()
            self.redis.delete(f"{{{self.index.name}}}:record:c")
            delete()
            left = {key for key in self.keys() if not key.endswith(b":owner:ann")}
            assert not [key for key in left if b":ids:" not in key], left

    def test_renaming_takes_the_open_runs_of_a_lost_record_along(self):
        self.begin()
        self.redis.delete(f"{{{self.index.name}}}:record:c")
        driver = self.index.driver("c")
        driver.rename("d")
        assert [run.run_id for run in driver.open_runs()] == ["r:1"]
        assert self.index.driver("c").open_runs() == []

    def test_erasing_leaves_nothing_of_a_lost_record(self):
        self.begin()
        self.redis.delete(f"{{{self.index.name}}}:record:c")
        self.index.erase(owner="ann")
        self.assert_nothing_is_left()

    def test_reaping_leaves_nothing(self):
        self.begin().expire(0.001)
        time.sleep(0.005)
        assert self.index.driver("c", owner="ann").open_runs() == []
        assert self.index.open_runs() == []
        self.index.reap()
        self.assert_nothing_is_left()

    def test_a_question_lets_the_deadline_slide(self):
        driver = self.index.driver("c", ttl=3600)
        driver.append(Run("Hello", "Hi"))
        before = driver.record().expires
        time.sleep(0.005)
        driver.begin("Why?")
        assert driver.record().expires > before

    def test_a_renamed_conversation_keeps_its_open_runs(self):
        driver = self.begin()
        driver.rename("other:1")
        assert [run.run_id for run in driver.open_runs()] == ["r:1"]
        assert [run.conversation_id for run in self.index.open_runs()] == ["other:1"]
        assert "".join(chunk.text for chunk in driver.follow("done")) == "so"
        key = f"{{{self.index.name}}}:open:other:1"
        assert self.redis.hexists(key, "state:r:1")
        driver.delete()
        self.assert_nothing_is_left()

    def test_a_fork_has_no_open_runs(self):
        driver = self.begin()
        fork = driver.fork("f")
        assert (len(fork.load()[0]), fork.open_runs()) == (1, [])

    def test_a_conversation_that_moves_takes_its_open_runs_along(self):
        self.begin().move_to("bob")
        assert self.index.driver("c", owner="ann").open_runs() == []
        assert [run.owner for run in self.index.driver("c", owner="bob").open_runs()] == ["bob"]
        assert [run.owner for run in self.index.open_runs()] == ["bob"]

    def test_a_check_finds_and_lists_open_runs(self):
        self.begin()
        assert self.index.check().problems == {}
        self.redis.delete(f"{{{self.index.name}}}:opened")
        report = self.index.check(fix=True)
        assert [*report.problems] == [findings.STRAY_REPLY]
        assert report.left == 0
        assert [run.run_id for run in self.index.open_runs()] == ["r:1"]

    def test_a_check_names_what_is_left_of_open_runs(self):
        self.begin()
        prefix = f"{{{self.index.name}}}"
        self.redis.hdel(self.index.name, "c")
        self.redis.delete(f"{prefix}:record:c")
        self.redis.xadd(f"{prefix}:chunks:1:x:r", {"t": "text"})
        self.redis.set(f"{prefix}:open:d", "text")
        report = self.index.check(fix=True)
        assert set(report.problems[findings.STRAY_REPLY].examples) == {
            f"{prefix}:open:c",
            f"{prefix}:chunks:1:x:r",
        }
        assert report.problems[findings.WRONG_TYPE].examples == (f"{prefix}:open:d",)

    def test_an_archive_has_the_open_runs(self):
        driver = self.begin()
        failed = driver.begin("Who?", run_id="f")
        failed.claim().fail("Overloaded.")
        archive = dumped(self.index)
        self.wipe()
        assert restored(self.index, archive).new == 1
        states = {run.run_id: (run.state, run.reason) for run in driver.open_runs()}
        assert states == {"r:1": ("waiting", ""), "f": ("failed", "Overloaded.")}
        assert len(self.index.open_runs()) == 2
        assert dumped(self.index).splitlines()[1] == archive.splitlines()[1]
        assert restored(self.index, archive).same == 1
        reply = driver.reply("r:1", resume=True)
        assert reply.text == "half"
        reply.write(" and half")
        reply.finish()
        assert driver.load()[0][-1].output.text == "half and half"
        assert self.index.check().problems == {}

    def test_an_interrupted_restore_is_completed(self):
        driver = self.begin()
        archive = dumped(self.index)
        driver.discard("r:1")
        self.redis.delete(f"{{{self.index.name}}}:open:c")
        assert restored(self.index, archive).same == 1
        assert [run.run_id for run in driver.open_runs()] == ["r:1"]

    def test_the_reaper_fails_what_was_abandoned(self):
        self.begin()
        key = f"{{{self.index.name}}}:open:c"
        state = self.redis.hget(key, "state:r:1").split(b" ", 4)
        self.redis.hset(key, "state:r:1", b" ".join([*state[:3], b"1", state[4]]))
        out = StringIO()
        call_command("reapconversations", stdout=out, stderr=out)
        said = "default: deleted 0 expired conversations, failed 1 abandoned reply\n"
        assert out.getvalue() == said
        assert [run.state for run in self.index.open_runs()] == ["failed"]

    def test_a_chat_export_has_whole_exchanges_only(self):
        self.begin()
        out = StringIO()
        with TemporaryDirectory() as folder:
            path = Path(folder) / "chats.jsonl"
            options = {"output": str(path), "format": "messages", "stdout": out, "stderr": out}
            call_command("dumpconversations", **options)
            assert "And?" in path.read_text()
            assert "Why?" not in path.read_text()


@each_layout
class SearchedReplyTests(Settled):
    entry = {"SEARCH": True}

    def test_a_reply_is_found_when_it_is_finished(self):
        driver = self.index.driver("c", owner="ann")
        driver.begin("Why are lighthouses tall?", run_id="r")
        reply = driver.reply("r")
        reply.write("To be seen.")
        reply.flush()
        assert len(self.index.search("lighthouses")) == 0
        reply.finish()
        driver.begin("And red?")
        assert len(self.index.search("lighthouses")) == 1
        assert self.index.check().problems == {}
