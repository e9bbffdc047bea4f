"""Replies beside failures of Redis, damaged keys, and several workers at once."""

from concurrent.futures import ThreadPoolExecutor

from conversation_memory.exceptions import (
    ConversationCorrupt,
    RedisReadOnly,
    RedisUnavailable,
    ReplyCancelled,
    ReplyError,
    ReplyLost,
)

from .servers import ServerTestCase
from .test_replies import raised
from .utils import each_layout


@each_layout
class ReplyFailureTests:
    case = ServerTestCase
    entry = {"OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}}

    def setUp(self):
        super().setUp()
        self.driver = self.index.driver("c")
        self.driver.begin("Why?", run_id="r")

    def test_text_that_a_full_server_rejects_is_written_later(self):
        reply = self.driver.reply("r")
        with self.config(maxmemory="1"):
            assert raised(RedisReadOnly, reply.write, "one ")
            assert raised(RedisReadOnly, reply.write, "two ")
            assert raised(RedisReadOnly, reply.finish)
            assert raised(RedisReadOnly, self.driver.begin, "And?")
            assert raised(RedisReadOnly, self.driver.cancel, "r")
            assert [run.state for run in self.driver.open_runs()] == ["claimed"]
        reply.finish()
        assert [run.output.text for run in self.driver.load()[0]] == ["one two "]
        assert "".join(chunk.text for chunk in self.driver.follow("r")) == "one two "

    def test_text_that_a_stopped_server_does_not_take_is_written_later(self):
        reply = self.driver.reply("r")
        with self.stopped():
            assert raised(RedisUnavailable, reply.write, "one ")
            assert raised(RedisUnavailable, reply.write, "two")
            assert raised(RedisUnavailable, reply.finish)
            assert raised(RedisUnavailable, list, self.driver.follow("r"))
        reply.finish()
        assert "".join(chunk.text for chunk in self.driver.follow("r")) == "one two"

    def test_a_replica_takes_no_question(self):
        self.redis.replicaof("127.0.0.1", 1)
        try:
            assert raised(RedisReadOnly, self.driver.begin, "And?")
            assert raised(RedisReadOnly, self.driver.reply, "r")
            assert [run.state for run in self.driver.open_runs()] == ["waiting"]
        finally:
            self.redis.replicaof("NO", "ONE")


@each_layout
class DamagedReplyTests:
    def setUp(self):
        super().setUp()
        self.driver = self.index.driver("c")
        self.driver.begin("Why?", run_id="r")
        self.reply = self.driver.reply("r")
        self.reply.write("half")
        self.prefix = f"{{{self.index.name}}}"

    def test_a_key_of_another_type_is_named(self):
        for name in ("chunks:1:c:r", "open:c"):
            key = f"{self.prefix}:{name}"
            self.redis.delete(key)
            self.redis.set(key, "text")
            for call in (self.reply.finish, lambda: self.driver.cancel("r")):
                assert key in str(raised(ConversationCorrupt, call))
            assert self.redis.get(key) == b"text"
            assert self.driver.load()[0] == []

    def test_a_conversation_with_damaged_replies_is_deleted(self):
        for name in ("chunks:1:c:r", "opened"):
            self.redis.delete(f"{self.prefix}:{name}")
            self.redis.set(f"{self.prefix}:{name}", "text")
        assert self.driver.delete()
        assert self.keys() == {f"{self.prefix}:opened".encode()}

    def test_a_lost_state_is_not_overwritten_by_a_retry(self):
        self.redis.hset(f"{self.prefix}:open:c", "state:r", "garbage")
        assert raised(ReplyLost, self.reply.finish)
        assert self.driver.open_runs() == []
        self.driver.begin("Who?", run_id="r")
        assert self.driver.open_runs()[0].input.text == "Why?"


@each_layout
class RaceTests:
    def race(self, *calls):
        """What each of the calls, made at once, returns or raises."""

        def outcome(call):
            try:
                return call()
            except ReplyError as error:
                return error

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(outcome, calls))

    def test_one_of_many_workers_gets_a_reply(self):
        driver = self.index.driver("c")
        for number in range(20):
            driver.begin("Why?", run_id=f"r{number}")
            found = self.race(*[lambda n=number: driver.reply(f"r{n}")] * 4)
            assert sorted(isinstance(one, ReplyLost) for one in found) == [False, True, True, True]

    def test_a_cancel_that_crosses_a_finish(self):
        driver = self.index.driver("c")
        outcomes = set()
        for number in range(30):
            reply = driver.begin("Why?", run_id=f"r{number}").claim()
            reply.write("so")
            other = self.index.driver("c")
            pair = (reply.finish, lambda n=number, other=other: other.cancel(f"r{n}"))
            finished, cancelled = self.race(*pair) if number % 2 else self.race(*pair[::-1])[::-1]
            outcomes.add(cancelled)
            run = driver.load()[0][-1]
            assert (run.id, run.output.text) == (f"r{number}", "so")
            assert bool((run.meta or {}).get("cancelled")) == cancelled
            assert isinstance(finished, ReplyCancelled) == cancelled
            last = [chunk.kind for chunk in driver.follow(run.id)][-1]
            assert last == ("cancelled" if cancelled else "finished")
        assert len(driver.load()[0]) == 30
        assert driver.open_runs() == []
