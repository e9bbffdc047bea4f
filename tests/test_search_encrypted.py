"""Search beside ENCRYPTION: what is found, and how it is shown."""

from unittest import mock

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from conversation_memory import Run
from conversation_memory.exceptions import ConversationCorrupt
from conversation_memory.search import scan as scanning
from conversation_memory.search_index.index_state import SearchState
from conversation_memory.search_index.reasons import Reason

from .clusters import wait_until
from .encrypted_search import MOST, NOTHING, SOME, EncryptedSearchCase
from .encrypting import encryption
from .searching import SearchTests, settled
from .servers import ServerTestCase
from .sharding import ShardsTestCase
from .strategies import texts
from .test_search_facets import FacetTests
from .utils import both, each_layout

ENCRYPTED = {"ENCRYPTION": encryption("a"), "SEARCH": MOST}


class HashEncryptedTests(SearchTests, EncryptedSearchCase):
    entry = {**ENCRYPTED, "LAYOUT": "hash"}
    always = {"STORED_UNENCRYPTED": ["input", "output"]}


class ListEncryptedScanTests(SearchTests, ServerTestCase):
    """On a server without RediSearch."""

    entry = {**ENCRYPTED, "LAYOUT": "list"}
    always = {"STORED_UNENCRYPTED": ["input", "output"]}


@each_layout
class TruncatedTests:
    """What is stored of a conversation lacks its end, as no writer of ours leaves it."""

    case, entry = ServerTestCase, ENCRYPTED

    @both
    def test_a_scan_shows_nothing_of_it(self, index):
        for id in ("whole", "cut"):
            for number in range(3):
                index.driver(id).append(Run(f"word {number}", "", id=f"{number}"))
        if self.entry["LAYOUT"] == "list":
            self.redis.rpop(f"{{{index.name}}}:runs:cut")
        else:
            field = self.redis.hget(index.name, "cut")
            self.redis.hset(index.name, "cut", field.rpartition(b"~")[0])
        with pytest.raises(ConversationCorrupt):
            index.driver("cut").load()
        found = index.search("word")
        assert {hit.conversation_id for hit in found} == {"whole"}
        assert Reason("unreadable", 1) in found.reasons


class ListEncryptedFacetTests(FacetTests, EncryptedSearchCase):
    entry = {**ENCRYPTED, "LAYOUT": "list"}


@each_layout
class WithoutWordsTests:
    """Documents have digests of tags, and no words."""

    case, entry = EncryptedSearchCase, {"ENCRYPTION": encryption("a"), "SEARCH": NOTHING}

    def fill(self):
        for id, topics in (("a", "refunds"), ("b", ["refunds", "trains"]), ("c", None)):
            driver = self.index.driver(id, owner="ada")
            driver.store([Run(f"word {id}", "", id=id)], {"topic": topics})

    def found(self, index, *args, **options):
        return sorted(hit.run_id for hit in index.search(*args, **options))

    @both
    def test_tags_are_found_by_equality(self, index):
        self.fill()
        results = index.search(where={"topic": "refunds"}, owner="ada")
        assert sorted(hit.run.input.text for hit in results) == ["word a", "word b"]
        assert (results.total, results.complete, results.scanned) == (2, True, False)
        assert self.found(index, where={"topic__in": ["trains", "other"]}) == ["b"]
        assert self.found(index, where={"topic": "Refunds"}) == []

    @both
    def test_facets_have_the_values_themselves(self, index):
        self.fill()
        facets = index.facets("topic", owner="ada")
        assert [*facets.items()] == [("refunds", 2), ("trains", 1)]
        assert facets.complete

    @both
    def test_words_are_found_by_decrypting(self, index):
        self.fill()
        results = index.search("word", where={"topic": "refunds"})
        assert sorted(hit.run_id for hit in results) == ["a", "b"]
        assert (results.scanned, results.complete) == (True, True)
        assert dict(index.facets("topic", "b")) == {"refunds": 1, "trains": 1}
        with mock.patch.multiple(scanning, CONVERSATIONS=1, _BATCH=1):
            assert Reason("encrypted") in index.search("word").reasons

    @both
    def test_a_range_of_tags_is_refused(self, index):
        with self.assertRaisesMessage(ValueError, "lookups of a 'tag' field are exact, in"):
            index.search(where={"topic__gt": "r"})


class ShardedWithoutWordsTests(WithoutWordsTests, ShardsTestCase):
    """Each shard has digests of its own."""

    entry = {"ENCRYPTION": encryption("a"), "SEARCH": NOTHING}

    def setUp(self):
        super().setUp()
        settled(self.index.search_state)

    def drop(self):
        super().drop()
        for name in self.redis.execute_command("FT._LIST"):
            if self.index.name.encode() in name:
                self.redis.execute_command("FT.DROPINDEX", name)


@each_layout
class ShownTests:
    case, entry = EncryptedSearchCase, {"ENCRYPTION": encryption("a"), "SEARCH": SOME}

    @both
    def test_a_search_looks_at_the_parts_that_may_be_read(self, index):
        self.index.driver("a").append(Run("question", "answer"))
        assert [hit.snippet for hit in index.search("question")] == ["question"]
        assert not index.search("answer")
        with mock.patch.object(SearchState, "answers", False):
            assert not index.search("answer")
            assert index.search("question").scanned

    def test_the_text_of_a_hit_is_that_of_the_conversation(self):
        driver = self.index.driver("a", owner="ada")
        driver.append(Run("a lighthouse", "<b>", id="r"), Run("other", "", id="s"))
        driver.set_title("Harbours")
        for name, document in self.documents().items():
            if b"lighthouse" in document[b"w_input"]:
                self.redis.hset(name, "run", Run("a forged lighthouse", "", id="r").to_wire())
        [hit] = self.index.search("lighthouse", owner="ada")
        assert (hit.run.input.text, hit.title) == ("a lighthouse", "Harbours")
        assert hit.snippet_html == "a <mark>lighthouse</mark>"

    def test_a_hit_whose_key_is_missing_is_not_shown(self):
        self.index.driver("a").append(Run("lighthouse", "", {"topic": "refunds"}))
        with self.searched("b", search=SOME) as index:
            results = index.search("lighthouse")
            assert ([*results], results.reasons) == ([], (Reason("unreadable", 1),))
            facets = index.facets("topic")
            assert (dict(facets), facets.reasons) == ({}, (Reason("damaged", 1),))

    def test_a_missing_key_costs_no_search_document(self):
        self.index.driver("a").append(Run("lighthouse", ""))
        documents, failures = self.documents(), []
        with self.searched("b", search={**SOME, "LANGUAGE": "english"}) as index:
            assert index.reindex(failure=failures.append).failed == 1
            assert "key 'a'" in str(failures[0])
            index.check(fix=True)
        assert self.documents() == documents
        # RediSearch may still scan for its index, which it has to make anew.
        wait_until(lambda: len(self.index.search("lighthouse")) == 1)


class EmbeddingTests(EncryptedSearchCase):
    embed = {"EMBED": "tests.embedders.embed", "DIMENSIONS": 64}
    entry = {
        "ENCRYPTION": encryption("a"),
        "SEARCH": {**embed, "STORED_UNENCRYPTED": ["embeddings"]},
    }

    @both
    def test_vectors_are_of_the_decrypted_texts(self, index):
        for layout in ("hash", "list"):
            with self.keys_are("a", entry={"LAYOUT": layout}) as other:
                other.driver(layout).append(
                    Run("dogs bark", "loudly", id=f"{layout}1"), Run("cats", "", id=f"{layout}2")
                )
        assert index.embed() == 4
        results = index.search(like="loudly bark dogs", limit=2)
        assert {hit.run_id for hit in results} == {"hash1", "list1"}
        assert results[0].score > 0.99
        assert [run.id for run in index.driver("list").recall("dogs", 1)] == ["list1"]
        assert Reason("encrypted") in index.search("cats", like="dogs").reasons
        assert all({*it} == {b"c", b"t", b"v"} for it in self.documents().values())
        index.delete("hash")
        index.delete("list")


class TagTests(EncryptedSearchCase):
    """Any tags: as digests that only the keys give, and back."""

    entry = {"ENCRYPTION": encryption("a"), "SEARCH": NOTHING}

    @hypothesis_settings(max_examples=50)
    @given(st.lists(texts | st.integers() | st.booleans(), max_size=4))
    def test_each_is_found_and_shown(self, tags):
        schema = self.index._layout.schema
        plain = schema.plain_values({"topic": tags}).get("digest_topic", b"").decode()
        flat = schema.values({"topic": tags})
        values = dict(zip(flat[::2], flat[1::2], strict=True))
        assert flat == schema.values({"topic": tags})  # so that equal facets stay equal
        digests = values.get(b"digest_topic", b"").decode().split("\x1f")
        for tag, digest in zip(plain.split("\x1f"), digests, strict=True):
            if tag:
                assert [digest] == schema.sought("topic", tag)
                assert schema.opened("topic", digest, values[b"sealed_topic"]) == tag
                assert schema.opened("topic", "0" * 32, values[b"sealed_topic"]) is None

    def test_the_length_of_a_tag_is_not_seen(self):
        schema = self.index._layout.schema
        values = [schema.values({"topic": topic}) for topic in ("no", "maybe, or later")]
        assert [len(part) for part in values[0]] == [len(part) for part in values[1]]

    def test_another_key_another_index_and_another_field_have_other_digests(self):
        search = {"FIELDS": {"topic": "tag", "kind": "tag"}, "STORED_UNENCRYPTED": []}
        found = []
        for letter, name in (("a", "i"), ("b", "i"), ("a", "j")):
            with self.keys_are(letter, entry={"INDEX": name, "SEARCH": search}) as index:
                schema = index._layout.schema
                found += [*schema.sought("topic", "x"), *schema.sought("kind", "x")]
        assert len({*found}) == len(found) == 6
