"""The search documents of a conversation of many runs are written in steps.

Here many are more than four, and a step writes three.
"""

from contextlib import contextmanager
from unittest import mock

from django.conf import settings

from conversation_memory import ConversationIndex, conf, indexes
from conversation_memory.layouts import ConversationRef, document_steps, indexed
from conversation_memory.layouts.indexed import DERIVE, INDEXED
from conversation_memory.redis_io import operations
from conversation_memory.search_index import run_documents

from .archives import dumped, restored
from .searching import Settled, settled
from .test_search_writes import FIELDS, Documents, run
from .utils import both, each_layout, monitored


class Killed(Exception):
    pass


class Steps(Settled, Documents):
    """A conversation of ten runs, on the topic `old`."""

    def setUp(self):
        super().setUp()
        if self.index.search_state().kind == "absent":
            self.skipTest("The server has no RediSearch.")
        for module, sizes in (
            (run_documents, {"MOST_WRITTEN": 4, "MOST_REMOVED": 4}),
            (document_steps, {"_WRITTEN": 3, "MOST_REMOVED": 4}),
            (indexed, {"MOST_TAGGED": 4}),
        ):
            self.enterContext(mock.patch.multiple(module, **sizes))
        self.fill(self.index)

    def fill(self, index, count=10):
        self.wipe()
        driver = index.driver("42", owner="ann")
        driver.store([run(f"r{n}") for n in range(count)], {"topic": "old"})
        self.driver = self.index.driver("42", owner="ann")

    def wipe(self):
        """Delete every key, but let it stay known that all runs have documents."""
        for key in self.keys() - {self.key("search").encode()}:
            self.redis.delete(key)
        self.redis.hdel(self.key("search"), "documents")

    def writes(self):
        """Each needs several steps for the documents, or just does not."""
        texts = [run(f"r{n}") for n in range(10)]
        return {
            "more": lambda it: it.store([*texts, *(run(f"n{n}") for n in range(9))], {}),
            "others": lambda it: it.store([run(f"n{n}") for n in range(7)], {"topic": "old"}),
            "fewer": lambda it: it.store(texts[:2], {"topic": "old"}),
            "topic": lambda it: it.update_metadata({"topic": "new"}),
            "both": lambda it: it.store([*texts[3:], run("n")], {"topic": "new"}),
            "truncate": lambda it: it.truncate(after="r1"),
            "fork": lambda it: it.fork("43"),
            "move": lambda it: it.move_to("bob"),
        }

    @contextmanager
    def killed(self, number):
        """The process dies before that exchange with Redis."""
        exchange, count = operations._exchange, 0

        def exchanged(client, calls):
            nonlocal count
            count += 1
            if count > number:
                raise Killed
            return exchange(client, calls)

        with mock.patch.object(operations, "_exchange", exchanged):
            yield

    def anew(self):
        """The index, as a process sees it that has just begun."""
        index = ConversationIndex(conf.get("default"))
        self.addCleanup(index._connection.close)
        settled(index.search_state)
        return index

    def topics(self, index, id="42"):
        """How many documents of a conversation have each topic, by Redis and by RediSearch."""
        token = self.redis.hget(self.key(f"record:{id}"), "token").decode()
        keys = self.redis.scan_iter(self.key(f"run:{token}:*"), count=1000)
        stored = [self.redis.hget(key, "tag_topic") for key in keys]
        found = index.facets("topic", conversation=id)
        assert {value: stored.count(value.encode()) for value in found} == dict(found)
        return dict(found)

    def has_all(self):
        assert self.documents() == self.expected(*self.ids())
        assert all(map(self.is_current, self.ids()))
        assert int(self.redis.hget(self.key("search"), "documents")) == self.indexed()
        assert self.redis.scard(self.key("stale")) == 0

    def is_right(self, index):
        self.has_all()
        assert index.check().problems == {}
        for id in self.ids():
            topic = index.driver(id).load()[1].get("topic")
            count = len({run.id for run in index.driver(id).load()[0]})
            assert self.topics(index, id) == ({topic: count} if topic else {})

    def ids(self):
        return [id.decode() for id in self.redis.hkeys(self.index.name)]


@each_layout
class DocumentStepTests(Steps):
    entry = {"SEARCH": {"FIELDS": FIELDS}}

    @both
    def test_every_write_leaves_the_documents_of_the_runs(self, index):
        for name, write in self.writes().items():
            with self.subTest(name):
                self.fill(index)
                write(index.driver("42", owner="ann"))
                self.is_right(index)

    def test_no_step_writes_more_than_a_few(self):
        for name, write in self.writes().items():
            with self.subTest(name):
                self.fill(self.index)
                with monitored(self.redis) as sent:
                    write(self.driver)
                written, most = 0, 0
                for line in sent:
                    is_of_script = line["client_type"] == "lua"
                    is_document = line["command"].startswith(f"HSET {self.key('run')}:")
                    written = written + is_document if is_of_script else 0
                    most = max(most, written)
                assert most <= (4 if name != "move" else 80)

    def test_the_runs_keep_their_times(self):
        self.redis.hset(self.document_key("r7"), "t", 1000)
        for write in (
            lambda: self.driver.update_metadata({"topic": "new"}),
            lambda: self.other_layout().convert(),
        ):
            write()
            assert self.document("42", "r7")[b"t"] == b"1000"
            assert self.document("42", "r6")[b"t"] != b"1000"

    def document_key(self, run_id):
        for key in self.redis.scan_iter(self.key("run:*"), count=1000):
            if f"question {run_id}".encode() in self.redis.hget(key, "w"):
                return key

    def other_layout(self):
        layout = {"hash": "list", "list": "hash"}[self.entry["LAYOUT"]]
        entry = {**settings.REDIS["default"], "LAYOUT": layout}
        self.enterContext(self.settings(REDIS={"default": entry}))
        return indexes["default"]

    def test_a_write_over_an_expired_conversation_deletes_all_of_its_documents(self):
        self.fill(self.index, 210)
        self.redis.hset(self.key("record:42"), "expires", 1)
        self.driver.append(run("new"))
        self.is_right(self.index)

    @both
    def test_a_conversion_takes_the_documents_along(self, index):
        self.fill(index)
        other = self.other_layout()
        assert other.convert().converted == 1
        self.is_right(other)

    @both
    def test_a_check_and_a_reindex_write_what_is_missing(self, index):
        for mend in (lambda: index.check(fix=True), index.reindex, index.reap):
            self.fill(index)
            for key in [*self.redis.scan_iter(self.key("run:*"), count=1000)][:7]:
                self.redis.delete(key)
            self.redis.sadd(self.key("stale"), self.redis.hget(self.key("record:42"), "token"))
            assert index.check().problems
            mend()
            self.is_right(index)

    @both
    def test_a_restore_writes_the_documents(self, index):
        self.fill(index)
        archive = dumped(index)
        index.driver("42").truncate(after="r0")
        restored(index, archive, on_conflict="replace")
        index.reap()  # the documents that the replaced conversation had
        self.is_right(index)
        index.delete("42")
        restored(index, archive)
        self.is_right(index)

    def test_killed_while_it_writes_what_is_missing_the_reaper_completes_it(self):
        def mended(number):
            self.fill(self.index)
            for key in [*self.redis.scan_iter(self.key("run:*"), count=1000)][:7]:
                self.redis.delete(key)
            with self.killed(number):
                try:
                    self.index.reindex()
                except Killed:
                    return False
            return True

        number = 0
        while not mended(number):
            with self.subTest(number=number):
                if self.redis.scard(self.key("stale")):
                    self.index.reap()
                    self.has_all()
            number += 1
        assert number > 8

    def test_another_definition_gets_documents_of_its_own(self):
        entry = {**settings.REDIS["default"], "SEARCH": {"FIELDS": {"topic": "tag"}}}
        with self.settings(REDIS={"default": entry}):
            index = indexes["default"]
            settled(index.search_state)
            assert index.reindex().documents == 10
            assert index.search("question", limit=20).reasons == ()
            assert self.topics(index) == {"old": 10}

    def test_killed_before_any_round_trip_the_reaper_completes_it(self):
        for name in ("topic", "both", "fewer", "move"):
            write, number, is_killed = self.writes()[name], 0, True
            while is_killed:
                with self.subTest(name, number=number):
                    self.fill(self.index)
                    with self.killed(number):
                        try:
                            write(self.driver)
                            is_killed = False
                        except Killed:
                            pass
                    self.says_so_or_finds_all()
                    self.index.reap()
                    self.has_all()
                    number += 1
            self.is_right(self.index)
            assert number > (1 if name == "move" else 4), name

    def says_so_or_finds_all(self):
        found = self.anew().search("question", limit=100)
        assert found.reasons or len(found) == len(self.index.driver("42").load()[0])

    def test_others_who_write_meanwhile_get_their_documents(self):
        for name in ("more", "topic", "both"):
            write = self.writes()[name]
            self.fill(self.index)
            with self.interrupted(lambda: self.other().append(run(f"x{len(self.ran)}"))):
                write(self.driver)
            assert self.ran and len(self.driver.load()[0]) > 10
            self.is_right(self.index)

    def test_who_has_read_an_older_state_removes_no_document_of_the_newer_one(self):
        # Else another one could count as many documents as there are runs, and yet not the same.
        self.enterContext(mock.patch.object(indexed, "MOST_COMPARED", 4))
        other, counts = self.other(), []

        def act():
            if counts:
                counts.append(self.documents()["42"].count("question r5 changed"))
            elif any(call[1] == INDEXED.sha for call in self.ran[-1]):
                other.edit(run("r5", "changed"))
                counts.append(1)

        with self.interrupted(act, most=1000):
            assert self.index._run(self.index._layout.index(ConversationRef(b"42")), "index")
        assert len(counts) > 4 and set(counts) == {1}
        self.is_right(self.index)

    def test_where_others_write_all_the_time_the_reaper_completes_it_later(self):
        other = self.other()

        def act():
            if any(call[1] == DERIVE.sha for call in self.ran[-1]):
                other.append(run(f"x{len(self.ran)}"))

        with self.interrupted(act, most=1000):
            self.driver.update_metadata({"topic": "new"})
        assert 10 < len(self.ran) < 300
        assert self.driver.load()[1] == {"topic": "new"}
        assert self.topics(self.index)["new"] > 10  # all but for saying so
        assert self.anew().search("question").reasons != ()
        self.index.reap()
        self.is_right(self.index)

    def test_of_two_that_change_a_facet_the_last_one_counts(self):
        topics = iter(["new", "old", "other"] * 50)
        self.fill(self.index)

        def act():
            if len(self.ran) % 3 == 1:
                self.other().update_metadata({"topic": next(topics)})

        with self.interrupted(act):
            self.driver.update_metadata({"topic": "new"})
        self.index.reap()
        self.is_right(self.index)

    def other(self):
        return self.anew().driver("42", owner="ann")

    @contextmanager
    def interrupted(self, act, most=12):
        """Somebody else acts before each of the first exchanges."""
        exchange, self.ran, is_acting = operations._exchange, [], False

        def exchanged(client, calls):
            nonlocal is_acting
            if not is_acting and len(self.ran) < most:
                is_acting = True
                self.ran.append(calls)
                act()
                is_acting = False
            return exchange(client, calls)

        with mock.patch.object(operations, "_exchange", exchanged):
            yield
