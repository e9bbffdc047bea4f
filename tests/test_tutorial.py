"""The tutorial, followed by a reader: a project from an empty folder, its steps in their order."""

import os
import re
import subprocess
import sys
from contextlib import chdir
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path
from tempfile import TemporaryDirectory

from django.core.management import call_command

from .pages import ROOT, blocks_of
from .searching import Settled
from .utils import RedisTestCase

PAGE = ROOT / "docs/tutorial.md"

# EMBEDDED uses the Redis of the tests, which the environment names.
SETTINGS = """
from mysite.settings import *

REDIS["default"] |= {{"INDEX": {index!r}}}
ALLOWED_HOSTS = ["testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""

END = "-- end of a command --"

# In one process, as a start costs most of a second.
TYPE = f"""
import sys
from django.core.management import execute_from_command_line

sys.stderr = sys.stdout
for command in {{commands}}:
    execute_from_command_line(command)
    print({END!r})
"""

# What the reader does in the browser, as soon as the pages are there.
VISIT = """
import re
import django
django.setup()
from django.test import Client

from django.contrib.auth.models import User
User.objects.all().delete()

def visitor(name):
    browser = Client()
    data = {"username": name, "password1": "as-good-as-9", "password2": "as-good-as-9"}
    browser.post("/accounts/sign-up/", data)
    login = {"username": name, "password": "as-good-as-9"}
    assert browser.post("/accounts/login/", login, follow=True).redirect_chain == [("/", 302)]
    return browser

def ask(browser, path, question):
    home = browser.get("/").text
    path = path or re.search('action="(/c/[0-9a-f]{32}/)"', home)[1]
    run_id = re.search('name="run_id" value="([0-9a-f]{32})"', home)[1]
    for _ in range(2):  # a browser that sends a form twice
        page = browser.post(path, {"question": question, "run_id": run_id}, follow=True).text
    return path, page

assert Client().get("/").status_code == 302
ada, bob = visitor("ada"), visitor("bob")
path, _ = ask(ada, None, "My name is Ada.")
_, page = ask(ada, path, "What is my name?")
assert page.count("<b>You:</b>") == 2
assert "Before that you said: My name is Ada." in page
assert path in ada.get("/").text

assert "<li>" not in bob.get("/").text
assert bob.get(path).status_code == 404
assert bob.post(path, {"question": "?", "run_id": "1"}).status_code == 404
"""

# What is there at the end.
LAST = """
home = ada.get("/").text
assert path in home and "My name is Ada." in home, home
for number in range(21):
    _, page = ask(ada, path, f"Question {number}")
assert "?before=3" in page and "What is my name?" not in page
assert "What is my name?" in ada.get(path + "?before=3").text
assert ada.get(path + "?before=x").status_code == 404

found = ada.get("/search/?q=name").text
assert path in found and "<mark>name</mark>" in found and "missing" not in found
assert "Nothing was found." in bob.get("/search/?q=name").text

staff = Client()
staff.force_login(User.objects.create_superuser("katherine"))
for page in ("conversation", "index"):
    response = staff.get(f"/admin/conversation_memory/{page}/", follow=True)
    assert response.status_code == 200, page

from conversation_memory import indexes
assert indexes["default"].driver(path.split("/")[2]).record().expires
User.objects.get(username="ada").delete()
assert indexes["default"].count() == 0
"""


class TutorialTests(Settled, RedisTestCase):
    entry = {"SEARCH": True}  # as the page has it, so that its index is ready before it is used

    def test_from_an_empty_folder(self):
        self.folder = Path(self.enterContext(TemporaryDirectory()))
        with chdir(self.folder):
            call_command("startproject", "mysite", ".")
            call_command("startapp", "chat")
        put = SETTINGS.format(index=self.index.name)
        (self.folder / "reader.py").write_text(put)
        visited = False
        for block in blocks_of(PAGE):
            if block.is_file and block.language == "console":
                self.type(block.text)
            elif block.is_file:
                name = self.write(block.text)
                if name.endswith("conversation.html") and not visited:
                    self.python(VISIT)
                    visited = True
        self.python(VISIT + LAST)

    def write(self, text):
        """Write a file of the page, or append to it, as its first line says. Returns its name."""
        name, at_the_end = re.match(r"(?:{# |# )(\S+)( \(at the end\))?", text).groups()
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if at_the_end else "w") as file:
            file.write(text)
        return name

    def type(self, text):
        """Type the commands of a block, and compare what they print."""
        parts = [part.partition("\n") for part in re.split(r"^\$ python ", text, flags=re.M)[1:]]
        printed = self.python(TYPE.format(commands=[command.split() for command, _, _ in parts]))
        for (command, _, shown), said in zip(parts, printed.split(END), strict=False):
            flags = ELLIPSIS | NORMALIZE_WHITESPACE
            assert OutputChecker().check_output(shown, said, flags), f"{command}\n{said}"

    def python(self, code):
        """What `code` prints in the project."""
        path = os.pathsep.join([str(self.folder), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.folder,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "reader", "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout
