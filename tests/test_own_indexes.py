"""What `conversation_memory.testing` gives the tests of a project."""

import os
import subprocess
import sys
import unittest
from configparser import ConfigParser
from contextlib import chdir
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import SimpleTestCase
from redis import Redis

from conversation_memory import Run, indexes
from conversation_memory.exceptions import InvalidIndexError
from conversation_memory.redis_io import connections
from conversation_memory.testing import IndexTestMixin
from conversation_memory.testing.own_indexes import _server_of, first, new_prefix, renamed

from .pages import ROOT
from .servers import free_port
from .utils import RedisTestCase

PLUGIN = "conversation_memory.testing.pytest_plugin"
RUN = Run("Where is my refund?", "On its way.")

# What a newcomer writes, in one file for both runners.
PROJECT_SETTINGS = """
from mysite.settings import *

INSTALLED_APPS += ["conversation_memory"]
REDIS = {"default": {"EMBEDDED": True, "INDEX": "chat", "SEARCH": True, "INDEXES": ["team-*"]}}
DATABASES["default"]["NAME"] = ":memory:"
"""
PROJECT_TESTS = """
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import SimpleTestCase, TestCase

from conversation_memory import Run, indexes, owner_of
from conversation_memory.testing import IndexTestMixin


def remember(conversation_id, text, **options):
    indexes["default"].driver(conversation_id, **options).append(Run(text, "Hello!"))


class ChatTests(IndexTestMixin, TestCase):
    def test_a_question_is_remembered(self):
        remember("1", "My name is Ada.")
        assert self.index.driver("1").tail(1)[0].input.text == "My name is Ada."

    def test_another_test_left_nothing(self):
        assert self.index.count() == 0
        remember("2", "Hello")
        assert self.index.count() == 1

    def test_users_see_only_their_own(self):
        ada, bob = map(User.objects.create_user, ["ada", "bob"])
        remember("3", "Hello", owner=owner_of(ada))
        assert not self.index.driver("3", owner=owner_of(bob)).exists()

    def test_search(self):
        remember("4", "Where is my refund?")
        assert self.index.search("refund").total == 1


class AsyncTests(IndexTestMixin, SimpleTestCase):
    async def test_append(self):
        driver = self.index.driver("5")
        await driver.aappend(Run("Hello", "Hello!"))
        assert len(await driver.atail(5)) == 1
"""
PYTEST_TESTS = """
from conversation_memory import indexes

from tests_of_chat import remember


def test_the_fixture(settings, conversation_index):
    remember("6", "Hello")
    assert conversation_index.count() == 1
    settings.REDIS = {}


def test_the_fixture_again(conversation_index, settings):
    assert conversation_index.count() == 0
    remember("7", "Hello")
    settings.REDIS = {}


def test_settings_are_as_they_were(settings):
    assert settings.REDIS["default"]["INDEX"] == "chat"
"""


def outcome_of(test):
    """Run a test of a class that is made here, as a runner does."""
    result = unittest.TestResult()
    test(result)
    assert result.wasSuccessful(), result.errors + result.failures


class OwnIndexTests(RedisTestCase):
    entry = {"INDEXES": ["team-*"], "SEARCH": True}

    def of(self, body, **settings):
        """The outcome of one test with the mixin, whose function is `body`."""
        case = type("Case", (IndexTestMixin, SimpleTestCase), {"test": body})
        with self.settings(**settings) if settings else mock.MagicMock():
            outcome_of(case("test"))

    def test_a_test_writes_into_an_index_of_its_own_and_leaves_nothing(self):
        seen = []

        def body(case):
            indexes["default"].driver("42", owner="ada").append(RUN)
            assert case.index.search("refund").total == 1
            seen.append(case.index.name)

        self.of(body)
        self.of(body)
        assert len({*seen, self.index.name}) == 3
        assert self.keys() == set()
        for name in seen:
            assert [*self.redis.scan_iter(f"*{name}*", count=10_000)] == []
            assert not [n for n in self.redis.execute_command("FT._LIST") if name.encode() in n]
        assert indexes["default"].name == self.index.name

    def test_what_a_failed_test_wrote_is_deleted_too(self):
        def body(case):
            self.seen = case.index.name
            case.index.driver("42").append(RUN)
            raise ZeroDivisionError

        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            self.of(body)
        assert [*self.redis.scan_iter(f"*{self.seen}*", count=10_000)] == []

    def test_also_if_the_test_leaves_other_settings_behind(self):
        def body(case):
            self.seen = case.index.name
            case.index.driver("42").append(RUN)
            case.enterContext(case.settings(REDIS={"default": {"URL": "redis://127.0.0.1:1"}}))

        self.of(body)
        assert [*self.redis.scan_iter(f"*{self.seen}*", count=10_000)] == []

    def test_aliases_that_share_an_index_share_that_of_the_test(self):
        entry = settings.REDIS["default"]
        redis = {"default": entry, "same": entry, "other": {**entry, "INDEX": uuid4().hex}}

        def body(case):
            names = [indexes[alias].name for alias in redis]
            assert (names[0] == names[1], names[0] == names[2]) == (True, False)

        self.of(body, REDIS=redis)

    def test_the_index_of_a_tenant_cannot_be_one_that_is_not_of_the_test(self):
        def body(case):
            with pytest.raises(InvalidIndexError):
                indexes.open("default", "team-1")
            prefix = case.index.name.removesuffix(self.index.name)
            indexes.open("default", f"{prefix}team-1").driver("42").append(RUN)
            self.seen = prefix

        self.of(body)
        assert [*self.redis.scan_iter(f"*{self.seen}*", count=10_000)] == []

    def test_a_borrowed_connection(self):
        name = settings.REDIS["default"]["INDEX"]

        def body(case):
            self.seen = case.index.name
            case.index.driver("42").append(RUN)

        for redis in ({"default": {"CACHE": "default", "INDEX": name}}, {}):
            with self.subTest(redis):
                self.of(body, REDIS=redis)
                assert self.seen.startswith("test-")
                assert [*self.redis.scan_iter(f"*{self.seen}*", count=10_000)] == []

    def test_servers_that_no_test_uses_need_not_be_there(self):
        down = {"URL": f"redis://127.0.0.1:{free_port()}"}
        cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": down["URL"]}
        redis = {"default": settings.REDIS["default"], "down": down}

        def body(case):
            case.index.driver("42").append(RUN)

        self.of(body, REDIS=redis, CACHES={"default": cache, "sessions": cache})
        self.of(lambda case: None, REDIS={"default": down})

    def test_an_index_that_only_async_code_used_is_deleted(self):
        async def body(case):
            self.seen = case.index.name
            await case.index.driver("42").aappend(RUN)

        with mock.patch.object(connections, "contacted", set()):
            self.of(body)
        assert [*self.redis.scan_iter(f"*{self.seen}*", count=10_000)] == []

    def test_an_entry_with_errors_is_named(self):
        with pytest.raises(AssertionError, match="requires one of CACHE, URL, CLUSTER"):
            self.of(lambda case: None, REDIS={"default": {}})

    def test_the_first_alias_if_none_is_the_default(self):
        with self.settings(REDIS={"support": {"URL": settings.REDIS_URL}}, CACHES={}):
            assert first(renamed("test-")) == "support"


class ServerOfTestsTests(SimpleTestCase):
    def own(self, **others):
        locmem = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
        with self.settings(CACHES={"default": locmem}, **others):
            return renamed(new_prefix())["default"]

    def test_is_that_of_the_environment_if_none_is_configured(self):
        for redis in ({"default": {"EMBEDDED": True}}, {}):
            with self.subTest(redis), mock.patch.dict(os.environ, REDIS_URL="redis://h:1/0"):
                entry = self.own(REDIS=redis)
                assert (entry["URL"], "EMBEDDED" in entry) == ("redis://h:1/0", False)

    def test_is_one_that_the_test_run_starts_and_not_that_of_the_project(self):
        with TemporaryDirectory() as folder, mock.patch.dict(os.environ):
            os.environ.pop("REDIS_URL", None)
            entry = self.own(REDIS={"default": {"EMBEDDED": True}}, BASE_DIR=folder)
            assert entry["URL"] == _server_of(os.getpid(), True)
            with Redis.from_url(entry["URL"]) as client:
                assert client.ping()
            assert os.listdir(folder) == []


class ProjectTests(SimpleTestCase):
    """A fresh project with EMBEDDED and tests of its own, run by both runners."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(cls.enterClassContext(TemporaryDirectory()))
        with chdir(cls.folder):
            call_command("startproject", "mysite", ".")
        (cls.folder / "here.py").write_text(PROJECT_SETTINGS)
        (cls.folder / "tests_of_chat.py").write_text(PROJECT_TESTS)
        (cls.folder / "tests_with_pytest.py").write_text(PYTEST_TESTS)

    def run_tests(self, *arguments):
        ours = ("REDIS", "PYTEST", "DJANGO", "DEMO")
        environment = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
        path = os.pathsep.join([str(self.folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**environment, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "here"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        assert not (self.folder / ".redis").exists()
        return done.stdout

    def test_pytest(self):
        plugin = () if entry_points(group="pytest11", name=PLUGIN) else ("-p", PLUGIN)
        options = ("-p", "no:cacheprovider", "-n", "2", "-o", "python_files=tests_*.py")
        printed = self.run_tests("-W", "error", "-m", "pytest", "-q", *plugin, *options)
        assert "8 passed" in printed

    def test_manage_py(self):
        options = ("--pattern", "tests_of_*.py", "--parallel", "2")
        printed = self.run_tests("-W", "error", "manage.py", "test", *options)
        assert "Ran 5 tests" in printed


class PluginTests(SimpleTestCase):
    def test_the_entry_point_names_the_plugin(self):
        parser = ConfigParser()
        parser.read(ROOT / "setup.cfg")
        name, _, module = parser["options.entry_points"]["pytest11"].strip().partition(" = ")
        assert (name, module) == (PLUGIN, PLUGIN)
        assert import_module(module).conversation_index

    def test_the_app_does_not_import_it(self):
        code = "import sys, conversation_memory\nprint(*sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        names = done.stdout.split()
        assert "conversation_memory.indexes" in names
        assert not {"conversation_memory.testing", "pytest", "django.test"} & {*names}
