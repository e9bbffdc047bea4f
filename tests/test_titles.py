"""TITLE: the titles that conversations get with their first run."""

import json
from contextlib import contextmanager

from django.conf import settings
from django.test import SimpleTestCase
from hypothesis import given

from conversation_memory import Artifact, Run, indexes
from conversation_memory.titles import first_line

from .strategies import texts
from .utils import RedisTestCase, both, counted, each_layout


def run(input="a question", **options):
    return Run(input, "an answer", **options)


def stored_by_griptape(*inputs):
    runs = [run(text, id=f"r{number}").to_dict() for number, text in enumerate(inputs)]
    return json.dumps({"runs": runs, "metadata": {}}).encode()


def shouting(run):
    return run.input.text.upper()


def silent(run):
    return None


def failing(run):
    raise KeyError(run.input.text)


def numbering(run):
    return 42


async def waiting(run):
    return "late"


def endless(run):
    return "\ud800" + "x" * 5000


class FirstLineTests(SimpleTestCase):
    def test_is_the_first_that_is_not_blank(self):
        for text, title in (
            ("My order", "My order"),
            ("\n \t\n  My   order:\r\nlate", "My order:"),
            ("", ""),
            (" \n\u2028\n ", ""),
            ("\ud800", ""),
            ("a\udfffb", "ab"),
            ("\u202eevil\u202c \x1b[31mred\u2066", "evil [31mred"),
            ("\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
            ("👩\u200d👧", "👩\u200d👧"),
        ):
            with self.subTest(ascii(text)):
                assert first_line(run(text)) == title

    def test_is_cut_at_a_word(self):
        assert first_line(run("word " * 100)) == "word " * 15 + "word…"
        assert first_line(run("x" * 100)) == "x" * 79 + "…"
        assert first_line(run("y" * 10_000_000)) == "y" * 79 + "…"
        assert first_line(run("z" * 80)) == "z" * 80

    def test_is_that_of_the_text_among_other_artifacts(self):
        picture = Artifact(b"png", type="ImageArtifact", format="png")
        both = Artifact([picture, Artifact("What is this?")], type="ListArtifact")
        assert first_line(run(both)) == "What is this?"
        assert first_line(run(picture)) == ""

    @given(texts)
    def test_of_any_text_is_one_short_line_that_can_be_stored(self, text):
        title = first_line(run(text))
        assert len(title) <= 80 and len(title.splitlines()) <= 1
        assert title.encode().decode() == title.strip()


@each_layout
class TitleTests:
    def title(self, index, id="42"):
        return index.driver(id).record().title

    @both
    def test_comes_with_the_first_append(self, index):
        index.driver("42").append(run("first"), run("second"))
        index.driver("42").append(run("third"))
        assert self.title(index) == "first"

    @both
    def test_comes_with_the_first_store(self, index):
        index.driver("42").store([run("first"), run("second")], {})
        index.driver("42").store([run("other")], {})
        assert self.title(index) == "first"

    def test_costs_no_round_trip(self):
        def cost():
            driver = indexes["default"].driver()
            with counted() as sent:
                for _ in range(3):
                    driver.append(run())
                driver.store([run()], {})
            return len(sent)

        cost()  # a new server does not know the scripts yet
        with_title = cost()
        with self.using(None):
            assert cost() == with_title

    @both
    def test_is_never_over_one_that_was_set(self, index):
        driver = index.driver("42")
        driver.update_metadata({"topic": "lamps"})
        for title in ("Refund", ""):
            driver.set_title(title)
            driver.append(run("first"))
            driver.store([run("other")], {})
            assert self.title(index) == title

    @both
    def test_waits_for_the_first_run(self, index):
        driver = index.driver("42")
        driver.update_metadata({"topic": "lamps"})
        assert self.title(index) == ""
        driver.append(run("first"))
        assert self.title(index) == "first"

    @both
    def test_comes_with_the_first_write_to_what_griptape_wrote(self, index):
        for id, write in (
            ("1", lambda driver: driver.append(run("later"))),
            ("2", lambda driver: driver.edit(run("later", id="r1"))),
            ("3", lambda driver: driver.update_metadata({"topic": "lamps"})),
        ):
            self.put(id, stored_by_griptape("first", "second"))
            write(index.driver(id))
            assert self.title(index, id) == "first"

    @both
    def test_of_a_copy_is_made_anew(self, index):
        index.driver("42").append(run("first"))
        assert index.driver("42").fork("43").record().title == "first"

    @both
    def test_of_one_that_was_deleted_does_not_come_back(self, index):
        index.driver("42").append(run("first"))
        index.driver("42").delete()
        index.driver("42").append(run("again"))
        assert self.title(index) == "again"

    def test_is_made_by_the_callable_of_the_settings(self):
        for path, title in (
            (f"{__name__}.shouting", "FIRST"),
            (f"{__name__}.silent", ""),
            (f"{__name__}.endless", "?" + "x" * 999),
            (None, ""),
        ):
            with self.subTest(path), self.using(path) as index:
                index.driver(str(path)).append(run("first"))
                assert self.title(index, str(path)) == title

    def test_that_cannot_be_made_costs_nothing_but_a_line_in_the_log(self):
        for name, problem in (
            ("failing", "KeyError"),
            ("numbering", "TypeError"),
            ("waiting", "TypeError"),
            ("missing", "ImportError"),
        ):
            path = f"{__name__}.{name}"
            with self.subTest(name), self.using(path) as index:
                for write in ("append", "store"):
                    driver = index.driver(f"{name}-{write}")
                    with self.assertLogs("conversation_memory", "ERROR") as logs:
                        getattr(driver, write)(*[run("secret")] if write == "append" else [[run()]])
                    assert driver.record().title == "" and len(driver.tail(1)) == 1
                    assert logs.records[0].getMessage() == (
                        f"TITLE of alias 'default' ({path}) failed with {problem}: no title."
                    )
                    assert "secret" not in logs.output[0]

    @contextmanager
    def using(self, path):
        """The index with another TITLE."""
        entry = {**settings.REDIS["default"], "TITLE": path}
        with self.settings(REDIS={"default": entry}):
            yield indexes["default"]


class AnyTextTests(RedisTestCase):
    entry = {"LAYOUT": "list"}

    @given(texts)
    def test_does_not_disturb_an_append(self, text):
        driver = self.index.driver()
        assert driver.append(run(text)) == 1
        assert driver.load()[0][0].input.text == text
        assert driver.record().title == first_line(run(text))
        driver.delete()
