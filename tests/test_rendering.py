import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from unittest import mock

from django.test import SimpleTestCase
from django.utils.html import strip_tags
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_memory import Artifact, Run
from conversation_memory.admin.transcript import answered_at, asked_at
from conversation_memory.rendering import (
    NO_MARKS,
    Budget,
    Look,
    Marks,
    label,
    markdown,
    show,
    visible,
)
from conversation_memory.rendering.serving import file_name, serve
from conversation_memory.search_index.tokens import Words

# What a tag of ours may look like: nothing that runs, loads or styles.
TAG = re.compile(
    r"</?(a|blockquote|br|code|div|em|hr|li|mark|ol|p|pre|s|strong|table|tbody|td|th|thead|tr|ul)"
    r'( (href="(https?://|mailto:)[^"]*"|class="[\w -]+"|dir="\w+"|tabindex="0"|role="group"'
    r'|aria-label="[^"]*"|start="\d+"|rel="[\w ]+"))*>',
    re.IGNORECASE,
)
ATTACKS = st.sampled_from(
    [
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "[x](<java\nscript:alert(1)>)",
        "[x](data:text/html,<script>)",
        '![x](https://evil.example/p.png "onerror=alert(1)")',
        "<img src=x onerror=alert(1)>",
        "<a href='javascript:x'>",
        "[x]: javascript:alert(1)\n[x]",
        '```"><svg onload=alert(1)>\n',
        "| a |\n|:-:|\n| <i> |",
        "&#x3c;script&#x3e;",
        "\ue0f0\ue0f1",
        "<javascript:alert(1)>",
        "\x00",
        "\u202e",
    ]
)


class TextTests(SimpleTestCase):
    def test_line_breaks_stay_in_a_block_and_show_in_a_label(self):
        assert visible("a\n\tb") == "a\n\tb"
        assert label("a\n\tb") == "a␊␉b"

    def test_controls_are_shown(self):
        assert visible("a\x00b\x1b[31m\x7f\x9b") == "a␀b␛[31m␡[U+009B]"

    def test_what_turns_the_direction_is_shown(self):
        assert visible("invoice\u202egpj.exe") == "invoice[U+202E]gpj.exe"
        assert label("\u2067a") == "[U+2067]a"
        assert visible("\u2067שלום\u2069") == "\u2067שלום\u2069"

    def test_half_characters_and_bytes_are_shown(self):
        assert visible("a\ud800") == "a\\ud800"
        assert label("caf\udce9") == label(b"caf\xe9") == "caf\\xe9"

    @given(st.text(st.characters()) | st.binary())
    def test_is_always_fit_for_a_page(self, text):
        for shown in (visible(text), label(text)):
            shown.encode()
            assert not any(letter < " " and letter not in "\n\r\t" for letter in shown)


class MarksTests(SimpleTestCase):
    def test_words_and_phrases_are_marked_escaped(self):
        html = Marks('Refund* "of <b>" -lamps').html("refunded: all of <b> lamps")
        assert html == "<mark>refunded</mark>: all <mark>of &lt;b</mark>&gt; lamps"

    def test_what_a_search_finds_is_marked_and_nothing_else(self):
        assert Marks("77").html("77 177 778") == "<mark>77</mark> 177 778"
        assert Marks("cafe STRASSE").html("Cafe\u0301, Straße") == (
            "<mark>Caf\u00e9</mark>, <mark>Straße</mark>"
        )
        assert Marks("tree", Words("english")).html("trees") == "<mark>trees</mark>"
        assert (
            Marks("a b").html("b-a, a b.") == "<mark>b</mark>-<mark>a</mark>, "
            "<mark>a</mark> <mark>b</mark>."
        )

    def test_a_run_is_looked_at_as_a_search_does(self):
        run = Run("One two", "Three")
        assert Marks('"one two" three -four').are_in(run)
        assert not Marks('"two three"').are_in(run)
        assert not Marks("one four").are_in(run)

    def test_scripts_without_spaces_are_marked_anywhere(self):
        assert Marks("退款").html("我想要退款") == "我想要<mark>退款</mark>"

    def test_stored_text_cannot_mark_itself(self):
        assert Marks("a").html("\ue0f0b\ue0f1") == "\ufffdb\ufffd"

    def test_without_words_nothing_is_found(self):
        assert not Marks("  -x !!")
        assert not NO_MARKS.found_in("x")


class MarkdownTests(SimpleTestCase):
    def render(self, text, query=""):
        return str(markdown.render(text, Marks(query), Budget()))

    def test_is_rendered(self):
        html = self.render("# Head\n\n**bold** `code`\nnext\n\n- one\n\n| a |\n|--:|\n| 1 |")
        assert '<p class="heading heading-1" dir="auto"><strong>Head</strong></p>' in html
        assert "<strong>bold</strong> <code>code</code><br>" in html
        assert "<li>one</li>" in html
        assert "<td>1</td>" in html
        assert "style=" not in html

    def test_code_says_its_language(self):
        html = self.render("```python\nprint('<b>')\n```")
        assert 'aria-label="Code in python"' in html
        assert "print('&lt;b&gt;')" in html

    def test_the_words_of_a_search_are_marked_in_text_and_in_code(self):
        html = self.render("a **refund**\n\n`refund`\n\n[refund](https://refund.example)", "refund")
        assert html.count("<mark>refund</mark>") == 3
        assert 'href="https://refund.example"' in html

    def test_only_web_and_mail_addresses_are_links(self):
        html = self.render(
            "[a](https://a.example) [b](javascript:x) [c](/admin/) [d](mailto:d@d.example)"
        )
        assert re.findall(r'href="([^"]+)"', html) == ["https://a.example", "mailto:d@d.example"]

    def test_a_picture_of_elsewhere_is_not_loaded(self):
        assert "<img" not in self.render("![spy](https://evil.example/pixel.png)")

    @settings(max_examples=200)
    @given(st.lists(ATTACKS | st.text(max_size=20), max_size=8).map("".join))
    def test_nothing_but_known_tags_comes_out(self, text):
        html = self.render(text, "alert x")
        assert "<" not in TAG.sub("", html), html

    def test_without_the_extra_it_is_text(self):
        look = Look(url=str, markdown=True)
        with mock.patch.object(markdown, "AVAILABLE", False):
            assert show(Artifact("**a**"), "output", look).kind == "text"
        assert show(Artifact("**a**"), "output", look).kind == "markdown"


def filled(part, size=20_000):
    return (part * (size // len(part) + 1))[:size]


SLOW = {
    "emphasis that never ends": filled("*a "),
    "emphasis of three kinds": filled("*a **b _c "),
    "brackets": filled("["),
    "brackets of links": filled("[a]("),
    "brackets of references": filled("[x]["),
    "labels over lines": filled("[a\n"),
    "titles over lines": "[a]: b '" + filled("x\n"),
    "backticks of rising length": "".join("a" + "`" * n for n in range(200)),
    "angle brackets": filled("<"),
    "quotes in quotes": filled("> ", 100) + "a\n" + filled("b\n"),
    "lists in quotes": filled("> - > - a\n"),
    "lists in lists": "\n".join("  " * (n % 50) + "- a" for n in range(400)),
    "rules that are lists": filled("* * * a\n"),
    "columns without rows": "|".join("a" * 2000) + "\n" + "|".join("-" * 2000) + filled("\na"),
    "rows": "|a|b|c|\n|-|-|-|\n" + filled("|a|b|c|\n"),
}


class MarkdownCostTests(SimpleTestCase):
    def cost(self, text):
        start = time.thread_time()
        markdown.render(text, NO_MARKS, Budget())
        return time.thread_time() - start

    def test_no_text_costs_much_more_than_it_may(self):
        for name, text in SLOW.items():
            with self.subTest(name):
                # Other programs can slow down one attempt.
                assert any(self.cost(text) < markdown.PER_TEXT + 0.5 for _ in range(3))

    def test_a_page_of_slow_texts_costs_no_more_than_it_may(self):
        for name in ("quotes in quotes", "rows", "brackets"):
            with self.subTest(name):
                start = time.thread_time()
                kinds = self.kinds_of([SLOW[name]] * 50, Budget(0.2))
                assert time.thread_time() - start < 0.2 + 2
                assert kinds[-1] == "text"

    def test_a_page_of_prose_is_rendered(self):
        prose = "The *quick* brown `fox` jumps over the [dog](https://dog.example).\n\n"
        assert self.kinds_of([filled(prose, 2_000)] * 50, Budget()) == ["markdown"] * 50

    def kinds_of(self, texts, budget):
        look = Look(url=str, markdown=True, budget=budget)
        return [show(Artifact(text), "output", look).kind for text in texts]

    def test_what_is_left_of_the_budget_is_for_other_texts(self):
        look = Look(url=str, markdown=True)
        with mock.patch.object(markdown, "PER_TEXT", 0.01):
            assert show(Artifact(SLOW["quotes in quotes"]), "output", look).kind == "text"
        assert 0 < look.budget.left < markdown.PER_PAGE
        assert show(Artifact("**a**"), "output", replace(look, url=repr)).kind == "markdown"

    def test_without_budget_it_is_text_with_all_there_is(self):
        shown = show(Artifact("**a**"), "output", Look(url=str, markdown=True, budget=Budget(0)))
        assert (shown.kind, shown.blocks[0].text) == ("text", "**a**")

    def test_a_table_of_too_many_cells_is_a_paragraph(self):
        html = markdown.render(SLOW["columns without rows"], NO_MARKS, Budget())
        assert html is None or "<table>" not in html


class ShowTests(SimpleTestCase):
    def show(self, artifact, **look):
        artifact = artifact if isinstance(artifact, Artifact) else Artifact.from_dict(artifact)
        return show(artifact, "output", Look(url=lambda place: f"/{place}", **look))

    def test_a_long_text_is_cut_and_says_so(self):
        shown = self.show(Artifact("x" * 30), limit=10)
        assert (shown.left, shown.url) == (20, "/output")
        assert strip_tags(shown.blocks[0].text) == "x" * 10

    def test_a_long_list_is_cut_and_says_so(self):
        shown = self.show(Artifact([Artifact("x")] * 250, type="ListArtifact"))
        assert (len(shown.items), shown.left) == (200, 50)

    def test_an_unknown_type_is_shown_by_its_fields(self):
        shown = self.show({"type": "Hologram", "id": "x", "value": {"d": 3}, "colour": "<red>"})
        assert shown.label == "Hologram"
        texts = {"value": "{\n  &quot;d&quot;: 3\n}", "colour": "&lt;red&gt;"}
        assert dict(shown.fields) == texts

    def test_json_is_folded_unless_the_search_found_something_in_it(self):
        artifact = Artifact({"a": "lamp"}, type="JsonArtifact")
        assert not self.show(artifact).is_found
        assert self.show(artifact, marks=Marks("lamp")).is_found

    def test_whatever_stands_in_a_run_is_shown(self):
        deep = value = []
        for _ in range(500):
            value.append([])
            value = value[0]
        for value in (None, 1, [], {}, deep, {"type": []}, {"type": "ListArtifact", "value": "x"}):
            for kind in (
                "TextArtifact",
                "ListArtifact",
                "ImageArtifact",
                "ActionArtifact",
                "X",
                None,
            ):
                with self.subTest(kind=kind):
                    assert self.show({"type": kind, "value": value, "format": value}).kind


class ServingTests(SimpleTestCase):
    def test_a_picture_is_served_inline_and_harmless(self):
        response = serve(Artifact(b"x", type="ImageArtifact", format="PNG"))
        assert response["Content-Type"] == "image/png"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in response["Content-Security-Policy"]

    def test_anything_else_is_a_download(self):
        for kind, format in (
            ("ImageArtifact", "svg+xml"),
            ("ImageArtifact", "png\r\nX: y"),
            ("ImageArtifact", ["png"]),
            ("AudioArtifact", "html"),
            ("BlobArtifact", "html"),
        ):
            with self.subTest(kind=kind, format=format):
                response = serve(Artifact(b"<svg/>", type=kind, name="a/b", format=format))
                assert response["Content-Type"] == "application/octet-stream"
                assert response["Content-Disposition"].startswith("attachment")

    def test_what_is_no_binary_is_not_served(self):
        assert serve(Artifact("text")) is None
        assert serve(Artifact("no base64", type="BlobArtifact")) is None
        assert serve(Artifact(None, type="BlobArtifact")) is None

    def test_file_names_are_safe(self):
        assert file_name("../../etc/passwd") == "etcpasswd"
        assert file_name("..\\..\\win.ini") == "_.._win.ini"
        assert file_name("ev\u202egpj.exe\r\nX: y\x00") == "evgpj.exeX_y"
        assert file_name("..") == file_name("") == file_name("///") == "file"
        assert len(file_name("x" * 5000)) == 100

    @given(st.text())
    def test_no_name_leaves_its_folder(self, name):
        name = file_name(name)
        assert name and not set(name) & set('/\\"\r\n\0') and not name.startswith(".")


class TimesTests(SimpleTestCase):
    NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def test_are_read_from_what_writers_note(self):
        for meta in (
            {"asked": "2026-11-24T12:00:00Z"},
            {"created_at": self.NOON.timestamp()},
            {"timestamp": self.NOON.timestamp() * 1000},
            {"time": "2026-11-24 12:00"},
        ):
            with self.subTest(meta):
                assert asked_at(Run("a", "b", meta)) == self.NOON

    def test_an_artifact_knows_better_than_its_run(self):
        output = Artifact("b", meta={"created_at": "2026-11-24T12:00:00Z"})
        run = Run("a", output, {"asked": "2026-11-23T12:00:00Z"})
        assert answered_at(run) == self.NOON
        assert asked_at(run) != self.NOON

    def test_garbage_is_no_time(self):
        for value in ("soon", "2026-99-99", 10**400, -1, 7, True, None, [], float("nan"), 1e308):
            with self.subTest(value):
                assert asked_at(Run("a", "b", {"asked": value})) is None
        assert asked_at(Run("a", "b", ["asked"])) is None
