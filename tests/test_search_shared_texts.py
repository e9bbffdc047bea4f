import json

from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory import Run
from conversation_memory.search.query import Query
from conversation_memory.search_index.shared_texts import MARK, restored, shared
from conversation_memory.search_index.tokens import MAX_LETTERS, Words

from . import utils
from .searching import Settled

ALPHABET = [*map(chr, range(128)), *"\xa0–—‘’“”•…→€éß中😀\u0301\ud800", "word", "\\n", "~|", " _ "]
TEXTS = st.lists(st.sampled_from(ALPHABET), max_size=12).map("".join)

WORDS = Words()


def stored(*sides, **options):
    return json.dumps(["1", *sides], **options).encode("utf-8", "surrogatepass")


class SharedTextsTests(SimpleTestCase):
    @given(TEXTS, TEXTS, st.booleans())
    def test_the_stored_text_comes_back_to_the_byte(self, one, two, ascii):
        text = stored(one, two, ensure_ascii=ascii)
        if both := shared(text, (one, two)):
            words, run = both
            assert MARK in run and restored(run, words) == text
            assert words.isascii()

    def test_what_people_write_is_kept_once(self):
        one, two = 'He said: "It’s \\o/"\n\n- snake_case\t~5 €…', ""
        words, run = shared(stored(one, two, ensure_ascii=False), (one, two))
        assert run == b'["1", "\x01", "\x01"]'
        assert b"snake~-case" in words

    def test_what_redisearch_would_read_in_another_way_is_kept_twice(self):
        for text in ("é", "中文", "\x00", "\x7f", "a" * (MAX_LETTERS + 1), "😀", "\ud800"):
            assert shared(stored(text, ""), (text, "")) is None, text

    def test_a_text_that_is_stored_in_another_way_is_kept_twice(self):
        assert shared(b'["1","a\\u002fb",""]', ("a/b", "")) is None

    def test_garbage_is_no_json(self):
        for run, words in ((b'["\x01"]', b"a _ b"), (b"\x01\x01\x01", b"a"), (b"\x01", b"")):
            assert b"\x01" in restored(run, words) or restored(run, words) == b""


class SharedWordsTests(Settled, utils.RedisTestCase):
    entry = {"SEARCH": True}

    def test_what_stands_between_two_words_changes_nothing(self):
        marks = [chr(code) for code in range(128) if not chr(code).isalnum()]
        marks += [mark for mark in ALPHABET[128:] if mark != "word"]
        self.index.driver("1").append(
            *(
                Run(f"aa{mark}Bb{mark} cc", f"{mark}dd{mark}ee", id=f"{n}")
                for n, mark in enumerate(marks)
            )
        )
        for text in (
            *("aa", "bb", "aabb", "ddee", "a*", "dd*", "aa -bb"),
            *('"aa bb"', '"aa bb cc"', '"bb dd"', '"cc dd"', '"dd ee"'),
        ):
            found, query = self.index.search(text, limit=1000), Query.parse(text, WORDS)
            runs = self.index.driver("1").load()[0]
            assert not found.scanned
            assert {hit.run_id for hit in found} == {
                run.id for run in runs if query.matches(query.stream(run))
            }, text
