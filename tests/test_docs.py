import re
import subprocess
import sys
from urllib.parse import unquote

from django.test import SimpleTestCase

from .pages import PAGES, ROOT, RUN, SHOWN, Reader, blocks_of
from .utils import RedisTestCase

README = (ROOT / "README.md").read_text()
SITE = [page for page in PAGES if page.name != "README.md"]


class PageTests(RedisTestCase):
    """Each page has a test of its own: its blocks run in their order, on one index."""

    def read(self, page):
        self.addCleanup(self.wipe_all)
        Reader(self, page).read()

    def wipe_all(self):
        for key in self.redis.scan_iter(f"*{self.index.name}*", count=10_000):
            self.redis.delete(key)


def _slug(page):
    return re.sub(r"\W", "_", str(page.relative_to(ROOT).with_suffix("")))


for page in PAGES:
    setattr(PageTests, f"test_{_slug(page)}", lambda self, page=page: self.read(page))


class BlockTests(SimpleTestCase):
    def test_no_block_is_of_another_language(self):
        for page in PAGES:
            assert {block.language for block in blocks_of(page)} <= {*RUN, *SHOWN}, page


class ReadmeTests(SimpleTestCase):
    def test_it_is_a_page(self):
        assert len(README.splitlines()) <= 150

    def test_both_commands_are_marked(self):
        marked = re.findall(r"^<!-- command: (\w+) -->\n```sh\n(.*)\n```$", README, re.M)
        assert [name for name, _ in marked] == ["demo", "test"]
        for (_, command), ends in zip(marked, ("manage.py demo", "-m pytest -n auto"), strict=True):
            assert command.endswith(f" && .venv/bin/python {ends}")

    def test_the_benchmark_starts(self):
        code = """
from importlib import import_module
from tests.benchmark.__main__ import SECTIONS, configure
configure("redis://localhost")
for section in SECTIONS:
    assert import_module(f"tests.benchmark.{section}").main
"""
        subprocess.run([sys.executable, "-c", code], check=True)


class LinkTests(SimpleTestCase):
    """Links between pages lead to a page and a heading that are there."""

    def test_links(self):
        for page in PAGES:
            for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
                if re.match(r"[a-z]+:", target) or target.startswith("#"):
                    continue
                path, _, anchor = unquote(target).partition("#")
                linked = page.parent / path
                assert linked.exists(), f"{page}: {target}"
                if anchor and linked.suffix == ".md":
                    assert anchor in _anchors(linked), f"{page}: {target}"

    def test_every_page_is_in_a_table_of_contents(self):
        contents = (ROOT / "docs/index.md").read_text()
        for page in SITE:
            name = str(page.relative_to(ROOT / "docs").with_suffix(""))
            assert name == "index" or re.search(rf"^{name}$", contents, re.M), name


def _anchors(page):
    """As myst and GitHub make them of headings; and explicit ones."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    return slugs | {*re.findall(r"^\((.*)\)=$", text, re.M)}
