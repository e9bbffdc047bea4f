"""Servers of providers refuse more than Redis does."""

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from conversation_memory import Run

from .refusing import RefusingProxy
from .utils import RedisTestCase, both, each_layout


def runs(count):
    return [Run(f"question {number}", "an answer", id=str(number)) for number in range(count)]


class RefusedTestCase(RedisTestCase):
    """The index is behind a proxy that refuses all that any provider does."""

    def servers_of(self, name):
        address, url = super().servers_of(name)
        self.proxy = RefusingProxy(Redis.from_url(url).connection_pool.connection_kwargs["port"])
        self.addCleanup(self.proxy.close)
        return {"URL": self.proxy.url}, url


@each_layout
class RefusedTests:
    case = RefusedTestCase

    @both
    def test_a_conversation_is_kept_listed_and_deleted(self, index):
        driver = index.driver("c", owner="ann")
        driver.append(*runs(3))
        driver.edit(Run("other", "an answer", id="1"))
        driver.update_metadata({"a": 1})
        driver.expire(10_000)
        driver.move_to("bob")
        driver = index.driver("c", owner="bob")
        driver.begin("Why?", run_id="settled")
        driver.reply("settled").finish("So.")
        driver.begin("Why?", run_id="open")
        driver.rename("d")
        driver = index.driver("d", owner="bob")
        assert [run.run_id for run in driver.open_runs()] == ["open"]
        assert [it.id for it in driver.load()[0]] == ["0", "1", "2", "settled"]
        assert [it.conversation_id for it in index.recent(owner="bob")] == ["d"]
        assert index.count(owner="bob") == 1
        assert driver.delete()
        assert self.keys() <= {f"{{{index.name}}}:expiry".encode()}
        assert not self.proxy.refused

    @both
    def test_calls_with_very_many_arguments_are_sent_with_few(self, index):
        many = runs(4000)
        driver = index.driver("c")
        assert driver.append(*many[:2000]) == 2000
        assert driver.append(*many[1990:2000]) == 0
        driver.store(many[::-1], {})
        driver.remove("7")
        assert [it.id for it in driver.tail(8)] == list("98654321")[1:] + ["0"]
        assert not self.proxy.refused

    @both
    def test_very_many_conversations_are_named_though_one_has_expired(self, index):
        for start in range(0, 4500, 500):
            self.redis.hset(index.name, mapping={n: "{}" for n in range(start, start + 500)})
        self.redis.zadd(f"{{{index.name}}}:expiry", {"7": 1})
        assert len([*index]) == 4499
        assert not self.proxy.refused


class RefusingProxyTests(RefusedTestCase):
    def test_it_refuses_what_providers_refuse(self):
        touching = "return redis.pcall('GET', KEYS[1]) or redis.pcall('GET', ARGV[1])"
        refused = {
            ("CONFIG", "GET", "*"): "unknown command",
            ("SELECT", "1"): "unknown command",
            ("FT._LIST",): "unknown command",
            ("DEL", *map(str, range(4000))): "more than 3999 arguments",
            ("EVAL", "return 1", "0"): "without any input keys",
            ("EVAL", touching, "1", "{a}", "{a}:b"): "undeclared key {a}:b",
        }
        with Redis.from_url(self.proxy.url) as client:
            for call, why in refused.items():
                with self.subTest(why), pytest.raises(ResponseError, match=why):
                    client.execute_command(*call)
            assert client.execute_command("EVAL", touching, "2", "{a}", "{a}:b", "{a}:b") is None

    def test_it_refuses_a_script_in_a_transaction(self):
        with Redis.from_url(self.proxy.url) as client, client.pipeline() as pipeline:
            pipeline.execute_command("EVAL", "return 1", "1", "a")
            with pytest.raises(ResponseError, match="inside transaction"):
                pipeline.execute()
