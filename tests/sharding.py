"""What the tests of indexes with SHARDS share."""

from dataclasses import replace
from zlib import crc32

from django.conf import settings

from conversation_memory import Run, indexes
from conversation_memory.redis_io.connections import Connection

from .servers import free_port
from .utils import RedisTestCase

SHARDS = 5


def run(text, **options):
    return Run(f"question {text}", f"answer {text}", **options)


def ids(records):
    return [record.conversation_id for record in records]


class ShardsTestCase(RedisTestCase):
    """`self.index` has five shards, `self.plain` is an index without any on the same server."""

    def setUp(self):
        super().setUp()
        entry = settings.REDIS["default"]
        sharded = {**entry, "SHARDS": SHARDS}
        plain = {**entry, "INDEX": entry["INDEX"] + "-plain"}
        self.enterContext(self.settings(REDIS={"default": sharded, "plain": plain}))
        indexes.close()
        self.index, self.plain = indexes["default"], indexes["plain"]

    def wipe(self):
        for key in self.redis.scan_iter(f"*{self.index.name}*", count=1000):
            self.redis.delete(key)

    def write(self, count, owners=("a", "b")):
        """The same conversations in both indexes, at the same times."""
        for number in range(count):
            owner = owners[number % len(owners)]
            for index in (self.index, self.plain):
                index.driver(f"c{number}", owner=owner).append(run(number))
        self.align()

    def align(self):
        """Give both the times of the plain one, some of them equal."""
        keys = self.plain._layout.keys
        for record in self.plain.select():
            id = record.conversation_id.encode()
            time = 1_700_000_000_000 + crc32(id) % 50 * 1000
            for index in (self.plain, self.index.shard_of(id)):
                keys = index._layout.keys
                for order in (keys.recency(), keys.recency(record.owner)):
                    self.redis.zadd(order, {id: time})

    def break_off(self, number):
        """Let nobody reach one of the shards. Returns its name."""
        shard = self.index.shards[number]
        address = replace(shard.settings, url=f"redis://127.0.0.1:{free_port()}/0")
        shard._connection = Connection(address)
        self.addCleanup(shard._connection.close)
        return shard.name

    def mend(self):
        """Delete everything, and let all shards be reached again."""
        self.wipe()
        for shard in self.index.shards:
            shard._connection = self.index._connection
        self.index._is_checked = False
