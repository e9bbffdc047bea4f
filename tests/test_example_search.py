from unittest import mock

from django.conf import settings

from conversation_memory import Run, indexes
from example_project.chat import views

from .searching import Settled
from .test_example_views import ChatTestCase
from .test_messages import answer, calling, result, user


class ToolTests(Settled, ChatTestCase):
    entry = {"SEARCH": {"TOOL_CALLS": True}}

    def test_a_hit_in_a_tool_says_so_and_the_page_shows_it(self):
        chat = [user("q"), calling("t1", name="<i>"), result("t1", "a harbour"), answer("a")]
        self.driver().append_messages(chat)
        page = self.page("/search/?q=harbour")
        assert "a <mark>harbour</mark>" in page and "in a result of <bdi>&lt;i&gt;</bdi>" in page
        assert "in a call of" in self.page("/search/?q=lamp")
        assert "a harbour" in self.page("/c/c1/")


class SearchTests(Settled, ChatTestCase):
    entry = {"SEARCH": True}

    def test_the_list_has_a_box(self):
        self.driver().append(Run("a", "b"))
        assert 'action="/search/"' in self.page("/")

    def test_without_a_text_nothing_is_said(self):
        page = self.page("/search/")
        assert "found" not in page and 'name="q"' in page

    def test_finds_what_is_mine_and_marks_it(self):
        self.driver("mine").append(Run("Where is <the> harbour?", "By the sea."))
        self.driver("hers", owner=99).append(Run("harbour", "secret"))
        page = self.page("/search/?q=HARBOUR")
        assert "<mark>harbour</mark>" in page and "&lt;the&gt;" in page
        assert "1 exchange found" in page
        assert "hers" not in page and "secret" not in page

    def test_leads_to_the_exchange(self):
        self.driver().append(*(Run(f"question {n}", "a", id=f"{n}") for n in range(100)))
        self.driver().append(Run("harbour", "sea", id="a/b&c"))
        self.driver().append(*(Run(f"question {n}", "a", id=f"{n}") for n in range(100, 200)))
        link = "/c/c1/?run=a%2Fb%26c#found"
        assert f'href="{link}"' in self.page("/search/?q=harbour")
        page = self.page(link.partition("#")[0])
        assert page.count('id="found"') == 1
        assert page.index('id="found"') < page.index("harbour") < page.index("question 110")
        assert "question 5\n" not in page

    def test_titles_are_searched_too(self):
        self.driver("mine").append(Run("Where shall we go?", "To the sea."))
        self.driver("mine").set_title("Three days in Lisbon")
        self.driver("hers", owner=99).append(Run("a", "b"))
        self.driver("hers", owner=99).set_title("Lisbon again")
        page = self.page("/search/?q=LISBON")
        assert "1 title and 0 exchanges found" in page
        assert 'href="/c/mine/#latest"' in page and "hers" not in page

    def test_hits_are_grouped_by_conversation_and_titles_come_first(self):
        self.driver("c1").append(*(Run("harbour", f"{n}", id=f"r{n}") for n in range(3)))
        self.driver("c1").set_title("Ships")
        self.driver("c2").append(Run("harbour", "sea", id="r3"))
        self.driver("c2").set_title("The harbour")
        page = self.page("/search/?q=harbour")
        assert "1 title and 4 exchanges found" in page
        assert (page.count(">Ships<"), page.count("#found")) == (1, 4)
        assert page.index(">The harbour<") < page.index(">Ships<") < page.index("?run=r0")

    def test_of_many_titles_the_first_are_shown(self):
        for number in range(3):
            self.driver(f"c{number}").append(Run("a", "b"))
            self.driver(f"c{number}").set_title("Harbour")
        with mock.patch.object(views, "PER_PAGE", 2):
            page = self.page("/search/?q=harbour")
        assert page.count(">Harbour<") == 2 and "1 more title;" in page

    def test_an_exchange_that_is_gone_shows_the_latest(self):
        self.driver().append(Run("a", "b"))
        assert 'id="latest"' in self.page("/c/c1/?run=gone")

    def test_pages(self):
        for number in range(3):
            self.driver(f"c{number}").append(Run("harbour", f"{number}"))
        with mock.patch.object(views, "PER_PAGE", 2):
            response = self.client.get("/search/", {"q": "harbour"})
            after = response.context["results"].next
            rest = self.client.get("/search/", {"q": "harbour", "after": after})
        assert (len(response.context["results"]), len(rest.context["results"])) == (2, 1)
        assert self.client.get("/search/", {"q": "harbour", "after": "x"}).status_code == 404

    def test_nothing_found_offers_similar_words(self):
        self.driver().append(Run("harbour", "sea"))
        page = self.page("/search/?q=harbor")
        assert "Nothing found" in page and '<a href="?q=harbour">' in page

    def test_any_text_is_text(self):
        for text in ("*", '"', "-", "@o:{1}", "a" * 5000, "\0", "<script>"):
            response = self.client.get("/search/", {"q": text})
            assert response.status_code == 200 and b"<script>" not in response.content, text

    def test_what_may_be_missing_is_said_in_words_for_users(self):
        self.driver().append(Run("harbour", "sea"))
        with self.settings(REDIS={"default": {**settings.REDIS["default"], "SEARCH": False}}):
            indexes["default"].driver("c2", owner=self.user.pk).append(Run("harbour", "sea"))
        page = self.page("/search/?q=harbour")
        assert "Some results may be missing." in page
        assert "reindex" not in page and "not_indexed" not in page

    def test_needs_a_login(self):
        self.client.logout()
        assert self.client.get("/search/?q=a").status_code == 302


class WithoutSearchTests(ChatTestCase):
    def test_the_conversations_are_read_instead(self):
        self.driver("mine").append(Run("harbour", "sea"))
        assert "<mark>harbour</mark>" in self.page("/search/?q=harbour")
