import asyncio
import copy
import gc
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
import redis
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.http import HttpResponse
from django.test import SimpleTestCase, override_settings
from django.urls import path
from django_redis import get_redis_connection
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from conversation_memory import RedisConversationMemoryDriver, Run, indexes
from conversation_memory.exceptions import InvalidIndexError

from .servers import ServerTestCase, sentinel_of
from .test_failures import use_everything
from .utils import Awaited, wait_for

DJANGO_REDIS = "django_redis.cache.RedisCache"
DJANGO = "django.core.cache.backends.redis.RedisCache"


def async_pool(index):
    """The connection pool of the async client in an event loop."""

    async def pool():
        return index._connection.async_client.connection_pool

    return wait_for(pool())


def pools(index):
    return index._connection.client.connection_pool, async_pool(index)


class OptionTests(SimpleTestCase):
    """No server is asked here."""

    def pools_of(self, **entry):
        with self.settings(REDIS={"default": entry}):
            return pools(indexes["default"])

    def test_time_outs_and_retries_are_explicit(self):
        for entry in (
            {"URL": "redis://h"},
            {"HOST": "h"},
            {"URL": "unix:///run/redis.sock"},
            {"CLUSTER": "redis://h"},
            {"SENTINELS": [("h", 26379)], "SERVICE": "m"},
        ):
            for pool in self.pools_of(**entry):
                with self.subTest(pool=pool):
                    kwargs = pool.connection_kwargs
                    assert (kwargs["socket_timeout"], kwargs["socket_connect_timeout"]) == (5, 2)
                    assert kwargs["retry"].get_retries() == 3
                    assert pool.max_connections == 100
                    assert pool.timeout == 5

    def test_time_outs_are_not_tried_again(self):
        for pool in self.pools_of(URL="redis://h"):
            supported = pool.connection_kwargs["retry"]._supported_errors
            assert supported == (redis.exceptions.ConnectionError,)

    def test_options_override(self):
        options = {"socket_timeout": 1, "max_connections": 7, "timeout": 2, "client_name": "chat"}
        for entry in ({"URL": "redis://h"}, {"HOST": "h"}):
            for pool in self.pools_of(**entry, OPTIONS=options):
                with self.subTest(pool=pool):
                    assert pool.connection_kwargs["socket_timeout"] == 1
                    assert pool.connection_kwargs["client_name"] == "chat"
                    assert (pool.max_connections, pool.timeout) == (7, 2)

    def test_query_of_the_url_overrides(self):
        for pool in self.pools_of(URL="redis://h?socket_timeout=1.5&max_connections=7"):
            assert pool.connection_kwargs["socket_timeout"] == 1.5
            assert pool.max_connections == 7

    def test_one_retry_serves_both_clients(self):
        sync, other = self.pools_of(
            URL="redis://h", OPTIONS={"retry": Retry(ConstantBackoff(1), 7)}
        )
        assert isinstance(sync.connection_kwargs["retry"], redis.retry.Retry)
        assert isinstance(other.connection_kwargs["retry"], redis.asyncio.retry.Retry)
        assert other.connection_kwargs["retry"].get_retries() == 7

    def test_tls(self):
        for entry in (
            {"URL": "rediss://h:1?ssl_ca_certs=/ca.pem"},
            {"HOST": "h", "PORT": 1, "OPTIONS": {"ssl": True, "ssl_ca_certs": "/ca.pem"}},
        ):
            sync, other = self.pools_of(**entry)
            assert sync.connection_class is redis.SSLConnection
            assert issubclass(other.connection_class, redis.asyncio.SSLConnection)
            for pool in (sync, other):
                assert pool.connection_kwargs["ssl_ca_certs"] == "/ca.pem"
                assert (pool.connection_kwargs["host"], pool.connection_kwargs["port"]) == ("h", 1)

    def test_option_that_redis_py_does_not_take(self):
        for way in (lambda index: index.count(), lambda index: Awaited(index).count()):
            entry = {"URL": "redis://:hush@h", "OPTIONS": {"sokcet_timeout": 1}}
            with self.settings(REDIS={"default": entry}):
                with pytest.raises(InvalidIndexError, match="'default'.*sokcet_timeout") as caught:
                    way(indexes["default"])
            assert "hush" not in str(caught.value)
            assert caught.value.__cause__ is None

    def test_driver_knows_its_address(self):
        with self.settings(REDIS={"default": {"URL": "redis://:hush@h:1/2", "INDEX": "i"}}):
            data = indexes["default"].driver().to_dict()
        assert (data["host"], data["port"], data["db"], data["index"]) == ("h", 1, 2, "i")


class AddressTests(ServerTestCase):
    @classmethod
    def setUpClass(cls):
        cls.options = {"unixsocket": "redis.sock"}  # relative to the folder of its data
        super().setUpClass()

    def assert_works(self, where=None, **entry):
        with self.settings(REDIS={"default": {"INDEX": self.index.name, **entry}}):
            for index in (indexes["default"], Awaited(indexes["default"])):
                with self.subTest(index=type(index).__name__):
                    use_everything(index)
                    if where:
                        index.driver("c").append(Run("a", "b"))
                        assert where.hexists(self.index.name, "c")
                        index.driver("c").delete()

    def test_url(self):
        self.assert_works(self.redis, URL=self.server.url)

    def test_unix_socket(self):
        self.assert_works(self.redis, URL=f"unix://{self.server.data_dir}/redis.sock")

    def test_host_and_port(self):
        self.assert_works(self.redis, HOST="127.0.0.1", PORT=self.server.port)

    def test_user_and_password(self):
        self.user("allcommands", "allkeys")
        address = {"HOST": "127.0.0.1", "PORT": self.server.port}
        self.assert_works(**address, USERNAME="limited", PASSWORD="word")

    def test_credentials_with_special_characters(self):
        self.redis.execute_command(*"ACL SETUSER p/w on >a/b@c#d?e allcommands allkeys".split())
        self.addCleanup(self.redis.acl_deluser, "p/w")
        url = self.server.url.replace("://", "://p%2Fw:a%2Fb%40c%23d%3Fe@")
        self.assert_works(URL=url)

    def test_database(self):
        with redis.Redis(port=self.server.port, db=3) as database:
            self.assert_works(database, HOST="127.0.0.1", PORT=self.server.port, DB=3)
            self.assert_works(database, URL=self.server.url.replace("/0", "/3"))

    def test_server_sees_who_is_there(self):
        if not self.knows("client|setinfo"):
            self.skipTest("Before 7.2, Redis does not list the libraries of its clients.")
        for index in (self.index, Awaited(self.index)):
            index.count()
            seen = {client.get("lib-name") for client in self.redis.client_list()}
            assert any("conversation-memory" in name for name in seen)


class LifetimeTests(ServerTestCase):
    entry = {"OPTIONS": {"client_name": "ours"}}

    def connected(self):
        """How many connections of ours the server has."""
        self.redis.ping()
        return sum(client["name"] == "ours" for client in self.redis.client_list())

    def test_aliases_of_one_server_share_a_client(self):
        one = {"URL": self.server.url, **self.entry}
        entries = {"a": one, "b": {**one, "INDEX": "other"}, "c": {**one, "OPTIONS": {}}}
        with self.settings(REDIS=entries):
            clients = [indexes[alias].driver().client for alias in "abc"]
        assert clients[0] is clients[1]
        assert clients[0] is not clients[2]

    def test_threads_share_a_client(self):
        barrier = threading.Barrier(8)

        def client(_):
            barrier.wait()
            return indexes["default"].driver().client

        with ThreadPoolExecutor(8) as pool:
            assert len(set(map(id, pool.map(client, range(8))))) == 1

    def test_drivers_by_address_share_a_client(self):
        address = {"host": "127.0.0.1", "port": self.server.port, "index": self.index.name}
        drivers = [RedisConversationMemoryDriver(**address) for _ in range(2)]
        assert drivers[0].client is drivers[1].client
        indexes.close()

    def test_opening_costs_no_connection(self):
        indexes["default"].driver("c")
        assert self.connected() == 0

    def test_close_and_carry_on(self):
        self.index.count()
        assert self.connected() == 1
        indexes.close()
        assert self.connected() == 0
        assert indexes["default"].count() == 0
        assert self.index.count() == 0  # opened before the close

    def test_change_of_settings_closes(self):
        self.index.count()
        with self.settings(REDIS={"default": {"URL": self.server.url, "INDEX": "other"}}):
            assert self.connected() == 0
            assert indexes["default"].name == "other"
            assert indexes["default"].count() == 0
        assert indexes["default"].name == self.index.name

    def test_change_of_caches_closes(self):
        self.index.count()
        with self.settings(CACHES={"default": {"BACKEND": DJANGO, "LOCATION": self.server.url}}):
            assert self.connected() == 0

    def test_two_event_loops_in_a_row(self):
        for _ in range(2):
            assert asyncio.run(self.index.acount()) == 0
            assert self.connected() == 0

    def test_event_loops_in_threads(self):
        barrier = threading.Barrier(4)

        def work(number):
            async def append():
                await self.index.acount()
                await asyncio.to_thread(barrier.wait)
                for count in range(10):
                    await self.index.driver("c").aappend(Run("a", "b", id=f"{number}-{count}"))

            asyncio.run(append())

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert len(self.index.driver("c").load()[0]) == 40
        indexes.close()
        assert self.connected() == 0

    def test_async_to_sync(self):
        assert async_to_sync(self.index.acount)() == 0
        assert self.connected() == 0

    def test_one_client_for_each_loop(self):
        async def clients():
            await asyncio.gather(*(self.index.acount() for _ in range(5)))
            connection = self.index._connection
            return connection.async_client, connection.async_client

        one, same = asyncio.run(clients())
        other, _ = asyncio.run(clients())
        assert one is same
        assert one is not other

    def test_aclose_and_carry_on(self):
        async def count_close_and_count():
            await self.index.acount()
            assert self.connected() == 1
            await indexes.aclose()
            assert self.connected() == 0
            return await self.index.acount()

        assert asyncio.run(count_close_and_count()) == 0
        assert self.connected() == 0

    def test_async_client_of_settings_that_changed_is_closed(self):
        async def count_under_other_settings():
            entry = {"URL": self.server.url, "INDEX": "other", **self.entry}
            with self.settings(REDIS={"default": entry}):
                await indexes["default"].acount()
                assert self.connected() == 1
            gc.collect()
            for _ in range(100):  # the loop closes it, and then the server sees that
                if not self.connected():
                    break
                await asyncio.sleep(0.1)
            return self.connected()

        assert asyncio.run(count_under_other_settings()) == 0

    def test_loops_leave_nothing_behind(self):
        for _ in range(5):
            asyncio.run(self.index.acount())
        assert len(self.index._connection._async_clients._clients) <= 1

    def test_more_requests_than_connections_wait(self):
        entry = {"URL": self.server.url, "OPTIONS": {"max_connections": 3, "client_name": "ours"}}

        async def count_often():
            seen = await asyncio.gather(*(indexes["default"].acount() for _ in range(50)))
            return len(seen), self.connected()

        with self.settings(REDIS={"default": entry}):
            assert asyncio.run(count_often()) == (50, 3)
            with ThreadPoolExecutor(20) as pool:
                assert len(list(pool.map(lambda _: indexes["default"].count(), range(50)))) == 50
            assert self.connected() <= 3


class BorrowedTests(ServerTestCase):
    @classmethod
    def setUpClass(cls):
        cls.options = {"unixsocket": "redis.sock"}
        super().setUpClass()

    def cache(self, backend, location=None, **options):
        """settings.CACHES with a cache on this server."""
        cache = {"BACKEND": backend, "LOCATION": location or self.server.url, "OPTIONS": options}
        return {"default": cache}

    def indexes_on(self, caches):
        """The index, sync and async, on a client borrowed from `caches`."""
        entry = {"CACHE": "default", "INDEX": self.index.name}
        with self.settings(CACHES=caches, REDIS={"default": entry}):
            for index in (indexes["default"], Awaited(indexes["default"])):
                with self.subTest(index=type(index).__name__):
                    yield index

    def test_works(self):
        for backend in (DJANGO_REDIS, DJANGO):
            for location in (
                self.server.url,
                self.server.url.replace("/0", "/5"),
                self.user("allcommands", "allkeys").replace("/0", "/6"),
                f"unix://{self.server.data_dir}/redis.sock?db=7",
            ):
                for index in self.indexes_on(self.cache(backend, location)):
                    with self.subTest(backend, location=location):
                        use_everything(index)

    def test_alias_of_caches_without_an_entry(self):
        for backend in (DJANGO_REDIS, DJANGO):
            with self.settings(CACHES=self.cache(backend), REDIS={}):
                assert indexes["default"].name == "conversations"
                assert indexes["default"].count() == 0

    def test_async_client_reaches_the_same_database(self):
        location = f"unix://{self.server.data_dir}/redis.sock?db=8"
        for backend in (DJANGO_REDIS, DJANGO):
            for index in self.indexes_on(self.cache(backend, location)):
                index.driver("c").append(Run("a", "b"))
                with redis.Redis(port=self.server.port, db=8) as database:
                    assert database.hexists(self.index.name, "c")
                index.delete("c")

    def test_async_client_keeps_tls(self):
        location = "rediss://me:word@h:1/2?ssl_ca_certs=/ca.pem&socket_timeout=3"
        for backend in (DJANGO_REDIS, DJANGO):
            with (
                self.subTest(backend),
                self.settings(CACHES=self.cache(backend, location), REDIS={}),
            ):
                pool = async_pool(indexes["default"])
                assert issubclass(pool.connection_class, redis.asyncio.SSLConnection)
                expected = {"host": "h", "port": 1, "db": 2, "username": "me", "password": "word"}
                expected |= {"ssl_ca_certs": "/ca.pem", "socket_timeout": 3}
                assert expected.items() <= pool.connection_kwargs.items()
                assert pool.connection_kwargs["retry"].get_retries() == 3

    def test_is_the_client_of_django_redis(self):
        with self.settings(CACHES=self.cache(DJANGO_REDIS), REDIS={}):
            pool = indexes["default"].driver().client.connection_pool
            assert pool is get_redis_connection("default").connection_pool

    def test_is_one_client_although_django_has_one_for_each_thread(self):
        with self.settings(CACHES=self.cache(DJANGO), REDIS={}):
            with ThreadPoolExecutor(3) as pool:
                clients = pool.map(lambda _: indexes["default"].driver().client, range(6))
                assert len(set(map(id, clients))) == 1

    def test_is_never_closed(self):
        for backend in (DJANGO_REDIS, DJANGO):
            with self.subTest(backend), self.settings(CACHES=self.cache(backend), REDIS={}):
                client = indexes["default"].driver().client
                with mock.patch.object(client, "close") as close:
                    with mock.patch.object(client.connection_pool, "disconnect") as disconnect:
                        indexes["default"].count()
                        wait_for(indexes["default"].acount())
                        indexes.close()
                assert not close.called
                assert not disconnect.called
                caches["default"].set("key", "value")
                assert caches["default"].get("key") == "value"

    def test_client_that_decodes(self):
        for backend, options in (
            (DJANGO_REDIS, {"CONNECTION_POOL_KWARGS": {"decode_responses": True}}),
            (DJANGO, {"decode_responses": True}),
        ):
            # django-redis keeps pools by URL, so this one is of this test alone.
            location = self.server.url.replace("/0", f"/{9 + (backend == DJANGO)}")
            for index in self.indexes_on(self.cache(backend, location, **options)):
                use_everything(index)
                client = indexes["default"].driver().client
                assert client.get_encoder().decode_responses
                latin = 'b{"runs": [], "metadata": {"a": "é"}}'.encode("latin-1")[1:]
                client.hset(self.index.name, b"\xff", latin)
                assert set(index) == {"\udcff"}
                assert [record.conversation_id for record in index.recent()] == ["\udcff"]
                with pytest.raises(Exception, match="is damaged"):
                    index.driver(b"\xff").load()
                index.delete(b"\xff")

    def test_both_protocols(self):
        for backend in (DJANGO_REDIS, DJANGO):
            for protocol in (2, 3):
                location = f"{self.server.url}?protocol={protocol}"
                for index in self.indexes_on(self.cache(backend, location)):
                    with self.subTest(backend, protocol=protocol):
                        use_everything(index)

    def test_sentinel(self):
        with sentinel_of(self.server) as port:
            options = {
                "CLIENT_CLASS": "django_redis.client.SentinelClient",
                "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
                "SENTINELS": [("127.0.0.1", port)],
                "SENTINEL_KWARGS": {"socket_timeout": 1},
            }
            location = "redis://mymaster/11"
            for index in self.indexes_on(self.cache(DJANGO_REDIS, location, **options)):
                use_everything(index)
                index.driver("c").append(Run("a", "b"))
                with redis.Redis(port=self.server.port, db=11) as database:
                    assert database.hexists(self.index.name, "c")
                index.delete("c")

    def test_caches_that_cannot_lend(self):
        for cache in (
            {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
            {
                "BACKEND": DJANGO_REDIS,
                "LOCATION": [self.server.url],
                "OPTIONS": {"CLIENT_CLASS": "django_redis.client.ShardClient"},
            },
        ):
            for index in self.indexes_on({"default": cache}):
                with pytest.raises(InvalidIndexError, match="'default'.* cannot lend"):
                    index.count()


class LentTests(ServerTestCase):
    """Drivers with a client of the caller's."""

    def driver(self, client, **kwargs):
        return RedisConversationMemoryDriver(
            host="ignored", port=1, index=self.index.name, client=client, **kwargs
        )

    def test_sync_client(self):
        driver = self.driver(self.redis, conversation_id="c")
        assert driver.client is self.redis
        assert driver.append(Run("a", "b")) == 1
        assert len(wait_for(driver.aload())[0]) == 1
        indexes.close()
        assert self.redis.ping()

    def test_names_of_commands_are_strings(self):
        """As tracers and redis-py's own cluster client expect them."""

        class Traced(redis.Redis):
            names = []

            def execute_command(self, *args, **options):
                self.names.append(args[0])
                return super().execute_command(*args, **options)

        with Traced.from_url(self.server.url) as client:
            driver = self.driver(client, conversation_id="c")
            driver.append(Run("a", "b"))
            driver.move_to("ann")
            assert driver.record().owner == "ann"
            assert Traced.names and all(type(name) is str for name in Traced.names)
            client.hset("another", mapping={"a": "b"})
            assert client.hgetall("another") == {b"a": b"b"}

    def test_async_client(self):
        async def append():
            async with redis.asyncio.Redis.from_url(self.server.url) as client:
                driver = self.driver(client, conversation_id="c")
                return await driver.aappend(Run("a", "b")), await driver.aload()

        added, (runs, _) = asyncio.run(append())
        assert (added, len(runs)) == (1, 1)

    def test_async_client_has_no_sync_methods(self):
        driver = self.driver(redis.asyncio.Redis.from_url(self.server.url))
        with pytest.raises(InvalidIndexError, match="only async methods"):
            driver.load()

    def test_drivers_with_one_client_share_an_async_one(self):
        async def clients():
            drivers = [self.driver(self.redis) for _ in range(2)]
            return {id(driver._connection.async_client) for driver in drivers}

        assert len(asyncio.run(clients())) == 1


class CopyTests(ServerTestCase):
    def test_pickle_is_refused_since_it_would_carry_the_password(self):
        for subject in (self.index, self.index.driver("c"), self.index._connection):
            with pytest.raises(TypeError, match="Hand over the alias and the conversation id"):
                pickle.dumps(subject)

    def test_deep_copy_shares_the_connection(self):
        self.index.driver("c").append(Run("a", "b"))
        for twin in (copy.deepcopy(self.index).driver("c"), copy.deepcopy(self.index.driver("c"))):
            assert twin.client is self.index.driver().client
            assert len(twin.load()[0]) == 1


def count(request):
    return HttpResponse(indexes["default"].count())


async def acount(request):
    return HttpResponse(await indexes["default"].acount())


urlpatterns = [path("sync", count), path("async", acount)]


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[])
class ViewTests(ServerTestCase):
    def test_sync_client_of_django(self):
        for view in ("/sync", "/async"):
            for _ in range(2):
                assert self.client.get(view).content == b"0"

    async def test_async_client_of_django(self):
        for view in ("/sync", "/async"):
            for _ in range(2):
                assert (await self.async_client.get(view)).content == b"0"
