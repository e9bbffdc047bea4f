"""The reference pages name all that there is, and nothing that there is not."""

import inspect
import os
import re
from dataclasses import fields
from io import BytesIO

from django.core.management import BaseCommand, get_commands, load_command_class
from django.test import SimpleTestCase

import conversation_memory
from conversation_memory import (
    ConversationIndex,
    RedisConversationMemoryDriver,
    checks,
    conf,
    exceptions,
)
from conversation_memory.archive import open_archive
from conversation_memory.browse import Browsable
from conversation_memory.check import findings
from conversation_memory.keys import Keys
from conversation_memory.management.exit_codes import Exit
from conversation_memory.records import FIELDS

from .pages import PAGES, ROOT, blocks_of

# Of the admin, and of the index itself.
INTERNAL = {name for name in vars(Browsable) if not name.startswith("_")} | {"settings", "of"}

DOCS = ROOT / "docs"


def page(name):
    return (DOCS / f"{name}.md").read_text()


def headings(text, level):
    return re.findall(
        rf"^{'#' * level} (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M
    )


def codes(text):
    """The words in backticks."""
    return re.findall(r"`([^`]+)`", text)


class SettingsTests(SimpleTestCase):
    def test_each_key_has_a_heading(self):
        text = page("reference/settings")
        keys = {key for heading in headings(text, 3) for key in codes(heading)}
        assert keys == self.known(conf.IndexSettings)
        keys = {key for heading in headings(text, 4) for key in codes(heading)}
        assert keys == self.known(conf.SearchSettings) | self.known(conf.EncryptionSettings)

    def known(self, kind):
        return {field.name.upper() for field in fields(kind)} - {"ALIAS"}


class CommandTests(SimpleTestCase):
    text = page("reference/commands")
    commands = [name for name, app in get_commands().items() if app == "conversation_memory"]

    def section(self, name):
        return re.split(r"^## ", self.text.partition(f"\n## {name}\n")[2], flags=re.M)[0]

    def test_each_command_has_a_section(self):
        sections = {
            title
            for title in headings(self.text, 2)
            if title.endswith(("conversations", "conversation", "keys"))
        }
        assert sections == {*self.commands}

    def test_each_option_is_in_the_section_of_its_command(self):
        for name in self.commands:
            parser = load_command_class("conversation_memory", name).create_parser(
                "manage.py", name
            )
            django = BaseCommand().create_parser("manage.py", name)._option_string_actions
            options = {*parser._option_string_actions} - {*django}
            shown = {*re.findall(r"(?<![\w-])--?[a-z][a-z-]*", self.section(name))}
            for option in options:
                assert option in shown, f"{name} {option}"
            assert {*re.findall(r"`(--[a-z-]+)", self.section(name))} - {"--verbosity"} <= options

    def test_each_kind_of_problem_is_named(self):
        kinds = [value for name, value in vars(findings).items() if name.isupper()]
        for kind in kinds:
            assert f"| {kind.partition(';')[0]} |" in self.text, kind

    def test_each_exit_code_has_a_row(self):
        codes = {int(code) for code in re.findall(r"^\| (\d+) \|", self.text, re.M)}
        assert codes == {0, 2, *map(int, Exit)}


class CheckTests(SimpleTestCase):
    def test_each_id_has_a_section(self):
        ids = re.findall(r"\b[EW]0\d\d\b", inspect.getsource(checks))
        sections = sorted(headings(page("reference/checks"), 3))
        assert sorted({f"conversation_memory.{id}" for id in ids}) == sections


class ErrorTests(SimpleTestCase):
    text = page("reference/errors")

    def test_each_exception_is_named(self):
        classes = [
            name
            for name, value in vars(exceptions).items()
            if isinstance(value, type) and issubclass(value, exceptions.ConversationMemoryError)
        ]
        sections = {name for heading in headings(self.text, 3) for name in codes(heading)}
        assert {*classes} - sections == {"ConversationMemoryError", "ConversationError"}
        assert sections <= {*classes}

    def test_each_sentence_about_redis_is_a_symptom(self):
        for *_, kind, sentence in exceptions._RULES:
            rows = [row for row in self.text.splitlines() if f"`{kind.__name__}` |" in row]
            symptoms = [symptom for row in rows for symptom in codes(row.split("|")[1])]
            assert any(symptom in sentence for symptom in symptoms), sentence


class KeyTests(SimpleTestCase):
    def test_each_key_has_a_row(self):
        text, keys = page("reference/keys"), Keys("I")
        for method in (
            *(
                "content",
                "record",
                "runs",
                "ids",
                "call",
                "recency",
                "expiry",
                "open",
                "opened",
                "proofs",
                "document",
                "registry",
                "checkpoints",
                "namespaces",
                "leaving",
                "arrived",
            ),
            *("tokens", "owners", "unembedded", "stale", "search", "definition"),
        ):
            names = [*inspect.signature(getattr(keys, method)).parameters]
            values = {name: _placeholder(name) for name in names}
            key = getattr(keys, method)(**values).decode()
            assert f"\n| `{key}` |" in text, key
        assert f"\n| `{keys.recency().decode()}` |" in text
        for key in (keys.items(b"", b""), keys.times(b"", b"")):
            assert f"\n| `{key[:-3].decode()}<space>` |" in text
        assert f"\n| `{keys.chunks(b'', b'')[:-3].decode()}<reply>` |" in text

    def test_no_method_that_names_a_key_is_left_out(self):
        documented = re.compile(
            r"(Hash|List|Set|Sorted set|Stream|String|The name of a RediSearch index)[:;]"
        )
        named = [n for n, f in vars(Keys).items() if documented.match(inspect.getdoc(f) or "")]
        assert len(named) == 27

    def test_each_field_of_a_record_has_a_row(self):
        text = page("reference/keys").partition("## The record")[2].partition("## The document")[0]
        rows = {name for row in re.findall(r"^\| (`.*?) \|", text, re.M) for name in codes(row)}
        scripts = (ROOT / "conversation_memory/scripts/conversation.lua").read_text()
        opened = re.search(r"HMGET', record, (.*?)\)", scripts, re.S)[1]
        assert rows >= {*FIELDS, *re.findall(r"'(\w+)'", opened)}


def _placeholder(name):
    parameters = {"conversation_id": "<id>", "name": "<name>"}
    value = parameters.get(name, f"<{name}>")
    return value if name == "name" else value.encode()


class ArchiveTests(SimpleTestCase):
    def test_the_example_can_be_read(self):
        lines = re.search(r'```json\n(\{"format".*?)```', page("reference/archive"), re.S)[1]
        with open_archive(BytesIO(lines.encode())) as archive:
            assert [entry.id for entry in archive.entries()] == [b"42", b"broken"]


class ApiTests(SimpleTestCase):
    def test_each_method_is_named(self):
        text = page("reference/api")
        for subject in (ConversationIndex, RedisConversationMemoryDriver):
            names = {name for name in dir(subject) if not name.startswith("_")} - INTERNAL
            twins = {f"a{name}" for name in names}
            for name in names - twins:
                assert f".. automethod:: {subject.__name__}.{name}\n" in text or (
                    f".. autoproperty:: {subject.__name__}.{name}\n" in text
                ), name

    def test_each_public_name_is_there(self):
        text = page("reference/api")
        for name in {*conversation_memory.__all__} - {"indexes", "BaseConversationMemoryDriver"}:
            assert re.search(rf"(autoclass|autofunction|class):: {name}\b", text), name


class QuestionTests(SimpleTestCase):
    def test_each_question_has_a_link(self):
        questions = re.findall(r"^- (.*)$", page("questions"), re.M)
        assert len(questions) >= 40
        for question in questions:
            assert re.search(r"\? .*?\[.+\]\(.+\.md.*\)", question), question


class BlockTests(SimpleTestCase):
    def test_the_gate_skips_no_block(self):
        if "DOCS_COMPLETE" in os.environ:
            skipped = [
                f"{site_page.name} needs {', '.join(block.needs)}"
                for site_page in PAGES
                for block in blocks_of(site_page)
                if not block.can_run
            ]
            assert not skipped, "\n".join(skipped)
