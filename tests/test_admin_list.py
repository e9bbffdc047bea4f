import re
from base64 import urlsafe_b64encode
from datetime import timedelta
from html import unescape
from unittest import mock

from django.contrib import admin
from django.utils import timezone
from django.utils.html import strip_tags
from django.utils.safestring import mark_safe

from conversation_memory import Artifact, Run, browse, indexes
from conversation_memory.admin import queryset
from conversation_memory.browse import Span
from conversation_memory.collection.summaries import LARGEST_GLANCE
from conversation_memory.models import Conversation
from conversation_memory.search.results import SearchResults
from conversation_memory.search_index.reasons import Reason

from .admin import AdminTestCase
from .utils import RedisTestCase, both, each_layout


def age(index, redis, conversation_id, **delta):
    """Make the last write of a conversation look that long ago."""
    order = f"{{{index.name}}}:recent"
    redis.zincrby(order, -timedelta(**delta).total_seconds() * 1000, conversation_id)


@each_layout
class BrowsingTests:
    def fill(self, count=5, owner=None):
        for number in range(count):
            self.index.driver(f"c{number}", owner=owner).append(Run(f"q{number}", f"a{number}"))

    def ids(self, rows):
        return [row.id.decode() for row in rows]

    @both
    def test_pages_are_numbered_newest_first(self, index):
        self.fill()
        assert self.ids(index.browse(Span(), 0, 2)) == ["c4", "c3"]
        assert self.ids(index.browse(Span(), 4, 2)) == ["c0"]
        assert index.browse(Span(), 5, 2) == []
        assert index.extent().conversations == 5

    @both
    def test_a_span_has_an_owner_and_times(self, index):
        self.fill(3, owner="7")
        self.index.driver("other", owner="8").append(Run("a", "b"))
        age(self.index, self.redis, "c0", days=3)
        order = f"{{{self.index.name}}}:recent"
        limit = int(self.redis.zscore(order, "c0")) + 1
        assert index.extent(Span(owner=b"7")).conversations == 3
        assert self.ids(index.browse(Span(until=limit), 0, 9)) == ["c0"]
        assert self.ids(index.browse(Span(since=limit), 0, 9)) == ["other", "c2", "c1"]
        assert index.extent(Span(since=limit)).conversations == 3

    @both
    def test_what_others_deleted_leaves_no_hole_in_a_page(self, index):
        self.fill()
        self.redis.hdel(self.index.name, "c3", "c2")
        assert self.ids(index.browse(Span(), 0, 2)) == ["c4", "c1"]
        assert self.ids(index.browse(Span(), 2, 2)) == ["c0"]
        assert index.extent().conversations == 3

    @both
    def test_what_is_past_its_deadline_is_not_counted_or_shown(self, index):
        self.fill(2)
        record, expiry = f"{{{self.index.name}}}:record:c1", f"{{{self.index.name}}}:expiry"
        self.redis.hset(record, "expires", 1)
        self.redis.zadd(expiry, {"c1": 1})
        assert self.ids(index.browse(Span(), 0, 2)) == ["c0"]
        assert index.glance("c1") == []

    @both
    def test_what_a_stock_driver_wrote_gets_a_place(self, index):
        self.put("theirs", b'{"runs": [], "metadata": {}}')
        extent = index.extent()
        assert (extent.conversations, extent.unlisted) == (1, 0)
        assert self.ids(index.browse(Span(), 0, 2)) == ["theirs"]

    @both
    def test_the_last_words_are_those_of_the_last_message(self, index):
        driver = self.index.driver("c")
        driver.append(Run("q", 'They said: "output": {"value": "no"}'))
        assert index.glance("c")[0].last_words == 'They said: "output": {"value": "no"}'
        driver.append(Run("q", "  Grüße\n\n an   alle 🙂"))
        assert index.glance("c")[0].last_words == "Grüße an alle 🙂"
        driver.append(Run("q", "word " * 10_000))
        words = index.glance("c")[0].last_words
        assert words.startswith("word word") and words.endswith("…") and len(words) <= 120

    @both
    def test_the_last_words_of_what_is_no_text(self, index):
        for output, words in (
            (Artifact(b"\x89PNG" * 5000, type="ImageArtifact", format="png"), "[image]"),
            (Artifact([Artifact("one"), Artifact("two")], type="ListArtifact"), "one two"),
            (Artifact({"a": [1, None]}, type="JsonArtifact"), '{"a": [1, null]}'),
            (Artifact("failed", type="ErrorArtifact"), "failed"),
        ):
            self.index.driver("c").append(Run("q", output))
            assert index.glance("c")[0].last_words == words

    @both
    def test_a_message_that_a_stock_driver_wrote_has_last_words(self, index):
        self.put(
            "c", Run("q", "theirs").to_wire().join([b'{"runs": [', b'], "metadata": {"a": 1}}'])
        )
        assert index.glance("c")[0].last_words == "theirs"

    @both
    def test_a_conversation_without_runs_or_with_a_strange_value_has_no_last_words(self, index):
        for document in (b'{"runs": [], "metadata": {}}', b"[]", b"nonsense", b"", b"\xff\xfe"):
            self.put("c", document)
            assert index.glance("c")[0].last_words is None

    @both
    def test_a_very_large_document_is_not_copied_for_its_last_words(self, index):
        self.put("c", b'{"runs": ["%b"], "metadata": {}}' % (b"x" * LARGEST_GLANCE))
        row = index.glance("c")[0]
        assert (row.last_words, row.bytes > LARGEST_GLANCE) == (None, True)

    @both
    def test_the_size_is_that_of_the_whole_conversation(self, index):
        driver = self.index.driver("c")
        driver.append(*[Run("q", "a" * 1000) for _ in range(10)])
        assert 10_000 < index.glance("c")[0].bytes < 15_000

    @both
    def test_what_cannot_be_read_is_found(self, index):
        self.fill(2)
        self.put("sound", b'{"runs": [], "metadata": {}}')
        for id, document in (("a", b"nonsense"), ("b", b'{"runs": [1]}'), ("c", b""), ("d", b"[]")):
            self.put(id, document)
        index.extent()
        finds = index.find_unreadable()
        assert sorted(self.ids(index.glance(*finds.ids))) == ["a", "b", "c", "d"]
        assert (finds.next, finds.skipped) == (None, 0)

    @both
    def test_those_with_a_wanted_run_are_found(self, index):
        self.fill(3)
        self.index.driver("c1").append(Run("q", "wanted"), Run("q", "last"))
        self.put("bad", b'{"runs": [1]}')
        index.extent()
        seen = []

        def is_wanted(summary, run):
            seen.append(summary.id.decode())
            return run.output.text == "wanted"

        assert index.find_with_run(is_wanted).ids == [b"c1"]
        assert sorted(seen) == ["c0", "c1", "c1", "c2"]
        assert index.find_with_run(is_wanted, Span(owner=b"7")).ids == []
        with mock.patch.object(browse, "MOST_READ", 10):
            assert index.find_with_run(is_wanted).skipped == 4

    @both
    def test_they_are_sorted_by_any_measure(self, index):
        for number, id in enumerate("cab"):
            self.index.driver(id).append(*(Run("q", "a") for _ in range(number + 1)))

        def runs(summary):
            return summary.record.runs

        assert index.find_sorted(runs).ids == [b"b", b"a", b"c"]
        assert index.find_sorted(runs, descending=False).ids == [b"c", b"a", b"b"]

    @both
    def test_a_name_is_found_in_id_and_title_in_whatever_case(self, index):
        self.fill(2)
        self.index.driver("c1").set_title("About STRASSEN")
        assert index.find_named("C1").ids == [b"c1"]
        assert index.find_named("straßen").ids == [b"c1"]
        assert index.find_named("c").ids == [b"c1", b"c0"]
        assert index.find_named("nothing").ids == []
        assert index.find_named("c", start=1).ids == [b"c0"]


class LimitTests(RedisTestCase):
    def test_a_search_stops_at_its_limit_and_says_where_to_go_on(self):
        record = f"{{{self.index.name}}}:record:%d"
        pipeline = self.redis.pipeline(transaction=False)
        for number in range(10_500):
            pipeline.hset(self.index.name, number, b"{}")
        pipeline.hset(record % 3, "title", "wanted")
        pipeline.execute()
        self.index.adopt()
        self.redis.zadd(f"{{{self.index.name}}}:recent", {"3": 1})
        finds = self.index.find_named("wanted")
        assert (finds.ids, finds.next, finds.looked_at) == ([], 10_000, 10_000)
        further = self.index.find_named("wanted", start=finds.next)
        assert (further.ids, further.next, further.looked_at) == ([b"3"], None, 500)


class PageTests(AdminTestCase):
    def fill(self, count, **driver):
        for number in range(count):
            self.index.driver(f"c{number}", **driver).append(Run("q", f"answer {number}"))

    def test_a_row_shows_what_is_known(self):
        driver = self.index.driver("the-id", owner="ada")
        driver.append(Run("q", "An answer"))
        driver.set_title("A title")
        driver.expire(timedelta(days=3))
        page = self.list().content.decode()
        for text in ("the-id", "A title", ">ada<", "An answer", "bytes", "1 conversation"):
            assert text in page, text
        assert f"Conversations of default: {self.index.name}" in page

    def test_the_title_is_the_link_and_the_id_is_short(self):
        id = "0123456789abcdef0123456789abcdef"
        self.index.driver(id).append(Run("q", "a"))
        self.index.driver(id).set_title("")
        link = r'<th class="field-shown_title"><a href="[^"]*">(.*?)</a>'
        assert re.findall(link, self.list().content.decode()) == [
            f'<bdi class="cm-id cm-cell" title="{id}">012345…cdef</bdi>'
        ]
        self.index.driver(id).set_title("A title")
        [shown] = re.findall(link, self.list().content.decode())
        assert strip_tags(shown) == "A title012345…cdef"

    def test_what_others_wrote_shows_when_it_was_first_seen(self):
        self.put("theirs", b'{"runs": [], "metadata": {}}')
        assert self.shown(age="day") == ["theirs"]
        assert "first seen" in self.list(age="day").content.decode()

    def test_during_a_search_a_column_tells_where_a_row_was_found(self):
        self.fill(1)
        page = self.list(q="c0").content.decode()
        assert "Last message" not in page and "in id or title" in page
        assert "Last message" in self.list().content.decode()

    def test_pages_and_their_count(self):
        self.fill(205)
        assert self.shown()[:2] == ["c204", "c203"]
        assert self.shown(p=3) == ["c4", "c3", "c2", "c1", "c0"]
        assert "205 conversations" in self.list().content.decode()

    def test_one_index_is_always_selected(self):
        self.fill(1)
        page = self.list().content.decode()
        assert page.count('class="selected"') == 3  # the index, any age, any state
        assert f'?index={self.address()}">default: {self.index.name}' in page

    def test_another_index_of_the_entry_is_opened(self):
        name = f"{self.index.name}-other"
        entry = {**self.settings_entry(), "INDEXES": [f"{self.index.name}-*"]}
        with self.settings(REDIS={"default": entry}):
            other = indexes.open("default", name)
            other.driver("x").append(Run("a", "b"))
            assert self.shown(index=str(self.address(index=other))) == ["x"]
            other.delete("x")
            self.redis.delete(f"{{{name}}}:recent")

    def settings_entry(self):
        from django.conf import settings

        return settings.REDIS["default"]

    def test_an_index_that_is_not_configured_is_refused(self):
        for key in ("nonsense", "!", self.packed("default", "secrets"), self.packed("x", "y")):
            response = self.list(index=key)
            assert response.status_code in (302, 503), key

    def packed(self, *parts):
        return ".".join(urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)

    def test_filters_by_owner(self):
        self.fill(2, owner="7")
        self.index.driver("other").append(Run("a", "b"))
        assert self.shown(owner="7") == ["c1", "c0"]
        assert self.shown(owner="nobody") == []

    def test_filters_by_age(self):
        self.fill(3)
        age(self.index, self.redis, "c0", days=2)
        age(self.index, self.redis, "c1", days=40)
        assert self.shown(age="day") == ["c2"]
        assert self.shown(age="week") == ["c2", "c0"]
        assert self.shown(age="older") == ["c1"]
        assert self.list(age="nonsense").status_code == 302

    def test_filters_by_a_range_of_days(self):
        self.fill(3)
        age(self.index, self.redis, "c0", days=2)
        age(self.index, self.redis, "c1", days=40)
        day = timezone.localdate() - timedelta(days=2)
        assert self.shown(since=f"{day}", until=f"{day}") == ["c0"]
        assert self.shown(since=f"{day}") == ["c2", "c0"]
        assert self.shown(until=f"{day}", since="") == ["c0", "c1"]
        for text in ("x", "9999-12-31", "2026-02-30"):
            assert self.list(until=text).status_code == 302, text
        page = self.list(since=f"{day}").content.decode()
        assert f'name="since" id="cm-since" value="{day}"' in page

    def test_sorts_by_last_write_size_and_runs(self):
        for id, runs in (("one", 1), ("three", 3), ("two", 2)):
            self.index.driver(id).append(*(Run("q", "a" * 100 * runs) for _ in range(runs)))
        assert self.shown() == self.shown(o="-2") == ["two", "three", "one"]
        assert self.shown(o="2") == ["one", "three", "two"]
        for column in (6, 7):
            assert self.shown(o=f"-{column}") == ["three", "two", "one"]
            assert self.shown(o=f"{column}") == ["one", "two", "three"]
        assert self.shown(o="99.x.1") == ["two", "three", "one"]

    def test_the_oldest_first_within_filters_and_pages(self):
        self.fill(205, owner="7")
        assert self.shown(o="2", owner="7", p=3) == [f"c{n}" for n in range(200, 205)]
        age(self.index, self.redis, "c9", days=2)
        assert self.shown(o="2", age="day")[:2] == ["c0", "c1"]
        assert self.shown(o="2")[:2] == ["c9", "c0"]

    def test_a_sorting_of_a_part_says_so(self):
        self.fill(3)
        with mock.patch.multiple(browse, MOST_LOOKED_AT=2, _STEP=2):
            assert self.shown(o="-7") == ["c2", "c1"]
            [note] = self.list(o="-7").context["notes"]
            assert note.text == "Only conversations 1 to 2, from the newest on, were sorted."
            url = self.url("conversation_changelist") + note.url
            further = self.client.get(url).context["cl"].result_list
            assert [row.conversation_id for row in further] == ["c0"]

    def test_what_a_search_has_found_is_not_sorted(self):
        self.fill(1)
        assert "sortable" in self.list().content.decode()
        assert "sortable" not in self.list(q="c").content.decode()

    def test_filters_what_is_unreadable(self):
        self.fill(1)
        self.put("bad", b"nonsense")
        assert self.shown(state="unreadable") == ["bad"]
        assert "unreadable" in self.list().content.decode()
        assert self.notes(state="unreadable") == ["Only unreadable conversations are shown."]

    def test_searches_ids_and_titles_and_says_so(self):
        self.fill(3)
        self.index.driver("c2").set_title("Holidays in Crete")
        assert self.shown(q="crete") == ["c2"]
        assert self.shown(q="c1") == ["c1"]
        assert "but not messages" in self.notes(q="crete")[0]

    def test_an_exact_id_is_found_however_far_down(self):
        self.put("deep", b"{}")
        self.redis.zadd(f"{{{self.index.name}}}:recent", {f"gone-{n}": n for n in range(3)})
        assert self.shown(q="deep") == ["deep"]

    def test_search_and_filter_together(self):
        self.fill(1, owner="7")
        self.put("bad-1", b"nonsense")
        self.put("bad-2", b"nonsense")
        assert self.shown(q="bad-2", state="unreadable") == ["bad-2"]
        assert self.shown(q="c", owner="8") == []
        assert self.shown(q="c0", owner="8") == []

    def test_where_a_search_goes_on_counts_for_that_search_only(self):
        self.fill(2)
        response = self.list(q="c", start="1-00000000")
        assert [row.conversation_id for row in response.context["cl"].result_list] == ["c1", "c0"]
        assert self.shown(q="c", start="1") == ["c0"]
        page = self.list(q="c", start="1").content.decode()
        assert 'type="hidden"' in page and 'name="start"' not in page
        assert "start=" not in "".join(re.findall(r'href="(\?[^"]*)"', page))

    def test_the_pages_of_a_search_that_goes_on_are_of_that_search(self):
        self.fill(3)
        with mock.patch.object(admin.site.get_model_admin(Conversation), "list_per_page", 1):
            assert self.shown(q="c", start="1") == ["c1"]
            page = self.list(q="c", start="1").content.decode()
            [link] = {*re.findall(r'href="(\?p=2[^"]*)"', page)}
            further = self.client.get(self.url("conversation_changelist") + unescape(link))
        assert [row.conversation_id for row in further.context["cl"].result_list] == ["c0"]

    def test_a_search_that_stopped_offers_to_look_further(self):
        pipeline = self.redis.pipeline(transaction=False)
        for number in range(10_100):
            pipeline.hset(self.index.name, f"id-{number}", b"{}")
        pipeline.execute()
        self.index.adopt()
        self.redis.zadd(f"{{{self.index.name}}}:recent", {"id-77": 1})
        response = self.list(q="d-77")
        note = next(note for note in response.context["notes"] if note.url)
        assert "1 to 10,000" in note.text
        further = self.client.get(self.url("conversation_changelist") + note.url)
        assert "id-77" in [row.conversation_id for row in further.context["cl"].result_list]
        assert "10,001 to 10,100" in further.context["notes"][1].text

    def test_what_has_no_place_yet_is_told(self):
        pipeline = self.redis.pipeline(transaction=False)
        for number in range(25_000):
            pipeline.hset(self.index.name, number, b"{}")
        pipeline.execute()
        notes = self.notes()
        assert re.search(r"1\d,\d{3} more conversations, written by another program", notes[0])

    def test_an_id_that_is_too_long_for_a_url_breaks_nothing(self):
        self.index.driver("x" * 1_000_000).append(Run("q", "a"))
        self.index.driver("y" * 1_000).append(Run("q", "a"))
        response = self.list()
        assert len(response.content) < 100_000
        [short, long] = response.context["cl"].result_list
        assert self.client.get(self.url("conversation_change", short.pk)).status_code == 200
        assert self.client.get(self.url("conversation_change", long.pk)).status_code == 302
        assert "1 conversation on this page cannot be opened" in self.notes()[0]

    def test_what_was_found_in_messages_is_shown_with_its_place(self):
        self.fill(3)
        snippet = mark_safe("an <mark>apple</mark>")
        hits = [mock.Mock(run_id="run 7", snippet_html=snippet, tool="") for _ in range(2)]
        for hit, id in zip(hits, ["c1", "gone"], strict=True):
            hit.conversation_id = hit.record.conversation_id = id
        found = SearchResults(hits, total=9, reasons=(Reason("older"),))
        with mock.patch.object(queryset.ListReader, "_texts", return_value=found):
            page = self.list(q="c0").content.decode()
            assert self.shown(q="c0") == ["c0", "c1"]
            assert self.notes(q="c0") == [
                "Ids, titles and messages were searched.",
                "9 runs were found; the best 2 are shown.",
                "Runs from before SEARCH was set are not searchable yet. Run reindexconversations.",
            ]
        assert "an <mark>apple</mark>" in page
        assert re.search(r"run=run\+7[^\"]*#hit", page)

    def test_filters_that_do_not_exist_lead_back(self):
        for query in ({"title": "x"}, {"size__gt": "1"}, {"nonsense": "1"}):
            assert self.list(**query).status_code == 302, query

    def test_all_filters_are_cleared_but_the_index(self):
        self.fill(1)
        changelist = self.list(index=str(self.address()), age="day").context["cl"]
        assert changelist.clear_all_filters_qs == f"?index={self.address()}"
        assert changelist.has_active_filters
        assert not self.list(index=str(self.address())).context["cl"].has_active_filters
