"""The admin of an index with shards, one of which is down."""

from django.contrib.admin.utils import quote
from django.test import TestCase

from .admin import AdminMixin
from .sharding import ShardsTestCase


class BrokenShardTests(AdminMixin, ShardsTestCase, TestCase):
    def test_a_list_names_it_and_pages_of_the_others_are_shown(self):
        self.write(12)
        assert len(self.shown()) == 12
        name = self.break_off(2)
        for path in ("conversation_changelist", "index_changelist"):
            page = self.client.get(self.url(path))
            assert page.status_code in (200, 503) and name in page.content.decode()
        for number in range(12):
            page = self.client.get(
                self.url("conversation_change", quote(str(self.address(f"c{number}"))))
            )
            is_down = self.index.shard_of(f"c{number}").name == name
            assert page.status_code == (503 if is_down else 200)
