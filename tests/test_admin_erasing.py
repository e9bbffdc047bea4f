from unittest import mock

from django.contrib import admin
from django.contrib.admin.models import LogEntry

from conversation_memory import ConversationIndex, Run
from conversation_memory.exceptions import RedisUnavailable
from conversation_memory.models import Conversation

from .admin import AdminTestCase


class ErasingTests(AdminTestCase):
    def setUp(self):
        super().setUp()
        for id in ("a", "b"):
            self.index.driver(id, owner="7").store([Run("q", "a"), Run("q", "a")])
        self.index.driver("c", owner="8").store([Run("q", "a")])
        self.erase_url = self.url("conversation_erase", self.address())

    def test_says_what_would_go_before_it_asks(self):
        page = self.client.get(self.erase_url, {"owner": "7"}).content.decode()
        assert "2 conversations" in page and "4 runs" in page
        assert "Delete permanently" in page
        assert self.index.count(owner="7") == 2

    def test_erases_and_notes_it_with_the_index(self):
        response = self.client.post(self.erase_url, {"owner": "7", "confirmed": "yes"}, follow=True)
        assert "Erased 2 conversations of owner “7”." in response.content.decode()
        assert (self.index.count(owner="7"), self.index.count()) == (0, 1)
        entry = LogEntry.objects.get()
        assert entry.object_id == str(self.address())
        assert "Erased 2 conversations of owner “7”." in entry.get_change_message()

    def test_says_who_may_still_have_copies(self):
        response = self.client.post(self.erase_url, {"owner": "7", "confirmed": "yes"}, follow=True)
        assert "Redis may still hold copies in: " in response.content.decode()

    def test_is_noted_even_if_redis_fails_afterwards(self):
        gone = mock.patch.object(ConversationIndex, "copies", side_effect=RedisUnavailable("Gone."))
        with gone:
            data = {"owner": "7", "confirmed": "yes"}
            response = self.client.post(self.erase_url, data, follow=True)
        assert "Gone." in response.content.decode()
        assert self.index.count(owner="7") == 0
        assert "Erased 2 conversations" in LogEntry.objects.get().get_change_message()

    def test_of_nobody_is_nothing(self):
        assert "Owner" in self.client.get(self.erase_url).content.decode()
        assert "required" in self.client.get(self.erase_url, {"owner": ""}).content.decode()
        page = self.client.get(self.erase_url, {"owner": "999"}).content.decode()
        assert "This owner has no conversations in this index." in page
        self.client.post(self.erase_url, {"owner": "", "confirmed": "yes"})
        assert self.index.count() == 3

    def test_a_link_does_not_erase(self):
        self.client.get(self.erase_url, {"owner": "7", "confirmed": "yes"})
        assert self.index.count(owner="7") == 2

    def test_a_post_needs_its_token(self):
        client = self.client_class(enforce_csrf_checks=True)
        client.force_login(self.root)
        response = client.post(self.erase_url, {"owner": "7", "confirmed": "yes"})
        assert response.status_code == 403
        assert self.index.count(owner="7") == 2

    def test_needs_its_permission(self):
        self.staff("view_conversation", "change_conversation", "delete_conversation")
        assert "Erase an owner" not in self.list().content.decode()
        for send in (self.client.get, self.client.post):
            response = send(self.erase_url, {"owner": "7", "confirmed": "yes"})
            assert response.status_code == 403
        assert self.index.count(owner="7") == 2

    def test_an_index_that_one_may_not_see_does_not_exist(self):
        registered = admin.site.get_model_admin(Conversation)
        hook = mock.patch.object(registered, "has_index_permission", lambda request, alias: False)
        key, index = self.address("a"), self.address()
        views = [self.url(f"conversation_{view}", key) for view in ("change", "delete", "raw")]
        views += [self.url(f"conversation_{view}", index) for view in ("erase", "restore")]
        with hook:
            for url in views:
                for send in (self.client.get, self.client.post):
                    with self.subTest(url=url, send=send.__name__):
                        response = send(url, {"owner": "7", "confirmed": "yes", "post": "yes"})
                        assert response.status_code in (302, 403, 404, 405)
        assert self.index.count() == 3

    def test_the_way_back_to_the_index_is_above_the_page(self):
        name = f"default: {self.index.name}"
        for view, title in (("erase", "Erase an owner"), ("restore", "Restore an archive")):
            with self.subTest(view):
                page = self.client.get(self.url(f"conversation_{view}", self.address()))
                texts, links = self.breadcrumbs(page.content.decode())
                assert texts == ["Home", "Conversation memory", "Conversations", name, title]
                changelist = self.url("conversation_changelist")
                assert links[name] == f"{changelist}?index={self.address()}"

    def test_the_list_of_an_owner_offers_it(self):
        page = self.list(index=str(self.address()), owner="7").content.decode()
        assert f'href="{self.erase_url}?owner=7"' in page
