from unittest import mock

from django.test import SimpleTestCase
from django.utils.html import conditional_escape
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_memory import Run
from conversation_memory.search.query import Query
from conversation_memory.search.snippets import best_snippet, match_spans
from conversation_memory.search_index.tokens import Words, composed

from .searching import SEARCH
from .strategies import texts
from .utils import RedisTestCase, both

WORDS = Words()

ATTACKS = [
    "x) | (@o:{*}",
    "apples) | (@c:{*}",
    "*",
    "-*",
    "word\x00",
    "\x00*",
    "word | theirs",
    "(word | theirs)",
    "-zzz",
    "-zzz | theirs",
    "~word",
    "@o:{a}",
    "@o:{a|b}",
    "@w:(theirs)",
    "@t:[-inf +inf]",
    "word=>{$weight: 5}",
    "*=>[KNN 10 @v $vector]",
    "w'ord' \\",
    "\\) | (theirs",
    "th*",
    "*eirs",
    "w'*eirs'",
    "%%theirs%%",
    "%theris%",
    "isempty(@o)",
    "-ismissing(@o)",
    "theirs)) | ((@o:{x}",
    '"theirs',
    '" | theirs | "',
    "DIALECT 1 theirs",
    "{theirs}",
    "$theirs",
    "word\ud800",
    "word\n) | (theirs",
    "word\u2028|theirs",
    "＠o：｛＊｝",
    "theirs " * 20_000,
    " ".join(f"w{number}" for number in range(10_000)),
    "(" * 5_000,
]


class ScopeTests(RedisTestCase):
    """No text, field or cursor leads out of what belongs to an owner."""

    entry = {"SEARCH": SEARCH}

    def setUp(self):
        super().setUp()
        mine, theirs = self.index.driver("mine", owner="me"), self.index.driver("theirs", owner="b")
        mine.store([Run("mine word apples", "")], {"topic": "mine"})
        theirs.store([Run("theirs word apples", "")], {"topic": "theirs"})

    def owners(self, index, text, **options):
        results = index.search(text, owner="me", limit=100, **options)
        assert results.total == len(results)
        return {hit.owner for hit in results}

    @both
    def test_attacks(self, index):
        self.setUp()
        for text in ATTACKS:
            assert self.owners(index, text) <= {"me"}, text
            assert {*index.facets("topic", text, owner="me")} <= {"mine"}
            assert sum(index.activity("day", text, owner="me").values()) <= 1
            assert "theirs" not in index.search(text, owner="me").suggestions

    @both
    def test_values_of_fields(self, index):
        self.setUp()
        for text in ATTACKS:
            assert self.owners(index, "", where={"topic": text}) == set()
            assert self.owners(index, "", where={"note": text}) <= {"me"}
            assert self.owners(index, "", conversation=text.replace("\ud800", "")) == set()

    @settings(max_examples=60)
    @given(texts, texts)
    def test_any_text(self, text, value):
        assert self.owners(self.index, text) <= {"me"}
        assert self.owners(self.index, text + " apples") <= {"me"}
        assert self.owners(self.index, "", where={"topic": value}) == set()

    @settings(max_examples=60)
    @given(st.text(alphabet="@o:{}*|()[]~-%$'\"\\ abtheirs\x00\n=><,.;", max_size=30))
    def test_any_syntax(self, text):
        assert self.owners(self.index, text) <= {"me"}

    @both
    def test_owners_that_look_like_syntax(self, index):
        for owner in ("*", "a|b", "}", "a*", "\x1f", "b\x00", " "):
            assert not index.search("apples", owner=owner)
            index.driver(f"of {owner}", owner=owner).append(Run("apples", ""))
            assert [hit.owner for hit in index.search("apples", owner=owner)] == [owner]


class TraceTests(RedisTestCase):
    """What RediSearch keeps of an owner means nothing once he is erased."""

    entry = {"SEARCH": SEARCH}

    def test_no_owner_or_id_stands_in_what_redisearch_has(self):
        # Tokens are hexadecimal, and "ada" may be a part of one.
        driver = self.index.driver("zoe@example.org/chat", owner="zoe@example.org")
        driver.append(Run("hello", ""))
        name = self.index._layout.schema.name
        for field in ("o", "c"):
            values = self.redis.execute_command("FT.TAGVALS", name, field)
            assert len(values) == 1
            assert b"zoe" not in b"".join(values)

    def test_nothing_of_an_erased_owner_is_left(self):
        self.index.driver("a", owner="ada@example.org").append(Run("hello", ""))
        self.index.erase(owner="ada@example.org")
        left = {key: self.redis.type(key) for key in self.keys()}
        assert set(left) <= {f"{{{self.index.name}}}:search".encode()}


class SnippetTests(SimpleTestCase):
    @given(texts, texts, texts)
    def test_a_snippet_is_safe_on_any_page(self, before, word, after):
        _, made = best_snippet([before, f"<b>{word}</b>{after}"], Query.parse(word, WORDS))
        assert made.text.encode()
        bare = made.html.replace("<mark>", "").replace("</mark>", "")
        assert bare == conditional_escape(made.text)
        assert made.html.count("<mark>") == made.html.count("</mark>")
        assert not set(made.text) & set("\x00\n\r\t")

    @given(texts)
    def test_the_words_are_marked(self, text):
        query = Query.parse("needle", WORDS)
        _, made = best_snippet([text + " NEEDLE ", ""], query)
        assert "<mark>NEEDLE</mark>" in made.html

    def test_it_is_as_long_as_a_line_or_two(self):
        text = "hay " * 10_000 + "Needle," + " hay" * 10_000
        _, made = best_snippet([text], Query.parse("needle", WORDS))
        assert len(made.text) < 220
        assert made.text.startswith("…hay")
        assert made.text.endswith("hay…")
        assert ("Needle", True) in made.parts

    @given(st.text("abé -’B", max_size=30), st.text('ab" *é', max_size=8) | st.just("long" * 20))
    def test_both_ways_to_find_the_words_agree(self, text, sought):
        query = Query.parse(sought, WORDS)
        text = composed(text + " " + "long" * 20)
        found = match_spans(text, query)
        with mock.patch.object(Words, "aligned", return_value=None):
            assert match_spans(text, query) == found

    def test_a_text_that_is_one_word_again_and_again(self):
        _, made = best_snippet(["a " * 50_000], Query.parse("a", WORDS))
        assert made.html.startswith("<mark>a</mark> <mark>a</mark> ")
        assert len(made.text) < 220

    def test_the_place_with_most_of_the_words_is_shown(self):
        texts = ["one " + "x " * 300, "two " + "x " * 300 + "one and two"]
        _, made = best_snippet(texts, Query.parse("one two", WORDS))
        assert made.html.endswith("<mark>one</mark> and <mark>two</mark>")
