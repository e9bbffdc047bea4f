"""Every way in which Redis fails: which of our errors it is, and that nothing is lost."""

import asyncio
import multiprocessing
import os
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import SkipTest, mock

import pytest
from django.conf import settings
from django.test import SimpleTestCase
from redis import exceptions as redis_errors
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from conversation_memory import Run, indexes
from conversation_memory.exceptions import (
    ConversationCorrupt,
    ConversationNotFound,
    ConversationTooLarge,
    RedisDenied,
    RedisMisconfigured,
    RedisReadOnly,
    RedisUnavailable,
    RedisUnconfirmed,
)
from conversation_memory.testing.embedded_redis import EmbeddedRedisError

from .programs import start
from .servers import SECRET, Proxy, ServerTestCase, fails, free_port, peer, taking_less_than
from .utils import Awaited, RedisTestCase, both, wait_for


@cache
def run(id="r1"):
    return Run(SECRET, SECRET, id=id)


class UnreachableTests(SimpleTestCase):
    def assert_unreachable(self, url, says, *, kind=RedisUnavailable, cause=RedisConnectionError):
        options = {"socket_connect_timeout": 0.3, "socket_timeout": 0.3}
        with self.settings(REDIS={"default": {"URL": url, "OPTIONS": options}}):
            for index in (indexes["default"], Awaited(indexes["default"])):
                with self.subTest(type(index).__name__), taking_less_than(10):
                    with fails(kind, cause, says):
                        index.driver("c").append(run())

    def test_nobody_listens(self):
        port = free_port()
        self.assert_unreachable(f"redis://127.0.0.1:{port}", f"connecting to 127.0.0.1:{port}")

    def test_unknown_host(self):
        self.assert_unreachable("redis://nowhere.invalid", "connecting to nowhere.invalid:6379")

    def test_unix_socket_is_missing(self):
        self.assert_unreachable("unix:///nowhere/redis.sock", "cannot be reached (Error 2")

    def test_credentials_are_not_in_the_address(self):
        port = free_port()
        self.assert_unreachable(f"redis://me:word@127.0.0.1:{port}", f"to 127.0.0.1:{port}. ")

    def test_host_that_accepts_no_connection(self):
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
            address = listener.getsockname()
            with socket.create_connection(address):  # the one that waits in the queue
                self.assert_unreachable(
                    f"redis://127.0.0.1:{address[1]}", "in time", cause=RedisTimeoutError
                )

    def test_server_that_hangs_up(self):
        with peer(b"") as port:
            self.assert_unreachable(
                f"redis://127.0.0.1:{port}", "closed the connection", kind=RedisUnconfirmed
            )

    def test_server_that_is_no_redis(self):
        with peer(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
            self.assert_unreachable(
                f"redis://127.0.0.1:{port}",
                "does not speak the Redis protocol",
                kind=RedisMisconfigured,
                cause=redis_errors.InvalidResponse,
            )


class TimeoutTests(ServerTestCase):
    options = {"enable-debug-command": "yes"}
    entry = {"OPTIONS": {"socket_timeout": 0.3}}

    @both
    def test_hung_server_costs_one_time_out(self, index):
        for warm in (False, True):
            with self.subTest(warm=warm):
                index.driver("c").load() if warm else None
                before = self.redis.info("commandstats").get("cmdstat_hmget", {}).get("calls", 0)
                with self.stopped():
                    with fails(RedisUnconfirmed, RedisTimeoutError, "did not answer in time"):
                        index.driver("c").load()
                # What was sent to it waits in its socket: once if there was no second attempt.
                index.driver("c").load()
                after = self.redis.info("commandstats")["cmdstat_hmget"]["calls"]
                assert after - before <= 2

    @both
    def test_paused_server(self, index):
        self.redis.client_pause(2000, all=False)
        with fails(RedisUnconfirmed, RedisTimeoutError, "may or may not have been applied"):
            index.driver("c").append(run())
        self.redis.client_unpause()
        assert index.driver("c").append(run()) in (0, 1)
        assert len(index.driver("c").load()[0]) == 1

    @both
    def test_repeated_append_is_stored_once_although_its_answer_was_lost(self, index):
        index.driver("c").append(run("before"))
        with self.lossy() as proxy:
            proxy.lost = b"EVALSHA"
            with fails(RedisUnconfirmed, RedisTimeoutError, "may or may not have been applied"):
                index.driver("c").append(run())
            proxy.lost = None
            assert index.driver("c").append(run()) == 0
            assert [run.id for run in index.driver("c").load()[0]] == ["before", "r1"]

    def test_broken_connection_is_replaced(self):
        with self.lossy() as proxy:
            assert self.index.driver("c").append(run()) == 1
            proxy.hang_up()
            assert self.index.driver("c").append(run("r2")) == 1

    def test_broken_connection_is_replaced_async(self):
        async def append_twice(proxy):
            assert await self.index.driver("c").aappend(run()) == 1
            proxy.hang_up()
            assert await self.index.driver("c").aappend(run("r2")) == 1

        with self.lossy() as proxy:
            wait_for(append_twice(proxy))

    @contextmanager
    def lossy(self):
        """The index is behind a proxy that may lose answers."""
        proxy = Proxy(self.server.port)
        try:
            options = {"socket_timeout": 1}
            entry = {"URL": proxy.url, "INDEX": self.index.name, "OPTIONS": options}
            with self.settings(REDIS={"default": entry}):
                with mock.patch.object(self.index, "_connection", indexes["default"]._connection):
                    yield proxy
        finally:
            proxy.close()

    def test_cancelled_task_leaves_no_answer_for_the_next(self):
        for id in ("a", "b"):
            self.index.driver(id).append(run(id))

        async def cancel_one_of_two():
            await self.index.driver("a").aload()
            self.redis.client_pause(150)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.index.driver("a").aload(), 0.05)
            return await self.index.driver("b").aload()

        assert wait_for(cancel_one_of_two())[0] == [run("b")]


class StoppedServerTests(ServerTestCase):
    options = {"enable-debug-command": "yes", "appendonly": "yes", "appendfsync": "always"}

    def tearDown(self):
        self.server.restart()
        super().tearDown()

    @both
    def test_killed_in_flight(self, index):
        index.driver("c").load()
        with self.busy_with("DEBUG", "SLEEP", "30"), taking_less_than(10):
            threading.Timer(0.1, self.server.kill).start()
            with fails(RedisUnavailable, RedisConnectionError, "cannot be reached"):
                index.driver("c").load()
        self.server.restart()

    @both
    def test_carries_on_after_a_crash(self, index):
        index.driver("c").append(run())
        self.server.kill()
        self.server.restart()
        assert index.driver("c").append(run("r2")) == 1
        assert [run.id for run in index.driver("c").load()[0]] == ["r1", "r2"]


class NotServingTests(ServerTestCase):
    options = {
        "enable-debug-command": "yes",
        "key-load-delay": "20000",
        "loading-process-events-interval-bytes": "1024",
    }

    @both
    def test_loading(self, index):
        for number in range(40):
            self.redis.set(f"{{{self.index.name}}}:{number}", os.urandom(2000))
        with self.busy_with("DEBUG", "RELOAD"):
            with fails(RedisUnavailable, redis_errors.BusyLoadingError, "is starting"):
                index.driver("c").load()

    @both
    def test_busy_with_a_script(self, index):
        with self.config(busy_reply_threshold=10):
            with self.busy_with("EVAL", "while true do end", 0):
                with fails(RedisUnavailable, redis_errors.ResponseError, "busy with a script"):
                    index.driver("c").append(run())
                self.redis.script_kill()

    @both
    def test_replica_without_its_master(self, index):
        with self.config(replica_serve_stale_data="no"), replica_of(self.redis, 1):
            with fails(RedisUnavailable, redis_errors.MasterDownError, "lost its master"):
                index.driver("c").load()

    @both
    def test_too_many_clients(self, index):
        with self.config(maxclients=1):
            with fails(RedisUnavailable, RedisConnectionError, "maxclients"):
                index.driver("c").load()

    def test_no_free_connection(self):
        entry = {"URL": self.server.url, "OPTIONS": {"max_connections": 1, "timeout": 0.1}}
        with self.settings(REDIS={"default": entry}):
            pool = indexes["default"].driver().client.connection_pool
            taken = pool.get_connection()
            with fails(RedisUnavailable, RedisConnectionError, "raise max_connections"):
                indexes["default"].driver("c").load()
            pool.release(taken)
            assert indexes["default"].driver("c").load() == ([], {})

    def test_no_free_connection_async(self):
        async def load_while_the_connection_is_taken():
            index = indexes["default"]
            pool = index._connection.async_client.connection_pool
            taken = await pool.get_connection()
            with fails(RedisUnavailable, RedisConnectionError, "raise max_connections"):
                await index.driver("c").aload()
            await pool.release(taken)
            return await index.driver("c").aload()

        entry = {"URL": self.server.url, "OPTIONS": {"max_connections": 1, "timeout": 0.1}}
        with self.settings(REDIS={"default": entry}):
            assert wait_for(load_while_the_connection_is_taken()) == ([], {})


@contextmanager
def replica_of(redis, port):
    redis.replicaof("127.0.0.1", port)
    try:
        yield
    finally:
        redis.replicaof("no", "one")


class RefusedWriteTests(ServerTestCase):
    """Reads work, writes are refused, nothing is lost."""

    def assert_reads_but_refuses_writes(self, index, condition, cause, says):
        driver = index.driver("c", owner="alice")
        driver.append(run())
        before = self.dump()
        with condition:
            for write in (
                lambda: driver.append(run("r2")),
                lambda: driver.store([run("r3")]),
                lambda: driver.store([run("r3")], revision=driver.read().revision),
                lambda: driver.update_metadata({"a": SECRET}),
                lambda: driver.set_title(SECRET),
                lambda: index.driver("new").append(run()),
            ):
                with fails(RedisReadOnly, cause, says):
                    write()
            assert driver.load() == ([run()], {})
            assert [record.owner for record in index.recent()] == ["alice"]
            assert index.count() == index.count(owner="alice") == 1
            assert list(index) == ["c"]
        assert self.dump() == before
        return driver

    @both
    def test_full_memory(self, index):
        self.assert_reads_but_refuses_writes(
            index, self.config(maxmemory=1), redis_errors.OutOfMemoryError, "out of memory"
        )

    @both
    def test_full_memory_lets_conversations_be_deleted(self, index):
        for id in ("a", "b"):
            index.driver(id).append(run())
        self.redis.script_flush()
        with self.config(maxmemory=1):
            assert index.driver("a").delete()
            assert index.delete("b") == 1
        assert self.keys() == set()

    @both
    def test_disk_that_cannot_be_written(self, index):
        self.assert_reads_but_refuses_writes(
            index, self.failing_disk(), redis_errors.ResponseError, "cannot save to its disk"
        )

    @contextmanager
    def failing_disk(self):
        dump = self.server.data_dir / "dump.rdb"
        dump.mkdir()
        with self.config(save="3600 1"):
            self.redis.bgsave()
            while self.redis.info("persistence")["rdb_bgsave_in_progress"]:
                time.sleep(0.01)
            yield
        dump.rmdir()

    @both
    def test_too_few_replicas(self, index):
        self.assert_reads_but_refuses_writes(
            index,
            self.config(min_replicas_to_write=1),
            redis_errors.ResponseError,
            "too few replicas",
        )

    @both
    def test_replica(self, index):
        self.assert_reads_but_refuses_writes(
            index, replica_of(self.redis, 1), redis_errors.ReadOnlyError, "read-only replica"
        )

    @both
    def test_replica_lists_what_a_stock_driver_wrote_as_unlisted(self, index):
        self.put("stock", b'{"runs": [], "metadata": {}}')
        with replica_of(self.redis, 1):
            page = index.recent()
        assert (len(page), page.unlisted) == (0, 1)


class RefusedListWriteTests(RefusedWriteTests):
    entry = {"LAYOUT": "list"}


class AccessTests(ServerTestCase):
    @contextmanager
    def connected(self, url):
        """The index through `url`, with its sync and with its async methods."""
        with self.settings(REDIS={"default": {"URL": url, "INDEX": self.index.name}}):
            yield indexes["default"], Awaited(indexes["default"])

    def assert_denied(self, url, cause, says):
        with self.connected(url) as both_indexes:
            for index in both_indexes:
                with self.subTest(type(index).__name__), fails(RedisDenied, cause, says):
                    index.driver("c").append(run())

    def test_wrong_password_is_tried_once(self):
        url = self.user("allcommands", "allkeys").replace("word", "wrong")
        self.redis.acl_log_reset()
        self.assert_denied(url, redis_errors.AuthenticationError, "the password")
        assert sum(entry["count"] for entry in self.redis.acl_log()) == 2  # sync and async

    def test_no_password(self):
        with self.config(requirepass="word"):
            self.assert_denied(
                self.server.url, redis_errors.AuthenticationError, "requires a password"
            )

    def test_password_for_a_server_without_one(self):
        with self.connected(self.server.url.replace("://", "://:word@")) as both_indexes:
            assert [index.driver("c").load() for index in both_indexes] == [([], {})] * 2

    def test_user_without_a_command(self):
        url = self.user("allkeys", "allcommands", "-hget")
        self.assert_denied(url, redis_errors.NoPermissionError, "ACL")

    def test_user_without_the_keys(self):
        url = self.user("allcommands", "~other:*")
        self.assert_denied(url, redis_errors.NoPermissionError, "ACL")

    def test_user_who_may_only_read(self):
        self.index.driver("c").append(run())
        self.put("stock", b'{"runs": [], "metadata": {}}')
        url = self.user("allkeys", "+@read", "+@connection", "+@transaction", "+eval", "+evalsha")
        with self.connected(url) as both_indexes:
            for index in both_indexes:
                with self.subTest(type(index).__name__):
                    assert index.driver("c").load()[0] == [run()]
                    assert [record.conversation_id for record in index.recent()] == ["c"]

    def test_database_that_does_not_exist(self):
        with self.connected(f"{self.server.url}99") as both_indexes:
            for index in both_indexes:
                with self.subTest(type(index).__name__):
                    with fails(RedisMisconfigured, redis_errors.ResponseError, "no database"):
                        index.driver("c").load()


class WrongServerTests(ServerTestCase):
    @both
    def test_index_key_of_another_type(self, index):
        self.redis.set(self.index.name, "a string")
        driver = index.driver("c")
        for call in (
            driver.load,
            driver.exists,
            driver.record,
            driver.delete,
            lambda: driver.tail(1),
            lambda: driver.append(run()),
            lambda: driver.store([run()]),
            lambda: driver.update_metadata({"a": SECRET}),
            lambda: driver.set_title(SECRET),
            index.count,
            index.recent,
            lambda: list(index),
            lambda: index.delete("c"),
        ):
            with fails(RedisMisconfigured, redis_errors.ResponseError, "key of another type"):
                call()
        assert self.redis.get(self.index.name) == b"a string"
        assert self.keys() == {self.index.name.encode()}

    def test_command_that_the_server_does_not_know(self):
        with TemporaryDirectory() as folder:
            include = Path(folder) / "redis.conf"
            include.write_text('rename-command HGET ""\nrename-command ZADD ""\n')
            for index in self.indexes_of_a_server(include=str(include)):
                with fails(RedisMisconfigured, redis_errors.ResponseError, "a command"):
                    index.driver(SECRET).load()

    def test_command_of_a_script_that_the_server_does_not_know(self):
        with TemporaryDirectory() as folder:
            include = Path(folder) / "redis.conf"
            include.write_text('rename-command ZREVRANGE ""\n')
            for index in self.indexes_of_a_server(include=str(include)):
                with fails(RedisMisconfigured, redis_errors.ResponseError, "a command"):
                    index.recent()

    def test_cluster_that_is_down(self):
        for index in self.indexes_of_a_server(cluster_enabled="yes"):
            with fails(RedisUnavailable, redis_errors.ClusterDownError, "cluster"):
                index.driver("c").load()

    def test_node_of_a_cluster(self):
        options = {"cluster_enabled": "yes", "cluster_allow_reads_when_down": "yes"}
        for index in self.indexes_of_a_server(give_the_slots_away, **options):
            with fails(RedisMisconfigured, redis_errors.MovedError, "give its entry CLUSTER"):
                index.driver("c").load()

    def indexes_of_a_server(self, prepare=None, **options):
        """An index and its async side on a server with `options`."""
        options = {name.replace("_", "-"): value for name, value in options.items()}
        with start(options=options) as server:
            if prepare:
                prepare(server)
            with self.settings(REDIS={"default": {"URL": server.url}}):
                for index in (indexes["default"], Awaited(indexes["default"])):
                    with self.subTest(type(index).__name__):
                        yield index


def give_the_slots_away(server):
    """Let the server believe that another node of its cluster has all the slots."""
    server.stop()
    nodes = server.data_dir / "nodes.conf"
    me = nodes.read_text().split()[0]
    nodes.write_text(
        f"{me} 127.0.0.1:{server.port}@{server.port + 1} myself,master - 0 0 1 connected\n"
        f"{'f' * 40} 127.0.0.1:1@2 master - 0 0 2 connected 0-16383\n"
        "vars currentEpoch 2 lastVoteEpoch 0\n"
    )
    server.restart()


class UnharmedTests(ServerTestCase):
    """A write that fails leaves the conversation as it is, or has written its record too."""

    PERMISSIONS = (
        "@transaction eval evalsha hget hmget hset hdel hexists hstrlen exists del zadd zrem time "
        "rpush lrange llen rename persist"
    ).split()

    WRITES = {
        "append": lambda driver: driver.append(run("new")),
        "store": lambda driver: driver.store([run("new")]),
        "metadata": lambda driver: driver.update_metadata({"new": 1}),
    }

    def assert_unharmed(self, index, break_, kind, cause, says):
        """Each write through `index` after `break_()` fails, and changes no document."""
        for name, write in self.WRITES.items():
            for existing in (True, False):
                with self.subTest(name, existing=existing, index=type(index).__name__):
                    self.wipe()
                    if existing:
                        self.index.driver("c", owner="alice").append(run())
                    break_()
                    before = self.content()
                    with fails(kind, cause, says):
                        write(index.driver("c", owner="alice"))
                    assert self.content() == before

    def content(self):
        """What layout `hash` and layout `list` keep of a conversation."""
        runs = self.redis.lrange(self.key("runs:c"), 0, -1)
        return self.stored("c"), runs

    def replace(self, name):
        self.redis.set(self.key(name), "a string")

    WRONGTYPE = (RedisMisconfigured, redis_errors.ResponseError, "key of another type")

    @both
    def test_record_of_another_type(self, index):
        for name, write in self.WRITES.items():
            for owner in ("alice", None):
                with self.subTest(name, owner=owner):
                    self.wipe()
                    self.index.driver("c", owner="alice").append(run())
                    self.replace("record:c")
                    before = self.content()
                    with pytest.raises(ConversationCorrupt, match="record:c' is a string"):
                        write(index.driver("c", owner=owner))
                    with pytest.raises(ConversationNotFound):
                        write(index.driver("c", owner="bob"))
                    assert self.content() == before

    @both
    def test_order_of_another_type(self, index):
        self.assert_unharmed(index, lambda: self.replace("recent"), *self.WRONGTYPE)

    @both
    def test_order_of_the_owner_of_another_type(self, index):
        self.assert_unharmed(index, lambda: self.replace("owner:alice"), *self.WRONGTYPE)

    def test_user_without_one_permission(self):
        """Whichever it is: all is written, or nothing is and the error says so."""
        for permission in self.PERMISSIONS:
            url = self.user("allkeys", "allcommands", f"-{permission}")
            entry = {"URL": url, "INDEX": self.index.name, **self.entry}
            with self.settings(REDIS={"default": entry}):
                for name, write in self.WRITES.items():
                    for owner in ("alice", "bob"):
                        with self.subTest(permission, write=name, owner=owner):
                            self.assert_all_or_nothing(write, owner)

    def assert_all_or_nothing(self, write, owner):
        self.wipe()
        self.index.driver("c", owner="alice").append(run())
        document, record = self.content(), self.index.driver("c").record()
        error = None
        try:
            write(indexes["default"].driver("c", owner=owner))
        except (RedisDenied, ConversationNotFound) as caught:
            error = caught
        if self.content() == document:
            assert self.index.driver("c").record() == record
            assert error
        else:
            assert owner == "alice"
            assert self.index.driver("c").record().version == record.version + 1
        assert self.index.driver("c").load()

    def test_full_memory_between_two_writes(self):
        """Every write of a conversation that outgrows the memory is whole or refused."""
        driver = self.index.driver("c", owner="alice")
        stored = 0
        with self.config(maxmemory=self.redis.info("memory")["used_memory"] + 300_000):
            with suppress(RedisReadOnly):
                while stored < 100:
                    driver.append(Run("x" * 5000, "y", id=str(stored)))
                    stored += 1
            assert 0 < stored < 100
            assert len(driver.load()[0]) == driver.record().runs == stored

    def test_forgotten_scripts(self):
        for index in (self.index, Awaited(self.index)):
            driver = index.driver("c", owner="alice")
            for call, expected in (
                (lambda driver=driver: driver.append(run()), 1),
                (lambda driver=driver: driver.record().runs, 1),
                (lambda index=index: len(index.recent()), 1),
                (lambda index=index: len(index.recent(owner="alice")), 1),
                (lambda driver=driver: driver.set_title("a title"), None),
                (lambda driver=driver: driver.delete(), True),
            ):
                self.redis.script_flush()
                assert call() == expected

    @both
    def test_record_with_a_version_that_is_no_number(self, index):
        self.index.driver("c").append(run())
        self.redis.hset(self.key("record:c"), "version", "garbage")
        with taking_less_than(10):
            assert index.driver("c").append(run("r2")) == 1
        assert [run.id for run in index.driver("c").load()[0]] == ["r1", "r2"]

    @both
    def test_more_than_max_bytes(self, index):
        self.index.driver("c").append(run())
        before = self.dump()
        entry = {"URL": self.server.url, "INDEX": self.index.name, "MAX_BYTES": 1000, **self.entry}
        with self.settings(REDIS={"default": entry}):
            small = indexes["default"]
            small = small if index is self.index else Awaited(small)
            for write in (
                lambda: small.driver("c").append(Run(SECRET * 100, "")),
                lambda: small.driver("c").store([Run(SECRET * 100, "")]),
                lambda: small.driver("c").update_metadata({"a": SECRET * 100}),
                lambda: small.driver("new").append(Run(SECRET * 100, "")),
            ):
                with pytest.raises(ConversationTooLarge, match="1,000 are allowed") as caught:
                    write()
                assert SECRET not in str(caught.value)
        assert self.dump() == before


class UnharmedListTests(UnharmedTests):
    entry = {"LAYOUT": "list"}


class BytesTests(RedisTestCase):
    IDS = [b"\xff\xfe", b"plain", "é".encode(), "é".encode("latin-1")]

    @both
    def test_ids_that_are_not_utf8(self, index):
        for id in self.IDS:
            self.put(id, b'{"runs": [], "metadata": {"a": 1}}')
        expected = {os.fsdecode(id) for id in self.IDS}
        assert {*index} == expected
        assert {record.conversation_id for record in index.recent()} == expected
        for id in expected:
            assert index.driver(id).load() == ([], {"a": 1})
        assert index.delete(*expected) == len(self.IDS)


class ProtocolTests(RedisTestCase):
    def test_every_call_over_both_protocols(self):
        for protocol in (2, 3):
            entry = {"URL": settings.REDIS_URL, "OPTIONS": {"protocol": protocol}}
            with self.settings(REDIS={"default": {**entry, "INDEX": self.index.name}}):
                for index in (indexes["default"], Awaited(indexes["default"])):
                    with self.subTest(protocol=protocol, index=type(index).__name__):
                        use_everything(index)


def use_everything(index):
    """Call every method of an empty index and its drivers once, and leave it empty."""
    driver = index.driver("c", owner="alice")
    assert driver.append(run()) == 1
    revision = driver.read().revision
    assert driver.store([run(), run("r2")], {"a": 1}, revision=revision) != revision
    assert driver.update_metadata({"b": 2}, remove=["a"]) == {"b": 2}
    driver.set_title("a title")
    assert driver.load() == ([run(), run("r2")], {"b": 2})
    assert driver.tail(1) == [run("r2")]
    assert driver.exists()
    record = driver.record()
    assert (record.owner, record.title, record.runs) == ("alice", "a title", 2)
    index.driver("d").append(run())
    page = index.recent(1)
    assert [record.conversation_id for record in page] == ["d"]
    assert list(index.recent(1, before=page.next)) == [record]
    assert (index.count(), index.count(owner="alice"), index.adopt()) == (2, 1, 0)
    assert {*index} == {"c", "d"}
    assert driver.delete()
    assert index.delete("c", "d") == 1


class ForkTests(RedisTestCase):
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_forked_children_use_connections_of_their_own(self):
        self.index.driver("c").append(run("before"))
        fork = multiprocessing.get_context("fork")
        children = [fork.Process(target=append, args=[self.index, number]) for number in range(3)]
        for child in children:
            child.start()
        for number in range(20):
            assert self.index.driver("other").append(run(str(number))) == 1
        for child in children:
            child.join()
        assert [child.exitcode for child in children] == [0, 0, 0]
        assert len(self.index.driver("c").load()[0]) == 1 + 3 * 20


def append(index, number):
    driver = index.driver("c")
    for count in range(10):
        assert driver.append(run(f"{number}-{count}")) == 1
        assert wait_for(driver.aappend(run(f"{number}-{count}-async"))) == 1


class TLSTests(SimpleTestCase):
    """A server with a certificate made by the openssl program."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not shutil.which("openssl"):
            raise SkipTest("There is no openssl program to make a certificate with.")
        folder = Path(cls.enterClassContext(TemporaryDirectory()))
        cls.key, cls.certificate = folder / "key.pem", folder / "certificate.pem"
        subprocess.run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 "
            f"-subj /CN=localhost -addext subjectAltName=DNS:localhost "
            f"-keyout {cls.key} -out {cls.certificate}".split(),
            check=True,
            capture_output=True,
        )
        cls.port = free_port()
        options = {"tls-port": str(cls.port), "tls-auth-clients": "no"}
        options |= {"tls-cert-file": str(cls.certificate), "tls-key-file": str(cls.key)}
        try:
            cls.server = cls.enterClassContext(start(options=options))
        except EmbeddedRedisError as error:
            if "Failed finding TLS support" not in str(error):
                raise
            raise SkipTest("This server was built without TLS.") from None

    def each(self, url, **options):
        options = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, **options}
        with self.settings(REDIS={"default": {"URL": url, "OPTIONS": options}}):
            for index in (indexes["default"], Awaited(indexes["default"])):
                with self.subTest(type(index).__name__), taking_less_than(10):
                    yield index

    def test_trusted_certificate(self):
        authority = str(self.certificate)
        for url, options in (
            (f"rediss://localhost:{self.port}", {"ssl_ca_certs": authority}),
            (f"rediss://localhost:{self.port}?ssl_ca_certs={authority}", {}),
        ):
            for index in self.each(url, **options):
                assert index.driver("c").load() == ([], {})

    def test_tls_by_host_and_port(self):
        options = {"ssl": True, "ssl_ca_certs": str(self.certificate)}
        entry = {"HOST": "localhost", "PORT": self.port, "OPTIONS": options}
        with self.settings(REDIS={"default": entry}):
            for index in (indexes["default"], Awaited(indexes["default"])):
                assert index.driver("c").load() == ([], {})

    def test_untrusted_certificate(self):
        for index in self.each(f"rediss://localhost:{self.port}"):
            with fails(RedisMisconfigured, RedisConnectionError, "not trusted"):
                index.driver("c").load()

    def test_certificate_of_another_host(self):
        url = f"rediss://127.0.0.1:{self.port}"
        for index in self.each(url, ssl_ca_certs=str(self.certificate)):
            with fails(RedisMisconfigured, RedisConnectionError, "not trusted"):
                index.driver("c").load()

    def test_tls_to_a_port_without(self):
        for index in self.each(f"rediss://localhost:{self.server.port}"):
            with fails(RedisUnavailable, RedisTimeoutError, "use TLS"):
                index.driver("c").load()

    def test_no_tls_to_a_port_with_tls(self):
        for index in self.each(f"redis://localhost:{self.port}"):
            with fails(RedisUnconfirmed, RedisConnectionError, "use rediss://"):
                index.driver("c").load()
