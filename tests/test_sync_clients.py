"""Sync clients and pools, which cost less than those of redis-py."""

from unittest.mock import patch

import redis
from redis import connection as counting
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.observability import OTelConfig, get_observability_instance
from redis.observability.attributes import ConnectionState, get_pool_name

from conversation_memory.redis_io import pipelines, side_by_side
from conversation_memory.redis_io.abreast import abreast
from conversation_memory.redis_io.clients import own
from conversation_memory.redis_io.operations import Command, perform
from conversation_memory.redis_io.pipelines import SyncClient, as_sent, pipeline_of
from conversation_memory.redis_io.side_by_side import Job, perform_all
from conversation_memory.redis_io.traffic import TimedPool

from .utils import RedisTestCase


class SentTests(RedisTestCase):
    def setUp(self):
        super().setUp()
        self.client = own(self.index.settings)
        self.addCleanup(self.client.close)

    def test_a_usual_client_has_one_that_returns_replies_as_they_are_sent(self):
        quick = as_sent(self.client)
        assert isinstance(quick, SyncClient) and as_sent(self.client) is quick
        assert quick.connection_pool is self.client.connection_pool
        assert quick.execute_command("HGETALL", "none", NEVER_DECODE=True) in ([], {})
        assert quick.execute_command("ECHO", "é") == "é".encode()

    def test_a_client_of_another_kind_keeps_it(self):
        class Own(redis.Redis):
            pass

        for client in (Own.from_pool(self.client.connection_pool), own_connection(self.client)):
            assert type(as_sent(client)) is type(client)
            client.close()

    def test_an_error_of_the_server_keeps_the_connection(self):
        quick = as_sent(self.client)
        id = quick.execute_command("CLIENT", "ID")
        with self.assertRaises(ResponseError):
            quick.execute_command("GET")
        assert quick.execute_command("CLIENT ID") == id

    def test_the_error_of_a_call_in_a_pipeline_is_its_reply(self):
        key = f"{self.index.name}:sent"
        calls = [("SET", key, "v"), ("LPUSH", key, "v"), ("GET", key), ("PING",), ("DEL", key)]
        replies = pipeline_of(self.client, calls).execute(raise_on_error=False)
        assert replies[0] == b"OK" and isinstance(replies[1], ResponseError)
        assert (replies[2], replies[4]) == (b"v", 1)

    def test_a_call_that_loses_its_connection_is_sent_four_times(self):
        quick = as_sent(self.client)
        with patch.object(pipelines, "_answer", side_effect=RedisConnectionError("lost")) as sent:
            with self.assertRaisesMessage(RedisConnectionError, "lost"):
                quick.execute_command("PING")
        assert sent.call_count == 4
        assert quick.execute_command("PING") == b"PONG"

    def test_the_answer_to_an_interrupted_command_is_nobodys(self):
        key = f"{self.index.name}:interrupted"
        for attempt in (
            lambda: as_sent(self.client).execute_command("BLPOP", key, 0),
            lambda: pipeline_of(self.client, [("BLPOP", key, 0), ("PING",)]).execute(),
        ):
            connection = self.client.connection_pool.get_connection()
            self.client.connection_pool.release(connection)
            with (
                patch.object(connection, "read_response", side_effect=KeyboardInterrupt),
                self.assertRaises(KeyboardInterrupt),
            ):
                attempt()
            assert as_sent(self.client).execute_command("ECHO", "own") == b"own"

    def test_interrupted_steps_on_several_servers_give_their_connections_back(self):
        client = redis.Redis.from_pool(
            TimedPool.from_url(self.index.settings.url, max_connections=2, timeout=0.01)
        )
        self.addCleanup(client.close)

        def one(call):
            return (yield Command((call,)))

        for error in (KeyboardInterrupt, UnicodeError):
            jobs = [Job(client, one(("PING",)), "") for _ in range(2)]
            with patch.object(side_by_side, "_packed", side_effect=[[b"PING\r\n"], error]):
                with self.assertRaises(error):
                    perform_all(jobs)
            assert perform_all([Job(client, one(("ECHO", n)), "") for n in "ab"]) == [b"a", b"b"]

    def test_steps_and_operations_are_answered_abreast(self):
        def operation():
            return (yield Command((("ECHO", "a"),))) + (yield Command((("ECHO", "b"),)))

        step = Command((("ECHO", "c"),))
        for asked, expected in (
            ([operation(), step, [step, step]], [b"ab", b"c", [b"c", b"c"]]),
            ([step, step], [b"c", b"c"]),
        ):
            assert perform(self.client, abreast(*asked), "default") == expected

    def test_a_connection_that_the_server_has_closed_is_made_anew(self):
        id = self.client.client_id()
        self.redis.client_kill_filter(_id=id)
        assert as_sent(self.client).execute_command("CLIENT ID") != id


def own_connection(client):
    return redis.Redis(connection_pool=client.connection_pool, single_connection_client=True)


class PoolTests(RedisTestCase):
    def pool(self, **options):
        pool = TimedPool.from_url(self.index.settings.url, **options)
        self.addCleanup(pool.disconnect)
        return pool

    def test_an_open_connection_is_taken_again(self):
        pool = self.pool(max_connections=1)
        connection = pool.get_connection()
        pool.release(connection)
        assert pool.get_connection() is connection
        pool.release(connection)

    def test_no_free_connection_in_time_is_an_error(self):
        pool = self.pool(max_connections=1, timeout=0.01)
        connection = pool.get_connection()
        with self.assertRaisesMessage(RedisConnectionError, "No connection available"):
            pool.get_connection()
        pool.release(connection)

    def test_a_connection_that_is_to_be_made_anew_is_closed_when_it_is_given_back(self):
        pool = self.pool(max_connections=1)
        connection = pool.get_connection()
        connection.mark_for_reconnect()
        pool.release(connection)
        assert connection._sock is None

    def test_an_interrupted_check_gives_the_connection_back(self):
        pool = self.pool(max_connections=1, timeout=0.01)
        connection = pool.get_connection()
        pool.release(connection)
        with patch.object(connection, "can_read", side_effect=KeyboardInterrupt):
            with self.assertRaises(KeyboardInterrupt):
                pool.get_connection()
        pool.release(pool.get_connection())

    def test_the_metrics_of_redis_py_count_the_connections(self):
        pool = self.pool(max_connections=1)
        pool.release(pool.get_connection())
        observability = get_observability_instance().init(OTelConfig())
        try:
            connection = pool.get_connection()
            with patch.object(counting, "record_connection_count") as record:
                pool.release(connection)
        finally:
            observability.shutdown()
        counted = [call.kwargs for call in record.mock_calls]
        name = get_pool_name(pool)  # other pools may be freed at this moment
        counted = [counts for counts in counted if counts["pool_name"] == name]
        states = [(counts["connection_state"], counts["counter"]) for counts in counted]
        assert states == [(ConnectionState.USED, -1), (ConnectionState.IDLE, 1)]
