"""Stored data that nobody of ours wrote: what it costs, and that it costs only its conversation."""

import json
from datetime import UTC, datetime
from itertools import product
from unittest import mock

import pytest

from conversation_memory import Artifact, Run, indexes
from conversation_memory.archive.dump import Dump
from conversation_memory.collection.selection import Selection
from conversation_memory.exceptions import (
    ConversationCorrupt,
    ConversationNotFound,
    RedisMisconfigured,
)
from conversation_memory.layouts import LAYOUTS
from conversation_memory.search_index.reasons import Reason
from conversation_memory.wire import MAX_DEPTH

from .archives import dumped, restored
from .utils import RedisTestCase, alternating, both, each_layout

BROKEN = {
    "garbage": b"\x00\x01garbage",
    "number": b"17",
    "list": b"[1, 2]",
    "text": b'"text"',
    "not UTF-8": b'{"type": "Run", "id": "\xff\xfe"}',
    "truncated": Run("q", "a").to_wire()[:-20],
    "nested": b"[" * 100_000,
    "nested inside": b'{"type": "Run", "id": "x", "meta": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "two": b'{"id": "x"}, {"id": "y"}',
    "empty": b"",
}


def nested(depth):
    value = "core"
    for _ in range(depth):
        value = [value]
    return value


class BrokenRunTests(RedisTestCase):
    """An element of a list that is not a run."""

    entry = {"LAYOUT": "list"}

    def each(self):
        for name, text in BROKEN.items():
            with self.subTest(name):
                self.wipe()
                for id in ("bad", "good"):
                    self.index.driver(id, owner=1).append(
                        *(Run("word", "", id=f"{n}") for n in "abc")
                    )
                self.redis.lset(self.key("runs", "bad"), 1, text)
                yield text

    def key(self, family, id):
        return f"{{{self.index.name}}}:{family}:{id}"

    @both
    def test_every_reading_call_says_which_run_it_is(self, index):
        calls = [
            lambda d: d.load(),
            lambda d: d.read(),
            lambda d: d.tail(3),
            lambda d: d.page(before=2),
            lambda d: d.excerpt(),
            lambda d: d.window(max_tokens=1000),
            lambda d: d.window(max_runs=3),
            lambda d: d.fork("copy"),
            lambda d: d.edit(Run("q", "a", id="a")),
            lambda d: d.remove("a"),
            lambda d: d.truncate(after="a"),
        ]
        for _ in self.each():
            for number, call in enumerate(calls):
                with self.subTest(call=number), pytest.raises(ConversationCorrupt) as caught:
                    call(index.driver("bad", owner=1))
                assert caught.value.conversation_id == "bad"
                assert "run 1" in caught.value.reason
            assert self.redis.llen(self.key("runs", "bad")) == 3
            assert not index.driver("copy").exists()

    @both
    def test_it_costs_no_other_conversation(self, index):
        for _ in self.each():
            assert index.driver("good").tail(3)[0].input.text == "word"
            assert {hit.conversation_id for hit in index.search("word")} == {"good"}
            assert Reason("unreadable", 1) in index.search("word").reasons
            assert sum(index.activity().values()) == 3
            assert {record.conversation_id for record in index.recent()} == {"bad", "good"}
            assert len(index.browse(mock.Mock(owner=None, since=None, until=None), 0, 9)) == 2

    @both
    def test_whoever_looks_at_it_is_told(self, index):
        for text in self.each():
            excerpt = index.driver("bad").excerpt(strict=False)
            assert [run.id for run in excerpt.runs[::2]] == ["a", "c"]
            with pytest.raises(ConversationCorrupt, match="a stored run is damaged"):
                excerpt.runs[1].to_dict()
            with pytest.raises(ConversationCorrupt, match="conversation 'bad'"):
                index.driver("bad").find(lambda run: run.id == "a")
            assert index.driver("bad").find(lambda run: False) is None
            assert excerpt.runs[1].to_wire() == text

    def test_what_does_not_read_the_run_goes_on(self):
        for text in self.each():
            driver = self.index.driver("bad")
            assert driver.append(Run("more", "", id="d")) == 1
            assert [run.id for run in driver.tail(2)] == ["c", "d"]
            assert driver.remove("d") is None
            assert text in self.index.raw("bad")

    def test_a_run_of_the_same_length_is_an_error_of_ours_when_it_is_looked_at(self):
        driver = self.index.driver("c")
        driver.append(Run("q", "a", id="1"))
        text = self.redis.lindex(self.key("runs", "c"), 0)
        self.redis.lset(self.key("runs", "c"), 0, b"?" * len(text))
        [run] = driver.load()[0]
        with pytest.raises(ConversationCorrupt, match="a stored run is damaged"):
            run.to_dict()

    def test_it_is_dumped_as_it_is(self):
        for _ in self.each():
            dump = Dump(self.index)
            assert len(b"".join(dump).splitlines()) == 4
            assert (dump.count, dump.unreadable) == (2, 1)

    def test_conversion_and_check_name_it(self):
        for text in self.each():
            failures = []
            entry = {"URL": self.index.settings.url, "INDEX": self.index.name}
            with self.settings(REDIS={"default": entry}):
                done = indexes["default"].convert(failure=failures.append)
                assert (done.converted, done.failed) == (1, 1)
                assert "run 1" in failures[0].reason
                with pytest.raises(ConversationCorrupt, match="run 1"):
                    indexes["default"].driver("bad").append(Run("q", "a"))
            assert text in self.index.raw("bad")
            assert "conversations that cannot be read" in self.index.check(fix=True).problems

    def test_it_can_be_deleted(self):
        for _ in self.each():
            assert self.index.driver("bad", owner=1).delete()
            assert self.index.count() == 1


@each_layout
class DepthTests:
    """How deep a value may be nested."""

    @both
    def test_more_is_refused_by_every_writer(self, index):
        driver = index.driver("c")
        driver.store([Run("q", "a", id="1")], {"kept": 1})
        deep = nested(MAX_DEPTH)
        run = Run("q", "a", id="2", meta={"deep": deep})
        writes = [
            lambda: driver.append(run),
            lambda: driver.append(run.to_dict()),
            lambda: driver.append(Run(Artifact(deep), "a")),
            lambda: driver.append({"type": "Run", "id": "3", "deep": nested(979)}),
            lambda: driver.append({"type": "Run", "id": "3", "deep": nested(20_000)}),
            lambda: driver.append(Run(Artifact(nested(20_000)), "a")),
            lambda: driver.store([run]),
            lambda: driver.store([Run("q", "a") for _ in range(100)] + [run]),
            lambda: driver.store([], {"deep": deep}),
            lambda: driver.edit(Run("q", "a", id="1", meta={"deep": deep})),
            lambda: driver.update_metadata({"deep": deep}),
        ]
        for number, write in enumerate(writes):
            with self.subTest(write=number):
                with pytest.raises(ValueError, match=f"more than {MAX_DEPTH} levels"):
                    write()
        assert [run.id for run in index.driver("c").load()[0]] == ["1"]
        assert index.driver("c").load()[1] == {"kept": 1}

    @both
    def test_as_much_is_kept(self, index):
        run = Run("q", "a", meta={"deep": nested(MAX_DEPTH - 2), "brackets": '[{"' * 1000})
        index.driver("c").append(run)
        index.driver("c").store(index.driver("c").load()[0], {"deep": nested(MAX_DEPTH - 1)})
        assert index.driver("c").load()[0] == [run]
        assert len(index.search()) == 1

    @both
    def test_what_others_stored_deeper_is_read_if_it_can_be(self, index):
        deep = json.dumps(nested(300))
        self.put(
            "c",
            b'{"runs": [{"type": "Run", "id": "1", "meta": {"a": %b}}], "metadata": {}}'
            % deep.encode(),
        )
        [run] = index.driver("c").load()[0]
        assert run.meta == {"a": nested(300)}
        assert index.driver("c").append(Run("q", "a")) == 1
        assert index.driver("c").load()[0][0].meta == {"a": nested(300)}
        assert len(index.search()) == 2


# What may stand where a key of one type should be.
def put_key(redis, key, kind):
    redis.delete(key)
    match kind:
        case "string":
            redis.set(key, "text")
        case "hash":
            redis.hset(key, "field", "text")
        case "list":
            redis.rpush(key, "text")
        case "set":
            redis.sadd(key, "text")
        case "zset":
            redis.zadd(key, {"text": 1})
        case "stream":
            redis.xadd(key, {"field": "text"})


@each_layout
class WrongTypeTests:
    """A key of a conversation that is of another type."""

    kinds = [
        *(("record", kind) for kind in ("string", "list", "set", "zset", "stream")),
        *(("runs", kind) for kind in ("string", "hash", "set", "zset", "stream")),
    ]

    def each(self, *families):
        for family, kind in self.kinds:
            if family in (families or ("record", "runs")):
                with self.subTest(family=family, kind=kind):
                    self.wipe()
                    for id in ("bad", "good"):
                        self.index.driver(id, owner=1).append(Run("word", "", id="a"))
                    key = self.bad = f"{{{self.index.name}}}:{family}:bad"
                    put_key(self.redis, key, kind)
                    self.dumped = self.redis.dump(key)
                    yield family, kind

    def is_left(self):
        return self.redis.dump(self.bad) == self.dumped

    @both
    def test_reading_and_writing_it_says_which_key_has_which_type(self, index):
        calls = [
            lambda d: d.append(Run("q", "a")),
            lambda d: d.store([Run("q", "a")]),
            lambda d: d.store([Run("q" * 40_000, "a")]),
        ]
        reads = [
            lambda d: d.load(),
            lambda d: d.tail(1),
            lambda d: d.page(),
            lambda d: d.excerpt(),
            lambda d: d.window(max_runs=2),
            lambda d: d.find(lambda run: True),
            lambda d: d.fork("copy"),
            lambda d: d.edit(Run("q", "a", id="a")),
            lambda d: d.remove("a"),
            lambda d: d.truncate(after="a"),
            lambda d: d.update_metadata({"a": 1}),
        ]
        titles = [
            lambda d: d.set_title("t"),
            lambda d: d.expire(60),
            lambda d: d.persist(),
            lambda d: d.move_to(2),
            lambda d: d.rename("other"),
        ]
        for family, kind in self.each():
            is_read = family == "record" or self.index.settings.layout == "list"
            chosen = calls + reads * is_read + titles * (family == "record")
            for owner in (None, 1):
                for number, call in enumerate(chosen):
                    with self.subTest(call=number, owner=owner):
                        with pytest.raises(ConversationCorrupt, match=f"{family}.* {kind}"):
                            call(index.driver("bad", owner=owner))
            assert self.is_left()

    @both
    def test_it_is_not_there_for_another_owner(self, index):
        for _ in self.each():
            with pytest.raises(ConversationNotFound):
                index.driver("bad", owner=2).append(Run("q", "a"))
            assert not index.driver("bad", owner=2).delete()
            assert not self.redis.zrange(f"{{{self.index.name}}}:owner:2", 0, -1)
            assert self.is_left()

    @both
    def test_what_looks_at_many_goes_on(self, index):
        for _ in self.each():
            assert {it.conversation_id for it in index.recent()} == {"bad", "good"}
            assert "good" in {it.conversation_id for it in index.recent(owner=1)}
            assert index.count() == 2
            assert {*index} == {"bad", "good"}
            assert len(index.glance("bad", "good")) == 2
            span = mock.Mock(owner=None, since=None, until=None)
            assert len(index.browse(span, 0, 10)) == 2
            assert index.extent(span).conversations == 2
            assert index.find_named("good").ids == [b"good"]
            assert index.find_unreadable().looked_at == 2
            assert index.statistics([0, 2**45]).conversations == 2
            assert "good" in {hit.conversation_id for hit in index.search("word")}
            assert "good" in {hit.conversation_id for hit in index.search("word", owner=1)}
            assert len(index.search("word", conversation="good")) == 1
            index.search("word", conversation="bad")
            assert index.activity().complete or index.activity().reasons
            assert index.raw("good")
            index.raw("bad")
            assert "keys of the wrong type" in index.check().problems
            index.check(fix=True)
            assert self.is_left()

    @both
    def test_conversion_costs_only_itself(self, index):
        for _ in self.each():
            failures = []
            other = {"hash": "list", "list": "hash"}[self.index.settings.layout]
            entry = {"URL": self.index.settings.url, "INDEX": self.index.name, "LAYOUT": other}
            with self.settings(REDIS={"default": entry}):
                done = indexes["default"].convert(failure=failures.append)
            assert (done.seen, done.converted, done.failed) == (2, 1, 1)
            assert [type(error) for error in failures] == [ConversationCorrupt]
            assert self.is_left()

    def test_dump_has_the_others(self):
        for _ in self.each():
            dump = Dump(self.index)
            assert b'"good"' in b"".join(dump)
            assert self.is_left()

    def test_a_restore_leaves_it(self):
        for _ in self.each():
            archive = dumped(self.index)
            self.index.delete("good")
            for has_field in (True, False):
                if not has_field:
                    self.redis.hdel(self.index.name, "bad")
                for policy in ("replace", "skip"):
                    counts = restored(self.index, archive, on_conflict=policy)
                    assert counts.new + counts.same + counts.kept + counts.skipped == 2
                    assert self.is_left()
                    assert self.index.driver("good").load()[0][0].id == "a"

    @both
    def test_a_deliberate_deletion_deletes_it(self, index):
        deletes = [
            lambda: index.driver("bad").delete() and 1,
            lambda: index.driver("bad", owner=1).delete() and 1,
            lambda: index.delete("bad"),
            lambda: index.prune(Selection(ids=["bad"])).conversations,
        ]
        for number, delete in enumerate(deletes):
            for _ in self.each():
                with self.subTest(delete=number):
                    assert delete() == 1
                    assert not [key for key in self.keys() if b"bad" in key.split(b":")]
                    assert index.driver("bad").load() == ([], {})
                    assert {it.conversation_id for it in index.recent()} == {"good"}

    @both
    def test_an_erasure_deletes_what_is_listed_for_the_owner(self, index):
        for _ in self.each():
            assert index.erase(owner=1, dry_run=True).conversations == 2
            assert index.erase(owner=1).conversations == 2
            assert not self.redis.exists(self.bad, f"{{{self.index.name}}}:owner:1")

    @both
    def test_anonymising_ends(self, index):
        for _ in self.each():
            index.anonymise(owner=1)
            assert index.driver("good").record().owner is None
            assert not self.redis.exists(f"{{{self.index.name}}}:owner:1")
            assert self.is_left()

    @both
    def test_pruning_by_age_and_reaping_leave_it(self, index):
        for _ in self.each("record"):
            self.redis.zadd(f"{{{self.index.name}}}:expiry", {"bad": 1})
            assert index.reap() == 0
            pruned = index.prune(Selection(until=datetime(2100, 1, 1, tzinfo=UTC)))
            assert (pruned.conversations, pruned.kept) == (1, 1)
            assert self.is_left()
            assert self.stored("bad") is not None

    @both
    def test_stray_runs_of_another_type_are_not_overwritten(self, index):
        key = f"{{{self.index.name}}}:runs:new"
        self.redis.set(key, "text")
        for call in (lambda d: d.append(Run("q", "a")), lambda d: d.store([])):
            with pytest.raises(ConversationCorrupt, match="runs"):
                call(index.driver("new"))
        index.driver("c").append(Run("q", "a"))
        with pytest.raises(Exception, match="exists already"):
            index.driver("c").rename("new")
        assert self.redis.get(key) == b"text"


@each_layout
class WrongTypeSearchTests:
    """The same where RediSearch is."""

    entry = {"SEARCH": True}
    each, is_left, kinds = WrongTypeTests.each, WrongTypeTests.is_left, WrongTypeTests.kinds

    @both
    def test_search_and_reindexing_cost_only_it(self, index):
        for _ in self.each():
            failures = []
            index.reindex(failure=failures.append)
            assert [type(error) for error in failures] in ([], [ConversationCorrupt])
            assert [hit.conversation_id for hit in index.search("word", owner=1)][-1:] == ["good"]
            assert "good" in {hit.conversation_id for hit in index.search("word")}
            self.redis.hset(self.index.name, "good", '{"runs": [], "metadata": {}}')
            index.search("word")
            assert self.is_left()

    @both
    def test_a_broken_search_document_costs_only_itself(self, index):
        root = f"{{{self.index.name}}}:"
        index.driver("a").append(Run("word", "one", id="1"))
        index.driver("b").append(Run("word", "two", id="2"))
        [one] = [
            k for k in self.keys() if b":run:" in k and b"one" in (self.redis.hget(k, "w") or b"")
        ]
        for text in BROKEN.values():
            self.redis.hset(one, "run", text)
            results = index.search("word")
            assert [hit.run.id for hit in results] == ["2"]
            assert Reason("damaged", 1) in results.reasons
        self.redis.hset(f"{root}run:zzz", mapping={"w": "word", "t": 1, "c": "zzz"})
        assert "2" in [hit.run.id for hit in index.search("word")]


GARBAGE = [
    "nan",
    "inf",
    "-5",
    "1e5",
    "0x10",
    str(2**70),
    "9" * 5000,
    "",
    "garbage",
    "\xff",
    "-" + "9" * 30,
]


@each_layout
class GarbageInRecordTests:
    """What stands in a field of a record need not be what belongs there."""

    fields = (
        *("version", "expires", "bytes", "runs", "ttl", "created", "updated"),
        *(
            "layout",
            "length",
            "crc",
            "end",
            "ids",
            "owner",
            "title",
            "token",
            "tag",
            "facets",
            "indexed",
        ),
    )
    entry = {"SEARCH": {"FIELDS": {"topic": "tag"}}}

    def each(self):
        """The index or its async twins, with garbage in one field of the record of `bad`.

        One layout has the odd cases and the other one the even: they read records alike.
        """
        key = f"{{{self.index.name}}}:record:bad"
        cases = [*product(self.fields, GARBAGE)][[*LAYOUTS].index(self.entry["LAYOUT"]) :: 2]
        with alternating(self.index) as indexes:
            for index, (field, value) in zip(indexes, cases, strict=False):
                with self.subTest(field=field, value=value[:30]):
                    self.index.delete("bad")
                    for id in ("bad", "good"):
                        self.index.driver(id).append(Run("word", "", id="a"))
                    self.redis.hset(key, field, value.encode("latin-1"))
                    yield index

    def test_it_counts_as_not_there(self):
        for index in self.each():
            driver = index.driver("bad")
            assert [run.id for run in driver.load()[0]] == ["a"]
            assert driver.append(Run("q", "a", id="b")) == 1
            assert len(driver.page(limit=5)) == 2
            driver.edit(Run("q", "a", id="b"))
            driver.expire(1000)
            driver.persist()
            driver.set_title("t")
            driver.update_metadata({"topic": "x"})
            driver.store(driver.load()[0], {"topic": "y"})
            assert {it.conversation_id for it in index.recent()} == {"bad", "good"}
            assert len(index.glance("bad", "good")) == 2
            assert index.search("word").total == 2
            index.check()
            assert driver.delete()

    def test_it_breaks_no_listing(self):
        span = mock.Mock(owner=None, since=None, until=None)
        for index in self.each():
            assert {it.conversation_id for it in index.recent()} == {"bad", "good"}
            assert len(index.browse(span, 0, 9)) == 2
            assert index.statistics().conversations == 2
            assert "good" in {hit.conversation_id for hit in index.search("word")}
            index.prune(Selection(ids=["bad"]), dry_run=True)
            index.reindex(failure=bool)
            index.check(fix=True)


@each_layout
class RecencyIndexTests:
    """A recency index of another type: what cannot be finished is not begun."""

    @both
    def test_a_write_that_would_delete_or_move_changes_nothing(self, index):
        for name in ("recent", "expiry", "owner:ann", "owner:bob"):
            for write in (
                lambda driver: driver.delete(),
                lambda driver: driver.rename("other"),
                lambda driver: driver.move_to("bob"),
            ):
                self.wipe()
                index.driver("c", owner="ann").append(Run("q", "a", id="1"))
                key = f"{{{self.index.name}}}:{name}"
                self.redis.delete(key)
                self.redis.set(key, "a string")
                before = {key: self.redis.dump(key) for key in self.keys()}
                try:
                    write(index.driver("c", owner="ann"))
                except RedisMisconfigured:
                    assert {key: self.redis.dump(key) for key in self.keys()} == before


@each_layout
class LimitTests:
    """Numbers that no server takes."""

    huge = (2**31, 2**63, 2**70, 10**30)

    @both
    def test_a_huge_limit_is_no_limit(self, index):
        driver = index.driver("c")
        driver.append(*(Run("q", "a", id=f"{n}") for n in range(5)))
        for limit in self.huge:
            with self.subTest(limit=limit):
                assert len(driver.tail(limit)) == 5
                assert len(driver.page(limit=limit)) == 5
                assert len(driver.page(before=3, limit=limit)) == 3
                assert len(driver.excerpt(limit=limit).runs) == 5
                assert len(driver.window(max_runs=limit)) == 5
                assert len(driver.window(max_tokens=limit)) == 5
                assert driver.find(lambda run: run.id == "0", limit=limit) == 0
                assert len(index.recent(limit)) == 1
                with pytest.raises(ValueError, match="limit must be from 1 to 1,000"):
                    index.search("q", limit=limit)

    @both
    def test_a_position_beyond_the_end_is_the_end(self, index):
        driver = index.driver("c")
        driver.append(*(Run("q", "a", id=f"{n}") for n in range(5)))
        for before in (6, 1000, *self.huge):
            with self.subTest(before=before):
                page, excerpt = (
                    driver.page(before=before, limit=2),
                    driver.excerpt(before=before, limit=2),
                )
                assert ([run.id for run in page], page.start) == (["3", "4"], 3)
                assert ([run.id for run in excerpt.runs], excerpt.start) == (["3", "4"], 3)

    @both
    def test_a_position_before_the_beginning_is_an_error(self, index):
        driver = index.driver("c")
        driver.append(*(Run("q", "a", id=f"{n}") for n in range(5)))
        for before in (-1, -1000, -(2**70)):
            with self.subTest(before=before):
                for read in (driver.page, driver.excerpt):
                    with pytest.raises(ValueError, match="0 or more"):
                        read(before=before)

    @both
    def test_a_huge_page_of_the_admin(self, index):
        for number in range(3):
            index.driver(f"{number}").append(Run("q", "a"))
        span = mock.Mock(owner=None, since=None, until=None)
        for number in self.huge:
            assert len(index.browse(span, 0, number)) == 3
            assert index.browse(span, number, 10) == []


@each_layout
class StrangeRunTests(RedisTestCase):
    """A run whose sides are no artifacts."""

    @both
    def test_a_side_that_is_an_array_is_read_as_json(self, index):
        good = index.driver("good")
        good.append(Run("a word", "yes"))
        for side in ([], [5], ["word"], ["a", "b"], [["word"]]):
            run = {"type": "Run", "id": "1", "meta": None, "input": side, "output": side}
            driver, text = index.driver("strange"), json.dumps(side)
            driver.delete()
            driver.append(run)
            [it] = driver.tail(1)
            assert [run.text for run in (it.input, it.output)] == [text] * 2
            assert [it["content"] for it in driver.messages()] == [text] * 2
            assert "good" in [hit.conversation_id for hit in index.search("word", limit=9)]

    def test_a_damaged_question_is_dumped_and_restored_as_it_is(self):
        self.index.driver("good").append(Run("q", "a"))
        self.index.driver("bad").begin("Why?", run_id="1")
        key = f"{{{self.index.name}}}:open:bad"
        for text in (b"", b"17", b"[]", b"\xff", b'{"input": []}', b'{"a": ' + b"[" * 5000):
            self.redis.hset(key, "question:1", text)
            archive = dumped(self.index)
            self.wipe()
            assert restored(self.index, archive).new == 2
            assert self.redis.hget(key, "question:1") == text
            assert restored(self.index, archive).same == 2
