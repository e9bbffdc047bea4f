"""Appends to an encrypted index with SEARCH, and what they leave in its search documents."""

from conversation_memory import ConversationIndex, Run

from .encrypted_search import MOST, EncryptedSearchCase
from .encrypting import encryption
from .utils import both, counted, each_layout


@each_layout
class AddedDocumentTests:
    case, entry = EncryptedSearchCase, {"ENCRYPTION": encryption("a"), "SEARCH": MOST}

    def fill(self, index, numbers):
        for number in numbers:
            run = Run("word", f"{number}", {"topic": "refunds"}, id=f"r{number}")
            index.driver("c", owner="ada").append(run)

    def assert_found(self, index, count):
        """That search documents, facets and conversation have so many runs."""
        results = index.search("word", owner="ada", limit=1)
        assert (results.total, results.complete) == (count, True)
        assert dict(index.facets("topic", owner="ada")) == {"refunds": count}
        assert len(index.driver("c").load()[0]) == len(self.documents()) == count
        assert index.check().left == 0

    def test_an_append_is_one_round_trip(self):
        self.fill(self.index, range(2))
        with counted() as sent:
            self.fill(self.index, range(2, 4))
        assert sent == [["EVALSHA"]] * 2
        self.assert_found(self.index, 4)

    @both
    def test_appends_of_two_processes(self, index):
        self.fill(index, range(3))
        self.fill(ConversationIndex(self.index.settings), range(2, 5))
        self.fill(index, range(3, 6))
        self.assert_found(index, 6)

    def test_appends_of_two_processes_with_keys_in_another_order(self):
        with (
            self.searched("b", "a", search=MOST) as new,
            self.searched("a", "b", search=MOST) as old,
        ):
            for number in range(40):
                self.fill((new, old)[number % 2], [number])
            self.assert_found(old, 40)
            assert new.rotate_keys().rotated == 1
            self.assert_found(new, 40)

    def test_appends_to_a_long_conversation(self):
        long = Run("word", "x " * 70_000, {"topic": "refunds"}, id="long")
        self.index.driver("c", owner="ada").append(long)
        self.fill(self.index, range(40))
        self.fill(ConversationIndex(self.index.settings), range(30, 41))
        self.assert_found(self.index, 42)

    def test_a_rename_that_changes_the_length_of_what_is_stored(self):
        self.fill(self.index, range(5))
        with self.searched(("b", "a-longer-id"), "a", search=MOST) as index:
            index.driver("c").rename("d")
            index.driver("d").rename("c")
            self.assert_found(index, 5)

    def test_an_edit_that_changes_nothing_adds_no_document_of_the_newest_key(self):
        self.fill(self.index, range(3))
        with self.searched("b", "a", search=MOST) as index:
            index.driver("c").edit(index.driver("c").load()[0][1])
            index.driver("c").annotate("r2", {"topic": "refunds"})
            self.assert_found(index, 3)
