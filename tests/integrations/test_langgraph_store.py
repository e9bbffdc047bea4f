import asyncio
from datetime import UTC, datetime
from importlib.util import find_spec
from unittest import skipUnless

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from conversation_memory.exceptions import (
    ConversationCorrupt,
    RedisMisconfigured,
    RedisUnavailable,
)

from ..utils import RedisTestCase, close_connections, counted, wait_for

if find_spec("langgraph"):
    from langgraph.store.base import GetOp, InvalidNamespaceError, PutOp, SearchOp
    from langgraph.store.memory import InMemoryStore

    from conversation_memory.integrations.langgraph import ConversationBaseStore

LETTERS = "abcdefgh"


def embed(texts):
    """A vector of how often each letter is in a text."""
    return [[1.0 + text.count(letter) * 10 for letter in LETTERS] for text in texts]


async def aembed(texts):
    return embed(texts)


def found(items):
    return [(item.namespace, item.key, item.value) for item in items]


@skipUnless(find_spec("langgraph"), "needs langgraph")
class StoreTests(RedisTestCase):
    def setUp(self):
        super().setUp()
        self.store = ConversationBaseStore(self.index)

    def test_an_item_is_put_changed_and_deleted(self):
        self.store.put(("users", "7"), "color", {"name": "blue", "shades": [1, 2.5, None]})
        first = self.store.get(("users", "7"), "color")
        assert first.value == {"name": "blue", "shades": [1, 2.5, None]}
        assert (datetime.now(UTC) - first.created_at).total_seconds() < 60
        self.store.put(("users", "7"), "color", {"name": "red"})
        second = self.store.get(("users", "7"), "color")
        assert second.value == {"name": "red"}
        assert second.created_at == first.created_at <= second.updated_at
        self.store.delete(("users", "7"), "color")
        assert self.store.get(("users", "7"), "color") is None
        assert self.store.list_namespaces() == []
        assert self.keys() == set()

    def test_the_async_methods_do_the_same(self):
        async def use():
            await self.store.aput(("a",), "k", {"n": 1})
            [item] = await self.store.asearch(("a",), filter={"n": {"$gte": 1}})
            assert item.value == (await self.store.aget(("a",), "k")).value == {"n": 1}
            assert await self.store.alist_namespaces() == [("a",)]
            await self.store.adelete(("a",), "k")
            assert await self.store.aget(("a",), "k") is None

        wait_for(use())

    def test_a_batch_reads_what_was_there_before_it(self):
        self.store.put(("a",), "k", {"n": 1})
        before, _, _, still = self.store.batch(
            [
                GetOp(("a",), "k"),
                PutOp(("a",), "k", {"n": 2}),
                PutOp(("a",), "k", {"n": 3}),
                GetOp(("a",), "k"),
            ]
        )
        assert before.value == still.value == {"n": 1}
        assert self.store.get(("a",), "k").value == {"n": 3}

    def test_gets_and_puts_cost_one_round_trip_each(self):
        self.store.put(("a",), "k", {"n": 1})
        with counted() as sent:
            self.store.batch([GetOp(("a",), str(n)) for n in range(50)])
        assert len(sent) == 1
        with counted() as sent:
            self.store.batch([PutOp(("a", str(n)), "k", {"n": n}) for n in range(50)])
        assert len(sent) == 1

    def test_a_search_of_one_namespace_costs_one_round_trip(self):
        for place in (("a",), ("a", "b"), ("b",)):
            self.store.put(place, "k", {"at": [*place]})
        self.store.search(("a",))  # the server knows the script now
        for prefix, keys, trips in (
            (("b",), 1, 1),
            (["a"], 2, 2),
            ((), 3, 2),
            (("c",), 0, 1),
        ):
            with counted() as sent:
                assert len(self.store.search(prefix)) == keys, prefix
            assert len(sent) == trips, prefix

    def test_a_search_returns_what_was_put_last_first_in_pages(self):
        for n in range(5):
            self.store.put(("a", str(n)), "k", {"n": n})
        items = self.store.search(("a",), limit=10)
        assert {item.value["n"] for item in items} == {*range(5)}
        updated = [item.updated_at for item in items]
        assert updated == sorted(updated, reverse=True)
        pages = [self.store.search(("a",), limit=2, offset=start) for start in (0, 2, 4)]
        assert [one for page in pages for one in found(page)] == found(items)

    def test_filters_compare(self):
        self.store.put(("a",), "1", {"n": 1, "tag": {"x": [1, 2]}})
        self.store.put(("a",), "2", {"n": 2})
        self.store.put(("a",), "none", {})
        for filter, keys in (
            ({"n": 1}, {"1"}),
            ({"n": {"$ne": 1}}, {"2", "none"}),
            ({"n": {"$gt": 1}}, {"2"}),
            ({"n": {"$gte": 1, "$lt": 2}}, {"1"}),
            ({"n": {"$lte": "2"}}, {"1", "2"}),
            ({"n": {"$eq": None}}, {"none"}),
            ({"tag": {"x": [1, 2]}}, {"1"}),
            ({"tag": {"x": [1]}}, set()),
        ):
            with self.subTest(filter):
                assert {item.key for item in self.store.search(("a",), filter=filter)} == keys
        with pytest.raises(ValueError, match="not an operator"):
            self.store.search(("a",), filter={"n": {"$in": [1]}})

    def test_hostile_names_stay_apart(self):
        names = [("a", "b"), ("a:b",), ("1:a",), ("a", " "), ("ä{}*\n",), ("x" * 1000, "😀")]
        for name in names:
            self.store.put(name, "k:*{}", {"name": [*name]})
        for name in names:
            assert self.store.get(name, "k:*{}").value == {"name": [*name]}
        assert self.store.list_namespaces() == sorted(names)
        assert len(self.store.search(("a",))) == 2
        with pytest.raises(InvalidNamespaceError):
            self.store.put((), "k", {})

    def test_values_that_are_not_json_are_refused(self):
        with pytest.raises(TypeError):
            self.store.put(("a",), "k", {"n": object()})
        with self.settings(REDIS={"default": {**self.entry_of(), "MAX_RUN_BYTES": 100}}):
            from conversation_memory import indexes

            store = ConversationBaseStore(indexes["default"])
            with pytest.raises(ValueError, match="MAX_RUN_BYTES"):
                store.put(("a",), "k", {"text": "x" * 100})
        assert self.keys() == set()

    def entry_of(self):
        from django.conf import settings

        return settings.REDIS["default"]

    def test_an_owner_has_items_of_its_own_which_are_erased_with_it(self):
        ann, bob = (ConversationBaseStore(self.index, owner=who) for who in ("ann", "bob"))
        for n, store in enumerate((self.store, ann, bob)):
            store.put(("a",), "k", {"n": n})
        assert [store.get(("a",), "k").value["n"] for store in (self.store, ann, bob)] == [0, 1, 2]
        self.index.erase(owner="ann")
        assert ann.list_namespaces() == ann.search(()) == []
        assert not [key for key in self.keys() if b"ann" in key]
        assert bob.get(("a",), "k") and self.store.get(("a",), "k")
        assert bob.erase() == 1
        assert bob.search(()) == []

    def test_an_item_expires_after_it_was_read_last(self):
        store = ConversationBaseStore(self.index, ttl={"default_ttl": 10})
        store.put(("a",), "k", {"n": 1})
        store.put(("a",), "forever", {"n": 2}, ttl=None)
        deadline = self.deadline("k")
        store.get(("a",), "k", refresh_ttl=False)
        assert self.deadline("k") == deadline
        while self.deadline("k") == deadline:
            assert store.get(("a",), "k").value == {"n": 1}
        deadline = self.deadline("k")
        while self.deadline("k") == deadline:
            assert len(store.search(("a",), filter={"n": 1})) == 1
        self.let_expire("k")
        assert store.get(("a",), "k", refresh_ttl=False) is None
        assert found(store.search(("a",))) == [(("a",), "forever", {"n": 2})]
        assert self.deadline("k") is None
        store.delete(("a",), "forever")
        assert store.list_namespaces() == []

    def test_what_has_expired_is_new_when_it_is_put_again(self):
        self.store.put(("a",), "k", {"n": 1}, ttl=10)
        self.let_expire("k", created=1000)
        self.store.put(("a",), "k", {"n": 2})
        assert self.store.get(("a",), "k").created_at.year > 1970

    def let_expire(self, key, created=1):
        [name] = self.redis.keys(f"*{self.index.name}*:items:*")
        times, value = b"%d 1 1000 1 " % created, self.redis.hget(name, key).split(b" ", 4)[4]
        self.redis.hset(name, key, times + value)

    def deadline(self, key):
        [name] = self.redis.keys(f"*{self.index.name}*:items:*")
        item = self.redis.hget(name, key)
        return None if item is None else int(item.split()[3])

    def test_a_search_finds_by_meaning(self):
        for function in (embed, aembed):
            store = ConversationBaseStore(
                self.index, index_config={"dims": 8, "embed": function, "fields": ["text"]}
            )
            docs = {"a": "aaaa", "b": "bbbb", "ab": "aabb"}

            async def use(store=store, docs=docs):
                for key, text in docs.items():
                    await store.aput(("docs",), key, {"text": text})
                await store.aput(("docs",), "plain", {"text": "aaaa"}, index=False)
                await store.aput(("docs",), "other", {"note": "bbbbb"}, index=["note"])
                return await store.asearch(("docs",), query="aaa")

            items = wait_for(use())
            assert [item.key for item in items[:2]] == ["a", "ab"]
            assert [item.key for item in items[2:]] in (
                ["b", "other", "plain"],
                ["other", "b", "plain"],
            )
            assert items[0].score > items[1].score > items[2].score
            assert items[-1].score is None
            self.wipe()

    def test_several_texts_of_an_item_count_by_the_best(self):
        config = {"dims": 8, "embed": embed, "fields": ["parts[*].text"]}
        store = ConversationBaseStore(self.index, index_config=config)
        store.put(("d",), "both", {"parts": [{"text": "cccc"}, {"text": "hhhh"}]})
        store.put(("d",), "one", {"parts": [{"text": "ch"}]})
        assert [item.key for item in store.search(("d",), query="hhh")] == ["both", "one"]

    def test_an_index_config_that_cannot_work_is_refused(self):
        with pytest.raises(ValueError, match="`embed`"):
            ConversationBaseStore(self.index, index_config={"dims": 8})
        store = ConversationBaseStore(self.index, index_config={"dims": 5, "embed": embed})
        with pytest.raises(ValueError, match="5 finite numbers"):
            store.put(("d",), "k", {"text": "a"})
        with pytest.raises(ValueError, match="not an operation"):
            store.batch(["get"])

    def test_damage_costs_only_that_item(self):
        self.store.put(("a",), "good", {"n": 1})
        [name] = self.redis.keys(f"*{self.index.name}*:items:*")
        for damage in (b"x", b"1 2 0 0 9:{", b"1 2 0 0 2:{}3", b"1 2 0 0 2:[]"):
            self.redis.hset(name, "bad", damage)
            assert [item.key for item in self.store.search(("a",))] == ["good"]
            with pytest.raises(ConversationCorrupt, match="The item 'bad' of namespace 'a'"):
                self.store.get(("a",), "bad")
        self.store.put(("a",), "bad", {"n": 2})
        assert self.store.get(("a",), "bad").value == {"n": 2}
        self.redis.set(name, "text")
        with pytest.raises(RedisMisconfigured):
            self.store.put(("a",), "k", {})

    def test_errors_of_redis_are_ours(self):
        from conversation_memory import indexes

        url = "redis://127.0.0.1:1"
        with self.settings(REDIS={"default": {"URL": url}}):
            store = ConversationBaseStore(indexes["default"])
            with pytest.raises(RedisUnavailable):
                store.put(("a",), "k", {})
            with pytest.raises(RedisUnavailable):
                wait_for(store.aget(("a",), "k"))


@skipUnless(find_spec("langgraph"), "needs langgraph")
class OracleTests(RedisTestCase):
    def test_it_does_what_the_store_in_memory_does(self):
        case = self

        labels = st.sampled_from(["a", "b", "ä:", "12:x"])
        namespaces = st.lists(labels, min_size=1, max_size=3).map(tuple)
        keys = st.sampled_from(["k", "l", "5:k"])
        numbers = st.integers(-3, 3)
        values = st.fixed_dictionaries({"n": numbers, "m": st.lists(numbers, max_size=2)})
        matches = st.lists(labels | st.just("*"), min_size=1, max_size=2)

        class Machine(RuleBasedStateMachine):
            @initialize()
            def begin(self):
                case.wipe()
                self.ours, self.theirs = ConversationBaseStore(case.index), InMemoryStore()
                self.loop, self.turn = runner, 0

            def both(self, ops):
                self.turn += 1
                if self.turn % 4:
                    return self.ours.batch(ops), self.theirs.batch(ops)
                return self.loop.run(self.ours.abatch(ops)), self.theirs.batch(ops)

            @rule(ops=st.lists(st.tuples(namespaces, keys, values | st.none()), max_size=4))
            def put(self, ops):
                self.both([PutOp(*op) for op in ops])

            @rule(namespace=namespaces, key=keys)
            def get(self, namespace, key):
                [[ours], [theirs]] = self.both([GetOp(namespace, key)])
                assert (ours and ours.value) == (theirs and theirs.value)

            @rule(
                prefix=namespaces | st.just(()),
                filter=st.none()
                | st.fixed_dictionaries({"n": numbers})
                | st.fixed_dictionaries(
                    {"n": st.dictionaries(st.sampled_from(["$gt", "$lte", "$ne"]), numbers)}
                ),
                limit=st.integers(1, 4),
            )
            def search(self, prefix, filter, limit):
                def search(op):
                    return [sorted(found(items), key=repr) for [items] in self.both([op])]

                ours, theirs = search(SearchOp(prefix, filter, 100))
                assert ours == theirs
                part, other = search(SearchOp(prefix, filter, limit, 1))
                assert len(part) == len(other)
                assert all(one in ours for one in part)
                # Without a filter, no more is read than is returned.
                whole = self.ours.search(prefix, filter={"n": {"$gte": -3}}, limit=100)
                assert self.ours.search(prefix, limit=limit, offset=1) == whole[1 : limit + 1]

            @rule(path=matches, suffix=st.booleans(), depth=st.none() | st.integers(1, 3))
            def list(self, path, suffix, depth):
                way = {"suffix" if suffix else "prefix": tuple(path), "max_depth": depth}
                # The other store lists namespaces without items too.
                filled = {item.namespace[:depth] for item in self.theirs.search((), limit=1000)}
                listed = self.theirs.list_namespaces(**way)
                ours = self.ours.list_namespaces(**way)
                assert {*ours} <= {*listed} and {*ours} <= filled
                if depth is None:
                    assert ours == [name for name in listed if name in filled]

        with asyncio.Runner() as runner:
            try:
                run_state_machine_as_test(Machine, settings=quick())
            finally:
                runner.run(close_connections())


def quick():
    from hypothesis import settings

    return settings(max_examples=8, stateful_step_count=15, deadline=None)
