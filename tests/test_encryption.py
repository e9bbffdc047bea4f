"""Keys and sealed values, without Redis."""

import os
import random
import sys
from base64 import b64encode, urlsafe_b64encode
from unittest import mock

from django.core.checks import run_checks
from django.test import SimpleTestCase, override_settings
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory import checks, conf
from conversation_memory.encryption import base64url
from conversation_memory.encryption.keyring import Keyring, cipher_class
from conversation_memory.encryption.sealing import (
    CHUNK,
    DOCUMENT,
    RUN,
    TAG,
    TITLE,
    Sealing,
    is_sealed,
)
from conversation_memory.exceptions import InvalidIndexError, PackageMissing, Undecryptable

from .encrypting import encryption, key


def settings_of(given):
    entry = {"URL": "redis://localhost", "ENCRYPTION": given}
    with override_settings(REDIS={"default": entry}):
        return conf.get("default").encryption


def sealing(*letters, index=b"i", **others):
    given = encryption(*letters, **others)
    found = settings_of(given)
    return Sealing(Keyring(found, "default"), index, read_plaintext=found.read_plaintext)


def faults(given):
    entry = {"URL": "redis://localhost", "ENCRYPTION": given}
    return " ".join(conf.find_faults("default", entry))


class SealedValueTests(SimpleTestCase):
    @given(st.binary(), st.binary(), st.binary())
    def test_opens_what_it_has_sealed(self, text, id, run_id):
        for algorithm in ("AES-256-GCM-SIV", "AES-256-GCM"):
            one = sealing("a", ALGORITHM=algorithm)
            sealed = one.seal(RUN, id, text, run_id)
            assert one.open(RUN, id, sealed, run_id) == text
            assert text == b"" or sealed.startswith(b"cm1.a.")

    def test_the_same_text_is_sealed_differently_each_time(self):
        assert sealing("a").seal(RUN, b"c", b"text") != sealing("a").seal(RUN, b"c", b"text")

    def test_a_value_in_another_place_does_not_open(self):
        one, other = sealing("a"), sealing("a", index=b"j")
        sealed = one.seal(RUN, b"c", b"text", b"r")
        places = [
            (one, RUN, b"d", b"r"),
            (one, CHUNK, b"c", b"r"),
            (one, RUN, b"c", b"s"),
            (one, RUN, b"c,1:r", b""),
            (other, RUN, b"c", b"r"),
        ]
        for where, kind, id, run_id in places:
            with self.assertRaises(Undecryptable):
                where.open(kind, id, sealed, run_id)

    def test_a_thousand_corruptions_do_not_open(self):
        one, random_ = sealing("a"), random.Random(16)
        sealed = one.seal(DOCUMENT, b"c", b'{"runs": [], "metadata": {}}')
        for _ in range(1000):
            place, byte = random_.randrange(len(sealed)), random_.randrange(256)
            changed = random_.choice(
                [
                    sealed[:place] + bytes([byte]) + sealed[place + 1 :],
                    sealed[:place] + bytes([byte]) + sealed[place:],
                    sealed[:place] + sealed[place + 1 :],
                    sealed[:place],
                ]
            )
            if changed not in (sealed, b""):
                with self.assertRaises(Undecryptable):
                    one.open(DOCUMENT, b"c", changed)

    def test_an_older_key_still_opens_and_the_newest_seals(self):
        sealed = sealing("a").seal(TITLE, b"c", b"text")
        both = sealing("b", "a")
        assert both.open(TITLE, b"c", sealed) == b"text"
        assert both.seal(TITLE, b"c", b"text").startswith(b"cm1.b.")
        assert not both.is_current(sealed)

    def test_a_missing_key_is_named(self):
        sealed = sealing("a").seal(RUN, b"c", b"text")
        with self.assertRaisesMessage(Undecryptable, "key 'a', which is not in KEYS") as caught:
            sealing("b").open(RUN, b"c", sealed)
        assert caught.exception.key_id == "a"

    def test_a_key_that_has_changed_is_named(self):
        sealed = sealing("a").seal(RUN, b"c", b"text")
        other = settings_of({"KEYS": [key("b", "a")]})
        with self.assertRaisesMessage(Undecryptable, "key 'a' does not decrypt it"):
            Sealing(Keyring(other, "default"), b"i").open(RUN, b"c", sealed)

    def test_a_plain_text_is_refused_unless_it_is_wanted(self):
        with self.assertRaisesMessage(Undecryptable, "READ_PLAINTEXT"):
            sealing("a").open(RUN, b"c", b'["r", "q", "a"]')
        wanted = sealing("a", READ_PLAINTEXT=True)
        assert wanted.open(RUN, b"c", b'["r", "q", "a"]') == b'["r", "q", "a"]'

    def test_some_of_several_keys_and_some_plain(self):
        texts = [sealing(letter).seal(RUN, b"c", letter.encode()) for letter in "abab"]
        found = sealing("b", "a", READ_PLAINTEXT=True).open_all(RUN, b"c", [*texts, b"[]", b""])
        assert found == [b"a", b"b", b"a", b"b", b"[]", b""]

    def test_the_one_of_many_that_does_not_open_is_named(self):
        one = sealing("a")
        texts = one.seal_all(RUN, b"c", [b"%d" % number for number in range(40)])
        assert one.open_all(RUN, b"c", texts) == [b"%d" % number for number in range(40)]
        for wrong in (texts[20][:-1], one.seal(RUN, b"d", b"20"), b"cm1.b.x", b"[]"):
            with self.assertRaises(Undecryptable) as caught:
                one.open_all(RUN, b"c", [*texts[:20], wrong, *texts[21:]])
            assert caught.exception.raw == wrong

    def test_what_is_no_key_id_or_too_short_is_no_sealed_value(self):
        sealed = sealing("a").seal(TITLE, b"c", b"x")
        assert is_sealed(sealed)
        for start in (b"cm1.", b"cm1..", b"cm1.a", b"cm2.a.", b"cm1.a b.", b"{}"):
            assert not is_sealed(start + sealed[6:])
        for text in (b"cm1.a.x", sealed[:-1], b"cm1.a. How to read it, and what it is", b""):
            assert not is_sealed(text)


class Base64Tests(SimpleTestCase):
    @given(st.binary())
    def test_is_that_of_python_without_padding(self, raw):
        text = urlsafe_b64encode(raw).rstrip(b"=")
        assert base64url.encoded(raw) == text
        assert base64url.decoded(text) == raw == base64url._decode(text + b"=" * (-len(text) % 4))

    @given(st.lists(st.binary(max_size=60), max_size=40))
    def test_many_are_decoded_as_one_is(self, raws):
        texts = [b"skip" + base64url.encoded(raw) for raw in raws]
        found = base64url.decoded_pairs(texts, 4, 12)
        assert found == [(raw[:12], raw[12:]) for raw in raws]

    @given(st.lists(st.text("AQgw_-+/=1", max_size=6).map(str.encode), max_size=4))
    def test_of_many_each_has_to_be_canonical(self, texts):
        def outcome(decoded):
            try:
                return decoded()
            except ValueError:
                return None

        alone = outcome(lambda: [base64url.decoded(text) for text in texts])
        assert outcome(lambda: [a + b for a, b in base64url.decoded_pairs(texts, 0, 1)]) == alone

    @given(st.binary(max_size=12))
    def test_only_the_canonical_text_is_read(self, text):
        for decoder in {base64url._decode, base64url._decoder}:
            with mock.patch.object(base64url, "_decoder", decoder):
                try:
                    raw = base64url.decoded(text)
                except ValueError:
                    continue
                assert base64url.encoded(raw) == text


class KeyringTests(SimpleTestCase):
    def test_a_key_of_the_environment(self):
        with mock.patch.dict(os.environ, {"THE_KEY": b64encode(b"k" * 32).decode()}):
            ring = Keyring(settings_of({"KEYS": [{"id": "k", "key": "env:THE_KEY"}]}), "default")
            assert ring.newest.prefix == b"cm1.k."

    def test_a_callable_is_asked_once_and_only_when_its_key_is_needed(self):
        fetch, old = mock.Mock(return_value=b"k" * 32), mock.Mock(return_value=b"o" * 32)
        keys = [{"id": "new", "key": fetch}, {"id": "old", "key": old}]
        ring = Keyring(settings_of({"KEYS": keys}), "default")
        assert not fetch.called
        assert ring.newest is ring.newest is not ring.get(b"old") is not None
        assert ring.get(b"none") is None
        assert fetch.call_count == old.call_count == 1

    def test_a_wrapped_key_is_unwrapped(self):
        unwrap = mock.Mock(side_effect=lambda id, wrapped: wrapped[::-1])
        keys = [{"id": "k", "wrapped": b64encode(bytes(range(32))).decode()}]
        ring = Keyring(settings_of({"KEYS": keys, "UNWRAP": unwrap}), "default")
        assert ring.newest.id == b"k"
        unwrap.assert_called_once_with("k", bytes(range(32)))

    def test_keys_of_a_callable(self):
        ring = Keyring(settings_of({"KEYS": lambda: [key("b"), key("a")]}), "default")
        assert ring.ids == ["b", "a"]

    def test_what_a_callable_returns_is_checked(self):
        for keys in (lambda: [], lambda: [{"id": "k"}], lambda: 1 / 0):
            with self.assertRaises(InvalidIndexError):
                _ = Keyring(settings_of({"KEYS": keys}), "default").newest

    def test_an_error_of_a_callable_quotes_nothing(self):
        fetch = mock.Mock(side_effect=ValueError("the secret"))
        ring = Keyring(settings_of({"KEYS": [{"id": "k", "key": fetch}]}), "default")
        with self.assertRaisesMessage(InvalidIndexError, "failed with ValueError") as caught:
            _ = ring.newest
        assert "secret" not in str(caught.exception)
        fetch.side_effect, fetch.return_value = None, b"k" * 32
        assert ring.newest.id == b"k"  # a key service may be back

    def test_no_key_is_in_a_repr(self):
        ring = settings_of(encryption("a"))
        assert key("a")["key"] not in repr(ring) + repr(Keyring(ring, "default").newest)

    def test_faults_of_settings(self):
        wrong = {
            "dict with KEYS": [{}, [], "x"],
            "list of keys": [{"KEYS": []}, {"KEYS": "x"}],
            "requires an id": [{"KEYS": [{"key": "x"}]}, {"KEYS": [{"id": "a.b", "key": ""}]}],
            "twice": [{"KEYS": [key("a"), key("a")]}],
            "not 32 bytes": [{"KEYS": [{"id": "a", "key": "c2hvcnQ="}]}],
            "environment variable NO_SUCH": [{"KEYS": [{"id": "a", "key": "env:NO_SUCH"}]}],
            "either a key or a wrapped key": [{"KEYS": [{"id": "a"}]}],
            "requires UNWRAP": [{"KEYS": [{"id": "a", "wrapped": "eA=="}]}],
            "unknown member": [{"KEYS": [{**key("a"), "KEY": "x"}]}],
            "unknown key 'X'": [encryption("a", X=1)],
            "ALGORITHM": [encryption("a", ALGORITHM="ROT13")],
            "READ_PLAINTEXT": [encryption("a", READ_PLAINTEXT="yes")],
            "UNWRAP": [encryption("a", UNWRAP="x")],
            "callable": [{"KEYS": [{"id": "a", "key": 5}]}],
        }
        for words, entries in wrong.items():
            for entry in entries:
                with self.subTest(words):
                    assert words in faults(entry)

    def test_digests_stay_the_same(self):  # those that are stored would not be found any more
        assert sealing("a").digest(TAG, b"topic", b"refunds") == "c5dcbe020d3aaa2da776bd92981266f4"
        assert (
            sealing("b", "a").digests(TAG, b"topic", b"refunds")[1]
            == "c5dcbe020d3aaa2da776bd92981266f4"
        )

    def test_search_beside_it_requires_a_choice(self):
        fields = {"topic": "tag", "note": "text", "score": "numeric"}
        vectors = {"EMBED": "a.b", "DIMENSIONS": 3}

        def search(*chosen, **options):
            return {"STORED_UNENCRYPTED": [*chosen], **options}

        wrong = {
            "has both ENCRYPTION and SEARCH": [True, {}, {"FIELDS": fields}],
            "must be a list of names": [{"STORED_UNENCRYPTED": it} for it in ("input", 1, [1])],
            "unknown name 'inputs'": [search("inputs")],
            "requires 'tool_calls'": [search("input", TOOL_CALLS=True)],
            "which requires TOOL_CALLS": [search("tool_calls")],
            "requires 'embeddings'": [search("input", **vectors)],
            "which requires EMBED": [search("embeddings")],
            "has 'note' of the kind 'text'": [search("score", FIELDS=fields)],
            "has 'score' of the kind 'numeric'": [search("note", FIELDS=fields)],
            "rename this one of FIELDS": [search(FIELDS={"input": "tag"})],
        }
        for words, searches in wrong.items():
            for one in searches:
                with self.subTest(words, search=one):
                    assert words in self.of_search(one)
        for right in (
            search(),
            search("input", "topic", "note", "score", FIELDS=fields),
            search("tool_calls", "embeddings", TOOL_CALLS=True, **vectors),
            False,
        ):
            assert self.of_search(right) == ""

    def test_without_encryption_there_is_nothing_to_choose(self):
        search = {"STORED_UNENCRYPTED": ["input"]}
        assert "no effect without ENCRYPTION" in self.of_search(search, encrypted=False)

    def of_search(self, search, *, encrypted=True):
        entry = {"URL": "redis://localhost", "SEARCH": search}
        entry |= {"ENCRYPTION": encryption("a")} if encrypted else {}
        return " ".join(conf.find_faults("default", entry))

    def test_a_check_warns_of_what_is_stored_unencrypted(self):
        for chosen, ids in ((["output", "input"], ["conversation_memory.W018"]), ([], [])):
            search = {"STORED_UNENCRYPTED": chosen}
            entry = {"URL": "redis://h", "ENCRYPTION": encryption("a"), "SEARCH": search}
            with override_settings(REDIS={"default": entry}):
                found = run_checks(tags=["conversation_memory"])
            assert [it.id for it in found] == ids
            assert "input, output" in "".join(it.msg for it in found) or not ids

    def test_an_openssl_without_the_algorithm_is_told(self):
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.ciphers import aead

        with mock.patch.object(aead, "AESGCMSIV", side_effect=UnsupportedAlgorithm("no")):
            with self.assertRaisesMessage(PackageMissing, "AES-256-GCM-SIV"):
                cipher_class("AES-256-GCM-SIV")

    def test_a_missing_package_is_told(self):
        with mock.patch.dict(sys.modules, {"cryptography.exceptions": None}):
            with self.assertRaisesMessage(PackageMissing, "[encryption]"):
                cipher_class("AES-256-GCM")


class CheckTests(SimpleTestCase):
    def ids(self, *entries, deploy=False):
        redis = {f"a{i}": {"URL": "redis://localhost", **it} for i, it in enumerate(entries)}
        with override_settings(REDIS=redis):
            found = checks.check_settings()
            found += checks.check_keys() if deploy else []
            return [message.id.partition(".")[2] for message in found]

    def test_aliases_of_one_index_are_both_encrypted_or_none(self):
        assert self.ids({"ENCRYPTION": encryption("a")}, {}) == ["E011"]
        assert self.ids({"ENCRYPTION": encryption("a")}, {"ENCRYPTION": encryption("b")}) == []
        assert self.ids({"ENCRYPTION": encryption("a")}, {"INDEX": "other"}) == []

    def test_a_missing_package_is_an_error(self):
        with mock.patch.dict(sys.modules, {"cryptography.exceptions": None}):
            assert self.ids({"ENCRYPTION": encryption("a")}) == ["E012"]

    def test_a_callable_is_called_for_a_deployment_only(self):
        fetch = mock.Mock(side_effect=ValueError)
        entry = {"ENCRYPTION": {"KEYS": [{"id": "k", "key": fetch}]}}
        assert self.ids(entry) == []
        assert not fetch.called
        assert self.ids(entry, deploy=True) == ["E012"]
