from unittest import mock

from conversation_memory import Run
from conversation_memory.search import title_search

from .test_indexes import ids
from .utils import RedisTestCase, both, counted, each_layout


def name(index, conversation_id, title, owner=None):
    driver = index.driver(conversation_id, owner=owner)
    driver.append(Run("a", "b"))
    driver.set_title(title)


@each_layout
class TitleTests:
    @both
    def test_words_are_found_as_in_a_search(self, index):
        name(index, "c1", "Un café à Lisbonne")
        name(index, "c2", "東京の天気")
        for text in ("CAFE", "lisbonne cafe", '"un café"', "lis*", "cafe -tokyo"):
            assert ids(index.titled(text)) == ["c1"], text
        assert ids(index.titled("天気")) == ["c2"]
        for text in ("", " ", "*", "caf", "-tokyo", '"café un"', "c1", "cafe tokyo"):
            assert ids(index.titled(text)) == [], text

    @both
    def test_an_owner_finds_only_their_own(self, index):
        name(index, "mine", "Tulips", owner=1)
        name(index, "hers", "Tulips", owner=2)
        name(index, "given", "Tulips", owner=1)
        index.driver("given").move_to(2)
        assert ids(index.titled("tulips", owner=1)) == ["mine"]
        assert {*ids(index.titled("tulips"))} == {"mine", "hers", "given"}


class ManyTitlesTests(RedisTestCase):
    def test_the_next_page_looks_at_older_ones(self):
        for number in range(5):
            name(self.index, f"c{number}", "Tulips" if number % 2 else "Roses")
        with mock.patch.multiple(title_search, BATCH=2, MOST_BATCHES=1):
            page = self.index.titled("roses")
            assert (ids(page), bool(page.next)) == (["c4"], True)
            page = self.index.titled("roses", before=page.next)
            assert ids(page) == ["c2"]
            page = self.index.titled("roses", before=page.next)
            assert (ids(page), page.next) == (["c0"], None)

    def test_it_costs_the_round_trips_of_a_listing(self):
        name(self.index, "c1", "Tulips", owner=1)
        with counted() as listing:
            self.index.recent(500, owner=1)
        with counted() as search:
            self.index.titled("tulips", owner=1)
        assert len(search) == len(listing)

    def test_a_damaged_conversation_costs_nothing(self):
        name(self.index, "c1", "Tulips")
        name(self.index, "c2", "Tulips")
        self.put("c1", b"{")
        self.redis.delete(self.index._layout.keys.record(b"c2"))
        self.redis.set(self.index._layout.keys.record(b"c2"), "x")
        assert ids(self.index.titled("tulips")) == ["c1"]
