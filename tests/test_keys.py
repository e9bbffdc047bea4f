from uuid import UUID

import pytest
from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from conversation_memory.keys import Keys, decode, encode

from .strategies import ids

KINDS = ("content", "record", "ids", "recency")
names = st.text(min_size=1).filter(lambda name: not {"{", "}"} & set(name))


class EncodingTests(SimpleTestCase):
    @given(st.binary())
    def test_any_bytes_survive_the_way_to_text_and_back(self, name):
        assert encode(decode(name)) == name

    @given(st.text())
    def test_any_text_survives_the_way_to_bytes_and_back(self, name):
        assert decode(encode(name)) == name

    @given(st.text(st.characters() | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)))
    def test_what_was_written_once_is_found_again(self, name):
        try:
            written = encode(name)
        except ValueError:
            return
        assert encode(decode(written)) == written

    def test_bytes_that_are_no_utf_8_survive_as_text(self):
        assert encode(decode(b"\xff\xfe")) == b"\xff\xfe"

    def test_a_lone_surrogate_is_refused(self):
        with pytest.raises(ValueError, match="lone surrogate cannot be written"):
            encode("\ud800")

    def test_numbers_and_uuids_are_written_as_text(self):
        assert encode(42) == b"42"
        assert encode(UUID(int=1)) == b"00000000-0000-0000-0000-000000000001"


class KeysTests(SimpleTestCase):
    def test_the_index_is_the_key_that_griptape_knows(self):
        assert Keys("conversations").index == b"conversations"
        assert Keys("conversations").content(b"42") == b"conversations"

    def test_the_keys_of_a_conversation_name_index_kind_and_id(self):
        assert Keys("conversations").record(b"42") == b"{conversations}:record:42"
        assert Keys("conversations").recency() == b"{conversations}:recent"
        assert Keys("conversations").recency(b"bob") == b"{conversations}:owner:bob"

    def test_an_index_without_a_name_is_refused(self):
        with pytest.raises(ValueError, match="'' is empty"):
            Keys("")

    def test_an_index_with_a_brace_is_refused(self):
        for name in ("a{b}c", "{a", "a}", "{}"):
            with self.subTest(name), pytest.raises(ValueError, match="has a brace in it"):
                Keys(name)

    def test_an_index_with_a_lone_surrogate_is_refused(self):
        with pytest.raises(ValueError, match="index"):
            Keys("\ud800")

    @given(names, ids.map(encode))
    def test_every_key_is_in_the_slot_of_the_index(self, name, id):
        keys = Keys(name)
        for key in (keys.content(id), keys.record(id), keys.ids(id), keys.recency(id)):
            assert key_slot(key) == key_slot(keys.index)
        assert key_slot(keys.recency()) == key_slot(keys.index)

    @given(st.lists(st.tuples(names, st.sampled_from(KINDS), ids.map(encode)), max_size=6))
    def test_two_keys_are_equal_only_if_they_mean_the_same(self, wanted):
        meanings = {
            (name, kind, b"" if kind == "content" else id): getattr(Keys(name), kind)(id)
            for name, kind, id in wanted
        }
        assert len(set(meanings.values())) == len(meanings)

    @given(names, ids.map(encode), ids.map(encode))
    def test_no_id_and_no_owner_makes_two_kinds_collide(self, name, id, owner):
        keys = Keys(name)
        kinds = [keys.index, keys.record(id), keys.ids(id), keys.recency(), keys.recency(owner)]
        assert len(set(kinds)) == 5

    @given(names, names, ids.map(encode))
    def test_no_index_is_a_key_of_another(self, name, other, id):
        keys = Keys(other)
        assert Keys(name).index not in (keys.record(id), keys.ids(id), keys.recency(id))
