"""The pages of the documentation, their code blocks, and running those as a reader would.

    ```python    runs; what it defines is known to later blocks of its page. One that begins with
                 `# settings.py` is the settings of all later blocks, on the server of the tests.
    ```pycon     a session of the interpreter: what it prints is what it shows
    ```console   lines that begin with `$ ` are commands; what they print is what it shows
    ```sh        management commands, of which nothing is shown
    ```json      can be parsed; likewise toml
    ```redis     commands that a Redis takes, one on each line
    ```text, html, nginx, cron, yaml, css: not run

`...` in what is shown stands for anything. A comment `<!-- needs: celery -->` in front of a block
names modules without which it is not run. `<!-- files -->` marks a block that the tutorial's test
runs as a file, `<!-- command: test -->` a command that the gate runs.
"""

import doctest
import json
import re
import shlex
import tomllib
from contextlib import chdir, redirect_stdout, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from django.conf import settings
from django.contrib import admin
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import override_settings
from redis.exceptions import ResponseError

from conversation_memory import indexes

from .searching import settled

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("python", "pycon", "console", "sh", "json", "toml", "redis")
SHOWN = ("text", "html", "nginx", "cron", "yaml", "css")

_block = re.compile(r"((?:^<!--[^\n]*-->\n)*)^```(\w+)\n(.*?)^```$", re.M | re.S)
_apart = re.compile(r"<!-- (files|command: \w+) -->")
_needs = re.compile(r"<!-- needs: (.*) -->")
_settings = ("REDIS", "CACHES", "TASKS", "AUTH_USER_MODEL", "FILE_UPLOAD_TEMP_DIR")
_flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    needs: tuple[str, ...] = ()
    is_file: bool = False

    @property
    def can_run(self):
        return all(map(find_spec, self.needs))


def blocks_of(page):
    for comments, language, text in _block.findall(page.read_text()):
        needs = _needs.search(comments)
        names = tuple(needs[1].split(", ")) if needs else ()
        yield Block(language, text, names, bool(_apart.search(comments)))


class Reader:
    """Someone who types the blocks of one page, one after the other."""

    def __init__(self, case, page):
        self.case = case  # a test case, for its cleanups and its Redis
        self.page = page
        self.names = {}
        case.addCleanup(self.drop)

    def drop(self):
        """Drop what RediSearch has of the indexes of the page."""
        with suppress(ResponseError):  # a server without RediSearch
            for name in self.case.redis.execute_command("FT._LIST"):
                if self.case.index.name.encode() in name:
                    self.case.redis.execute_command("FT.DROPINDEX", name)

    def read(self):
        # A block may register admins of its own, which must not be those of other tests.
        self.case.enterContext(mock.patch.dict(admin.site._registry))
        with TemporaryDirectory() as folder, chdir(folder):
            for block in blocks_of(self.page):
                if block.can_run and not block.is_file and block.language in RUN:
                    getattr(self, f"run_{block.language}")(block.text)

    def run_python(self, text):
        if re.match(r"# \w*settings\.py", text):
            self.set(text)
        else:
            with redirect_stdout(StringIO()):
                exec(compile(self.here(text), str(self.page), "exec"), self.names)

    def set(self, text):
        """Take over the settings, whose servers become that of the tests."""
        written = {"INSTALLED_APPS": []}
        exec(text, written)
        found = {name: written[name] for name in _settings if name in written}
        with override_settings(**found):
            messages = run_checks(tags=["conversation_memory"])
            # The pages that borrow a cache tell of its clear() themselves.
            assert {message.id for message in messages} <= {"conversation_memory.W007"}, text
        found["REDIS"] = {
            alias: self.entry(entry) for alias, entry in found.get("REDIS", {}).items()
        } or {"default": {"URL": settings.REDIS_URL, "INDEX": self.case.index.name}}
        found.pop("CACHES", None)
        self.case.enterContext(override_settings(**found))
        for alias, entry in found["REDIS"].items():
            if entry.get("SEARCH"):  # a page tells of an index that is ready
                settled(indexes[alias].search_state)

    def entry(self, entry):
        mine = ("URL", "HOST", "PORT", "DB", "USERNAME", "PASSWORD")
        mine += ("CACHE", "EMBEDDED", "OPTIONS", "INDEX", "READ_FROM")
        mine += ("CLUSTER", "SENTINELS", "SERVICE", "SENTINEL_OPTIONS")
        others = {key: value for key, value in entry.items() if key not in mine}
        index = f"{self.case.index.name}-{entry.get('INDEX', 'conversations')}"
        return {"URL": settings.REDIS_URL, "INDEX": index, **others}

    def here(self, text):
        """`text` with the address and the index of the tests."""
        address = self.case.redis.connection_pool.connection_kwargs
        name = indexes["default"].name if "default" in settings.REDIS else "conversations"
        text = text.replace("port=6379", f"port={address['port']}")
        text = text.replace("redis://localhost:6379/0", settings.REDIS_URL)
        return text.replace('index="conversations"', f'index="{name}"')

    def run_pycon(self, text):
        test = doctest.DocTestParser().get_doctest(text, self.names, str(self.page), None, 0)
        runner = doctest.DocTestRunner(optionflags=_flags, verbose=False)
        said = StringIO()
        runner.run(test, out=said.write, clear_globs=False)
        self.names.update(test.globs)
        assert not runner.failures, said.getvalue()

    def run_console(self, text):
        for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
            command, _, shown = part.partition("\n")
            printed = self.printed(command)
            if shown.strip():
                fits = doctest.OutputChecker().check_output(shown, printed, _flags)
                assert fits, f"{command}\n--- shown\n{shown}--- printed\n{printed}"

    def run_sh(self, text):
        for command in text.splitlines():
            if "manage.py " in command:
                self.printed(command)

    def printed(self, command):
        """What a management command prints, as on a terminal; other commands are not run."""
        if "manage.py " not in command:
            return ""
        words = shlex.split(self.here(command.partition("manage.py ")[2]))
        out = StringIO()
        try:
            call_command(*words, stdout=out, stderr=out)
        except (CommandError, SystemExit) as error:
            print(f"CommandError: {error}", file=out)
        return out.getvalue()

    def run_json(self, text):
        for line in [text] if text.startswith(("{\n", "[\n")) else text.splitlines():
            json.loads(line)

    def run_toml(self, text):
        tomllib.loads(text)

    def run_redis(self, text):
        for line in text.splitlines():
            if line and not line.startswith("#"):
                self.case.redis.execute_command(*shlex.split(self.here(line)))
