"""A real browser against a live server.

Needs the package playwright, Chromium (on PATH, or its path in CHROMIUM) and, for the checks of
accessibility, axe-core (the path of its axe.min.js in AXE_CORE).
"""

import os
import shutil
from pathlib import Path
from unittest import SkipTest, mock

import pytest
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import tag

from .utils import RedisTestCase

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
AXE_CORE = os.environ.get("AXE_CORE", "")

PHONE = {"viewport": {"width": 320, "height": 640}, "is_mobile": True, "has_touch": True}
DARK = {"color_scheme": "dark"}
WITHOUT_SCRIPTS = {"java_script_enabled": False}


@pytest.mark.browser
@tag("browser")
class BrowserTestCase(RedisTestCase, StaticLiveServerTestCase):
    """`self.open()` gives a page of a fresh browser profile; its errors fail the test."""

    @classmethod
    def setUpClass(cls):
        try:
            from playwright.sync_api import sync_playwright
        except ImportError as error:
            raise SkipTest("playwright is not installed") from error
        if not CHROMIUM:
            raise SkipTest("no Chromium on PATH or in CHROMIUM")
        # Playwright runs an event loop on this thread, where Django would refuse its ORM.
        cls.enterClassContext(mock.patch.dict(os.environ, DJANGO_ALLOW_ASYNC_UNSAFE="true"))
        super().setUpClass()
        playwright = cls.enterClassContext(sync_playwright())
        cls.browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        super().setUp()
        self.complaints = []

    def tearDown(self):
        super().tearDown()
        assert not self.complaints, self.complaints

    def open(self, path="/", *, user=None, **options):
        context = self.browser.new_context(base_url=self.live_server_url, **options)
        self.addCleanup(context.close)
        context.set_default_timeout(10_000)
        if user:
            self.client.force_login(user)
            session = self.client.cookies["sessionid"].value
            cookie = {"name": "sessionid", "value": session, "url": self.live_server_url}
            context.add_cookies([cookie])
        page = context.new_page()
        page.on("console", self.note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(path)
        return page

    def note(self, message):
        # The status of a page that is meant to fail is no complaint of the page.
        if message.type in ("error", "warning") and "status of" not in message.text:
            self.complaints.append(message.text)

    def violations(self, page, *, outside=()):
        """What axe-core finds wrong with a page, in words, `outside` of what selectors choose."""
        if not AXE_CORE:
            self.skipTest("AXE_CORE does not name an axe.min.js")
        page.evaluate(Path(AXE_CORE).read_text())
        found = page.evaluate(
            "exclude => axe.run({exclude}).then(result => result.violations)",
            [[selector] for selector in outside],
        )
        return [f"{v['id']}: {node['html']}" for v in found for node in v["nodes"]]

    def is_wider_than_screen(self, page):
        return page.evaluate("document.documentElement.scrollWidth > innerWidth")
