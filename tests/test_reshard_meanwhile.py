"""While an index moves into another number of shards, all processes find everything."""

import pickle
from contextlib import aclosing, suppress
from unittest import mock

import pytest

from conversation_memory.browse import Span
from conversation_memory.collection.selection import Selection
from conversation_memory.exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationNotFound,
    RedisMisconfigured,
    RedisUnavailable,
)
from conversation_memory.replies import follow

from .resharding import ReshardTestCase
from .sharding import ids, run
from .utils import Awaited, both, in_loop


class MeanwhileTests(ReshardTestCase):
    """Nothing, a half, or all has moved; some processes know of that, and others do not."""

    def write(self, *several):
        for index in several:
            for number in range(12):
                driver = index.driver(f"c{number}", owner="ab"[number % 2])
                driver.append(run(number, id=f"r{number}"))

    def processes(self):
        for before, after in ((1, 3), (3, 2)):
            for moved in (0, 6, 12):
                for knows in (True, False) if before > 1 else (True,):
                    self.after = after
                    with self.subTest(before=before, moved=moved, knows=knows):
                        old = self.at(before)
                        self.write(old)
                        new = self.begun(after)
                        self.moved(new, *(f"c{number}" for number in range(moved)))
                        yield new if knows else old
                    self.wipe()

    def test_listings_and_searches_miss_and_repeat_nothing(self):
        numbers = range(12)
        every = sorted(f"c{number}" for number in numbers)
        for index in self.processes():
            assert index.count() == 12 and index.count("a") == 6
            page = index.recent(5)
            assert [*ids(page), *ids(index.recent(5, before=page.next))] == ids(index.recent(10))
            assert sorted(ids(index.recent(50))) == sorted(ids(index.select())) == every
            assert sorted(ids(index.recent(50, owner="a"))) == every_second(numbers)
            assert sorted(ids(index.browse(Span(), 0, 20))) == sorted(index) == every
            found = index.search("question", limit=50)
            assert sorted(hit.run.id for hit in found) == sorted(f"r{n}" for n in numbers)
            assert index.find_named("question 7").ids == [b"c7"]

    def test_every_method_of_a_driver_finds_the_conversation(self):
        calls = (
            (lambda driver: driver.load()[0][0].id, "r0"),
            (lambda driver: driver.tail(1)[0].id, "r1"),
            (lambda driver: driver.read().record.runs, 1),
            (lambda driver: driver.record().runs, 1),
            (lambda driver: driver.exists(), True),
            (lambda driver: driver.append(run(1, id="new")), 1),
            (lambda driver: driver.update_metadata({"k": 1}), {"k": 1}),
            (lambda driver: driver.set_title("New"), None),
            (lambda driver: driver.expire(500), None),
            (lambda driver: driver.begin("q", run_id="q").run_id, "q"),
            (lambda driver: driver.move_to("c"), None),
            (lambda driver: driver.delete(), True),
        )
        for index in self.processes():
            for number, (call, want) in enumerate(calls):
                assert call(index.driver(f"c{number}")) == want, number
            assert index.driver("another").append(run(1, id="r")) == 1
            assert index.driver("another").append(run(1, id="r")) == 0
            index = self.at(self.after)
            assert index.count() == 12 and index.count("c") == 1
            assert not index.driver("c11").exists() and index.driver("c5").tail(1)[0].id == "new"

    @both
    def test_twins_follow(self, index):
        old = self.at(3)
        self.write(old)
        new = self.begun(2)
        twin = Awaited(old) if isinstance(index, Awaited) else old
        assert twin.count() == 12
        assert twin.driver("c1").append(run(1, id="new")) == 1
        assert new.driver("c1").append(run(1, id="new")) == 0
        assert len(twin.recent(50)) == 12
        known = Awaited(new) if isinstance(index, Awaited) else new
        assert known.reshard().failed == 0
        assert len(old.driver("c1").load()[0]) == 2 and old.count() == 12

    def test_a_reply_goes_on_in_the_new_shard(self):
        old = self.at(3)
        driver = old.driver("c")
        driver.begin("a question", run_id="r")
        reply = driver.reply("r")
        reply.write("One. ")
        reply.flush()
        followed = iter(driver.follow("r"))
        assert next(followed).text == "One. "
        new = self.begun(2)
        reply.write("Two. ")
        reply.flush()
        new.reshard()
        reply.write("Three.")
        reply.finish()
        assert driver.load()[0][0].output.text == "One. Two. Three."
        assert [chunk.text for chunk in new.driver("c").follow("r")][-1] == ""
        assert not old.open_runs()

    @mock.patch.object(follow, "HEARTBEAT", 0.05)
    def test_a_follower_goes_on_in_the_new_shard(self):
        old = self.at(3)
        reply = begun(old)
        following = iter(old.driver("c").follow("r"))
        assert next(following).text == "One. "
        self.at(2).reshard()
        late = old.driver("c").follow("r")  # of a driver that has not been told
        finish(reply)
        assert said(following) == "Two. " and said(late) == "One. Two. "

    @in_loop
    @mock.patch.object(follow, "HEARTBEAT", 0.05)
    async def test_an_async_follower_goes_on_in_the_new_shard(self):
        old = self.at(3)
        reply = begun(old)
        async with aclosing(aiter(old.driver("c").follow("r"))) as following:
            assert (await anext(following)).text == "One. "
            await self.at(2).areshard()
            finish(reply)
            assert said([chunk async for chunk in following]) == "Two. "

    def test_an_owner_is_erased_wherever_the_conversations_are(self):
        for index in self.processes():
            assert index.erase(owner="a", dry_run=True).conversations == 6
            assert index.erase(owner="a").conversations == 6
            assert index.anonymise(owner="b") == 6
            assert index.count("b") == 0
            assert index.delete("c1", "c3", "nobody") == 2
            assert index.prune(Selection(ids=["c5"])).conversations == 1
            new = self.at(self.after)
            new.reshard()
            assert sorted(new) == ["c11", "c7", "c9"] and new.count("a") == 0

    def test_what_has_to_read_everything_waits(self):
        self.write(self.at(3))
        new = self.begun(2)
        new.reap(), new.fail_abandoned()
        for call in (
            new.check,
            new.convert,
            lambda: new.prune(Selection(owner="a")),
            lambda: self.archived(new),
            self.at(4).reshard,
        ):
            with pytest.raises(RedisUnavailable, match="is being moved into 2 shards"):
                call()
        new.reshard()
        assert not new.check().problems and self.archived(new)

    def test_who_reads_all_ids_is_told_that_the_shards_are_others(self):
        old = self.at(5)
        self.write(old)
        names = iter(old)
        next(names)
        self.at(3).reshard()
        self.begun(2)  # which are five shards, too
        with pytest.raises(RedisUnavailable, match="while it was read"):
            list(names)

    def test_forks_and_renames_find_what_has_not_moved(self):
        for index in self.processes():
            index.driver("c1").fork("fork")
            assert index.driver("fork").load()[0][0].id == "r1"
            with pytest.raises(ConversationConflict):
                index.driver("c1").fork("c2")
            home = index.shard_of("c3").name
            others = (f"c{n}" for n in range(12) if index.shard_of(f"c{n}").name == home)
            taken = next(other for other in others if other != "c3")
            with pytest.raises(ConversationConflict):
                index.driver("c3").rename(taken)
            assert index.count() == 13

    def stuck(self):
        """An index that moves; a key of each conversation but the last has another type."""
        old = self.at(2)
        for name in ("c", "d", "e", "f", "g"):
            old.driver(name, owner="ann").append(run(1, id="r"))
        for name, kind in (("c", "record"), ("d", "runs"), ("e", "checkpoints"), ("f", "open")):
            keys = old.shard_of(name)._layout.keys
            key = getattr(keys, kind)(name.encode())
            self.redis.delete(key)
            self.redis.set(key, "?")
        return self.begun(3)

    @both
    def test_what_cannot_be_moved_can_be_deleted(self, index):
        for call in (
            lambda it: it.delete("c", "d", "e", "f", "g"),
            lambda it: it.prune(Selection(ids=["c", "d", "e", "f", "g"])),
            lambda it: it.erase(owner="ann"),
            lambda it: [it.driver(name, owner="ann").delete() for name in "cdefg"],
            lambda it: [it.driver(name).delete() for name in "cdefg"],
        ):
            new = self.stuck()
            twin = Awaited(new) if isinstance(index, Awaited) else new
            done = call(twin)
            assert done in (5, [True] * 5) or done.conversations == 5, done
            assert not [*new] and not ids(new.recent(9, owner="ann")) and new.count() == 0
            assert new.reshard().failed == 0 and self.noted() == "3"
            assert new.driver("c").append(run(2)) == 1 and new.count() == 1
            self.wipe()

    @both
    def test_nobody_else_is_told_of_what_cannot_be_moved(self, index):
        new = self.stuck()
        self.redis.hset(new.shard_of("g").name, "g", b'{"runs": [], "metadata": {}}')
        twin = Awaited(new) if isinstance(index, Awaited) else new
        for name in "cdefg":
            driver = twin.driver(name, owner="bob")
            assert not driver.exists() and driver.record() is None and not driver.delete()
            with suppress(ConversationNotFound):  # as in an index that does not move
                assert driver.load() == ([], {})
            with pytest.raises(ConversationNotFound):
                driver.append(run(2))
            with pytest.raises(ConversationNotFound):
                driver.begin("q")
            for own in (twin.driver(name, owner="ann"), twin.driver(name)):
                with pytest.raises((ConversationCorrupt, ConversationConflict)):
                    own.append(run(2))
        twin.erase(owner="bob")
        assert new.count() == 6

    @both
    def test_an_error_names_the_shards_once_that_failed(self, index):
        self.at(2).driver("c").append(run(1))
        new = self.begun(3)
        home = new.shard_of("c")
        self.redis.set(home._layout.keys.recency(), "?")
        twin = Awaited(new) if isinstance(index, Awaited) else new
        for call in (lambda: twin.recent(5), lambda: twin.delete("c")):
            with pytest.raises(RedisMisconfigured) as caught:
                call()
            assert caught.value.shards == (home.name,)
            assert str(caught.value).count("failed") == 1
            assert pickle.loads(pickle.dumps(caught.value)).shards == (home.name,)
        self.wipe()

    def test_a_page_of_the_admin_has_what_cannot_be_moved(self):
        new = self.stuck()
        page = new.browse(Span(), 0, 20)
        assert sorted(ids(page)) == [*"cdefg"]
        assert new.prune(Selection(ids=[*"cdefg"]), dry_run=True).conversations == 5


def begun(index):
    """A reply that has said something."""
    index.driver("c").begin("a question", run_id="r")
    reply = index.driver("c").reply("r")
    reply.write("One. ")
    reply.flush()
    return reply


def finish(reply):
    reply.write("Two. ")
    reply.finish()


def said(chunks):
    return "".join(chunk.text for chunk in chunks)


def every_second(numbers):
    return sorted(f"c{number}" for number in numbers if number % 2 == 0)
