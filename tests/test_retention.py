import time
from datetime import UTC, datetime, timedelta
from io import StringIO
from unittest import mock

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from conversation_memory import Run, indexes
from conversation_memory.exceptions import ConversationNotFound, RedisUnavailable
from conversation_memory.management.exit_codes import Exit

from .commands import fails
from .servers import ServerTestCase, free_port
from .utils import Awaited, RedisTestCase, both, each_layout, monitored

STOCK = b'{"runs": [], "metadata": {"written by": "a stock driver"}}'
SOON = 0.05


def run(id="a"):
    return Run("a question", "an answer", id=id)


def wait():
    time.sleep(2 * SOON)


def seconds_left(driver):
    return (driver.record().expires - datetime.now(UTC)).total_seconds()


def readings(index, id):
    """What every reader finds of a conversation: nothing, if it is past its deadline."""
    driver, scoped = index.driver(id), index.driver(id, owner="ann")
    return [
        driver.load()[0],
        driver.tail(5),
        [*driver.page()],
        driver.window(),
        driver.read().exists,
        driver.record(),
        driver.exists(),
        scoped.exists(),
        scoped.load()[0],
        [*index],
        index.count(),
        index.count("ann"),
        [*index.recent()],
        [*index.recent(owner="ann")],
        index.adopt(),
    ]


class LifetimeTests:
    @both
    def test_without_one_there_is_no_deadline(self, index):
        index.driver("42").append(run())
        assert index.driver("42").record().expires is None
        assert not self.redis.exists(f"{{{self.index.name}}}:expiry")

    @both
    def test_of_a_driver_is_kept_by_the_conversation(self, index):
        index.driver("42", ttl=timedelta(hours=1)).append(run("a"))
        index.driver("42").append(run("b"))
        assert 3500 < seconds_left(index.driver("42")) <= 3600

    @both
    def test_slides_with_every_write(self, index):
        driver = index.driver("42", ttl=100)
        for write in (
            lambda: driver.append(run("a"), run("b"), run("c")),
            lambda: driver.edit(run("a")),
            lambda: driver.remove("c"),
            lambda: driver.update_metadata({"k": "v"}),
            lambda: driver.truncate(after="a"),
            lambda: driver.store([run("b")]),
        ):
            before = driver.record()
            time.sleep(0.003)
            write()
            assert before is None or driver.record().expires > before.expires

    @both
    def test_does_not_slide_with_a_reading(self, index):
        driver = index.driver("42", ttl=100)
        driver.append(run())
        before = driver.record().expires
        time.sleep(0.003)
        driver.load(), driver.tail(1), driver.page(), driver.window()
        assert driver.record().expires == before

    @both
    def test_persist_pins(self, index):
        driver = index.driver("42", ttl=SOON)
        driver.append(run())
        driver.persist()
        index.driver("42").append(run("b"))
        wait()
        assert index.reap() == 0
        assert (driver.record().expires, len(driver.load()[0])) == (None, 2)

    @both
    def test_expire_begins_one(self, index):
        driver = index.driver("42")
        driver.append(run())
        driver.expire(SOON)
        wait()
        assert not driver.exists()

    @both
    def test_expires_at_a_given_time_to_the_millisecond_and_slides_by_what_was_left(self, index):
        driver = index.driver("42")
        driver.append(run())
        time = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
        driver.expire(time)
        assert driver.record().expires == time
        driver.append(run("b"))
        assert time <= driver.record().expires < time + timedelta(minutes=1)
        with pytest.raises(ValueError, match="requires a time zone"):
            driver.expire(time.replace(tzinfo=None))

    @both
    def test_expires_at_once_at_a_time_that_is_past(self, index):
        driver = index.driver("42")
        driver.append(run())
        driver.expire(datetime.now(UTC) - timedelta(days=1))
        wait()
        assert not driver.exists()

    @both
    def test_of_what_does_not_exist_cannot_be_set(self, index):
        for change in (lambda driver: driver.expire(1), lambda driver: driver.persist()):
            with pytest.raises(ConversationNotFound):
                change(index.driver("42"))

    @both
    def test_goes_with_another_id_and_another_owner(self, index):
        driver = index.driver("42", ttl=100)
        driver.append(run())
        before = driver.record().expires
        driver.rename("43")
        driver.move_to("ann")
        assert index.driver("43").record().expires == before
        index.driver("43").expire(SOON)
        wait()
        assert index.reap() == 1
        assert self.keys() == set()


class EndTests:
    @both
    def test_is_the_same_for_every_reader(self, index):
        nothing = readings(index, "42")
        index.driver("42", owner="ann", ttl=SOON).append(run())
        assert index.driver("42").exists()
        wait()
        assert readings(index, "42") == nothing

    @both
    def test_a_stock_driver_does_not_put_it_off(self, index):
        for id in ("42", "43"):
            index.driver(id, owner="ann", ttl=SOON).append(run())
            self.put(id, STOCK)
        wait()
        assert self.redis.hlen(self.index.name) == 2
        assert ([*index], [*index.recent()]) == ([], [])
        assert index.driver("43").load() == ([], {})

    @both
    def test_what_is_kept_stays(self, index):
        index.driver("42", ttl=SOON).append(run())
        index.driver("43", ttl=100).append(run())
        index.driver("44").append(run())
        self.put("45", STOCK)
        wait()
        assert sorted(index) == ["43", "44", "45"]
        assert index.adopt() == 1
        assert index.reap() == 1
        assert index.count() == 3

    @both
    def test_a_write_begins_anew(self, index):
        index.driver("42", ttl=SOON).append(run("a"))
        wait()
        index.driver("42").append(run("b"))
        assert [run.id for run in index.driver("42").load()[0]] == ["b"]
        assert index.driver("42").record().expires is None

    @both
    def test_its_id_is_free_for_others(self, index):
        source = index.driver("source")
        source.append(run("b"))
        for owner, begin in (
            (None, lambda: index.driver("42").append(run("b"))),
            (None, lambda: index.driver("42").store([run("b")])),
            (None, lambda: source.fork("42")),
            (None, lambda: source.rename("42")),
            ("bob", lambda: index.driver("42", owner="bob").append(run("b"))),
            ("bob", lambda: index.driver("42", owner="bob").store([run("b")])),
        ):
            index.driver("42", owner="ann", ttl=SOON).append(run("a"))
            wait()
            begin()
            assert [found.id for found in index.driver("42").load()[0]] == ["b"]
            assert index.driver("42").record().owner == owner
            assert (index.count("ann"), index.reap()) == (0, 0)
            index.driver("42").delete()

    @both
    def test_adopting_hides_it(self, index):
        index.driver("42", ttl=SOON).append(run())
        self.put("42", STOCK)  # without a TTL of the field
        self.redis.delete(f"{{{self.index.name}}}:recent")
        wait()
        assert index.adopt() == 0

    @both
    def test_reaping_leaves_no_key(self, index):
        for number in range(5):
            index.driver(number, owner=number % 2 or None, ttl=SOON).append(run())
        self.put("1", STOCK)
        wait()
        assert index.reap() == 5
        assert index.reap() == 0
        assert self.keys() == set()

    @both
    def test_reaping_goes_in_batches(self, index):
        with mock.patch("conversation_memory.collection.bulk.BATCH", 2):
            for number in range(5):
                index.driver(number, owner="ann", ttl=SOON).append(run())
            wait()
            with monitored(self.redis) as commands:
                assert index.reap() == 5
        assert len([c for c in commands if c["command"].startswith("ZRANGEBYSCORE")]) == 4
        assert self.keys() == set()

    @both
    def test_reaping_follows_the_record_where_the_order_is_wrong(self, index):
        expiry = f"{{{self.index.name}}}:expiry"
        index.driver("42", ttl=100).append(run())
        index.driver("43").append(run())
        self.redis.zadd(expiry, {"42": 1, "43": 1, "44": 1})
        assert index.reap() == 1  # "44", of which there is nothing
        assert self.redis.zrange(expiry, 0, -1) == [b"42"]
        assert sorted(index) == ["42", "43"]

    @both
    def test_iterating_costs_a_round_trip_a_batch(self, index):
        index.driver("42", ttl=100).append(run())
        with monitored(self.redis) as commands:
            assert [*index] == ["42"]
        assert not [c for c in commands if "ZMSCORE" in c["command"]]

    @both
    def test_iterating_hides_it_on_servers_before_7_4(self, index):
        self.index._listing._novalues = False
        index.driver("42", ttl=SOON).append(run())
        index.driver("43").append(run())
        self.put("42", STOCK)
        wait()
        assert [*index] == ["43"]


@each_layout
class LifetimesTests(LifetimeTests, EndTests):
    pass


@each_layout
class FieldTTLTests:
    """Where fields can expire, the memory is freed without a reaper."""

    def setUp(self):
        super().setUp()
        if not self.knows("HPEXPIREAT"):
            self.skipTest("Before Redis 7.4 and Valkey 9, fields cannot expire.")

    def field_deadline(self, id):
        return self.redis.hpexpiretime(self.index.name, id)[0]

    @both
    def test_is_set_where_the_server_can(self, index):
        index.driver("42", ttl=100).append(run("a"))
        index.driver("43").append(run("a"), Run("long", "x" * 40_000))
        index.driver("43", ttl=100).append(run("b"))
        for id in ("42", "43"):
            deadline = index.driver(id).record().expires
            assert self.field_deadline(id) == round(deadline.timestamp() * 1000)

    @both
    def test_follows_expire_and_persist(self, index):
        driver = index.driver("42", ttl=100)
        driver.append(run())
        driver.persist()
        assert self.field_deadline("42") == -1
        driver.expire(10)
        assert self.field_deadline("42") == round(driver.record().expires.timestamp() * 1000)

    @both
    def test_goes_with_a_new_id(self, index):
        driver = index.driver("42", ttl=100)
        driver.append(run())
        before = self.field_deadline("42")
        driver.rename("43")
        assert self.field_deadline("43") == before

    @both
    def test_frees_the_field_by_itself(self, index):
        index.driver("42", ttl=SOON).append(run())
        wait()
        assert self.stored("42") is None
        assert not self.redis.exists(f"{{{self.index.name}}}:runs:42")


@each_layout
class IndexLifetimeTests:
    entry = {"TTL": 100}

    @both
    def test_is_the_default(self, index):
        index.driver("42").append(run())
        index.driver("43", ttl=1000).append(run())
        assert 90 < seconds_left(index.driver("42")) <= 100
        assert 990 < seconds_left(index.driver("43")) <= 1000

    @both
    def test_does_not_count_for_the_pinned(self, index):
        index.driver("42").append(run("a"))
        index.driver("42").persist()
        index.driver("42").append(run("b"))
        assert index.driver("42").record().expires is None


@each_layout
class ReadLifetimeTests:
    entry = {"TTL": 100, "TTL_ON_READ": True}

    @both
    def test_slides_with_every_reading(self, index):
        driver = index.driver("42")
        driver.append(run())
        for read in (driver.load, driver.read, driver.page, driver.window, lambda: driver.tail(1)):
            before = driver.record().expires
            time.sleep(0.003)
            read()
            assert driver.record().expires > before

    @both
    def test_reading_creates_nothing(self, index):
        assert index.driver("42").load() == ([], {})
        assert self.keys() == set()


class PassedFieldTests(ServerTestCase):
    """Fields whose deadline has passed, and which the server never gets to."""

    options = {"enable-debug-command": "yes"}

    def setUp(self):
        super().setUp()
        self.redis.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")

    def test_they_are_not_counted_and_the_reaper_removes_them(self):
        for index in (self.index, Awaited(self.index)):
            index.driver("42", ttl=SOON).append(run())
            index.driver("43", owner="ann", ttl=SOON).append(run())
            index.driver("44").append(run())
            wait()
            assert (index.count(), index.count(owner="ann")) == (1, 0)
            assert index.reap() == 2
            assert self.redis.hlen(self.index.name) == 1

    def test_erasing_and_writing_anew_leave_nothing_of_them(self):
        for id in ("42", "43"):
            self.index.driver(id, owner="ann", ttl=SOON).append(run())
        wait()
        self.index.driver("42").append(run())
        assert self.index.count() == 1
        self.index.erase(owner="ann")
        assert self.redis.hlen(self.index.name) == 1
        self.index.driver("42").delete()
        assert self.keys() == set()


class OldServerTests(ServerTestCase):
    """A server that knows no TTL of fields: here, a user to whom it is forbidden."""

    def old_index(self, layout):
        forbidden = filter(self.knows, ("hpexpireat", "hpersist", "hpexpiretime"))
        url = self.user("~*", "&*", "+@all", *[f"-{command}" for command in forbidden])
        entry = {"URL": url, "INDEX": self.index.name, "LAYOUT": layout}
        self.enterContext(self.settings(REDIS={"default": entry}))
        return indexes["default"]

    def test_the_deadline_alone_decides(self):
        for layout in ("hash", "list"):
            index = self.old_index(layout)
            nothing = readings(index, "42")
            with self.subTest(layout):
                index.driver("42", owner="ann", ttl=SOON).append(run())
                assert index.driver("42").exists()
                wait()
                assert self.redis.hexists(self.index.name, "42")
                assert readings(index, "42") == nothing

    def test_the_reaper_frees_the_memory(self):
        for layout in ("hash", "list"):
            index = self.old_index(layout)
            with self.subTest(layout):
                index.driver("42", owner="ann", ttl=SOON).append(run())
                index.driver("43", ttl=SOON).append(run())
                index.driver("43").persist()
                wait()
                assert (index.reap(), [*index]) == (1, ["43"])
                assert index.delete("43") == 1
                assert self.keys() == set()

    def test_every_change_works(self):
        for layout in ("hash", "list"):
            driver = self.old_index(layout).driver("42", ttl=100)
            driver.append(run("a"), run("b"), Run("long", "x" * 40_000, id="c"))
            driver.edit(run("a"))
            driver.truncate(after="a")
            driver.expire(50)
            driver.persist()
            driver.expire(50)
            driver.rename("43")
            assert seconds_left(driver) <= 50
            assert driver.delete()


class CommandTests(RedisTestCase):
    def reap(self, **options):
        out, err = StringIO(), StringIO()
        try:
            call_command("reapconversations", stdout=out, stderr=err, **options)
        finally:
            self.errors = err.getvalue()
        return out.getvalue()

    def expired(self, count=2):
        for number in range(count):
            self.index.driver(number, ttl=SOON).append(run())
        wait()

    def test_counts_what_it_reaped(self):
        self.expired()
        assert self.reap(using="default") == "default: deleted 2 expired conversations\n"
        assert self.keys() == set()

    def test_takes_every_index_by_default(self):
        self.expired()
        other = {"URL": settings.REDIS_URL, "INDEX": f"{self.index.name}-2"}
        with self.settings(REDIS={**settings.REDIS, "other": other}):
            assert "other: deleted 0 expired conversations" in self.reap()
        assert self.keys() == set()

    def test_says_nothing_if_it_shall_not(self):
        assert self.reap(verbosity=0) == ""

    def test_an_index_that_fails_keeps_no_other_one_waiting(self):
        self.expired()
        down = {"HOST": "localhost", "PORT": free_port()}
        with self.settings(REDIS={"down": down, **settings.REDIS}):
            with fails(Exit.UNAVAILABLE, "Failed: 'down'."):
                self.reap()
        assert "Redis of alias 'down' cannot be reached" in self.errors
        assert self.keys() == set()

    def test_an_unknown_alias_is_an_error(self):
        with fails(Exit.SETTINGS, "'nobody'"):
            call_command("reapconversations", "--using", "nobody")
        with fails(Exit.SETTINGS, "'nobody'"):
            self.reap(using="nobody")


class TaskTests(RedisTestCase):
    def test_reaps_every_index(self):
        from conversation_memory.tasks import reap_conversations

        self.index.driver("42", ttl=SOON).append(run())
        wait()
        assert reap_conversations.func()["default"] == 1
        assert reap_conversations.func("default") == {"default": 0}

    def test_raises_when_the_others_are_done(self):
        from conversation_memory.tasks import reap_conversations

        self.index.driver("42", ttl=SOON).append(run())
        wait()
        down = {"HOST": "localhost", "PORT": free_port()}
        with self.settings(REDIS={"down": down, **settings.REDIS}):
            with pytest.raises(RedisUnavailable):
                reap_conversations.func()
        assert self.keys() == set()

    def test_says_what_is_missing(self):
        missing = dict.fromkeys(("django.tasks", "django_tasks"))
        with mock.patch.dict("sys.modules", missing):
            import sys

            sys.modules.pop("conversation_memory.tasks", None)
            with pytest.raises(ImproperlyConfigured, match="install django-tasks"):
                import conversation_memory.tasks  # noqa: F401


@each_layout
class CountTests(RedisTestCase):
    @both
    def test_what_others_wrote_over_is_not_counted(self, index):
        for id in ("1", "2"):
            index.driver(id, ttl=0.02).append(Run("a", "b"))
        self.put("2", b'{"runs": [], "metadata": {}}')
        time.sleep(0.05)
        assert list(self.index) == []
        ends = time.monotonic() + 5  # the server counts an expired field until it frees it
        while index.count() and time.monotonic() < ends:
            time.sleep(0.05)
        assert index.count() == 0


@each_layout
class SlidingTests(RedisTestCase):
    @both
    def test_storing_the_same_again_slides_the_deadline(self, index):
        index.driver("1", ttl=60).store([Run("a", "b", id="1")])
        before = index.driver("1").record().expires
        time.sleep(0.01)
        index.driver("1").store(index.driver("1").load()[0])
        assert index.driver("1").record().expires > before
