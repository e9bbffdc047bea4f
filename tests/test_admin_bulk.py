"""Actions that change many conversations."""

from datetime import timedelta

from django.contrib.admin.models import LogEntry
from django.utils import timezone

from conversation_memory import Run

from .admin import AdminTestCase


class BulkTests(AdminTestCase):
    def setUp(self):
        super().setUp()
        for id in ("a", "b", "c"):
            self.index.driver(id, owner="7").store([Run("q", "a")], {"tags": ["old"]})

    def act(self, action, *ids, **data):
        keys = [str(self.address(id)) for id in ids]
        data = {"action": action, "_selected_action": keys, **data}
        return self.client.post(self.url("conversation_changelist"), data, follow=True)

    def history(self):
        return sorted(entry.get_change_message() for entry in LogEntry.objects.all())

    def test_asks_before_anything_is_changed(self):
        for action in ("set_owner", "set_expiry", "add_tag"):
            page = self.act(action, "a", "b").content.decode()
            assert "2 conversations are selected:" in page
            assert page.count('name="_selected_action"') == 2
        assert self.index.driver("a").record().owner == "7"

    def test_what_cannot_be_read_is_not_changed(self):
        self.put("damaged", b'{"runs": [}')
        for action, value in (("set_owner", "8"), ("set_expiry", "2030-01-01T00:00")):
            page = self.act(action, "damaged", confirmed="yes", value=value).content.decode()
            assert "was changed" not in page and "damaged" in page
        assert self.stored("damaged") == b'{"runs": [}'
        record = self.index.driver("damaged").record()
        assert (record.owner, record.expires) == (None, None)

    def test_sets_the_owner(self):
        page = self.act("set_owner", "a", "b", confirmed="yes", value="8").content.decode()
        assert "2 conversations were changed." in page
        owners = [self.index.driver(id).record().owner for id in "abc"]
        assert owners == ["8", "8", "7"]
        assert self.history() == ["Changed owner from 7 to 8."] * 2
        self.act("set_owner", "a", confirmed="yes", value="")
        assert self.index.driver("a").record().owner is None

    def test_sets_the_expiry(self):
        time = timezone.localtime().replace(second=0, microsecond=0) + timedelta(days=2)
        self.act("set_expiry", "a", confirmed="yes", value=f"{time:%Y-%m-%dT%H:%M}")
        assert self.index.driver("a").record().expires == time
        self.act("set_expiry", "a", confirmed="yes", value="")
        assert self.index.driver("a").record().expires is None
        page = self.act("set_expiry", "a", confirmed="yes", value="2020-01-01T00:00")
        assert "Enter a time in the future." in page.content.decode()

    def test_adds_a_tag_once_and_keeps_the_others(self):
        for _ in range(2):
            self.act("add_tag", "a", confirmed="yes", value="refund")
        assert self.index.driver("a").read().metadata == {"tags": ["old", "refund"]}
        assert self.history()[0] == "Added the tag refund."

    def test_one_that_cannot_be_changed_is_told_and_the_others_are(self):
        self.put("bad", b"nonsense")
        page = self.act("add_tag", "bad", "a", confirmed="yes", value="x").content.decode()
        assert "1 conversation was changed." in page and "bad" in page
        assert self.stored("bad") == b"nonsense"
        assert self.index.driver("a").read().metadata["tags"] == ["old", "x"]

    def test_needs_the_permission_to_change(self):
        self.staff("view_conversation", "delete_conversation")
        assert "set_owner" not in self.list().content.decode()
        self.act("set_owner", "a", confirmed="yes", value="8")
        assert self.index.driver("a").record().owner == "7"

    def test_all_that_match_are_changed_up_to_a_number(self):
        pipeline = self.redis.pipeline(transaction=False)
        for number in range(501):
            pipeline.hset(self.index.name, number, b"{}")
        pipeline.execute()
        page = self.act("set_owner", "a", select_across="1", confirmed="yes", value="8")
        assert "at most 500 can be changed at once" in page.content.decode()
        assert self.index.driver("a").record().owner == "7"
