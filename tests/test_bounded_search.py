"""Many search documents of one conversation are deleted, and get another owner, in steps."""

from django.conf import settings

from conversation_memory import Run, Selection, indexes
from conversation_memory.layouts.base import OWNER

from .encrypting import encryption
from .searching import Settled, settled
from .utils import RedisTestCase, both, monitored

MANY = 450


class ManyDocumentsTests(Settled, RedisTestCase):
    entry = {"LAYOUT": "list", "SEARCH": True}

    def setUp(self):
        super().setUp()
        if self.index.search_state().kind == "absent":
            self.skipTest("The server has no RediSearch.")

    def fill(self, id="c", owner=1, count=MANY, **options):
        driver = self.index.driver(id, owner=owner, **options)
        for start in range(0, count, 100):
            driver.append(*(Run(f"parcel {n}", "sent") for n in range(start, start + 100)))
        return driver

    def expired(self):
        """A conversation that has expired, and was not reaped."""
        driver = self.fill()
        driver.expire(0.001)
        while driver.exists():
            pass

    def left(self):
        name = self.index.name
        kept = (f"{{{name}}}:run:", f"{{{name}}}:documents:", f"{{{name}}}:stale")
        return [key for key in self.keys() if key.decode().startswith(kept)]

    def tokens(self):
        return self.redis.hlen(f"{{{self.index.name}}}:tokens")

    def check_that_all_went(self):
        assert self.left() == [] and self.tokens() == 0
        assert int(self.redis.hget(f"{{{self.index.name}}}:search", "documents") or 0) == 0

    @both
    def test_a_deletion_leaves_no_document(self, index):
        ways = (
            lambda: index.driver("c").delete(),
            lambda: index.delete("c"),
            lambda: index.prune(Selection(owner=1)),
            lambda: index.erase(owner=1),
        )
        for delete in ways:
            self.fill()
            with monitored(self.redis) as sent:
                delete()
            self.check_that_all_went()
            pops = [it["command"] for it in sent if it["command"].startswith("SPOP")]
            assert [it.split()[-1] for it in pops] == ["200"] * 3
            assert not index.driver("c").exists()

    @both
    def test_the_reaper_leaves_no_document(self, index):
        self.expired()
        assert index.reap() == 1
        self.check_that_all_went()

    @both
    def test_what_a_write_to_an_expired_conversation_leaves_the_reaper_deletes(self, index):
        self.expired()
        index.driver("c", owner=1).append(Run("a letter", "sent"))
        assert [hit.run.input.text for hit in index.search("sent")] == ["a letter"]
        index.reap()
        assert len(self.left()) == 2 and self.tokens() == 1
        assert index.search("sent").reasons == ()

    def test_a_check_deletes_what_an_interrupted_deletion_has_left(self):
        self.fill().delete()
        self.fill()
        id, record = self.index.name, f"{{{self.index.name}}}:record:c"
        self.redis.hdel(id, "c")
        self.redis.delete(record, f"{{{id}}}:runs:c")
        report = self.index.check(fix=True)
        assert report.problems and self.left() == []
        assert self.index.check().problems == {}

    @both
    def test_another_owner_finds_all_and_the_first_one_nothing(self, index):
        for move, owner in (
            (lambda: index.driver("c").move_to(2), 2),
            (lambda: index.anonymise(owner=2), None),
            (lambda: index.driver("c").move_to(1), 1),
        ):
            if owner == 2:
                self.fill()
            with monitored(self.redis) as sent:
                move()
            marks = [it["command"].split()[0] for it in sent if ":run:" in it["command"]]
            assert marks.count("HSET") + marks.count("HDEL") >= MANY
            found = index.search("parcel", owner=owner, limit=MANY * 2)
            assert len({hit.run.id for hit in found}) == 500 and found.reasons == ()
            for other in {1, 2} - {owner}:
                assert len(index.search("parcel", owner=other)) == 0
            assert index.check().problems == {}
        self.wipe()

    @both
    def test_many_documents_are_looked_at_in_parts(self, index):
        self.fill(count=1200)
        with monitored(self.redis) as sent:
            assert index.reindex().documents == 0 and index.check().problems == {}
        looks = [it["command"] for it in sent if it["command"].startswith("SSCAN")]
        assert len([it for it in looks if ":documents:" in it]) >= 4
        self.redis.delete(next(key for key in self.keys() if b":run:" in key))
        assert index.check(fix=True).left == 0
        assert len(index.search("parcel", limit=1000)) == 1000
        assert index.reindex().documents == 0
        self.wipe()

    def break_off(self):
        """A move to another owner, of which the documents are left as they were."""
        layout, ref = self.index._layout, self.index.driver("c")._ref
        keys = [layout.keys.recency(b"2")]
        self.index._run(layout._as_owner(OWNER, ref, keys, b"2", b"0" * 16))
        assert len(self.index.search("parcel", owner=1)) == 0
        assert self.index.search("parcel").reasons != ()

    def test_a_move_that_breaks_off_is_said_and_can_be_repaired(self):
        ways = (
            (self.index.reindex, 2),
            (lambda: self.index.check(fix=True), 2),
            (self.index.reap, 2),
            (lambda: self.index.driver("c").move_to(1) or self.index.reap(), 1),
        )
        for mend, owner in ways:
            self.fill()
            self.break_off()
            self.index.driver("c").append(Run("parcel", "sent"))
            mend()
            found = self.index.search("parcel", owner=owner, limit=1000)
            assert len(found) == 501 and found.reasons == ()
            assert not self.index.search("parcel", owner=3 - owner)
            assert self.redis.scard(f"{{{self.index.name}}}:stale") == 0
            self.index.delete("c")

    def test_many_documents_go_in_steps_when_the_conversation_gets_encrypted(self):
        self.fill()
        entry = {
            "ENCRYPTION": encryption("a", READ_PLAINTEXT=True),
            "SEARCH": {"STORED_UNENCRYPTED": ["input"]},
        }
        with self.settings(REDIS={"default": {**settings.REDIS["default"], **entry}}):
            index = indexes["default"]
            settled(index.search_state)
            with monitored(self.redis) as sent:
                assert index.rotate_keys().rotated == 1
            pops = [it["command"] for it in sent if it["command"].startswith("SPOP")]
            assert [it.split()[-1] for it in pops] == ["200"] * 3
            assert len(index.search("parcel", limit=1000)) == 500
            assert index.check().problems == {}
