"""The pictures of the documentation: `python -m pytest tests/screenshots.py` takes them anew."""

import random
from pathlib import Path

from django.contrib.auth import get_user_model

from conversation_memory import Run, indexes
from conversation_memory.admin.addresses import Address
from example_project.chat import seeding
from example_project.chat.samples import samples

from .browser import BrowserTestCase
from .servers import ServerTestCase

FOLDER = Path(__file__).parent.parent / "docs/images"
DAY = 24 * 60 * 60 * 1000


class Screenshots(ServerTestCase, BrowserTestCase):
    def setUp(self):
        super().setUp()
        url, days = self.server.url, 90 * 24 * 60 * 60
        support = {"URL": url, "INDEX": "support", "LAYOUT": "list", "TTL": days}
        entries = {"default": {"URL": url}, "support": support}
        self.enterContext(self.settings(REDIS=entries))
        self.root = get_user_model().objects.create_superuser("katherine")

    def store_all(self):
        chance = random.Random(7)
        owners = dict.fromkeys(seeding.USERS, 7)
        seeding.store_samples(indexes["default"], samples(), owners)
        for number in range(400):
            text = "A short question. " * chance.randint(1, 40)
            runs = [Run(text, text) for _ in range(chance.randint(1, 12))]
            indexes["support"].driver(f"ticket-{number}", owner=number % 30).store(runs)
        for index in (indexes["default"], indexes["support"]):
            order = f"{{{index.name}}}:recent"
            for id, score in self.redis.zrange(order, 0, -1, withscores=True):
                age = min(abs(chance.gauss(0, 12)), 29)
                self.redis.zadd(order, {id: score - age * DAY})

    def test_take(self):
        FOLDER.mkdir(exist_ok=True)
        indexes_page = "/admin/conversation_memory/index/"
        orbit = Address("default", "conversations", b"sample-orbit")
        conversation = f"/admin/conversation_memory/conversation/{orbit}/change/"
        view = {"viewport": {"width": 1100, "height": 860}, "color_scheme": "light"}
        self.store_all()
        page = self.open(indexes_page, user=self.root, **view)
        # The list of apps on the left is Django's own.
        page.locator("#toggle-nav-sidebar").click()
        for name, url in (("indexes", indexes_page), ("conversation", conversation)):
            self.take(page, name, url)
        katherine = self.root
        memory = indexes["default"]
        memory.driver("sample-orbit").move_to(katherine.pk)
        chat = self.open("/", user=katherine, **view)
        self.take(chat, "chat", "/c/sample-orbit/")

    def take(self, page, name, url):
        page.goto(url)
        page.wait_for_timeout(500)
        page.screenshot(path=FOLDER / f"{name}.png")
