from django.contrib.admin import AdminSite, site
from django.contrib.admin.models import DELETION, LogEntry
from django.test import RequestFactory

from conversation_memory import Run
from conversation_memory.admin import ConversationAdmin, IndexAdmin
from conversation_memory.models import Conversation, Index

from .admin import AdminTestCase

VIEWS = ("conversation_changelist", "index_changelist")


class PermissionTests(AdminTestCase):
    def setUp(self):
        super().setUp()
        self.index.driver("c1", owner="7").append(Run("q", "a"))
        self.pk = str(self.address("c1"))

    def delete_by_action(self, *pks, **data):
        data = {"action": "delete_selected", "_selected_action": pks, **data}
        return self.client.post(self.url("conversation_changelist"), data)

    def test_whoever_is_not_logged_in_sees_the_login(self):
        self.client.logout()
        for view in VIEWS:
            assert "/login/" in self.client.get(self.url(view)).url

    def test_staff_without_permission_sees_nothing(self):
        self.staff()
        for view in VIEWS:
            assert self.client.get(self.url(view)).status_code == 403
        for view in ("change", "delete", "history"):
            response = self.client.get(self.url(f"conversation_{view}", self.pk))
            assert response.status_code in (302, 403), view
        assert b"onversation" not in self.client.get("/admin/").content

    def test_the_permission_to_view_allows_no_write(self):
        self.staff("view_conversation", "view_index")
        assert self.shown() == ["c1"]
        assert b"delete_selected" not in self.list().content
        assert self.client.get(self.url("conversation_delete", self.pk)).status_code == 403
        posted = self.client.post(self.url("conversation_delete", self.pk), {"post": "yes"})
        assert posted.status_code == 403
        self.delete_by_action(self.pk, post="yes")
        assert [*self.index] == ["c1"]

    def test_nobody_adds_conversations_or_indexes_or_changes_an_index(self):
        for model_admin in (site.get_model_admin(Conversation), site.get_model_admin(Index)):
            request = RequestFactory().get("/")
            request.user = self.root
            assert not model_admin.has_add_permission(request)
        assert not site.get_model_admin(Index).has_change_permission(request)
        assert not site.get_model_admin(Index).has_delete_permission(request)

    def test_deletes_after_a_confirmation_and_logs_it(self):
        self.staff("view_conversation", "delete_conversation")
        self.index.driver("c1").set_title("Refund")
        confirmation = self.delete_by_action(self.pk)
        assert "Are you sure" in confirmation.content.decode()
        assert "Refund" in confirmation.content.decode()
        assert [*self.index] == ["c1"]
        assert self.delete_by_action(self.pk, post="yes").status_code == 302
        assert [*self.index] == [] and self.keys() == set()
        entry = LogEntry.objects.get()
        assert (entry.action_flag, entry.object_id) == (DELETION, self.pk)

    def test_deletes_one_by_its_own_page(self):
        page = self.client.get(self.url("conversation_delete", self.pk))
        assert "Are you sure" in page.content.decode()
        self.client.post(self.url("conversation_delete", self.pk), {"post": "yes"})
        assert [*self.index] == []
        assert LogEntry.objects.get().object_id == self.pk

    def test_a_get_deletes_nothing(self):
        self.client.get(self.url("conversation_delete", self.pk), {"post": "yes"})
        self.client.get(
            self.url("conversation_changelist"),
            {"action": "delete_selected", "_selected_action": self.pk, "post": "yes"},
        )
        assert [*self.index] == ["c1"]

    def test_a_post_without_a_csrf_token_is_refused(self):
        from django.test import Client

        client = Client(enforce_csrf_checks=True)
        client.force_login(self.root)
        response = client.post(self.url("conversation_delete", self.pk), {"post": "yes"})
        assert response.status_code == 403
        assert [*self.index] == ["c1"]

    def test_all_matching_are_deleted_up_to_a_number_that_is_told(self):
        for number in range(3):
            self.index.driver(f"d{number}").append(Run("q", "a"))
        assert self.delete_by_action(self.pk, select_across="1", post="yes").status_code == 302
        assert [*self.index] == []
        pipeline = self.redis.pipeline(transaction=False)
        for number in range(501):
            pipeline.hset(self.index.name, number, b"{}")
        pipeline.execute()
        response = self.delete_by_action(str(self.address("1")), select_across="1", post="yes")
        told = [str(message) for message in self.client.get(response.url).context["messages"]]
        assert "501 conversations are selected, but at most 500" in told[-1]
        assert self.index.count() == 501

    def test_a_conversation_that_is_gone_is_said_to_be(self):
        gone = self.url("conversation_delete", str(self.address("gone")))
        assert self.client.get(gone, follow=True).status_code == 200
        for key in ("nonsense", "..", str(self.address())):
            assert self.client.get(self.url("conversation_change", key)).status_code in (302, 404)


class HookTests(AdminTestCase):
    """Staff who may see some indexes only, on an AdminSite of their own."""

    def setUp(self):
        super().setUp()
        from django.conf import settings

        entry = settings.REDIS["default"]
        secret = {**entry, "INDEX": f"{self.index.name}-secret"}
        self.enterContext(self.settings(REDIS={"default": entry, "secret": secret}))
        from conversation_memory import indexes

        self.index, self.secret = indexes["default"], indexes["secret"]
        self.index.driver("open").append(Run("q", "a"))
        self.secret.driver("hidden").append(Run("q", "a"))
        self.addCleanup(self.secret.delete, "hidden")

        class Limited:
            def has_index_permission(self, request, alias):
                return alias == "default"

        site = AdminSite()
        self.conversations = type("C", (Limited, ConversationAdmin), {})(Conversation, site)
        self.indexes = type("I", (Limited, IndexAdmin), {})(Index, site)

    def request(self, path="/", **query):
        request = RequestFactory().get(path, query)
        request.user = self.root
        return request

    def test_an_index_that_staff_may_not_see_is_on_no_page(self):
        rows = self.indexes.get_queryset(self.request())
        assert [row.alias for row in rows if "test" in row.name] == ["default"]
        changelist = self.conversations.get_changelist_instance(self.request())
        assert [row.conversation_id for row in changelist.result_list] == ["open"]
        [filter] = [spec for spec in changelist.filter_specs if spec.parameter_name == "index"]
        assert not any("secret" in label for _, label in filter.lookup_choices)

    def test_an_address_in_it_leads_nowhere(self):
        key = str(self.address("hidden", self.secret))
        assert self.conversations.get_object(self.request(), key) is None
        queryset = self.conversations.get_queryset(self.request()).filter(pk__in=[key])
        assert queryset.delete()[0] == 0
        assert [*self.secret] == ["hidden"]


class SiteTests(AdminTestCase):
    def test_it_works_on_a_site_of_the_project(self):
        from django.test import override_settings

        with override_settings(ROOT_URLCONF="tests.other_site"):
            self.index.driver("c1").append(Run("q", "a"))
            page = self.client.get("/office/conversation_memory/conversation/")
            assert page.status_code == 200
            assert b"/office/conversation_memory/conversation/" in page.content
            assert b'"/admin/' not in page.content
            indexes = self.client.get("/office/conversation_memory/index/")
            link = f"/office/conversation_memory/index/{self.address()}/change/"
            assert link.encode() in indexes.content.replace(b"_5F", b"_")
            opened = self.client.get(link, follow=True)
            assert opened.redirect_chain[0][0].startswith("/office/conversation_memory/conv")
