"""Search documents of an encrypted index: what they hold, and how they change with it."""

from concurrent.futures import ThreadPoolExecutor
from unittest import mock

from conversation_memory import Run
from conversation_memory.archive import Restore
from conversation_memory.check import findings
from conversation_memory.search_index.index_state import IndexState

from .archives import dumped, opened
from .encrypted_search import MOST, NOTHING, SOME, WORDS, EncryptedSearchCase
from .encrypting import encryption
from .utils import alternating, each_layout

ALONE = {"STORED_UNENCRYPTED": []}
PLAIN = {"FIELDS": MOST["FIELDS"]}
CALL = {
    "id": "t1",
    "type": "function",
    "function": {"name": WORDS["tool"], "arguments": '{"a": "b"}'},
}
MESSAGES = [
    {"role": "user", "content": WORDS["input"]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "t1", "content": "found"},
    {"role": "assistant", "content": WORDS["output"]},
]


def fill(index, id="c"):
    """A conversation of two runs that has every one of WORDS where it belongs."""
    driver = index.driver(id, owner="ada")
    meta = {"topic": WORDS["topic"], "note": WORDS["note"], "score": 5, "other": WORDS["meta"]}
    run = Run(f"The {WORDS['input']}", f"On the {WORDS['output']}", meta, id="r1")
    driver.store([run], {"topic": [WORDS["topic"], "x"], "about": WORDS["meta"]})
    driver.append_messages(MESSAGES)
    driver.set_title(WORDS["title"])
    driver.begin(f"{WORDS['input']} {WORDS['meta']}" if index.keyring else "open")
    return driver


@each_layout
class ReadableTests:
    case, entry = EncryptedSearchCase, {"ENCRYPTION": encryption("a"), "SEARCH": ALONE}

    def test_documents_hold_what_was_opted_in_and_nothing_else(self):
        calls = {"TOOL_CALLS": True, "STORED_UNENCRYPTED": ["tool_calls"]}
        topics = {"FIELDS": {"topic": "tag"}, "STORED_UNENCRYPTED": ["topic"]}
        vectors = {"EMBED": "tests.embedders.embed", "DIMENSIONS": 64}
        vectors["STORED_UNENCRYPTED"] = ["embeddings"]
        for search, readable in (
            (ALONE, set()),
            (NOTHING, set()),
            (SOME, {"input", "note"}),
            (MOST, {"input", "output", "note"}),
            (calls, {"tool"}),
            (topics, {"topic"}),
            (vectors, set()),
        ):
            with self.subTest(search), self.searched("a", search=search) as index:
                driver = fill(index)
                if index.embeds:
                    index.embed()
                assert self.readable() == readable
                assert len(self.documents()) == 2
                if "FIELDS" in search:
                    assert index.search(where={"topic": WORDS["topic"]}).total == 2
                driver.delete()
                self.drop()

    def test_less_is_left_after_a_reindexing_with_less(self):
        for search, readable in ((MOST, {"input", "output", "note"}), (SOME, {"input", "note"})):
            with self.searched("a", search=search) as index:
                fill(index)
                index.reindex()
                assert self.readable() == readable
        times = self.times()
        with self.searched("a", search=NOTHING) as index:
            index.reindex()
            assert self.readable() == set()
            assert self.times() == times
            assert len(index.search(where={"topic": WORDS["topic"]})) == 2

    def test_nothing_is_left_without_search(self):
        with self.searched("a", search=MOST) as index:
            fill(index)
            fill(index, "written")
        with self.keys_are("a", entry={"SEARCH": False}) as index:
            index.driver("written").append(Run("q", "a"))
            assert index.rotate_keys().failed == 0
            assert index.rotate_keys().rotated == 0
        assert (self.documents(), self.definitions(), self.readable()) == ({}, [], set())
        with self.searched("a", search=MOST) as index:
            assert index.search_state().kind == "incomplete"
            index.reindex()
            assert index.search(WORDS["input"]).total == 4

    def times(self):
        return sorted(document[b"t"] for document in self.documents().values())


@each_layout
class MovedOverTests:
    """An index that had a plain search before it got ENCRYPTION."""

    case, entry = EncryptedSearchCase, {"ENCRYPTION": encryption("a"), "SEARCH": SOME}

    def setUp(self):
        super().setUp()
        with self.searched(search=PLAIN) as plain:
            for id in ("kept", "appended", "edited", "stored", "renamed"):
                fill(plain, id)
        for name in self.documents():
            self.redis.hset(name, "t", 1_600_000_000_000)

    def old(self):
        """How many documents there are of runs from before, which have kept their times."""
        return sum(int(it[b"t"]) == 1_600_000_000_000 for it in self.documents().values())

    def test_every_write_and_rotatekeys_leave_what_was_opted_in(self):
        with self.searched("a", search=SOME, READ_PLAINTEXT=True) as index:
            index.driver("appended").append(Run("new", "", id="new"))
            index.driver("edited").edit(Run("edited", "", id="r1"))
            runs = index.driver("stored").load()[0]
            index.driver("stored").store([*runs, Run("new", "")], {})
            index.driver("renamed").rename("other")
            plain = [it for it in self.documents().values() if b"run" in it]
            assert len(plain) == 2  # of the one that nobody has written to
            assert self.old() == 8
            assert index.rotate_keys().failed == 0
            index.reindex()
            assert index.check().left == 0
        assert self.readable() == {"input", "note"}
        assert self.old() == 8
        found = self.index.search(WORDS["input"], owner="ada", order_by="time")
        assert [hit.conversation_id for hit in found].count("other") == 2
        assert (found.total, found.complete) == (9, True)

    def test_an_alias_without_search_leaves_none(self):
        with self.keys_are("a", entry={"SEARCH": False}, READ_PLAINTEXT=True) as index:
            index.driver("appended").append(Run("new", ""))
            index.rotate_keys()
        assert not self.documents()

    def test_to_the_other_layout_at_the_same_time(self):
        other = {"hash": "list", "list": "hash"}[self.index.settings.layout]
        with self.searched("a", search=SOME, READ_PLAINTEXT=True, entry={"LAYOUT": other}) as index:
            assert index.convert().converted == 5
            index.rotate_keys()
            index.reindex()
            assert (index.check().left, self.old()) == (0, 10)
        assert self.readable() == {"input", "note"}


@each_layout
class RotatedTests:
    case, entry = EncryptedSearchCase, {"ENCRYPTION": encryption("a"), "SEARCH": MOST}

    def setUp(self):
        super().setUp()
        for id in "cde":
            fill(self.index, id)
        for name in self.documents():
            self.redis.hset(name, "t", 1_600_000_000_000)

    def topics(self, index):
        return index.search(where={"topic": WORDS["topic"]}).total, dict(index.facets("topic"))

    def test_tags_of_both_keys_are_found_and_counted(self):
        with self.searched("b", "a", search=MOST) as new:
            new.driver("c").append(Run("new", "", {"topic": WORDS["topic"]}))
            fill(new, "f")
            with alternating(new) as twins:
                for _ in range(2):
                    assert self.topics(next(twins)) == (9, {WORDS["topic"]: 9, "x": 4})
            assert new.check().left == 0
            assert new.reindex().indexed == 0
        with self.searched("a", "b", search=MOST) as old:  # a process that is still the old one
            assert self.topics(old) == (9, {WORDS["topic"]: 9, "x": 4})

    def test_rotatekeys_gives_all_documents_the_newest_key_and_keeps_their_times(self):
        before = {*self.documents()}
        with self.searched("b", "a", search=MOST) as index:
            index.driver("c").append(Run("new", ""))
            assert index.rotate_keys().rotated == 3
            assert index.rotate_keys().rotated == 0
            assert before.isdisjoint(self.documents())
            old = [it for it in self.documents().values() if it[b"t"] == b"1600000000000"]
            assert (len(old), index.check().left) == (6, 0)
        with self.searched("b", search=MOST) as index:
            assert self.topics(index) == (7, {WORDS["topic"]: 7, "x": 4})
            assert index.facets("topic").complete
            assert index.search(WORDS["input"], owner="ada").total == 6

    def test_a_rotation_that_left_the_documents_out_is_taken_up(self):
        def no(self):
            return False
            yield

        with self.searched("b", "a", search=MOST) as index:
            with mock.patch.object(IndexState, "wants_documents", no):
                assert index.rotate_keys().rotated == 3
            assert index.rotate_keys().rotated == 3
            assert (len(self.documents()), index.check().left) == (6, 0)
            assert index.search_state().kind == "ready"

    def test_a_rotation_beside_a_writer_that_has_the_older_key(self):
        def write(index):
            for number in range(15):
                index.driver("cde"[number % 3]).append(Run("new", "", {"topic": "x"}))
                index.driver("cde"[number % 3]).edit(Run(f"edit {number}", "", id="r1"))

        with self.searched("a", "b", search=MOST) as old:
            with self.searched("b", "a", search=MOST) as index, ThreadPoolExecutor(1) as pool:
                written = pool.submit(write, old)
                while not written.done():
                    assert index.rotate_keys().failed == 0
                written.result()
                index.rotate_keys()
                assert (index.check().left, len(self.documents())) == (0, 21)
        with self.searched("b", search=MOST) as index:
            assert self.topics(index) == (6, {WORDS["topic"]: 6, "x": 21})
            assert index.search('"edit 14"', owner="ada").total == 1

    def test_changes_leave_no_document_of_the_older_key(self):
        with self.searched("b", "a", search=MOST) as index:
            index.driver("c").edit(Run("edited", "", id="r1"))
            index.driver("d").remove("r1")
            index.driver("e").truncate(after="r1")
            assert len(self.documents()) == 4
            assert index.check().left == 0
            edited = [it for it in self.documents().values() if b"edited" in it[b"w_input_output"]]
            assert [it[b"t"] for it in edited] == [b"1600000000000"]
            assert index.search("edited").total == 1


@each_layout
class LifecycleTests:
    case, entry = EncryptedSearchCase, {"ENCRYPTION": encryption("a"), "SEARCH": MOST}

    def found(self, index=None, **options):
        hits = (index or self.index).search(WORDS["input"], **options)
        assert hits.complete
        return [(hit.conversation_id, hit.title) for hit in hits]

    def test_a_renamed_moved_and_erased_one(self):
        driver = fill(self.index)
        driver.rename("d")
        assert self.found(owner="ada") == [("d", WORDS["title"])] * 2
        driver.move_to("grace")
        assert (self.found(owner="ada"), len(self.found(owner="grace"))) == ([], 2)
        assert self.index.check().left == 0
        self.index.erase(owner="grace")
        assert not self.documents()
        assert self.found() == []

    def test_an_expired_one(self):
        fill(self.index).expire(0.001)
        while self.index.driver("c").exists():
            pass
        assert self.found() == []

    def test_converting_to_the_other_layout(self):
        fill(self.index)
        before = sorted(it[b"t"] for it in self.documents().values())
        other = {"hash": "list", "list": "hash"}[self.index.settings.layout]
        with self.searched("a", search=MOST, entry={"LAYOUT": other}) as index:
            assert index.convert().converted == 1
            assert len(self.found(index)) == 2
            assert sorted(it[b"t"] for it in self.documents().values()) == before
            assert index.check().left == 0

    def test_a_restored_one(self):
        fill(self.index)
        archive = dumped(self.index)
        self.index.delete("c")
        with opened(archive, keyring=self.index.keyring) as source:
            assert Restore(self.index, source).run().new == 1
        assert len(self.found()) == 2
        assert self.readable() == {"input", "output", "note"}

    def test_check_finds_lost_documents_and_mends_them(self):
        fill(self.index)
        self.redis.delete(next(iter(self.documents())))
        report = self.index.check(fix=True)
        assert (report.problems[findings.NOT_INDEXED].found, report.left) == (1, 0)
        assert len(self.found()) == 2

    def test_the_key_of_a_document_is_not_a_hash_of_the_text(self):
        fill(self.index)
        documents = self.index._layout.documents
        with self.keys_are("b", entry={"SEARCH": MOST}) as other:
            text = Run("guess", "", id="r").to_wire()
            assert documents.suffix(text) != other._layout.documents.suffix(text)
