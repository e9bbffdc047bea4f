from datetime import UTC, datetime, timedelta
from unittest import mock

from conversation_memory import Run
from conversation_memory.search import scan as scanning
from conversation_memory.search_index.reasons import Reason

from .searching import SEARCH, SearchTests
from .servers import ServerTestCase
from .utils import both


class ScanTests(SearchTests):
    """On a server without RediSearch."""

    @both
    def test_the_results_say_that_they_are_of_a_scan(self, index):
        self.fill(a="word")
        results = index.search("word")
        assert (results.scanned, results.complete, results[0].time) == (True, True, None)

    @both
    def test_what_a_stock_driver_wrote_is_found(self, index):
        run = Run("word", "", id="1").to_wire()
        self.put("theirs", b'{"runs": [%b], "metadata": {}}' % run)
        assert self.found(index, "word") == ["theirs"]

    @both
    def test_a_damaged_conversation_costs_only_itself(self, index):
        self.fill(a="word")
        self.put("bad", b"{{{")
        results = index.search("word")
        assert [hit.conversation_id for hit in results] == ["a"]
        assert results.reasons == (Reason("absent"), Reason("unreadable", 1))

    @both
    def test_only_so_much_is_read_at_once(self, index):
        self.fill(**{f"c{number}": "word" for number in range(7)})
        with mock.patch.multiple(scanning, CONVERSATIONS=3, _BATCH=3):
            page = index.search("word", limit=2)
            assert (page.total, page.complete) == (3, False)
            assert Reason("unread", 3) in page.reasons
            seen = [hit.conversation_id for hit in page]
            while page.next:
                page = index.search("word", limit=2, after=page.next)
                assert not page.complete
                seen += [hit.conversation_id for hit in page]
        assert sorted(seen) == [f"c{number}" for number in range(7)]
        assert len(seen) == 7

    @both
    def test_only_so_long_is_read(self, index):
        self.fill(**{f"c{number}": "word" for number in range(5)})
        with mock.patch.multiple(scanning, SECONDS=0, _BATCH=2):
            assert index.search("word").total == 2

    @both
    def test_too_long_a_conversation_is_left_out_and_said(self, index):
        self.fill(a="word", b="word " * 1000)
        with mock.patch.object(scanning, "BYTES", 2000):
            results = index.search("word")
        assert [hit.conversation_id for hit in results] == ["a"]
        assert Reason("too_large", 1) in results.reasons

    @both
    def test_times_are_those_of_conversations_and_that_is_said(self, index):
        self.fill(a="word")
        results = index.search("word", since=datetime.now(UTC) - timedelta(hours=1))
        assert len(results) == 1
        assert results.reasons[-1] == Reason("last_write")

    @both
    def test_what_is_older_is_not_read(self, index):
        self.fill(**{f"c{number}": "word" for number in range(6)})
        later = datetime.now(UTC) + timedelta(hours=1)
        with mock.patch.object(scanning, "_BATCH", 2):
            results = index.search("word", since=later)
        assert (results.total, results.next) == (0, None)


class HashScanTests(ScanTests, ServerTestCase):
    entry = {"SEARCH": SEARCH}


class ListScanTests(ScanTests, ServerTestCase):
    entry = {"SEARCH": SEARCH, "LAYOUT": "list"}
