import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from uuid import uuid4
from zipfile import ZipFile

from django.conf import settings
from django.test import SimpleTestCase

ROOT = Path(__file__).parent.parent
USE = """
import sys
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["conversation_memory"],
    REDIS={"default": {"URL": sys.argv[1], "INDEX": sys.argv[2]}},
)
django.setup()

from conversation_memory import Run, indexes

indexes["default"].driver("42").append(Run(input="question", output="answer"))
driver = indexes["default"].driver("42")
runs, metadata = driver.load()
driver.delete()
print(*(f"{run.input.text} {run.output.text}" for run in runs), metadata)
"""


def python(*arguments, cwd):
    # What pip and setuptools warn of is not ours.
    environment = {name: value for name, value in os.environ.items() if name[:6] != "PYTHON"}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files_of_the_package():
    found = (ROOT / "conversation_memory").rglob("*")
    return {
        path.relative_to(ROOT).as_posix()
        for path in found
        if path.is_file() and path.suffix != ".pyc"
    }


class WheelTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        source = cls.folder / "source"
        shutil.copytree(ROOT / "conversation_memory", source / "conversation_memory")
        for name in ("LICENSE", "README.md", "pyproject.toml", "setup.cfg"):
            shutil.copy(ROOT / name, source)
        python("-m", "pip", "wheel", "--no-deps", source, "-w", cls.folder, cwd=cls.folder)
        (cls.wheel,) = cls.folder.glob("*.whl")

    def test_holds_the_files_of_the_package_and_no_others(self):
        with ZipFile(self.wheel) as archive:
            names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert names == files_of_the_package()
        assert "conversation_memory/py.typed" in names

    def test_works_in_an_empty_environment(self):
        python("-m", "venv", "--without-pip", "empty", cwd=self.folder)
        empty = self.folder / "empty/bin/python"
        python("-m", "pip", "--python", empty, "install", self.wheel, cwd=self.folder)
        arguments = [empty, "-I", "-c", USE, settings.REDIS_URL, f"packaging-{uuid4()}"]
        printed = subprocess.run(arguments, cwd=self.folder, capture_output=True, text=True)
        assert printed.stdout == "question answer {}\n", printed.stderr


class RepositoryTests(SimpleTestCase):
    def test_holds_nothing_that_it_ignores(self):
        command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.stdout == ""  # in a copy without .git as well
