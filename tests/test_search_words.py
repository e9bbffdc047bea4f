import sys
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory.search_index.tokens import (
    MAX_LETTERS,
    MAX_TAG,
    Words,
    composed,
    tag,
    untag,
)

from . import utils  # noqa: F401  # loads the profile of hypothesis
from .strategies import texts

WORDS = Words()


def words(text):
    return WORDS.of(text)


class FoldingTests(SimpleTestCase):
    def test_case_and_accents_do_not_count(self):
        assert words("Héllo WÖRLD, Łódź Ærø") == ["hello", "world", "lodz", "aero"]

    def test_ascii_is_folded_as_every_text(self):
        for letter in map(chr, range(128)):
            assert [*words(f"a{letter}B"), "e"] == words(f"a{letter}B é"), letter
            assert WORDS.aligned(f"a{letter}B") + "e" == WORDS.aligned(f"a{letter}Bé"), letter

    def test_letters_that_are_written_in_several_ways_are_one(self):
        assert words("STRASSE Straße ΌΣΟΣ όσος ﬁne ｆｕｌｌ") == [
            *("strasse", "strasse", "οσοσ", "οσοσ", "fine", "full")
        ]

    def test_turkish_dots_do_not_count(self):
        assert words("İstanbul ISPARTA ısı") == ["istanbul", "isparta", "isi"]

    def test_points_of_hebrew_and_arabic_do_not_count(self):
        assert words("שָׁלוֹם مُحَمَّد") == ["שלום", "محمد"]

    def test_vowels_of_hindi_do(self):
        assert words("नमस्ते दुनिया") == ["नमस्ते", "दुनिया"]

    def test_cyrillic_io_is_e_but_short_i_is_a_letter(self):
        assert words("Ёлка Йод") == ["елка", "йод"]

    def test_digits_of_any_script_are_digits(self):
        assert words("٣٤ १२ ½ ①") == ["34", "12", "1", "2", "1"]

    def test_punctuation_parts_words(self):
        assert words("get_user_by_id, foo@bar.com; don't co-op") == [
            *("get", "user", "by", "id", "foo", "bar", "com", "don", "t", "co", "op")
        ]

    def test_what_cannot_be_seen_does_not_part_them(self):
        assert words("co\u00adop\u200dted") == ["coopted"]

    def test_surrogates_and_control_characters_part_them(self):
        assert words("a\ud800b\x00c\x1fd") == ["a", "b", "c", "d"]

    def test_each_character_is_a_word_where_there_are_no_spaces(self):
        assert words("我喜欢abc") == ["我", "喜", "欢", "abc"]
        assert words("ガード") == ["ガ", "ー", "ド"]
        assert words("สวัสดี") == ["ส", "ว", "ั", "ส", "ด", "ี"]
        assert words("서울에서") == ["서", "울", "에", "서"]

    def test_an_emoji_is_a_word(self):
        assert words("well done🎉❤️👩‍👧") == ["well", "done", "🎉", "❤", "👩", "👧"]

    def test_a_very_long_word_counts_as_its_beginning(self):
        assert words("x" * 1000) == ["x" * MAX_LETTERS]

    def test_no_phrase_reaches_from_one_text_into_the_next(self):
        assert WORDS.stream("A b.", "C d!") == "a b _ c d"


class PropertyTests(SimpleTestCase):
    @given(texts)
    def test_folding_twice_changes_nothing(self, text):
        assert words(" ".join(words(text))) == words(text)

    @given(texts)
    def test_composed_and_decomposed_text_are_the_same(self, text):
        import unicodedata

        assert words(unicodedata.normalize("NFD", text)) == words(text)

    @given(texts)
    def test_the_spans_are_those_of_the_words(self, text):
        text = composed(text)
        spans = [*WORDS.spans(text)]
        assert [word for word, _, _ in spans] == words(text)
        for word, start, end in spans:
            assert word in words(text[start:end])
        assert all(a[2] <= b[2] for a, b in zip(spans, spans[1:], strict=False))

    @given(texts | st.text("aAé ß-’\n字1"))
    def test_aligned_words_are_the_words_where_they_stand(self, text):
        text = composed(text)
        aligned = WORDS.aligned(text)
        if aligned is not None:
            assert len(aligned) == len(text)
            assert [word[:MAX_LETTERS] for word in aligned.split()] == words(text)
            assert not set(aligned) & set("\n\t")

    @given(texts)
    def test_words_are_safe_to_send(self, text):
        for word in words(text):
            assert word.encode()
            assert not set(word) & set(" _\"'\\@|-*%$~()[]{}<>=:;,.!?/&^`\t\n\x00")

    @given(st.text(alphabet="一二三四五六七八九十", min_size=9, max_size=12), st.data())
    def test_a_part_of_a_chinese_sentence_is_a_part_of_its_words(self, text, data):
        start = data.draw(st.integers(0, len(text) - 2))
        part = text[start : data.draw(st.integers(start + 1, len(text)))]
        assert f" {WORDS.stream(part)} " in f" {WORDS.stream(text)} "

    @given(st.text(st.characters(codec="utf-8"), max_size=MAX_TAG // 4))
    def test_tags_are_letters_and_come_back(self, text):
        assert untag(tag(text)) == text
        assert set(tag(text)) <= set(
            "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
        )


class LanguageTests(SimpleTestCase):
    def test_words_are_their_stems(self):
        assert Words("english").of("Trees are running") == ["tree", "are", "run"]
        assert Words("german").stream("Häuser", "Haus") == "haus _ haus"

    def test_an_unknown_language_is_named(self):
        with pytest.raises(
            ImproperlyConfigured, match="no stemmer for 'klingon'; choose from .*dutch"
        ):
            Words("klingon")

    def test_a_missing_package_is_named(self):
        from conversation_memory.search_index.tokens import stemmer

        with mock.patch.dict(sys.modules, {"snowballstemmer": None}):
            stemmer.cache_clear()
            with pytest.raises(ImproperlyConfigured, match="needs snowballstemmer: pip install"):
                Words("english")
