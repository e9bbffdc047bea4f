"""Searches of LangGraph's store that want what was put last, and read no more than that."""

import json
from importlib.util import find_spec
from unittest import skipUnless

from conversation_memory.exceptions import RedisMisconfigured
from conversation_memory.wire import loads

from ..utils import RedisTestCase, monitored, wait_for

if find_spec("langgraph"):
    from langgraph.store.base import PutOp

    from conversation_memory.integrations.langgraph import ConversationBaseStore


def keys_of(items):
    return [item.key for item in items]


@skipUnless(find_spec("langgraph"), "needs langgraph")
class ListingTests(RedisTestCase):
    def setUp(self):
        super().setUp()
        self.store = ConversationBaseStore(self.index)

    def put(self, *names, space=("a",), ttl=None):
        for name in names:
            self.store.put(space, name, {"name": name}, ttl=ttl)

    def name(self, kind):
        [name] = self.redis.keys(f"*{self.index.name}*:{kind}:*")
        return name

    def put_at(self, **times):
        """As if the items had been put at these times, in ms."""
        items, order = self.name("items"), self.name("times")
        for key, time in times.items():
            _, _, rest = self.redis.hget(items, key).split(b" ", 2)
            self.redis.hset(items, key, b"%d %d %b" % (time, time, rest))
            self.redis.zadd(order, {key: time})

    def test_a_search_reads_the_items_that_it_returns(self):
        self.put(*(f"{n:02}" for n in range(30)))
        for search in (self.store.search, lambda *a, **k: wait_for(self.store.asearch(*a, **k))):
            with monitored(self.redis) as sent:
                found = search(("a",), limit=3, offset=2, query="ignored without index_config")
            assert len(found) == 3
            names = [line["command"].split()[0] for line in sent]
            assert names.count("HGET") == 5
            assert "HGETALL" not in names
            assert len(search(("a",), limit=3, offset=2, filter={"name": "07"})) == 0
            assert len(search(("a",), limit=1000)) == 30

    def test_pages_of_what_was_put_at_the_same_time_are_whole(self):
        spaces = [("a",), ("a", "b"), ("a", "c")]
        self.store.batch([PutOp(spaces[n % 3], f"{n:02}", {"n": n}) for n in range(30)])
        for space, order in zip(spaces, self.redis.keys("*:times:*"), strict=True):
            assert self.redis.zcard(order) == 10, space
        whole = self.store.search(("a",), limit=1000)
        pages = [self.store.search(("a",), limit=7, offset=start) for start in range(0, 35, 7)]
        assert [item for page in pages for item in page] == whole
        assert len({item.key for item in whole}) == 30
        assert self.store.search(("a",), limit=0) == []

    def test_putting_again_moves_an_item_to_the_front(self):
        self.put("x", "y", "z")
        self.put_at(x=1, y=2, z=3)
        assert keys_of(self.store.search(("a",), limit=2)) == ["z", "y"]
        self.put("x")
        assert keys_of(self.store.search(("a",), limit=2)) == ["x", "z"]
        self.store.delete(("a",), "z")
        assert keys_of(self.store.search(("a",), limit=2)) == ["x", "y"]
        self.store.delete(("a",), "x")
        self.store.delete(("a",), "y")
        assert self.keys() == set()

    def test_items_that_are_damaged_or_gone_take_no_places(self):
        self.put(*"uvwxyz")
        self.put_at(u=1, v=2, w=3, x=4, y=5, z=6)
        items = self.name("items")
        self.redis.hset(items, "z", b"6 6 0 0 9:{")
        self.redis.hset(items, "y", b"without times")
        self.redis.hset(items, "x", b"4 4 9 9 2:{}")  # past its deadline
        self.redis.hdel(items, "w")  # as Redis does at the deadline
        assert keys_of(self.store.search(("a",), limit=2)) == ["v", "u"]
        assert keys_of(self.store.search(("a",), limit=4)) == ["v", "u"]
        assert {*self.redis.zrange(self.name("times"), 0, -1)} == {b"u", b"v", b"y", b"z"}
        assert keys_of(self.store.search(("a",), limit=1)) == ["v"]

    def test_an_older_item_takes_the_place_before_those_of_other_namespaces(self):
        for damage in (b"9 10000000000000 0 0 9:{", b"9 9 9 9 2:{}", b""):
            self.put("old", space=("a", "b"))
            self.put_at(old=1)
            self.put("new", "newest")
            items = self.redis.keys(f"*{self.index.name}*:items:*")
            [name] = [name for name in items if self.redis.hexists(name, "newest")]
            self.redis.hset(name, "newest", damage)
            if not damage:
                self.redis.hdel(name, "newest")
            self.redis.zadd(name.replace(b":items:", b":times:"), {"newest": 10**13})
            assert keys_of(self.store.search((), limit=1)) == ["new"], damage
            self.wipe()

    def test_nothing_is_missing_without_the_times(self):
        self.put(*"xyz")
        self.put_at(x=1, y=2, z=3)
        self.redis.delete(self.name("times"))
        assert keys_of(self.store.search(("a",), limit=2)) == ["z", "y"]
        self.put("x")
        assert keys_of(self.store.search(("a",), limit=2)) == ["x", "z"]
        self.put("y", "z")
        with monitored(self.redis) as sent:
            assert len(self.store.search(("a",), limit=2)) == 2
        assert not [line for line in sent if line["command"].startswith("HGETALL")]

    def test_times_of_what_has_expired_leave_with_later_puts(self):
        self.put(*(f"{n}" for n in range(40)), ttl=10)
        items, order = self.name("items"), self.name("times")
        self.redis.hdel(items, *(f"{n}" for n in range(20)))  # as Redis does at the deadline
        for n in range(20, 40):  # as on a server that does not
            self.redis.hset(items, f"{n}", b"1 1 1 1 2:{}")
        for _ in range(60):
            self.put("new", ttl=10)
        assert self.redis.zrange(order, 0, -1) == self.redis.hkeys(items) == [b"new"]
        self.redis.hset(items, "new", b"1 1 1 1 2:{}")
        assert self.store.search(("a",)) == []
        assert self.keys() == set()

    def test_an_erasure_deletes_the_times(self):
        for store in (own := ConversationBaseStore(self.index, owner="ann"), self.store):
            store.put(("a",), "k", {"n": 1})
        assert len([key for key in self.keys() if b":times:" in key]) == 2
        assert own.erase() == 1
        assert not [key for key in self.keys() if b"ann" in key]
        assert self.store.erase() == 1
        assert self.keys() == set()

    def test_times_of_another_type_are_told(self):
        self.put("x")
        self.redis.set(self.name("times"), "text")
        with self.assertRaises(RedisMisconfigured):
            self.store.search(("a",))
        with self.assertRaises(RedisMisconfigured):
            self.store.put(("a",), "x", {"n": 2})
        assert self.store.get(("a",), "x").value == {"name": "x"}
        assert [*self.index.check().problems] == ["keys of the wrong type"]
        assert self.store.erase() == 1
        assert self.keys() == set()

    def test_values_are_exact(self):
        values = [
            {},
            {"n": 10**30, "m": -(2**63), "u": 2**64 - 1, "o": 2**64},
            {"n": [1.0, 1e16, 1e-7, -0.0, 0.1, 5e-324, 12345678901234567890.0]},
            {"n": float("inf"), "t": "\ud800", "e": "é\u2028😀\x7f\x00", "": {"a": [[None, True]]}},
        ]
        for value in values:
            self.store.put(("a",), "k", value)
            for item in (self.store.get(("a",), "k"), *self.store.search(("a",))):
                assert json.dumps(item.value) == json.dumps(value)
                assert list(map(type, item.value.values())) == list(map(type, value.values()))
            text = self.redis.hget(self.name("items"), "k").split(b":", 1)[1]
            assert json.dumps(loads(text)) == json.dumps(value)
