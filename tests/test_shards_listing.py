"""A listing asks each shard for little, and is exact nevertheless."""

from itertools import count, islice

from conversation_memory.keys import shard_number

from .sharding import SHARDS, ShardsTestCase, ids, run
from .utils import both, each_layout, monitored

STOCK = b'{"runs": [], "metadata": {}}'


def ids_in(number, amount):
    """So many ids of conversations in one shard."""
    names = (f"c{number}" for number in count())
    return [*islice((it for it in names if shard_number(it.encode(), SHARDS) == number), amount)]


@each_layout
class ShareTests:
    case = ShardsTestCase

    def write_unevenly(self):
        """Each shard has two conversations, one of them the newest forty."""
        self.newest = ids_in(2, 40)
        others = [id for number in range(SHARDS) if number != 2 for id in ids_in(number, 2)]
        for time, id in enumerate([*others, *self.newest], start=1_700_000_000_000):
            self.index.driver(id, owner="a").append(run(1))
            keys = self.index.shard_of(id)._layout.keys
            for order in (keys.recency(), keys.recency(b"a")):
                self.redis.zadd(order, {id: time})

    @both
    def test_one_shard_may_have_all_of_a_page(self, index):
        self.write_unevenly()
        for owner in (None, "a"):
            for limit in (1, 5, 30, 40):
                assert ids(index.recent(limit, owner=owner)) == self.newest[: -limit - 1 : -1]
        assert len(ids(index.recent(100))) == index.count() == 40 + 2 * (SHARDS - 1)

    def test_the_pages_follow_each_other(self):
        self.write_unevenly()
        for owner in (None, "a"):
            first = self.index.recent(25, owner=owner)
            second = self.index.recent(25, owner=owner, before=first.next)
            assert ids([*first, *second]) == ids(self.index.recent(50, owner=owner))

    def test_a_page_is_asked_for_once_where_all_shards_have_their_share(self):
        for number in range(100):
            self.index.driver(f"c{number}").append(run(1))
        self.index.recent(50)
        with monitored(self.redis) as sent:
            self.index.recent(50)
        own = [line["command"] for line in sent if line["client_type"] != "lua"]
        # The front of each shard, and the summaries of what is on the page.
        assert [line.split()[0] for line in own] == ["GET", *["EVALSHA"] * 2 * SHARDS]


class AdoptionTests(ShardsTestCase):
    def put(self, id):
        self.redis.hset(self.index.shard_of(id).name, id, STOCK)

    @both
    def test_a_shard_with_more_conversations_than_it_lists_adopts_at_once(self, index):
        for number in range(SHARDS):
            self.put(ids_in(number, 1)[0])
        page = index.recent()
        assert len(page) == SHARDS and page.unlisted == 0
        assert index.extent().conversations == SHARDS

    @both
    def test_what_one_listing_leaves_is_told(self, index):
        names = ids_in(1, 6000)
        shard = self.index.shard_of(names[0])
        self.redis.hset(shard.name, mapping=dict.fromkeys(names, STOCK))
        assert 0 < index.recent(1).unlisted < 6000
        assert index.extent().unlisted == 0
        assert index.extent().conversations == 6000

    @both
    def test_in_turn_each_shard_looks_for_what_the_numbers_hide(self, index):
        old, new = ids_in(3, 2)
        self.index.driver(old).append(run(1))
        self.redis.hdel(self.index.shard_of(old).name, old)
        self.put(new)
        for _ in range(SHARDS):
            index.recent(1, owner="nobody")  # which adopts nothing
        found = [ids(index.recent()) for _ in range(SHARDS)]
        assert found[-1] == [new]
