import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing, contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

from .commands import obeying_ctrl_c

ROOT = Path(__file__).resolve().parent.parent


class Browser:
    """What a browser does without scripts: cookies, forms, redirects."""

    def __init__(self, address):
        self.address = address
        self.opener = build_opener(HTTPCookieProcessor(CookieJar()))

    def get(self, path):
        with self.opener.open(self.address + path, timeout=30) as response:
            return response.read().decode()

    def post(self, path, page, **data):
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
        body = urlencode({**dict(hidden), **data}).encode()
        with self.opener.open(self.address + path, body, timeout=30) as response:
            return response.read().decode()

    def sign_in(self, name, password):
        return self.post("login/", self.get("login/"), username=name, password=password)


class DemoTests(TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(TemporaryDirectory()))

    def start(self, *arguments, command="demo"):
        # As a user would start it: with its own settings and a Redis of its own.
        kept = {"DJANGO_SETTINGS_MODULE", "REDIS_URL", "CHAT_RESPONDER"}
        environ = {name: value for name, value in os.environ.items() if name not in kept}
        with obeying_ctrl_c():
            return subprocess.Popen(
                [sys.executable, "manage.py", command, *arguments],
                cwd=ROOT,
                env={**environ, "DEMO_DIR": str(self.folder / "data"), "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )

    @contextmanager
    def demo(self, end=signal.SIGINT):
        """The address of a running demo, and what it printed so far."""
        process = self.start("--port", "0")
        try:
            printed = ""
            for line in process.stdout:
                printed += line
                if "Ctrl-C" in line:
                    break
            address = re.search(r"http://localhost:\d+/", printed)
            assert address, printed
            yield address[0], printed
            process.send_signal(end)
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 0, output
            assert "Traceback" not in output, output
        finally:
            process.kill()
            process.communicate()

    def test_shows_and_remembers(self):
        with self.demo() as (address, printed):
            assert "Stored 37 sample conversations." in printed
            browser = Browser(address)
            assert "Three days in Lisbon" in browser.sign_in("ada", "lovelace")
            found = browser.get("search/?q=tulips")
            assert "found" in found and "may be missing" not in found
            path = "c/sample-lisbon/"
            page = browser.post(path, browser.get(path), text="Remember that I like figs")
            stream = browser.get(re.search(r'src="/(c/[^"]+/stream/)"', page)[1])
            assert "event: text" in stream and "event: finished" in stream
            browser.post("c/sample-thai/delete/", browser.get("c/sample-thai/delete/"))
            assert (
                "text/css"
                in browser.opener.open(address + "static/chat/chat.css").headers["Content-Type"]
            )
        with self.demo(end=signal.SIGTERM) as (address, printed):
            assert "Stored" not in printed
            browser = Browser(address)
            page = browser.sign_in("ada", "lovelace")
            assert "22 conversations" in page
            assert "Remember that I like figs" in browser.get(path)
            staff = Browser(address)
            staff.sign_in("katherine", "johnson")
            assert "Site administration" in staff.get("admin/")
        with self.assertRaises(URLError):
            browser.get("")

    def run_meanwhile(self, *arguments, command):
        process = self.start(*arguments, command=command)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def test_commands_find_its_redis_and_a_second_demo_says_that_it_runs(self):
        with self.demo() as (address, printed):
            assert re.search(r"Its Redis is at redis://127\.0\.0\.1:\d+/0\.", printed)
            status, output = self.run_meanwhile("--owner", "1", command="listconversations")
            assert status == 0 and "Three days in Lisbon" in output, output
            for port in (re.search(r":(\d+)/", address)[1], "0"):
                status, output = self.run_meanwhile("--port", port, command="demo")
                assert (status, output.strip()) == (
                    1,
                    f"CommandError: The demo is running in this folder already: {address}",
                )
        assert not (self.folder / "data" / "running.json").exists()

    def test_a_port_that_is_taken(self):
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            port = taken.getsockname()[1]
            process = self.start("--port", str(port))
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert output.strip() == (
            f"CommandError: Port {port} of 127.0.0.1 cannot be used: Address already in use. "
            f"Try another one: manage.py demo --port {port + 1}"
        )
        assert not (self.folder / "data").exists()
