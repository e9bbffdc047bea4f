"""The names of owners, in the list, the filter and the page of a conversation."""

from unittest import mock

from django.contrib import admin
from django.contrib.auth import get_user_model

from conversation_memory import Run
from conversation_memory.models import Conversation

from .admin import AdminTestCase

User = get_user_model()


class OwnerNameTests(AdminTestCase):
    def setUp(self):
        super().setUp()
        self.katherine = User.objects.create_user("kj", first_name="Katherine", last_name="Johnson")
        self.dorothy = User.objects.create_user("dorothy")
        for number, owner in enumerate((self.katherine.pk, self.dorothy.pk, "guest", "007")):
            self.index.driver(f"c{number}", owner=owner).append(Run("q", "a"))

    def test_the_list_shows_the_name_linked_to_the_user(self):
        page = self.list().content.decode()
        link = f'<a href="/admin/auth/user/{self.katherine.pk}/change/">'
        assert f'{link}<bdi class="cm-cell">Katherine Johnson</bdi></a>' in page
        assert '<bdi class="cm-cell">dorothy</bdi>' in page and "guest" in page

    def test_the_names_of_a_page_cost_one_query(self):
        self.list()
        with self.assertNumQueries(3):  # session, user, names
            self.list()

    def test_the_page_of_a_conversation_shows_name_and_number(self):
        self.index.driver("other", owner=self.katherine.pk).append(Run("q", "a"))
        page = self.client.get(self.url("conversation_change", self.address("c0")))
        text = page.content.decode()
        assert f'/admin/auth/user/{self.katherine.pk}/change/"><bdi>Katherine Johnson</bdi>' in text
        assert f'owner={self.katherine.pk}">2 conversations</a>' in text

    def test_a_name_that_one_owner_has_filters_by_that_owner(self):
        assert self.shown(named="johnson") == ["c0"]
        assert self.shown(named=self.dorothy.username) == ["c1"]

    def test_an_entry_that_nobody_is_named_is_an_owner(self):
        assert self.shown(named="guest") == ["c2"]
        assert self.shown(named="nobody") == []

    def test_an_entry_that_is_the_key_of_a_user_is_that_user(self):
        User.objects.create_user(f"agent{self.katherine.pk}")
        assert self.shown(named=str(self.katherine.pk)) == ["c0"]

    def test_several_owners_of_a_name_are_listed(self):
        User.objects.create_user("other", last_name="Johnson")
        page = self.list(named="johnson").content.decode()
        assert "Owners of this name:" in page
        assert f'owner={self.katherine.pk}"><bdi>Katherine Johnson</bdi>' in page

    def test_a_link_to_an_owner_is_exact(self):
        User.objects.create_user("guest")
        assert self.shown(owner="guest") == ["c2"]

    def test_names_are_for_those_who_may_view_users(self):
        self.staff("view_conversation")
        assert "Johnson" not in self.list().content.decode()
        assert self.shown(named="johnson") == []

    def test_what_is_no_primary_key_has_no_name(self):
        for owner in ("9" * 30, "x\x00", "-1", "1.0", " 1", "é🙂"):
            self.index.driver("c0").move_to(owner)
            assert self.list().status_code == 200, owner

    def test_a_project_names_owners_that_are_no_users(self):
        registered = admin.site.get_model_admin(Conversation)

        def names(request, owners):
            return {owner: f"Guest <{owner}>" for owner in owners}

        with (
            mock.patch.object(registered, "get_owner_names", names),
            mock.patch.object(registered, "get_owner_url", lambda request, owner: None),
        ):
            assert "Guest &lt;guest&gt;" in self.list().content.decode()
            page = self.client.get(self.url("conversation_change", self.address("c2")))
            assert "<bdi>Guest &lt;guest&gt;</bdi> (<bdi>guest</bdi>)" in page.content.decode()
