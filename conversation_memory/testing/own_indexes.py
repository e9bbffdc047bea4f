"""Indexes of a test's own: settings.REDIS with other names, and deleting what has these names."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any
from unittest import TestCase
from uuid import uuid4

from redis.exceptions import ResponseError

from .. import conf
from ..indexes import ConversationIndex, indexes
from ..keys import decode, encode
from ..redis_io import clients, connections
from .embedded_redis import EmbeddedRedis


class IndexTestMixin(TestCase):
    """Gives each test an index of its own, `self.index`, which is deleted after the test.

    For test cases of Django: `class ChatTests(IndexTestMixin, TestCase)`. In a test, every alias of
    REDIS has an index of its own, on the same server. For EMBEDDED it is the server at REDIS_URL,
    or one that runs as long as the tests.
    """

    index: ConversationIndex

    def setUp(self) -> None:
        from django.test.utils import override_settings  # which imports all of django.test

        super().setUp()
        own = renamed(prefix := new_prefix())
        self.enterContext(override_settings(REDIS=own))
        self.enterContext(dropping(prefix))
        self.index = indexes[first(own)]


def new_prefix() -> str:
    """What the names of the indexes of one test begin with."""
    return f"test-{uuid4().hex}-"


def renamed(prefix: str) -> dict[str, Any]:
    """A value for settings.REDIS in which the names of all indexes begin with `prefix`."""
    own = {alias: _renamed(alias, prefix) for alias in conf.aliases()}
    return own or {"default": {"URL": _server(), "INDEX": f"{prefix}{conf.DEFAULT_INDEX}"}}


def first(own: dict[str, Any]) -> str:
    """The alias whose index a test gets: 'default', if there is one."""
    return "default" if "default" in own else next(iter(own))


def _renamed(alias: str, prefix: str) -> dict[str, Any]:
    known = conf.get(alias)  # raises if the entry has errors
    entry = {**conf.entries().get(alias, {"CACHE": alias}), "INDEX": f"{prefix}{known.index}"}
    # Or else indexes.open() would write into an index that is not of the test.
    entry["INDEXES"] = [f"{prefix}{pattern}" for pattern in known.indexes]
    if embedded := entry.pop("EMBEDDED", False):
        entry["URL"] = _server(embedded)
    return entry


def _server(embedded: bool | str = True) -> str:
    return os.environ.get("REDIS_URL") or _server_of(os.getpid(), embedded)


@cache
def _server_of(pid: int, embedded: bool | str) -> str:
    """The URL of a server that ends with this process; one for each that `test --parallel` forks.

    Not that of the project: a test that hangs or floods its Redis must not harm the development.
    """
    return EmbeddedRedis(program=conf.embedded_redis(embedded)[1]).url


@contextmanager
def dropping(prefix: str) -> Iterator[None]:
    """Delete at the end what begins with `prefix`, on the servers of the present settings.

    A server that this process has not used is left alone: it may not exist where tests run.
    """
    # Remembered here, as a test may change the settings and not change them back.
    used = {found.server: found for found in map(conf.get, conf.entries())}
    try:
        yield
    finally:
        for server in used.keys() & connections.contacted:
            _drop(used[server], prefix)


def _drop(settings: conf.IndexSettings, prefix: str) -> None:
    if settings.cache:
        _drop_all(clients.borrow(settings), prefix)
        return
    client = clients.own(settings)
    try:
        _drop_all(client, prefix)
    finally:
        clients.close(client)


def _drop_all(client: Any, prefix: str) -> None:
    with suppress(ResponseError):  # a server without RediSearch
        for name in client.execute_command("FT._LIST"):
            if decode(encode(name)).startswith(f"{{{prefix}"):
                client.execute_command("FT.DROPINDEX", name)
    for key in client.scan_iter(f"*{prefix}*", count=1000):
        client.delete(key)
