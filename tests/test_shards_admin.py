"""The admin of an index over several shards, which staff see as one."""

from django.test import TestCase

from conversation_memory import Run, indexes

from . import test_admin_transfer, test_admin_usage
from .admin import AdminMixin
from .sharding import SHARDS, ShardsTestCase, run
from .utils import RedisTestCase


class ShardedRestoreTests(test_admin_transfer.RestoreTests):
    entry = {"SHARDS": SHARDS, "LAYOUT": "list"}
    wipe = ShardsTestCase.wipe


class ShardedUsageTests(test_admin_usage.HashUsageTests):
    entry = {"SHARDS": SHARDS}
    wipe = ShardsTestCase.wipe


class AdminCase(AdminMixin, ShardsTestCase, TestCase):
    entry = {"LAYOUT": "list"}


class ListTests(AdminCase):
    def test_its_pages_are_those_of_an_index_without_shards(self):
        self.write(120)
        self.plain.driver("c7").set_title("Harbour")
        self.index.driver("c7").set_title("Harbour")
        self.align()
        for query in ({}, {"p": 2}, {"o": "2"}, {"owner": "a"}, {"q": "harb"}, {"o": "1", "p": 2}):
            with self.subTest(query):
                assert self.shown(**query, index=str(self.address())) == self.shown(
                    **query, index=str(self.address(index=self.plain))
                )

    def test_the_chosen_ones_are_deleted_and_exported(self):
        self.write(12)
        keys = [str(self.address(f"c{number}")) for number in range(8)]
        url, chosen = self.url("conversation_changelist"), {"_selected_action": keys, "index": "0"}
        exported = self.client.post(url, {**chosen, "action": "export_selected"})
        assert len(exported.getvalue().splitlines()) == 1 + 8 + 1
        self.client.post(url, {**chosen, "action": "delete_selected", "post": "yes"})
        assert self.index.count() == 4

    def test_the_page_of_indexes_has_one_row_for_it(self):
        self.write(12)
        self.index.driver("c1").begin("a question")
        rows = self.client.get(self.url("index_changelist")).context["cl"].result_list
        assert [row.name for row in rows] == [self.index.name, self.plain.name]
        assert rows[0].statistics.conversations == 12 and rows[0].statistics.open_runs == 1


class ConversationTests(AdminCase):
    def test_each_is_shown_with_its_open_runs(self):
        for id in ("c1", "c2", "c3"):
            self.index.driver(id, owner="ann").append(run(id))
            self.index.driver(id).begin(f"open {id}", run_id="r")
            page = self.client.get(self.url("conversation_change", self.address(id)))
            self.assertContains(page, f"answer {id}")
            self.assertContains(page, f"open {id}")
            self.assertNotContains(page, self.index.shard_of(id).name)


class DownTests(AdminCase):
    def test_the_page_names_a_shard_that_is_down(self):
        self.write(12)
        name = self.break_off(2)
        usage = self.url("conversation_usage", self.address())
        for url in (self.url("conversation_changelist"), self.url("index_changelist"), usage):
            assert name in self.client.get(url).content.decode(), url
        pages = {
            id: self.client.get(self.url("conversation_change", self.address(id)))
            for id in map("c{}".format, range(12))
        }
        for id, page in pages.items():
            is_down = self.index.shard_of(id).name == name
            text = page.content.decode()
            assert page.status_code == (503 if is_down else 200), (id, text)
            assert is_down or f"answer {id[1:]}" in text


class DiscoveryTests(RedisTestCase):
    def test_a_shard_is_no_index_of_its_own(self):
        sharded = {**self.entry_of(f"{self.index.name}-many"), "SHARDS": SHARDS}
        other = {**self.entry_of(f"{self.index.name}-one"), "INDEXES": [f"{self.index.name}*"]}
        with self.settings(REDIS={"default": sharded, "other": other}):
            for number in range(12):
                indexes["default"].driver(f"c{number}").append(Run("q", "a"))
            for name in ("tenant:01", "two"):
                self.redis.hset(f"{self.index.name}-{name}", "c", b"{}")
            found = indexes["other"].discover().names
            assert [name.partition("-")[2].partition("-")[2] for name in found] == [
                "tenant:01",
                "two",
            ]

    wipe = ShardsTestCase.wipe

    def entry_of(self, name):
        address, _ = self.servers_of(name)
        return {**address, "INDEX": name}
