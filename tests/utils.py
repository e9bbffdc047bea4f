"""What test modules share."""

import asyncio
import sys
import threading
from contextlib import contextmanager, suppress
from functools import wraps
from itertools import cycle, takewhile
from unittest import mock
from uuid import uuid4

from django.conf import settings
from django.test import SimpleTestCase
from hypothesis import settings as hypothesis_settings
from redis import Redis
from redis.exceptions import ResponseError

from conversation_memory import indexes
from conversation_memory.layouts import LAYOUTS
from conversation_memory.redis_io import operations as commands
from conversation_memory.testing.both_ways import Awaited, both, close_connections, wait_for

from .refusing import way_to

__all__ = ["Awaited", "both", "close_connections", "wait_for"]

hypothesis_settings.register_profile("tests", deadline=None, print_blob=True, max_examples=100)
hypothesis_settings.load_profile("tests")


class RedisTestCase(SimpleTestCase):
    """Gives each test an index of its own: `self.index`, which is also `indexes["default"]`.

    `self.redis` is a plain client of the same server, for what others do to the data.
    """

    entry: dict[str, object] = {}  # further keys of settings.REDIS["default"]

    def setUp(self):
        super().setUp()
        name = f"test-{uuid4().hex}"
        address, url = self.servers_of(name)
        self.redis = Redis.from_url(url)
        self.addCleanup(self.redis.close)
        entry = {**address, "INDEX": name, **self.entry}
        self.enterContext(self.settings(REDIS={"default": entry}))
        self.index = indexes["default"]
        self.addCleanup(self.wipe)
        self.addCleanup(self.drop)

    def servers_of(self, name):
        """The address of the index for REDIS, and the URL of the server that has it."""
        return {"URL": way_to(settings.REDIS_URL)}, settings.REDIS_URL

    def drop(self):
        """Drop what RediSearch has of the index: its definitions, of which a server keeps all."""
        if self.index.settings.search:
            with suppress(ResponseError):  # a server without RediSearch
                for name in self.redis.execute_command("FT._LIST"):
                    if name.startswith(f"{{{self.index.name}}}:".encode()):
                        self.redis.execute_command("FT.DROPINDEX", name)

    def wipe(self):
        """Delete every key of the index."""
        for key in self.keys(passing=True):
            self.redis.delete(key)

    def keys(self, *, passing=False):
        """The keys of the index that exist; the answers to calls, which pass, only if wanted."""
        name = self.index.name
        found = {*self.redis.scan_iter(f"{{{name}}}:*", count=1000)}
        if not passing:
            found = {key for key in found if not key.startswith(f"{{{name}}}:call:".encode())}
        return found | {name.encode()} if self.redis.exists(name) else found

    def knows(self, command):
        """True if the server has the command."""
        return bool(self.redis.command_list(pattern=command.lower()))

    def put(self, conversation_id, document):
        """Write the bytes of a document as a stock driver does, which keeps no record."""
        self.redis.hset(self.index.shard_of(conversation_id).name, conversation_id, document)

    def stored(self, conversation_id):
        """The bytes of a document as they stand in Redis, None if there are none."""
        return self.redis.hget(self.index.shard_of(conversation_id).name, conversation_id)


@contextmanager
def alternating(index):
    """The index and its async twins in turn, without end: half the cost of both()."""
    with asyncio.Runner() as runner:
        try:
            yield cycle([index, Awaited(index, runner.run)])
        finally:
            runner.run(close_connections())


def in_loop(test):
    """Run an async test to its end, and leave no connection open."""

    @wraps(test)
    def run(self):
        wait_for(test(self))

    return run


class Ticks:
    """Waits in a thread until the event loop turns, which it never does if it waits for that."""

    def __init__(self):
        self._turned = threading.Event()

    def wait(self):
        self._turned.clear()
        assert self._turned.wait(timeout=10), "The event loop stands still."

    def run(self, function):
        """The result of `await function()`, in an event loop."""
        return asyncio.run(self._run(function))

    async def _run(self, function):
        ticking = asyncio.create_task(self._tick())
        try:
            return await function()
        finally:
            ticking.cancel()
            await asyncio.wait([ticking])
            await close_connections()

    async def _tick(self):
        while True:
            self._turned.set()
            await asyncio.sleep(0.001)


def each_layout(tests):
    """Run the tests of a mixin over every layout, in a class for each: HashLoadTests and so on.

    Its `case` is the test case that they become, if not RedisTestCase.
    """
    module, case = sys.modules[tests.__module__], getattr(tests, "case", RedisTestCase)
    for layout in LAYOUTS:
        name = f"{layout.capitalize()}{tests.__name__}"
        body = {"entry": {**tests.__dict__.get("entry", {}), "LAYOUT": layout}}
        body |= {"__module__": tests.__module__}
        setattr(module, name, type(name, (tests, case), body))
    return tests


@contextmanager
def counted():
    """A list that gets, for each round trip to Redis, the names of the commands that it sends."""
    sent, exchange = [], commands._exchange

    def counting(client, calls):
        sent.append([call[0] for call in calls])
        return exchange(client, calls)

    with mock.patch.object(commands, "_exchange", counting):
        yield sent


@contextmanager
def monitored(client):
    """A list that holds at the end what the server was sent meanwhile, by scripts too."""
    commands, mark = [], uuid4().hex

    def until_mark():
        client.echo(mark)
        sent = iter(monitor.next_command, None)
        return list(takewhile(lambda command: mark not in command["command"], sent))

    with client.monitor() as monitor:
        until_mark()
        yield commands
        commands += until_mark()
