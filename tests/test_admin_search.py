"""The search box of the admin over an index that has a search of messages."""

import re

from conversation_memory import Run

from .admin import AdminTestCase
from .searching import Settled


class SearchTests(Settled, AdminTestCase):
    entry = {"SEARCH": True}

    def test_finds_words_in_messages_and_leads_to_the_run(self):
        driver = self.index.driver("fruit", owner="7")
        driver.append(Run("Which fruit?", "A pear.", id="first"))
        driver.append(Run("And?", "An <b>apple</b>, of course.", id="second"))
        self.index.driver("apple-id").append(Run("q", "a"))
        assert self.shown(q="APPLE") == ["apple-id", "fruit"]
        assert self.notes(q="apple") == ["Ids, titles and messages were searched."]
        page = self.list(q="apple").content.decode()
        assert "&lt;b&gt;<mark>apple</mark>&lt;/b&gt;" in page
        link = re.search(r'href="([^"]*run=second[^"]*#hit)"', page)[1].replace("&amp;", "&")
        opened = self.client.get(link).content.decode()
        assert "<mark>apple</mark>" in opened and 'id="hit"' in opened

    def test_searches_within_the_filters(self):
        self.index.driver("theirs", owner="7").append(Run("apple", "a"))
        self.index.driver("ours", owner="8").append(Run("apple", "a"))
        assert self.shown(q="apple", owner="7") == ["theirs"]
        assert self.shown(q="apple", age="older") == []
        assert sorted(self.shown(q="apple", age="day")) == ["ours", "theirs"]

    def test_what_cannot_be_asked_is_said(self):
        self.index.driver("c").append(Run("q", "a"))
        for query in ("*", '"', "-", "@a:{b}", "a" * 5000, "\x00"):
            assert self.list(q=query).status_code == 200, query

    def test_the_page_of_indexes_tells_that_search_is_on(self):
        self.index.driver("c").append(Run("q", "a"))
        rows = self.client.get(self.url("index_changelist")).context["cl"].result_list
        [row] = [row for row in rows if row.name == self.index.name]
        assert row.search_state == "ready"
