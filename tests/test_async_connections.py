"""Async connections and pools, which cost less than those of redis-py."""

import asyncio
from unittest.mock import patch

import redis
import redis.asyncio
import redis.asyncio.connection as counting
from django.test import SimpleTestCase
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.observability.attributes import ConnectionState
from redis.observability.config import OTelConfig
from redis.observability.providers import get_observability_instance

from conversation_memory.redis_io.async_connections import QuickConnection, quicken
from conversation_memory.redis_io.clients import own_async
from conversation_memory.redis_io.traffic import AsyncTimedPool

from .servers import ServerTestCase
from .utils import RedisTestCase

CALLS = (
    ("GET", "k"),
    (b"GET", b"k"),
    ("CLIENT LIST", "TYPE", "normal"),
    (b"CLIENT LIST",),
    ("SET", "ü", 1, 1.5, b"\x00\xff", memoryview(b"v"), bytearray(b"w")),
    ("SET", "k", "x" * 100_000),
)


class Credentials(redis.CredentialProvider):
    def get_credentials(self):
        return "default", ""

    async def get_credentials_async(self):
        return self.get_credentials()


class NewUser:
    """A token of a provider that streams credentials."""

    name = "test-new-user"

    @classmethod
    def try_get(cls, name):
        return cls.name

    @classmethod
    def get_value(cls):
        return "a token"


def pool_of(**options):
    return quicken(AsyncTimedPool(**options))


class PackingTests(SimpleTestCase):
    def test_commands_are_packed_as_by_a_sync_connection(self):
        theirs, ours = redis.Connection(), pool_of().make_connection()
        for call in CALLS:
            assert b"".join(ours.pack_command(*call)) == b"".join(theirs.pack_command(*call)), call
        packed = b"".join(ours.pack_commands(CALLS))
        assert packed == b"".join(theirs.pack_commands(CALLS))

    def test_what_redis_cannot_store_is_refused_in_the_same_way(self):
        for value in (None, object()):
            with self.assertRaises(DataError):
                pool_of().make_connection().pack_command("SET", "k", value)

    def test_every_kind_of_connection_is_made_quick_once(self):
        for kind in ("Connection", "SSLConnection", "UnixDomainSocketConnection"):
            base = getattr(redis.asyncio, kind)
            pool = quicken(quicken(AsyncTimedPool(connection_class=base)))
            assert pool.connection_class.__mro__[1:3] == (QuickConnection, base)

    def test_a_parser_of_the_project_is_left_alone(self):
        pool = pool_of(parser_class=DefaultParser)
        assert pool.connection_class is redis.asyncio.Connection


class WaitingTests(ServerTestCase):
    def test_a_server_that_hangs_is_not_waited_for(self):
        async def check():
            client = own_async(self.index.settings)
            await client.ping()
            connection = await client.connection_pool.get_connection()
            connection.socket_timeout = 0.1
            try:
                with self.stopped():
                    with self.assertRaisesMessage(RedisTimeoutError, "reading"):
                        await connection.send_command("PING")
                        await connection.read_response()
                    assert not connection.is_connected
                await connection.connect()
                writer = connection._writer
                with self.stopped(), self.assertRaises(RedisTimeoutError):
                    await connection.send_command("SET", "k", "x" * 20_000_000)
                    # Python 3.12.1 and 3.13.0 buffer it without waiting (cpython#127655).
                    await connection.read_response()
                assert not connection.is_connected
                writer.transport.abort()  # or it would send the rest
            finally:
                await client.connection_pool.release(connection)
                await client.aclose()

        asyncio.run(check())

    def test_a_connection_may_have_no_timeout(self):
        async def check():
            client = redis.asyncio.Redis.from_pool(
                quicken(AsyncTimedPool.from_url(self.server.url, socket_timeout=None))
            )
            async with client:
                assert await client.ping()

        asyncio.run(check())


class PoolTests(RedisTestCase):
    def run_with(self, check, **options):
        async def whole():
            pool = quicken(AsyncTimedPool.from_url(self.index.settings.url, **options))
            async with redis.asyncio.Redis.from_pool(pool) as client:
                await check(client, pool)
            await pool.aclose()

        asyncio.run(whole())

    def test_many_commands_share_few_connections(self):
        async def check(client, pool):
            values = await asyncio.gather(*(client.echo(str(number)) for number in range(50)))
            assert values == [b"%d" % number for number in range(50)]
            assert len(pool._available_connections) <= 3

        self.run_with(check, max_connections=3)

    def test_whoever_waits_is_served_before_those_who_come_again_and_again(self):
        async def check(client, pool):
            async def busy():
                while not served.is_set():
                    await client.ping()

            served = asyncio.Event()
            others = [asyncio.create_task(busy()) for _ in range(2)]
            try:
                assert await asyncio.gather(*(client.echo(str(n)) for n in range(3)))
            finally:
                served.set()
                await asyncio.gather(*others)

        self.run_with(check, max_connections=1, timeout=10)

    def test_no_free_connection_in_time_is_an_error(self):
        async def check(client, pool):
            connection = await pool.get_connection()
            with self.assertRaisesMessage(RedisConnectionError, "No connection available"):
                await pool.get_connection()
            await pool.release(connection)
            assert await client.ping()

        self.run_with(check, max_connections=1, timeout=0.01)

    def test_a_connection_that_is_to_be_made_anew_is_closed_when_it_is_given_back(self):
        async def check(client, pool):
            connection = await pool.get_connection()
            connection.mark_for_reconnect()
            await pool.release(connection)
            assert pool._available_connections == [connection] and not connection.is_connected
            assert await client.ping()

        self.run_with(check)

    def test_the_metrics_of_redis_py_count_the_connections(self):
        async def check(client, pool):
            await asyncio.gather(client.ping(), client.ping())
            connection = await pool.get_connection()
            with patch.object(counting, "record_connection_count") as record:
                await pool.release(connection)
            counted = [
                (call.kwargs["connection_state"], call.kwargs["counter"])
                for call in record.mock_calls
            ]
            assert counted == [(ConnectionState.USED, -1), (ConnectionState.IDLE, 1)]

        observability = get_observability_instance().init(OTelConfig())
        try:
            self.run_with(check)
        finally:
            observability.shutdown()

    def test_a_push_message_is_no_reply(self):
        async def check(client, pool):
            key, calls = f"{self.index.name}:pushed", [("CLIENT TRACKING", "ON", "BCAST")]
            calls += [
                ("SET", key, "a"),
                ("GET", key),
                ("SET", key, "b"),
                ("GET", key),
                ("DEL", key),
            ]
            connection = await pool.get_connection()
            for _ in range(2):
                assert await connection.exchange(calls) == [b"OK", b"OK", b"a", b"OK", b"b", 1]
            await connection.disconnect()
            await pool.release(connection)

        self.run_with(check, protocol=3)

    def test_the_error_of_a_command_is_its_reply(self):
        async def check(client, pool):
            key, text = f"{self.index.name}:exchanged", b"x" * 100_000
            calls = [("SET", key, text), ("LPUSH", key, "v"), ("GET", key), ("DEL", key)]
            connection = await pool.get_connection()
            for _ in range(2):
                done, error, read, deleted = await connection.exchange(calls)
                assert (done, read, deleted) == (b"OK", text, 1)
                assert isinstance(error, ResponseError) and "WRONGTYPE" in str(error)
            await pool.release(connection)

        self.run_with(check)

    def test_credentials_that_have_changed_are_sent_when_a_connection_is_given_back(self):
        async def check(client, pool):
            connection = await pool.get_connection()
            connection.set_re_auth_token(NewUser)
            await pool.release(connection)
            assert await client.acl_whoami() == NewUser.name

        self.redis.acl_setuser(NewUser.name, enabled=True, nopass=True, commands=["+@all"])
        self.addCleanup(self.redis.acl_deluser, NewUser.name)
        self.run_with(check, credential_provider=Credentials())

    def test_a_timer_that_fires_with_the_last_byte_ends_the_connection(self):
        async def check(client, pool):
            connection = await pool.get_connection()
            read = DefaultParser.read_from_socket

            async def read_late(parser):
                found = await read(parser)
                parser._stream.set_exception(TimeoutError())
                return found

            with patch.object(DefaultParser, "read_from_socket", read_late):
                with self.assertRaises(RedisTimeoutError):
                    await connection.exchange([("PING",)])
            assert not connection.is_connected
            assert await connection.exchange([("PING",)]) == [b"PONG"]
            await pool.release(connection)

        self.run_with(check, socket_timeout=5)

    def test_a_connection_that_the_server_has_closed_is_made_anew(self):
        async def check():
            client = own_async(self.index.settings)
            id = await client.client_id()
            self.redis.client_kill_filter(_id=id)
            assert await client.client_id() != id
            await client.aclose()

        asyncio.run(check())

    def test_a_cancelled_pipeline_gives_its_connection_back(self):
        async def check():
            driver = self.index.driver("c")
            task = asyncio.create_task(driver.aload())
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            assert await driver.aload() == ([], {})
            assert not driver._connection.async_client.connection_pool._in_use_connections

        asyncio.run(check())
