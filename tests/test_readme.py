import asyncio
import re
import shlex
import subprocess
import sys
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from django.conf import settings
from django.contrib import admin
from django.core.checks import run_checks
from django.core.management import call_command
from django.test import override_settings
from redis import Redis

from conversation_memory import Run

from .utils import RedisTestCase

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.M | re.S)


def blocks(language):
    return [text for kind, text in BLOCKS if kind == language]


class PythonTests(RedisTestCase):
    def test_every_block_runs(self):
        first, *code = blocks("python")
        written = {}
        exec(first, written)
        assert "conversation_memory" in written["INSTALLED_APPS"]
        with override_settings(REDIS=written["REDIS"]):
            assert not run_checks(tags=["conversation_memory"])
        names = {}
        # A block registers admins of its own, which must not be those of other tests.
        with redirect_stdout(StringIO()), mock.patch.dict(admin.site._registry):
            for block in code:
                exec(self.for_this_server(block), names)
        assert asyncio.run(names["answer"]("Who am I?")).startswith("You asked")

    def for_this_server(self, block):
        address = Redis.from_url(settings.REDIS_URL).connection_pool.connection_kwargs
        return block.replace("port=6379", f"port={address['port']}").replace(
            'index="conversations"', f'index="{self.index.name}"'
        )

    def test_no_block_is_of_another_language(self):
        assert {kind for kind, _ in BLOCKS} <= {"python", "sh", "console"}


class ShellTests(RedisTestCase):
    """The gate runs the test command as it stands; the demo has tests of its own."""

    entry = {"SEARCH": True}

    def test_every_management_command_runs(self):
        lines = [line for text in blocks("sh") for line in text.splitlines()]
        commands = [line.partition(" python manage.py ")[2] or line for line in lines]
        commands = [line.removeprefix("python manage.py ") for line in commands]
        ours = [shlex.split(line) for line in commands if "python3 -m venv" not in line]
        assert len(ours) == 13
        self.index.driver("42").append(Run("a question", "an answer"))
        with TemporaryDirectory() as folder, chdir(folder):
            for name, *arguments in ours:
                call_command(name, *arguments, stdout=StringIO(), stderr=StringIO())

    def test_the_benchmark_starts(self):
        code = """
from importlib import import_module
from tests.benchmark.__main__ import SECTIONS, configure
configure("redis://localhost")
for section in SECTIONS:
    assert import_module(f"tests.benchmark.{section}").main
"""
        assert "`python -m tests.benchmark`" in README
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_both_commands_are_marked(self):
        marked = re.findall(r"^<!-- command: (\w+) -->\n```sh\n(.*)\n```$", README, re.M)
        assert [name for name, _ in marked] == ["demo", "test"]
        for (_, command), ends in zip(marked, ("manage.py demo", "-m pytest -n auto"), strict=True):
            assert command.endswith(f" && .venv/bin/python {ends}")
