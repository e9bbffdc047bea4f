"""Search documents are those of the runs that are stored, after every kind of write."""

import os
import random
import time
from contextlib import suppress

import pytest
from django.conf import settings
from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis

from conversation_memory import Artifact, ConversationIndex, Run, conf
from conversation_memory.exceptions import ConversationConflict, ConversationNotFound, RedisDenied
from conversation_memory.layouts import ConversationRef
from conversation_memory.redis_io.message_pack import packed
from conversation_memory.search_index.passages import text_of
from conversation_memory.search_index.run_documents import fresh_token, suffix
from conversation_memory.search_index.shared_texts import restored
from conversation_memory.search_index.tokens import Words

from .servers import ServerTestCase
from .utils import RedisTestCase, both, each_layout, monitored

FIELDS = {"topic": "tag", "score": "numeric", "note": "text"}


def run(id, output="an answer", **meta):
    return Run(f"question {id}", output, meta or None, id=id)


def _words(text):
    return " ".join(Words().of(text))


class Slow:
    """An operation that goes on when it is asked to."""

    def __init__(self, operation):
        self._operation, self._reply = operation, None

    def go_on(self, steps=1000):
        with suppress(StopIteration):
            for _ in range(steps):
                self._reply = yield self._operation.send(self._reply)


class Documents:
    """What tests ask of the search documents of `self.index`."""

    def key(self, name):
        return f"{{{self.index.name}}}:{name}"

    def documents(self):
        """Conversation id -> words of its documents, by what Redis holds."""
        found = {}
        for key in self.redis.scan_iter(self.key("run:*"), count=1000):
            document = self.redis.hgetall(key)
            id = self.redis.hget(self.key("tokens"), document[b"c"])
            found.setdefault(id and id.decode(), []).append(_words(document[b"w"].decode()))
        return {id: sorted(words) for id, words in found.items()}

    def document(self, conversation_id, run_id):
        token = self.redis.hget(self.key(f"record:{conversation_id}"), "token").decode()
        for key in self.redis.scan_iter(self.key(f"run:{token}:*"), count=1000):
            document = self.redis.hgetall(key)
            text = restored(document.get(b"run", b"{}"), document[b"w"])
            if Run.from_text(text).id == run_id:
                return document

    def expected(self, *ids):
        """The same, by what is stored: of each conversation the words of its runs."""
        words = self.index._layout.schema.words
        return {
            id: sorted(
                _words(words.stream(text_of(run.input), text_of(run.output)))
                for run in self.index.driver(id).load()[0]
            )
            for id in ids
        }

    def is_current(self, id):
        """Whether the record says that the documents are those of all runs."""
        version, indexed = self.redis.hmget(self.key(f"record:{id}"), "version", "indexed")
        size = self.redis.hstrlen(self.index.name, id)
        digest = self.index._layout.schema.digest
        return (indexed or b"").decode() == f"{digest}-{int(version or 0)}-{size}"

    def indexed(self):
        """How many documents RediSearch has."""
        information = self.redis.ft(self.index._layout.schema.name.decode()).info()
        return int(information["num_docs"])

    def plain(self):
        """The index, as a process sees it whose settings have no SEARCH."""
        entry = {key: value for key, value in settings.REDIS["default"].items() if key != "SEARCH"}
        with self.settings(REDIS={"default": entry}):
            index = ConversationIndex(conf.get("default"))
        self.addCleanup(index._connection.close)
        return index


@each_layout
class WritesTests(Documents):
    entry = {"SEARCH": {"FIELDS": FIELDS}}

    @both
    def test_each_write_leaves_the_documents_of_the_runs(self, index):
        driver = index.driver("42", owner="ann")
        long = run("long", "many words " * 5000)
        for write in (
            lambda: driver.append(run("a"), run("b")),
            lambda: driver.append(run("b"), run("c", "Ünï 東京")),
            lambda: driver.edit(run("b", "another")),
            lambda: driver.remove("a"),
            lambda: driver.append(run("d"), run("e")),
            lambda: driver.truncate(after="d"),
            lambda: driver.update_metadata({"topic": "x"}),
            lambda: driver.store([run("f"), run("g")], {"topic": "y"}),
            lambda: driver.store([run("f"), long, run("h")], {"topic": "y"}),
            lambda: driver.append(run("i")),
            lambda: driver.edit(run("i", "a longer one " * 4000)),
            lambda: driver.remove("long"),
            lambda: driver.store([], {}),
        ):
            write()
            assert self.documents().get("42", []) == self.expected("42")["42"]
            assert self.is_current("42")

    @both
    def test_what_goes_takes_its_documents_with_it(self, index):
        for id in ("1", "2", "3"):
            index.driver(id, owner="ann").append(run("a"), run("b"))
        index.driver("1").delete()
        index.delete("2")
        assert self.documents() == self.expected("3")
        index.erase(owner="ann")
        assert self.keys() <= {self.key("search").encode()}

    @both
    def test_a_fork_has_documents_of_its_own(self, index):
        index.driver("42", owner="ann").append(run("a"), run("b"), run("c"))
        index.driver("42", owner="ann").fork("43", until="b")
        assert self.documents() == self.expected("42", "43")
        index.driver("42").delete()
        assert self.documents() == self.expected("43")
        assert self.is_current("43")

    @both
    def test_a_new_id_keeps_the_documents(self, index):
        driver = index.driver("42", owner="ann")
        driver.append(run("a"))
        before = self.redis.keys(self.key("run:*"))
        driver.rename("43")
        assert self.redis.keys(self.key("run:*")) == before
        assert self.documents() == self.expected("43")
        assert self.is_current("43")

    @both
    def test_another_owner_is_in_the_documents_at_once(self, index):
        driver = index.driver("42", owner="ann")
        driver.append(run("a"), run("b"))
        [ann] = self.redis.hvals(self.key("owners"))
        assert self.document("42", "a")[b"o"] == ann
        index.driver("42").move_to("bob")
        assert self.redis.hkeys(self.key("owners")) == [b"bob"]
        [bob] = self.redis.hvals(self.key("owners"))
        assert bob != ann
        assert [self.document("42", id)[b"o"] for id in "ab"] == [bob, bob]
        assert self.is_current("42")
        index.driver("42").move_to(None)
        assert b"o" not in self.document("42", "a")
        assert not self.redis.exists(self.key("owners"))

    def given_to(self, owner):
        """A change of the owner of which nothing is done yet but the first step."""
        change = Slow(self.index._layout.move_to(ConversationRef(b"42"), owner))
        while self.redis.hget(self.key("record:42"), "owner") != owner:
            self.index._run(change.go_on(1))
        return change

    def test_a_late_change_of_owner_leaves_no_tag_of_a_former_one(self):
        ann = self.index.driver("42", owner="ann")
        ann.append(*(run(str(number)) for number in range(300)))
        self.index.driver("41", owner="ann").append(run("a"))
        late = self.given_to(b"bob")
        self.index._run(late.go_on(1))
        self.index.driver("42").move_to("ann")
        self.given_to(b"bob")  # by a process that is killed
        self.index._run(late.go_on())
        assert not self.is_current("42")
        self.index.reindex()
        bob = self.redis.hget(self.key("owners"), "bob")
        assert {self.document("42", str(number))[b"o"] for number in range(300)} == {bob}
        assert self.is_current("42")
        assert not self.redis.scard(self.key("stale"))

    def test_a_late_change_of_owner_does_not_hide_what_another_program_wrote(self):
        self.index.driver("42", owner="ann").append(*(run(str(number)) for number in range(300)))
        late = self.given_to(b"bob")
        self.index._run(late.go_on(1))
        theirs = b'{"runs": [], "metadata": {"topic": "theirs"}, "more": "of another length"}'
        self.redis.hset(self.index.name, "42", theirs)
        self.index._run(late.go_on())
        assert not self.is_current("42")

    @both
    def test_nobody_owns_what_was_anonymised(self, index):
        index.driver("42", owner="ann").append(run("a"))
        index.anonymise(owner="ann")
        assert b"o" not in self.document("42", "a")
        assert not self.redis.exists(self.key("owners"))
        assert self.is_current("42")

    @both
    def test_an_owner_who_is_erased_and_comes_back_is_someone_else_to_the_documents(self, index):
        index.driver("42", owner="ann").append(run("a"))
        before = self.redis.hget(self.key("owners"), "ann")
        index.erase(owner="ann")
        index.driver("42", owner="ann").append(run("a"))
        assert self.redis.hget(self.key("owners"), "ann") not in (None, before)

    @both
    def test_no_tag_says_who_or_what(self, index):
        index.driver("a@b.example", owner="ann@example.org").append(run("a"))
        name = self.index._layout.schema.name
        for field in ("c", "o"):
            for tag in self.redis.execute_command("FT.TAGVALS", name, field):
                assert len(tag) == 16
                int(tag, 16)

    @both
    def test_an_edit_keeps_the_time_and_an_append_has_its_own(self, index):
        driver = index.driver("42")
        driver.append(run("a"))
        first = self.document("42", "a")[b"t"]
        time.sleep(0.002)
        driver.append(run("b"))
        driver.edit(run("a", "other"))
        assert self.document("42", "a")[b"t"] == first
        assert int(self.document("42", "b")[b"t"]) > int(first)
        driver.update_metadata({"topic": "x"})  # which writes them all
        assert self.document("42", "a")[b"t"] == first

    @both
    def test_metadata_is_in_every_document_and_meta_wins(self, index):
        driver = index.driver("42")
        driver.store([run("a"), run("b", topic="own", score=2)], {"topic": "all", "note": "Tree!"})
        driver.append(run("c"))
        documents = [self.document("42", id) for id in "abc"]
        assert [document[b"tag_topic"] for document in documents] == [b"all", b"own", b"all"]
        assert documents[2][b"text_note"] == b"tree"
        assert documents[1][b"numeric_score"] == b"2.0"
        driver.update_metadata({"topic": ["x", "y"]}, remove=["note"])
        documents = [self.document("42", id) for id in "abc"]
        assert [document[b"tag_topic"] for document in documents] == [b"x\x1fy", b"own", b"x\x1fy"]
        assert b"text_note" not in documents[0]
        assert self.is_current("42")

    @both
    def test_metadata_that_is_not_indexed_writes_no_document(self, index):
        driver = index.driver("42")
        driver.append(run("a"))
        with monitored(self.redis) as commands:
            driver.update_metadata({"colour": "red"})
        assert not [c for c in commands if ":run:" in c["command"].split("EVAL")[0]]
        assert self.is_current("42")

    @both
    def test_a_refused_write_writes_no_document(self, index):
        index.driver("42", owner="ann").append(run("a"))
        before = {key: self.redis.dump(key) for key in self.keys()}
        stranger = index.driver("42", owner="bob")
        for write in (
            lambda: stranger.append(run("x")),
            lambda: stranger.store([run("x", "x" * 40_000)]),
            lambda: stranger.store([run("x")]),
            lambda: stranger.move_to("bob"),
        ):
            with pytest.raises(ConversationNotFound):
                write()
        with pytest.raises(ConversationConflict):
            index.driver("42", owner="ann").store([run("x")], revision="1-2-3")
        assert {key: self.redis.dump(key) for key in self.keys()} == before

    @both
    def test_past_its_deadline_the_reaper_takes_the_documents(self, index):
        index.driver("42", owner="ann", ttl=0.01).append(run("a"))
        index.driver("43", owner="ann").append(run("a"))
        time.sleep(0.02)
        assert index.reap() == 1
        assert self.documents() == self.expected("43")

    @both
    def test_a_conversation_begun_anew_past_its_deadline_has_only_its_own(self, index):
        index.driver("42", owner="ann", ttl=0.01).append(run("a"))
        time.sleep(0.02)
        index.driver("42", owner="ann").append(run("b"))
        assert self.documents() == self.expected("42")
        assert self.is_current("42")

    @both
    def test_one_that_others_deleted_has_only_its_own_too(self, index):
        index.driver("42").append(run("a"))
        self.redis.hdel(self.index.name, "42")
        self.redis.delete(self.key("runs:42"))
        index.driver("42").store([run("b")])
        assert self.documents() == self.expected("42")

    @both
    def test_a_write_without_search_is_noticed(self, index):
        index.driver("42").append(run("a"))
        self.plain().driver("42").append(run("b"))
        assert not self.is_current("42")
        index.driver("42").append(run("c"))
        assert not self.is_current("42")  # b has no document yet
        index.driver("42").store(index.driver("42").load()[0], {"topic": "x"})
        assert self.is_current("42")
        assert self.documents() == self.expected("42")

    @both
    def test_without_search_a_delete_takes_the_documents_too(self, index):
        index.driver("42", owner="ann").append(run("a"))
        self.plain().erase(owner="ann")
        assert self.documents() == {}

    @both
    def test_conversion_keeps_the_documents(self, index):
        other = {"hash": "list", "list": "hash"}[self.entry["LAYOUT"]]
        index.driver("42").append(run("a"), run("b"))
        entry = {**settings.REDIS["default"], "LAYOUT": other}
        with self.settings(REDIS={"default": entry}):
            converted = ConversationIndex(conf.get("default"))
        self.addCleanup(converted._connection.close)
        assert converted.convert().converted == 1
        assert self.documents() == self.expected("42")
        assert self.is_current("42")

    @both
    def test_two_writers_at_once_leave_every_document(self, index):
        one, two = index.driver("42"), index.driver("42")
        one.load(), two.load()
        for number in range(3):
            one.append(run(f"one-{number}"))
            two.append(run(f"two-{number}"))
        assert self.documents() == self.expected("42")
        assert self.is_current("42")

    @both
    def test_redisearch_has_what_redis_has(self, index):
        index.driver("42").append(run("a"), run("b"))
        index.driver("42").remove("a")
        assert self.indexed() == 1

    @both
    def test_a_very_long_run_is_not_kept_twice(self, index):
        picture = Artifact(b"x" * 100_000, type="ImageArtifact", format="png", width=1, height=1)
        index.driver("42").append(Run("see", picture, id="a"))
        [key] = self.redis.scan_iter(self.key("run:*"))
        document = self.redis.hgetall(key)
        assert document[b"w"].split() == [b"see", b"_"]
        assert b"run" not in document

    @both
    def test_hostile_ids_owners_and_runs(self, index):
        ids = ["a b", "{a}", "a:b", b"\xff\xfe", "\x00", "👩‍👩‍👧‍👦", "tokens", "run:x"]
        for id in ids:
            index.driver(id, owner=id).append(Run("\ud800 \x00 word", {"type": "X", "value": {}}))
        tokens = self.redis.hgetall(self.key("tokens"))
        assert len(tokens) == len(set(tokens.values())) == len(ids)
        assert len(self.redis.keys(self.key("run:*"))) == len(ids)
        for id in ids:
            index.erase(owner=id)
        assert self.keys() <= {self.key("search").encode()}

    def test_an_append_costs_one_round_trip(self):
        driver = self.index.driver("42")
        driver.append(run("a"))
        if self.entry["LAYOUT"] == "list":
            with monitored(self.redis) as commands:
                driver.append(run("b"))
            assert len([c for c in commands if c["client_type"] != "lua"]) == 1


class OffTests(RedisTestCase):
    def test_without_search_nothing_of_it_is_stored(self):
        self.index.driver("42", owner="ann").append(run("a"))
        kinds = {key.decode().split(":")[1] for key in self.keys() if b"}:" in key}
        assert kinds == {"record", "recent", "owner"}

    def test_the_state_says_so(self):
        state = self.index.search_state()
        assert (state.kind, state.answers, state.complete) == ("off", False, False)


def lists_of(inner):
    # Not a lambda: Hypothesis warns if its source does not name the argument, and may find another
    # source, as when the file has changed.
    return st.lists(inner, max_size=4)


class PartsTests(RedisTestCase):
    values = st.recursive(
        st.binary(max_size=40) | st.integers(0, 2**31 - 1), lists_of, max_leaves=10
    )

    @given(values)
    @hypothesis_settings(max_examples=30)
    def test_scripts_read_what_is_packed(self, value):
        script = """
            local function flat(value)
              if type(value) ~= 'table' then return type(value):sub(1, 1) .. value end
              local parts = {}
              for i, part in ipairs(value) do parts[i] = flat(part) end
              return '[' .. table.concat(parts, ',') .. ']'
            end
            return flat(cmsgpack.unpack(ARGV[1]))
        """

        def flat(value):
            if isinstance(value, list):
                return b"[" + b",".join(map(flat, value)) + b"]"
            return b"s" + value if isinstance(value, bytes) else b"n%d" % value

        assert self.redis.eval(script, 0, packed(value)) == flat(value)

    def test_a_script_knows_the_suffix(self):
        assert self.redis.eval("return redis.sha1hex(ARGV[1]):sub(1, 16)", 0, "x") == suffix(b"x")

    def test_the_text_of_an_artifact(self):
        items = [Artifact("one"), Artifact(b"xx", type="BlobArtifact"), Artifact({"a": ["é"]})]
        assert text_of(Artifact(items, type="ListArtifact")) == 'one\n\n{"a": ["é"]}'
        assert text_of(Artifact(b"xx", type="AudioArtifact", format="wav")) == ""
        assert text_of(Run.from_dict({"id": "a"}).input) == ""
        deep = value = []
        for _ in range(100_000):
            value.append([])
            value = value[0]
        assert "[[" not in text_of(Artifact.from_dict({"type": "JsonArtifact", "value": deep}))


class DeniedTests(ServerTestCase):
    def test_a_user_who_may_not_write_documents_writes_nothing(self):
        url = self.user("~*", "+@all", "-sadd")
        entry = {"URL": url, "INDEX": self.index.name, "LAYOUT": "list", "SEARCH": True}
        self.enterContext(self.settings(REDIS={"default": entry}))
        index = ConversationIndex(conf.get("default"))
        self.addCleanup(index._connection.close)
        index._layout.index_state.wants_documents = lambda: iter_true()
        with pytest.raises(RedisDenied):
            index.driver("42").append(run("a"))
        assert Redis.from_url(self.server.url).keys(f"*{self.index.name}*") == []


def iter_true():
    return True
    yield


class TokenTests(SimpleTestCase):
    def test_a_forked_process_finds_other_tokens(self):
        read, write = os.pipe()
        if not os.fork():
            os.write(write, fresh_token())
            os._exit(0)
        os.wait()
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            assert pipe.read() != fresh_token()

    def test_a_seed_of_the_random_module_does_not_count(self):
        random.seed(1)
        first = fresh_token()
        random.seed(1)
        assert fresh_token() != first
