"""What the tests of moves into another number of shards share."""

import itertools
import threading
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

from redis.exceptions import ConnectionError

from conversation_memory import ConversationIndex, Run, conf
from conversation_memory.archive import Dump
from conversation_memory.redis_io import operations
from conversation_memory.sharding import ShardedIndex

from .sharding import run
from .utils import RedisTestCase


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_at(number, *, sent):
    """Kill everything of this process at its round trip of that number, before or after it is sent.

    Nothing is sent any more then. Yields a list that has something in it if that happened.
    """
    numbers, happened, lock, exchange = (
        itertools.count(1),
        [],
        threading.Lock(),
        operations._exchange,
    )

    def counted(client, calls):
        with lock:
            is_last = next(numbers) == number
            if happened:
                raise Killed
            if is_last:
                happened.append(calls[0][0])
        if not is_last:
            return exchange(client, calls)
        if sent:
            exchange(client, calls)
        raise Killed

    with mock.patch.object(operations, "_exchange", counted):
        yield happened


@contextmanager
def failing_at(number):
    """Let a connection fail at that round trip, again and again."""
    numbers, exchange = itertools.count(1), operations._exchange

    def counted(client, calls):
        if next(numbers) == number:
            raise ConnectionError("The server has closed the connection.")
        return exchange(client, calls)

    with mock.patch.object(operations, "_exchange", counted):
        yield


class ReshardTestCase(RedisTestCase):
    """An index as processes see it whose settings have this or that number of shards."""

    def at(self, shards):
        # Other settings for all would close the connections of everybody who writes meanwhile.
        found = replace(conf.get("default"), shards=shards)
        return (ShardedIndex if shards > 1 else ConversationIndex)(found)

    def begun(self, shards):
        """An index that moves into so many shards, of which nothing has moved yet."""
        index = self.at(shards)
        index._run(index._begin(), "reshard")
        return index

    def moved(self, index, *names):
        """Let these conversations be in their new shards."""
        index._run(index._move.arrived([name.encode() for name in names]), "move")

    def wipe(self):
        for key in self.redis.scan_iter(f"*{self.index.name}*", count=1000):
            self.redis.delete(key)

    def noted(self):
        """What Redis has where the hash would be."""
        return self.redis.get(self.index.name).decode()

    def rest(self, names):
        """The keys of former shards but their hashes, which say that everything has left."""
        found = set()
        for name in names:
            found |= {*self.redis.scan_iter(f"{{{name}}}:*", count=1000)}
        return {key for key in found if b"}:call:" not in key}

    def saved(self):
        """Everything in Redis, for `again()`."""
        keys = [*self.redis.scan_iter(f"*{self.index.name}*", count=1000)]
        own = [key for key in keys if b"}:call:" not in key]
        return {key: (max(0, self.redis.pexpiretime(key)), self.redis.dump(key)) for key in own}

    def again(self, saved):
        self.wipe()
        with self.redis.pipeline(transaction=False) as pipe:
            for key, (expires, value) in saved.items():
                pipe.restore(key, expires, value, absttl=expires > 0)
            pipe.execute()

    def fill(self, index):
        """One conversation of each kind."""
        index.driver("runs", owner="ann").append(
            *(Run("q", f"a {n}", id=f"r{n}") for n in range(3))
        )
        index.driver("runs", owner="ann").set_title("A title")
        index.driver("long", ttl=5000).append(Run("q", "x" * 40_000, id="long"))
        index.driver("empty").store([], {"k": [1.0, {}, "ä"]})
        index.driver("kept", owner="bob").append(Run("q", "a", id="kept"))
        index.driver("kept", owner="bob").persist()
        driver = index.driver("open", owner="ann")
        for status in ("waiting", "claimed", "failed", "cancelled", "finished"):
            driver.begin(f"a {status} question", run_id=status)
            if status != "waiting":
                reply = driver.reply(status)
                reply.write("said " * 20)
                reply.flush()
            if status == "finished":
                reply.finish()
        driver.fail("failed", "no words")
        driver.cancel("cancelled")
        shard = index.shard_of("foreign")
        self.redis.hset(shard.name, "foreign", b'{"runs": [], "metadata": {"by": "others"}}')
        shard = index.shard_of("damaged")
        self.redis.hset(shard.name, "damaged", b"\xff{")
        key = index.shard_of("agent")._layout.keys.checkpoints(b"agent")
        index.driver("agent").append(Run("q", "a", id="agent"))
        self.redis.hset(key, mapping={f"field {n}": b"\xff\x00" * n for n in range(1200)})

    def fill_little(self, index):
        """What has a key of each kind."""
        driver = index.driver("all", owner="ann", ttl=5000)
        driver.append(run(1, id="r1"))
        driver.begin("a question", run_id="open")
        reply = driver.reply("open")
        reply.write("said " * 20)
        reply.flush()
        keys = index.shard_of("all")._layout.keys
        self.redis.hset(keys.checkpoints(b"all"), mapping={"a field": "a value"})
        self.redis.hset(index.shard_of("foreign").name, "foreign", b'{"runs": [], "metadata": {}}')

    def facts(self, index):
        """Everything that is stored of conversations, wherever it is."""
        found = {}
        for shard in index.shards:
            keys = shard._layout.keys
            for id in self.redis.hkeys(keys.index):
                assert id not in found
                found[id] = self.facts_of(keys, id)
        return found

    def facts_of(self, keys, id):
        ask = self.redis
        record = ask.hgetall(keys.record(id))
        for name in (b"token", b"tag", b"facets", b"indexed"):
            record.pop(name, None)
        known = [keys.runs(id), keys.ids(id), keys.checkpoints(id), keys.open(id)]
        open = ask.hgetall(keys.open(id))
        streams = {}
        for name in open:
            if name.startswith(b"state:"):
                stream, reply = keys.chunks(id, name[6:]), keys.reply(id, name[6:])
                entries = ask.xrange(stream), ask.pexpiretime(stream)
                streams[name] = *entries, ask.zscore(keys.opened(), reply)
        owner = record.get(b"owner")
        orders = [keys.recency(), keys.expiry(), *([keys.recency(owner)] if owner else [])]
        return (
            ask.hget(keys.index, id),
            ask.hpexpiretime(keys.index, id) if self.knows("HPEXPIRETIME") else None,
            record,
            ask.lrange(keys.runs(id), 0, -1),
            ask.get(keys.ids(id)),
            ask.hgetall(keys.checkpoints(id)),
            open,
            streams,
            [ask.zscore(order, id) for order in orders],
            [ask.pexpiretime(key) for key in known],
        )

    def archived(self, index):
        """The archive without its header, which has the time."""
        return b"".join(Dump(index)).partition(b"\n")[2]
