import asyncio
import threading
import time
from functools import wraps

import pytest
import redis.asyncio
from django.conf import settings
from redis import Redis
from redis.exceptions import ResponseError

from conversation_memory.collection.listing import COUNT
from conversation_memory.collection.summaries import SUMMARIES
from conversation_memory.exceptions import ConversationConflict, RedisMisconfigured
from conversation_memory.redis_io.operations import Ahead, Command, Pause, aperform, perform, single

from .utils import RedisTestCase, Ticks, monitored


def each_way(test):
    """Call `test(self, run)` twice: `run` is perform(), then aperform() run to its end."""

    @wraps(test)
    def run(self):
        for name, way in (("sync", self.perform), ("async", self.aperform)):
            self.wipe()
            self.prepare()
            with self.subTest(name):
                test(self, way)

    return run


def answer(step):
    """The operation that is one step."""
    return (yield step)


class CommandTestCase(RedisTestCase):
    options = {}

    def setUp(self):
        super().setUp()
        self.key = self.index.name.encode()
        self.client = self.enterContext(Redis.from_url(settings.REDIS_URL, **self.options))

    def prepare(self):
        """What each of the two calls of a test finds in Redis."""

    def perform(self, operation):
        return perform(self.client, operation, "default")

    def aperform(self, operation):
        async def run():
            async with redis.asyncio.Redis.from_url(settings.REDIS_URL, **self.options) as client:
                return await aperform(client, operation, "default")

        return asyncio.run(run())

    def record(self):
        """A call of a script that every server must be sent once, and its reply."""
        keys = [self.key, *(self.key + name for name in (b":recent", b":record", b":runs"))]
        return Command(
            (SUMMARIES.call(keys, [0, 0, 1, "expires", b"42"]),), lambda reply: reply[1:]
        )

    expected = [[-1, b"none", b"none", 0, [None], None]]


class AheadTests(CommandTestCase):
    @each_way
    def test_the_answer_comes_when_it_is_asked_for(self, run):
        def operation():
            later = yield Ahead([single("ECHO", "one"), single("ECHO", "two")])
            between = yield single("ECHO", "between")
            return between, (yield later)

        assert run(operation()) == (b"between", [b"one", b"two"])

    @each_way
    def test_so_does_an_error(self, run):
        def operation():
            later = yield Ahead([single("NONSENSE")])
            yield single("ECHO", "between")
            with pytest.raises(RedisMisconfigured):
                yield later

        run(operation())

    @each_way
    def test_a_function_is_called_in_a_thread(self, run):
        def operation():
            later = yield Ahead(threading.get_ident)
            between = yield single("ECHO", "between")
            return between, (yield later) == threading.get_ident()

        assert run(operation()) == (b"between", False)

    @each_way
    def test_an_error_of_a_function_comes_when_it_is_asked_for(self, run):
        def fail():
            raise ConversationConflict("no")

        def operation():
            later = yield Ahead(fail)
            with pytest.raises(ConversationConflict):
                yield later

        run(operation())

    def test_a_function_does_not_stop_the_event_loop(self):
        ticks = Ticks()

        def operation():
            yield (yield Ahead(ticks.wait))

        ticks.run(lambda: aperform(self.client, operation(), "default"))

    @each_way
    def test_nobody_has_to_ask(self, run):
        def operation():
            yield Ahead([single("NONSENSE")])
            return (yield single("ECHO", "done"))

        assert run(operation()) == b"done"


class OperationTests(CommandTestCase):
    @each_way
    def test_returns_what_it_returns(self, run):
        def operation():
            first = yield single("ECHO", "one")
            second = yield single("ECHO", "two")
            return first, second

        assert run(operation()) == (b"one", b"two")

    @each_way
    def test_may_send_nothing(self, run):
        assert run(nothing()) == "nothing"

    @each_way
    def test_a_reply_is_decoded(self, run):
        assert run(answer(single("ECHO", "7", decode=int))) == 7

    @each_way
    def test_several_commands_are_one_pipeline(self, run):
        step = [single("ECHO", "1", decode=int), single("ECHO", "two")]
        assert run(answer(step)) == [1, b"two"]

    @each_way
    def test_several_calls_are_one_transaction(self, run):
        calls = (("HSET", self.key, "42", "{}"), ("HLEN", self.key))
        with monitored(self.redis) as commands:
            assert run(answer(Command(calls, tuple))) == (1, 1)
        sent = [command["command"].split()[0] for command in commands]
        assert sent[-4:] == ["MULTI", "HSET", "HLEN", "EXEC"]

    @each_way
    def test_transactions_and_others_go_in_one_pipeline(self, run):
        transaction = Command((("ECHO", "1"), ("ECHO", "2")), lambda replies: b"".join(replies))
        step = [single("ECHO", "0"), transaction, single("ECHO", "3")]
        assert run(answer(step)) == [b"0", b"12", b"3"]

    @each_way
    def test_a_pause_waits(self, run):
        started = time.monotonic()
        run(answer(Pause(0.05)))
        assert time.monotonic() - started >= 0.05

    def test_an_async_pause_lets_others_work(self):
        async def pauses():
            await asyncio.gather(*(aperform(None, answer(Pause(0.1)), "") for _ in range(100)))

        started = time.monotonic()
        asyncio.run(pauses())
        assert time.monotonic() - started < 5

    def test_a_command_prints_no_arguments(self):
        assert repr(single("HSET", "key", "the secret")) == "<Command ['HSET']>"


class DecodingClientTests(CommandTestCase):
    """Replies are bytes although the client of the project decodes its own."""

    options = {"decode_responses": True}

    @each_way
    def test_a_reply_stays_as_it_is(self, run):
        assert run(answer(single("ECHO", b"\xff"))) == b"\xff"

    @each_way
    def test_replies_of_a_pipeline_stay_as_they_are(self, run):
        assert run(answer([single("ECHO", b"\xff"), single("ECHO", b"1")])) == [b"\xff", b"1"]

    @each_way
    def test_replies_of_a_transaction_stay_as_they_are(self, run):
        calls = (("HSET", self.key, b"\xff", b"\xfe"), ("HGETALL", self.key))
        assert run(answer(Command(calls))) in ([1, [b"\xff", b"\xfe"]], [1, {b"\xff": b"\xfe"}])


class Resp2Tests(DecodingClientTests):
    options = {"decode_responses": True, "protocol": 2}


class ScriptTests(CommandTestCase):
    def prepare(self):
        self.redis.script_flush()

    @each_way
    def test_a_script_is_sent_to_a_server_that_does_not_know_it(self, run):
        assert run(answer(self.record())) == self.expected

    @each_way
    def test_a_script_is_sent_once(self, run):
        run(answer(self.record()))
        with monitored(self.redis) as commands:
            assert run(answer(self.record())) == self.expected
        assert not [sent for sent in commands if sent["command"].startswith("EVAL ")]

    @each_way
    def test_scripts_that_a_server_forgot_are_sent_within_an_operation(self, run):
        def operation():
            first = yield self.record()
            self.redis.script_flush()
            second = yield self.record()
            return first, second

        assert run(operation()) == (self.expected, self.expected)

    @each_way
    def test_unknown_scripts_in_a_pipeline_are_sent_and_the_others_run_once(self, run):
        increment = single("HINCRBY", self.key, "42", 1)
        count = Command((COUNT.call([self.key, self.key + b":expiry"], []),))
        step = [increment, self.record(), increment, count]
        assert run(answer(step)) == [1, [[1, b"none", b"none", 0, [None], None]], 2, 1]

    @each_way
    def test_a_whole_script_runs_in_a_transaction(self, run):
        call = COUNT.whole([self.key, self.key + b":expiry"], [])
        assert run(answer(Command((call, ("HLEN", self.key))))) == [0, 0]

    def test_a_digest_is_that_of_the_server(self):
        assert self.redis.script_load(SUMMARIES.source) in (SUMMARIES.sha, SUMMARIES.sha.encode())


class ErrorTests(CommandTestCase):
    wrong = single("NO-SUCH-COMMAND", "the secret")

    def prepare(self):
        self.redis.hset(self.key, "42", "text")

    @each_way
    def test_an_error_is_thrown_into_the_operation(self, run):
        def operation():
            try:
                yield self.wrong
            except RedisMisconfigured:
                return (yield single("ECHO", "went on"))

        assert run(operation()) == b"went on"

    @each_way
    def test_an_error_that_the_operation_does_not_catch_is_raised(self, run):
        with pytest.raises(RedisMisconfigured, match="'default'") as caught:
            run(answer(self.wrong))
        assert isinstance(caught.value.__cause__, ResponseError)

    @each_way
    def test_an_operation_may_return_after_an_error(self, run):
        def operation():
            try:
                yield self.wrong
            except RedisMisconfigured:
                return "gave up"

        assert run(operation()) == "gave up"

    @each_way
    def test_an_error_in_a_pipeline_is_raised(self, run):
        with pytest.raises(RedisMisconfigured):
            run(answer([single("ECHO", "1"), single("GET", self.key), single("ECHO", "2")]))

    @each_way
    def test_an_error_in_a_transaction_is_raised(self, run):
        with pytest.raises(RedisMisconfigured, match="another type"):
            run(answer(Command((("GET", self.key), ("HLEN", self.key)))))

    @each_way
    def test_a_transaction_with_a_call_that_was_refused_does_nothing(self, run):
        calls = (("HSET", self.key, "42", "changed"), ("NO-SUCH-COMMAND", "the secret"))
        with pytest.raises(RedisMisconfigured, match="too old"):
            run(answer(Command(calls)))
        assert self.redis.hget(self.key, "42") == b"text"

    @each_way
    def test_an_error_of_a_script_that_was_sent_is_raised(self, run):
        self.redis.set(self.key, "no hash")
        self.redis.script_flush()
        for step in (self.record(), [self.record(), single("ECHO", "1")]):
            with pytest.raises(RedisMisconfigured, match="another type"):
                run(answer(step))

    @each_way
    def test_an_error_quotes_no_argument(self, run):
        for step in (self.wrong, [self.wrong, single("ECHO", "1")]):
            with pytest.raises(RedisMisconfigured) as caught:
                run(answer(step))
            assert "secret" not in f"{caught.value} {caught.value.__cause__!r}"

    @each_way
    def test_the_connection_is_in_order_after_an_error(self, run):
        def operation():
            for step in (self.wrong, [self.wrong, self.wrong], Command(self.wrong.calls * 2)):
                with pytest.raises(RedisMisconfigured):
                    yield step
            return (yield [single("ECHO", "1"), single("ECHO", "2")])

        assert run(operation()) == [b"1", b"2"]

    @each_way
    def test_an_error_of_the_operation_itself_is_not_translated(self, run):
        def operation():
            yield single("ECHO", "1")
            raise ValueError("ours")

        with pytest.raises(ValueError, match="ours"):
            run(operation())


def nothing():
    return "nothing"
    yield
