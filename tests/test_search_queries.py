import random

from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory.search.query import MAX_WORDS, Query, Term
from conversation_memory.search_index.tokens import Words

from .strategies import texts
from .utils import RedisTestCase

WORDS = Words()


def parsed(text):
    return Query.parse(text, WORDS)


def terms(text):
    return [*parsed(text).terms]


def finds(text, stream):
    return parsed(text).matches(WORDS.stream(*([stream] if isinstance(stream, str) else stream)))


class ParsingTests(SimpleTestCase):
    def test_words(self):
        assert terms("Hello, wörld") == [Term(("hello",)), Term(("world",))]

    def test_a_phrase(self):
        assert terms('"a phrase" word') == [Term(("a", "phrase")), Term(("word",))]
        assert terms("“von Hand”") == [Term(("von", "hand"))]

    def test_a_phrase_that_does_not_end(self):
        assert terms('a "b c') == [Term(("a",)), Term(("b", "c"))]

    def test_without(self):
        assert terms('-no -"not this"') == [
            Term(("no",), is_excluded=True),
            Term(("not", "this"), is_excluded=True),
        ]

    def test_a_hyphen_inside_a_word_is_none(self):
        assert terms("state-of-the-art") == [Term(("state", "of", "the", "art"))]

    def test_a_prefix(self):
        assert terms("pre*") == [Term(("pre",), is_prefix=True)]
        assert terms("get_us*") == [Term(("get", "us"), is_prefix=True)]

    def test_one_letter_is_no_prefix(self):
        assert terms("p* 中*") == [Term(("p",)), Term(("中",))]

    def test_everything_else_is_text(self):
        assert terms("a|b @o:{x} [1 2] ~c %d% $e (f)") == [
            *(Term(("a", "b")), Term(("o", "x"))),
            *(Term((word,)) for word in "12cdef"),
        ]

    def test_no_text_is_everything_and_no_word_is_nothing(self):
        assert parsed(" \n").is_blank
        assert parsed("!!! -").is_hopeless
        assert finds("", "anything")
        assert not finds("?", "anything")

    def test_the_same_term_counts_once(self):
        assert terms("a A á") == [Term(("a",))]

    def test_too_much_text_is_cut_and_says_so(self):
        query = parsed(" ".join(f"w{number}" for number in range(10_000)))
        assert len(query.terms) == MAX_WORDS
        assert query.is_shortened
        assert parsed('"' + "w " * 10_000).is_shortened


class MatchingTests(SimpleTestCase):
    def test_all_words_in_any_order(self):
        assert finds("fox quick", "The quick brown FOX")
        assert not finds("fox slow", "The quick brown fox")

    def test_a_part_of_a_word_is_not_the_word(self):
        assert not finds("fox", "foxes")
        assert finds("fox*", "foxes")

    def test_a_phrase_stands_as_it_is(self):
        assert finds('"brown fox"', "a brown, fox")
        assert not finds('"fox brown"', "a brown fox")
        assert not finds('"one two"', ["one", "two"])

    def test_a_phrase_with_a_word_twice(self):
        assert finds("谢谢", "非常谢谢你")
        assert not finds("谢谢", "感谢你")

    def test_identifiers_and_addresses(self):
        text = "call get_user_by_id for Ada.Lovelace@example.org (550e8400-e29b-41d4)"
        for part in text.split()[1:]:
            assert finds(part, text)
        assert finds("get_us*", text)
        assert not finds("user_get", text)

    def test_without(self):
        assert finds("quick -slow", "quick fox")
        assert not finds("quick -fox", "quick fox")
        assert finds('-"quick fox"', "fox quick")


class LanguageTests(SimpleTestCase):
    @given(texts)
    def test_a_query_holds_words_and_our_own_syntax_only(self, text):
        for term in parsed(text).terms:
            rest = term.redisearch("w")
            for word in sorted(term.words, key=len, reverse=True):
                rest = rest.replace(word, "")
            assert not set(rest) - set('@w:("*) -'), rest


KEYWORDS = "a b ab abc inf nan or and not as 5 2e5 1e 哈 笑 user id é null true isempty knn 00 0x1f"


class SameAnswerTests(RedisTestCase):
    """RediSearch finds what `matches` says, or more where the query says that it is not exact."""

    def setUp(self):
        super().setUp()
        create = "ON HASH PREFIX 1 {p} STOPWORDS 0 SCHEMA w TEXT NOSTEM o TAG"
        self.name = f"{{{self.index.name}}}:test"
        prefix = f"{{{self.index.name}}}:doc:"
        self.redis.execute_command("FT.CREATE", self.name, *create.format(p=prefix).split())
        self.addCleanup(self.redis.execute_command, "FT.DROPINDEX", self.name)
        chance = random.Random(7)
        vocabulary = KEYWORDS.split()
        self.streams = {}
        for number in range(200):
            parts = [chance.choices(vocabulary, k=chance.randint(0, 8)) for _ in range(2)]
            stream = WORDS.stream(*map(" ".join, parts))
            key = f"{prefix}{number}"
            self.streams[key.encode()] = stream
            self.redis.hset(key, mapping={"w": stream, "o": "x"})

    def test_redisearch_and_matches_agree(self):
        word = st.sampled_from(KEYWORDS.split())
        phrase = st.lists(word, min_size=1, max_size=4)
        item = st.one_of(
            word,
            word.map("{}*".format),
            phrase.map(lambda words: f'"{" ".join(words)}"'),
            phrase.map(".".join),
            phrase.map(lambda words: f"{'_'.join(words)}*"),
        )
        items = st.tuples(st.sampled_from(["", "", "-"]), item).map("".join)
        queries = st.lists(items, min_size=1, max_size=3).map(" ".join)

        @given(queries)
        def agree(text):
            query = parsed(text)
            wanted = {key for key, stream in self.streams.items() if query.matches(stream)}
            found = self.found(f"@o:{{x}} {query.redisearch('w')}")
            if not query.is_exact:
                found = {key for key in found if query.matches(self.streams[key])}
            assert found == wanted

        agree()

    def found(self, query):
        call = ("FT.SEARCH", self.name, query, "NOCONTENT", "LIMIT", 0, 1000, "DIALECT", 2)
        return {row[b"id"] for row in self.redis.execute_command(*call)[b"results"]}
