"""A user's project sees the true types of the app, with nothing but the type checker installed."""

import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from unittest import skipUnless

from django.test import SimpleTestCase

from conversation_memory import ConversationIndex, RedisConversationMemoryDriver, Run
from conversation_memory.records import ConversationState, Record
from conversation_memory.search.results import Hit, SearchResults

USE = """
from conversation_memory import Run, indexes, owner_of
from conversation_memory.testing import IndexTestMixin

index = indexes["default"]


def answer(question: str, user: object) -> str:
    driver = index.driver("42", owner=owner_of(user), ttl=3600)
    added: int = driver.append(Run(input=question, output="answer"))
    revision: str = driver.store(driver.window(max_runs=10), {}, revision=driver.read().revision)
    titles: list[str] = [record.title for record in index.recent(owner=7)]
    first: str = index.recent()[0].title + index.search("refund")[0].conversation_id
    return f"{added} {revision} {titles} {first} {driver.page()[0].input.text}"


async def aanswer(question: str) -> list[Run]:
    driver = index.driver("42")
    await driver.aappend(Run(input=question, output="answer"))
    runs, _ = await driver.aload()
    return [*runs, *await driver.arecall(question), *[hit.run for hit in await index.asearch("x")]]


class ChatTests(IndexTestMixin):
    def test_the_answer(self) -> None:
        runs: list[Run] = self.index.driver("42").tail(1)
        self.assertEqual(runs, [])
"""
MISUSE = """
from conversation_memory import Run, indexes

index = indexes["default"]
driver = index.driver("42")
driver.append("text")
driver.store([], revison="1")
driver.edit(Run(input="q", output="a"), 1)
index.search("refund", ownr=7)
index.search("refund", limit="20")
number: int = driver.store([])
"""

# Their types are those of redis-py, of the wire format, and of Django.
ANYTHING = {"client", "value", "snippet_html"}
CLASSES = [
    ConversationIndex,
    RedisConversationMemoryDriver,
    Run,
    Record,
    ConversationState,
    SearchResults,
    Hit,
]


def revealing():
    """A module that asks for the types of all public methods and properties."""
    lines = [f"from {kind.__module__} import {kind.__name__}" for kind in CLASSES]
    for kind in CLASSES:
        names = [name for name in dir(kind) if name[0] != "_" and name not in ANYTHING]
        one = kind.__name__.lower()
        lines += [f"def of_{one}(it: {kind.__name__}) -> None:", "    pass"]
        lines += [f"    reveal_type(it.{name})" for name in names]
    return "\n".join([*lines, ""])


class Checking:
    """A project in whose environment are Django, redis-py and the app, and no stubs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        command = [sys.executable, "-m", "venv", "--without-pip", cls.folder / "venv"]
        subprocess.run(command, check=True)
        (packages,) = (cls.folder / "venv").glob("lib/python*/site-packages")
        for name in ("asgiref", "conversation_memory", "django", "django_redis", "redis"):
            found = Path(find_spec(name).origin).parent
            (packages / name).symlink_to(found)

    def run_module(self, name, *options):
        # Without PYTHONPATH, in which may be stubs.
        environment = {name: value for name, value in os.environ.items() if name[:6] != "PYTHON"}
        command = [sys.executable, "-m", name, *options]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode in (0, 1), done.stderr or done.stdout
        return done.stdout

    def errors(self, text):
        """The numbers of the lines with an error."""
        return [line for line, _ in self.messages(text, "error")]

    def test_takes_what_is_right(self):
        assert self.errors(USE) == []

    def test_finds_what_is_wrong(self):
        assert self.errors(MISUSE) == [6, 7, 8, 9, 10, 11]

    def test_knows_the_type_of_every_public_name(self):
        text = revealing()
        lines, found = text.splitlines(), self.messages(text, self.revealed)
        assert len(found) == text.count("reveal_type")
        unknown = re.compile(r'(-> |is "|Any, Any, )(Any|Unknown)\b')
        assert [lines[line - 1] for line, type in found if unknown.search(type)] == []


@skipUnless(find_spec("mypy"), "mypy is not installed")
class MypyTests(Checking, SimpleTestCase):
    revealed = "note"

    def messages(self, text, severity):
        (self.folder / "use.py").write_text(text)
        python = self.folder / "venv/bin/python"
        options = ["--strict", "--config-file=", "--no-error-summary", "--output=json"]
        printed = self.run_module("mypy", *options, "--python-executable", python, "use.py")
        found = map(json.loads, printed.splitlines())
        return [(one["line"], one["message"]) for one in found if one["severity"] == severity]


@skipUnless(find_spec("basedpyright"), "basedpyright is not installed")
class PyrightTests(Checking, SimpleTestCase):
    revealed = "information"

    def messages(self, text, severity):
        (self.folder / "use.py").write_text(text)
        settings = {"typeCheckingMode": "strict", "include": ["use.py"]}
        (self.folder / "pyrightconfig.json").write_text(json.dumps(settings))
        python = self.folder / "venv/bin/python"
        printed = self.run_module("basedpyright", "--pythonpath", python, "--outputjson")
        found = json.loads(printed)["generalDiagnostics"]
        return [
            (one["range"]["start"]["line"] + 1, one["message"])
            for one in found
            if one["severity"] == severity
        ]
