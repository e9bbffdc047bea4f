import ast
import gettext
import re
from pathlib import Path

from django.test import SimpleTestCase, override_settings
from django.utils import translation

import conversation_memory
from conversation_memory import Run

from .admin import AdminTestCase

PACKAGE = Path(conversation_memory.__file__).parent
CATALOGUE = PACKAGE / "locale/de/LC_MESSAGES/django"
MARKS = {"_", "gettext", "gettext_lazy", "ngettext"}
PLACES = re.compile(r"%\(\w+\)s|%[sd]|%%")


def strings_of_code():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MARKS:
                for argument in node.args[: 2 if node.func.id == "ngettext" else 1]:
                    if isinstance(argument, ast.Constant):
                        yield argument.value


def strings_of_templates():
    for path in (PACKAGE / "templates").rglob("*.html"):
        yield from re.findall(r'{% translate "([^"]+)"', path.read_text())


class CatalogueTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with open(f"{CATALOGUE}.mo", "rb") as file:
            cls.catalogue = gettext.GNUTranslations(file)._catalog

    def translations(self):
        """The translations of each string; those of a plural under its singular."""
        for key, text in self.catalogue.items():
            yield (key[0] if isinstance(key, tuple) else key), text

    def test_every_string_has_its_german(self):
        known = {key for key, _ in self.translations()}
        strings = {*strings_of_code(), *strings_of_templates()}
        plurals = set(re.findall(r'^msgid_plural "(.*)"', self.source(), re.M))
        assert not strings - known - plurals
        assert len(strings) > 100

    def test_what_is_filled_in_stays(self):
        for key, text in self.translations():
            if key:
                assert sorted(PLACES.findall(key)) == sorted(PLACES.findall(text)), key

    def test_the_compiled_catalogue_is_that_of_the_source(self):
        texts = re.findall(r'^msgstr(?:\[\d\])? "(.+)"$', self.source(), re.M)
        assert sorted(text for key, text in self.translations() if key) == sorted(texts)

    def source(self):
        return Path(f"{CATALOGUE}.po").read_text()


@override_settings(LANGUAGE_CODE="de")
class GermanTests(AdminTestCase):
    def test_the_pages_are_german(self):
        self.index.driver("c1", owner="7").store([Run("Wo?", "Hier.")])
        with translation.override("de"):
            page = self.client.get(self.url("conversation_change", self.address("c1")))
            assert "Eingabe" in page.content.decode()
            assert "zuletzt geschrieben" in self.list().content.decode()
            page = self.client.get(self.url("conversation_erase", self.address()), {"owner": "7"})
            assert "1 Unterhaltung<" in page.content.decode()
