"""A user who lacks a permission changes nothing: each command is taken away, for each write."""

from itertools import repeat
from uuid import uuid4

from django.conf import settings

from conversation_memory import indexes
from conversation_memory.exceptions import RedisDenied

from .archives import dumped, restored
from .test_resends import WRITES, map_runs, open_runs, run
from .utils import RedisTestCase, alternating, each_layout, monitored


@each_layout
class PermissionTests:
    def setUp(self):
        super().setUp()
        self.user = uuid4().hex
        self.addCleanup(lambda: self.redis.acl_deluser(self.user))
        url = settings.REDIS_URL.replace("://", f"://{self.user}:word@")
        entry = {**settings.REDIS["default"], "URL": url}
        self.enterContext(self.settings(REDIS={**settings.REDIS, "limited": entry}))
        self.limited = indexes["limited"]
        self.allow("+@all")

    def allow(self, *rules):
        self.redis.acl_setuser(
            self.user, enabled=True, reset=True, passwords=["+word"], keys="*", categories=["+@all"]
        )
        self.redis.execute_command("ACL", "SETUSER", self.user, *rules)

    def prepare(self):
        self.wipe()
        for id in ("c", "d"):
            driver = self.index.driver(id, owner="ann")
            driver.append(*map_runs(5))
            driver.update_metadata({"a": 1})
        open_runs(self.index.driver("c"))
        self.put("stock", b'{"runs": [], "metadata": {}}')

    def dump(self):
        # A read may move the fields of a large hash, and so change its dump.
        ways = {b"hash": self.redis.hgetall}
        return {key: ways.get(self.redis.type(key), self.redis.dump)(key) for key in self.keys()}

    def commands_of(self, write):
        """The names of what a write sends, and of what its scripts call."""
        self.prepare()
        with monitored(self.redis) as sent:
            write(self.limited)
        words = {line["command"].split()[0].upper() for line in sent if line["command"]}
        return sorted(words - {"ACL", "AUTH", "CLIENT", "ECHO", "HELLO", "SELECT", "COMMAND"})

    def assert_all_or_nothing(self, name, write, ways=None):
        """`write` is called with one of `ways`, the index and its async twins, in turn."""
        commands = self.commands_of(write)
        self.prepare()
        before, refusals = self.dump(), 0
        for index, command in zip(ways or repeat(self.limited), commands, strict=False):
            with self.subTest(write=name, without=command):
                self.allow(f"-{command}")
                try:
                    write(index)
                except RedisDenied:
                    refusals += 1
                    self.allow("+@all")
                    changed = self.dump() != before
                else:
                    self.allow("+@all")
                    changed = None
                if changed is not False:
                    self.prepare()
                    before = self.dump()
                assert not changed
        assert refusals, commands

    def test_each_write(self):
        with alternating(self.limited) as ways:
            for name, (write, _) in WRITES.items():
                if name.startswith(
                    ("store", "reply", "continue", "finish")
                ):  # those read as well, or write twice
                    continue

                def written(index, write=write):
                    return write(index, index.driver("c", owner="ann"))

                self.assert_all_or_nothing(name, written, ways)

    def test_store(self):
        def store(index):
            index.driver("c", owner="ann").store([run(7)], {"b": 2})

        with alternating(self.limited) as ways:
            self.assert_all_or_nothing("store", store, ways)

    def test_a_restore(self):
        self.prepare()
        archive = dumped(self.index)
        self.index.driver("c").append(run("other"))
        changed = dumped(self.index)

        def overwrite(index):
            restored(index, changed, on_conflict="replace")

        self.assert_all_or_nothing("replace", overwrite)
        prepare, self.prepare = self.prepare, self.wipe
        self.assert_all_or_nothing("new", lambda index: restored(index, archive))
        self.prepare = prepare

    def test_a_user_of_the_keys_of_one_index(self):
        name = self.index.name
        self.redis.acl_setuser(
            self.user,
            enabled=True,
            reset=True,
            passwords=["+word"],
            keys=[name, f"{{{name}}}:*"],
            categories=["+@all"],
        )
        for title, (write, expected) in WRITES.items():
            self.prepare()
            with self.subTest(write=title):
                assert write(self.limited, self.limited.driver("c", owner="ann")) == expected


class SearchPermissionTests(PermissionTests, RedisTestCase):
    entry = {"SEARCH": True}


class SearchListPermissionTests(PermissionTests, RedisTestCase):
    entry = {"SEARCH": True, "LAYOUT": "list"}
