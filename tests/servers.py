"""Servers that a test may stop, fill and break, and what makes them fail."""

import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from redis import Redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from conversation_memory.exceptions import ConversationMemoryError

from .programs import start
from .utils import RedisTestCase

SECRET = "they told us about the diagnosis"


class ServerTestCase(RedisTestCase):
    """Has a server of its own, `self.server`, with `options` as in redis.conf."""

    options = {}
    has_search = False  # True for one with RediSearch

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = start(search=cls.has_search, options=cls.options)
        cls.addClassCleanup(cls.server.close)

    def setUp(self):
        self.enterContext(self.settings(REDIS_URL=self.server.url))
        super().setUp()

    @contextmanager
    def config(self, **parameters):
        """CONFIG SET the parameters for a while, with `_` for `-` in their names."""
        parameters = {name.replace("_", "-"): value for name, value in parameters.items()}
        before = self.redis.config_get(*parameters)
        self.redis.config_set(*[part for pair in parameters.items() for part in pair])
        try:
            yield
        finally:
            self.redis.config_set(*[part for pair in before.items() for part in pair])

    @contextmanager
    def busy_with(self, *command):
        """Another client has sent a command that takes long."""
        with Redis.from_url(self.server.url, socket_timeout=20) as client:

            def run():
                with suppress(RedisError):
                    client.execute_command(*command)

            thread = threading.Thread(target=run)
            thread.start()
            try:
                self._wait_until_busy()
                yield
            finally:
                thread.join()

    def _wait_until_busy(self):
        """Return once the server answers no more, or answers that it is busy or loading."""
        options = {"socket_timeout": 0.05, "retry": Retry(NoBackoff(), 0)}
        for _ in range(100):
            with Redis.from_url(self.server.url, **options) as client:
                try:
                    client.ping()
                except RedisError:
                    return
        raise AssertionError("The server was never busy.")

    @contextmanager
    def stopped(self):
        """The server hangs: it accepts connections and answers nothing."""
        os.kill(self.server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.server.pid, signal.SIGCONT)

    def key(self, name):
        """The key of ours that the index calls `name`."""
        return f"{{{self.index.name}}}:{name}"

    def dump(self):
        """Everything that is stored of the index."""
        return {key: self.redis.dump(key) for key in self.keys()}

    def user(self, *rules):
        """The URL of a new user of the server with ACL `rules`."""
        self.redis.acl_setuser("limited", enabled=True, reset=True, passwords=["+word"])
        self.redis.execute_command("ACL", "SETUSER", "limited", *rules)
        self.addCleanup(self.redis.acl_deluser, "limited")
        return self.server.url.replace("://", "://limited:word@")


@contextmanager
def sentinel_of(server):
    """The port of a Sentinel that watches `server` as "mymaster"."""
    port = free_port()
    config = server.data_dir / "sentinel.conf"
    config.write_text(f"port {port}\nsentinel monitor mymaster 127.0.0.1 {server.port} 1\n")
    command = [server.installation.server, config, "--sentinel"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            with Redis(port=port, retry=Retry(ConstantBackoff(0.02), 200)) as client:
                client.ping()
            yield port
        finally:
            process.terminate()


class Proxy:
    """A way to a server on which answers get lost: those to commands with `lost` in them."""

    def __init__(self, port):
        self.port = port
        self.lost = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.sockets = [self.listener]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.listener.getsockname()[1]}/0"

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.port))
                self.sockets += [client, server]
                deaf = threading.Event()
                for pipe in ((client, server, deaf, False), (server, client, deaf, True)):
                    threading.Thread(target=self._pipe, args=pipe, daemon=True).start()

    def _pipe(self, source, target, deaf, answering):
        with suppress(OSError):
            while data := source.recv(2**20):
                if not answering and self.lost and self.lost in data:
                    deaf.set()
                if not (answering and deaf.is_set()):
                    target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def hang_up(self):
        for end in self.sockets[1:]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.hang_up()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        for end in self.sockets:
            end.close()


@contextmanager
def peer(answer):
    """The port of a program that reads once, sends `answer` and hangs up."""

    def serve():
        with suppress(OSError):
            while True:
                with listener.accept()[0] as client:
                    client.recv(1000)
                    client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def fails(kind, cause, says):
    """The block raises `kind` with `says` in its sentence, chained to redis-py's `cause`."""
    with pytest.raises(ConversationMemoryError) as caught:
        yield
    error = caught.value
    assert (type(error), type(error.__cause__)) == (kind, cause), repr(error.__cause__)
    assert "Redis of alias 'default' " in str(error)
    assert says in str(error), str(error)
    assert SECRET not in f"{error} {error!r} {error.__cause__} {error.__cause__!r}"


@contextmanager
def taking_less_than(seconds):
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class LossyProxy:
    """A way to a server on which the answer to one exchange gets lost, with the connection.

    An exchange is all that a client sends before it waits. Those of a handshake do not count.
    """

    def __init__(self, port):
        self.port = port
        self.exchanges = 0
        self.lost = None  # the number of an exchange
        self.between = lambda: None  # called when the server has done it, before the client knows
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.listener.getsockname()[1]}/0"

    def lose(self, number, between=lambda: None):
        """Lose the answer to the exchange of that number from now on, None for none."""
        self.exchanges, self.lost, self.between = 0, number, between

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.port))
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client, server):
        is_asking = False
        with suppress(OSError), client, server:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                if client in ready:
                    if not (data := client.recv(2**20)):
                        return
                    if not is_asking and not _HANDSHAKE(data):
                        self.exchanges += 1
                    is_asking = True
                    server.sendall(data)
                elif not (data := server.recv(2**20)):
                    return
                elif self.lost is not None and self.exchanges > self.lost:
                    self.lost = None
                    self._swallow(server)
                    self.between()
                    return
                else:
                    is_asking = False
                    client.sendall(data)

    def _swallow(self, server):
        """Read until the server has answered everything."""
        while select.select([server], [], [], 0.02)[0] and server.recv(2**20):
            pass

    def close(self):
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


_HANDSHAKE = re.compile(rb"\*\d+\r\n\$\d+\r\n(HELLO|CLIENT|AUTH|SELECT|PING)\r\n").match
