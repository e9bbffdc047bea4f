import json
from dataclasses import replace
from unittest import mock
from uuid import uuid4

import pytest
from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory import Run
from conversation_memory.documents import Damaged, _split, build, read
from conversation_memory.records import Record
from conversation_memory.runs import lenient
from conversation_memory.wire import dumps, fingerprint

from .oracle import as_griptape_reads, expected, same
from .strategies import (
    LOOKALIKES,
    documents,
    documents_in_any_encoding,
    plain_id_texts,
    run_dicts,
    run_texts,
    string_texts,
    texts,
    values,
)

STOCK = b'{"runs": [{"type": "Run", "id": "a"}, {"type": "Run", "id": "b"}], "metadata": {"k": 1}}'
metadata_dicts = st.dictionaries(texts, values, max_size=3)
loaded_runs = run_texts.map(lambda text: Run.from_text(text.encode("utf-8", "surrogatepass")))
any_runs = st.lists(run_dicts.map(Run.from_dict) | loaded_runs, max_size=4)


def contents(document):
    """What `expected` tells of a document, of one that was read."""
    runs = [as_griptape_reads(json.loads(run.to_wire())) for run in document.runs]
    others = {key: json.loads(value) for key, value in document.runs.members.items()}
    return runs, document.metadata, others


def outcome(raw, record=None):
    try:
        return contents(read(raw, record))
    except Damaged:
        return None


def record_of(document):
    """What the record says of a document."""
    form = {"length": len(document.raw), "crc": document.crc, "end": document.canonical_end}
    return Record("42", runs=document.count, layout="hash", **form)


def reread(runs, metadata=None):
    """A document of `runs`, as it is read by its record."""
    document = build(runs, metadata or {})
    return read(document.raw, record_of(document))


class ReadTests(SimpleTestCase):
    @given(documents_in_any_encoding)
    def test_gives_what_json_gives(self, raw):
        assert same(outcome(raw), expected(raw))

    @given(documents)
    def test_keeps_the_bytes_of_every_run(self, raw):
        position = 0
        for run in read(raw).runs if expected(raw) else ():
            position = raw.index(run.to_wire(), position) + len(run.to_wire())

    @given(documents)
    def test_a_look_at_the_runs_changes_no_byte(self, raw):
        for run in read(raw).runs if expected(raw) else ():
            before = run.to_wire()
            assert same(run.to_dict(), as_griptape_reads(json.loads(before)))
            assert run.to_wire() == before

    def test_runs_that_are_looked_at_twice_are_not_the_same(self):
        document = read(b'{"runs": [{"id": "a", "meta": {"n": 1}}], "metadata": {}}')
        for _ in range(3):
            [run] = document.runs
            assert run.meta == {"n": 1}
            run.meta["n"] = 2

    def test_a_document_without_members_is_an_empty_conversation(self):
        assert outcome(b"{}") == ([], {}, {})

    def test_metadata_may_be_null(self):
        assert outcome(b'{"runs": [], "metadata": null}') == ([], {}, {})

    def test_of_two_members_of_one_name_the_last_counts(self):
        assert outcome(b'{"runs": [1], "runs": [{"id": 1}]}') == ([{"id": 1}], {}, {})

    def test_other_members_are_kept(self):
        assert read(b'{"runs": [], "extra": {"a": 1.0}}').runs.members == {"extra": b'{"a": 1.0}'}

    def test_a_lone_surrogate_in_raw_bytes_is_kept(self):
        raw = '{"runs": [{"id": "\ud800"}]}'.encode("utf-8", "surrogatepass")
        assert read(raw).runs[0].id == "\ud800"
        assert read(raw).runs[0].to_wire() in raw

    def test_a_document_with_a_byte_order_mark_is_read(self):
        for encoding in ("utf-8-sig", "utf-16", "utf-32"):
            with self.subTest(encoding):
                assert contents(read(STOCK.decode().encode(encoding))) == expected(STOCK)


class DamageTests(SimpleTestCase):
    def test_every_prefix_is_damaged(self):
        for end in range(len(STOCK)):
            with pytest.raises(Damaged):
                read(STOCK[:end])

    @given(documents_in_any_encoding, st.data())
    def test_a_prefix_is_what_json_says_of_it(self, raw, data):
        prefix = raw[: data.draw(st.integers(0, len(raw)))]
        assert same(outcome(prefix), expected(prefix))

    @given(documents, st.binary(max_size=3), st.data())
    def test_a_corruption_is_what_json_says_of_it(self, raw, noise, data):
        start = data.draw(st.integers(0, len(raw)))
        end = data.draw(st.integers(start, min(len(raw), start + 5)))
        corrupt = raw[:start] + noise + raw[end:]
        assert same(outcome(corrupt), expected(corrupt))

    @given(st.text('{}[]",: \\n1-.eNtrue"runs""metadata"').map(str.encode) | st.binary())
    def test_noise_is_what_json_says_of_it(self, raw):
        assert same(outcome(raw), expected(raw))

    def test_what_is_no_conversation_says_why(self):
        for raw, reason in {
            b"": r"expected '\{' at character 0",
            b"null": r"expected '\{' at character 0",
            b"[]": r"expected '\{' at character 0",
            b'{"runs": null}': "its runs are not a list",
            b'{"runs": {}}': "its runs are not a list",
            b'{"runs": [{}, 1]}': "run 1 is not an object",
            b'{"runs": [{}, ]}': "no JSON value at character 14",
            b'{"runs": [{} {}]}': r"expected ',' or '\]' at character 13",
            b'{"metadata": []}': "its metadata is not an object",
            b'{"runs" []}': "expected ':' at character 8",
            b"{1: 2}": "a key is not a string",
            b"{} {}": "extra data at character 2",
            b'{"a": "\x01"}': "Invalid control character",
            b'{"a": "\xff"}': "byte 7 is not text in utf-8",
            b'{"a": %b}' % (b"[" * 100_000): "nested too deeply",
            b'{"a": %b}' % (b"1" * 5000): "4300 digits",
        }.items():
            with self.subTest(raw[:20]), pytest.raises(Damaged, match=reason):
                read(raw)


class WriteTests(SimpleTestCase):
    @given(documents_in_any_encoding.filter(expected), any_runs)
    def test_appended_adds_runs_and_keeps_all_else(self, raw, added):
        runs, metadata, others = expected(raw)
        document = read(raw).appended(added)
        runs += [as_griptape_reads(json.loads(run.to_wire())) for run in added]
        assert same(contents(document), (runs, metadata, others))
        assert same(expected(document.raw), (runs, metadata, others))

    @given(documents_in_any_encoding.filter(expected), metadata_dicts)
    def test_with_metadata_replaces_it_and_keeps_all_else(self, raw, metadata):
        runs, _, others = expected(raw)
        document = read(raw).with_metadata(metadata)
        assert same(contents(document), (runs, metadata, others))
        assert same(expected(document.raw), (runs, metadata, others))

    @given(documents, any_runs)
    def test_appended_keeps_every_byte_before_and_behind(self, raw, added):
        if not (expected(raw) and {"runs", "metadata"} <= json.loads(raw).keys()):
            return
        document = read(raw)
        written = document.appended(added).raw
        assert written.startswith(raw[: document.end])
        assert written.endswith(raw[document.end :])

    @given(documents.filter(expected), st.lists(any_runs | metadata_dicts, max_size=5))
    def test_change_upon_change_keeps_every_offset(self, raw, changes):
        document = read(raw)
        runs, metadata, others = expected(raw)
        for change in changes:
            if isinstance(change, dict):
                document, metadata = document.with_metadata(change), change
            else:
                document = document.appended(change)
                runs += [as_griptape_reads(json.loads(run.to_wire())) for run in change]
            assert same(contents(document), (runs, metadata, others))
            assert same(outcome(document.raw), (runs, metadata, others))
            assert same(outcome(document.raw, record_of(document)), (runs, metadata, others))

    @given(documents.filter(expected))
    def test_build_of_what_was_read_keeps_every_value(self, raw):
        document = read(raw)
        built = build(document.runs, document.metadata)
        assert same(expected(built.raw), expected(raw))
        assert same(contents(built), expected(raw))

    @given(st.lists(run_dicts, max_size=3), metadata_dicts)
    def test_build_writes_the_wire_texts_of_the_runs(self, runs, metadata):
        runs = [Run.from_dict(run) for run in runs]
        document = build(runs, metadata)
        texts = b", ".join(run.to_wire() for run in runs)
        text = b'{"runs": [%b], "metadata": %b}' % (texts, dumps(metadata))
        assert document.raw == text

    def test_the_last_of_two_members_of_one_name_is_changed(self):
        document = read(b'{"metadata": {"a": 1}, "runs": [], "metadata": {"b": 1}}')
        assert document.with_metadata({"c": 1}).metadata == {"c": 1}
        assert expected(document.with_metadata({"c": 1}).raw) == ([], {"c": 1}, {})

    def test_a_value_that_is_no_json_is_a_type_error(self):
        with pytest.raises(TypeError):
            build([Run("q", "a", {"when": object()})], {})
        with pytest.raises(TypeError):
            build([], {"when": object()})


class RecordTests(SimpleTestCase):
    @given(any_runs, metadata_dicts)
    def test_reading_by_the_record_gives_what_parsing_gives(self, runs, metadata):
        document = build(runs, metadata)
        assert same(outcome(document.raw, record_of(document)), expected(document.raw))

    @given(any_runs, any_runs)
    def test_it_holds_for_appended_runs_too(self, runs, added):
        document = reread(runs).appended(added)
        assert same(outcome(document.raw, record_of(document)), expected(document.raw))

    @given(st.lists(loaded_runs, min_size=1, max_size=3), st.data())
    def test_it_holds_for_runs_that_were_changed_since_they_were_read(self, runs, data):
        changed = data.draw(st.sampled_from(runs)).to_dict()
        fields = data.draw(run_dicts)
        changed.clear()
        changed.update(fields)
        document = build(runs, {})
        assert same(outcome(document.raw, record_of(document)), expected(document.raw))

    @given(any_runs, metadata_dicts, st.binary(max_size=4), st.data())
    def test_it_is_not_accepted_for_changed_bytes(self, runs, metadata, noise, data):
        document = build(runs, metadata)
        start = data.draw(st.integers(0, len(document.raw)))
        changed = document.raw[:start] + noise + document.raw[start + len(noise) :]
        assert same(outcome(changed, record_of(document)), outcome(changed))

    @given(
        st.none() | st.integers(-3, 10**15),
        st.none() | st.integers(-3, 10**15),
        st.none() | st.integers(-3, 10**15),
        texts | st.sampled_from([read(STOCK).crc, ""]),
    )
    def test_a_record_of_something_else_counts_as_not_there(self, runs, length, end, crc):
        for known in (length, len(STOCK)):
            record = Record("42", runs=runs, length=known, crc=crc, end=end)
            assert outcome(STOCK, record) == expected(STOCK)

    @given(any_runs, any_runs, st.sampled_from([None, 0, 1]))
    def test_a_wrong_number_of_runs_hides_none(self, runs, added, count):
        document = build(runs, {})
        document = read(document.raw, replace(record_of(document), runs=count))
        assert document.count == len(document.runs) == len(runs)
        raw = document.appended(added).raw
        assert same(outcome(raw), expected(raw))

    def test_our_own_documents_can_be_split(self):
        assert build([], {}).canonical_end
        assert build([Run("q", "a"), Run("q", "a")], {"k": 1}).canonical_end
        assert reread([Run("q", "a")]).appended([Run("q", "a")]).canonical_end
        assert reread([Run("q", "a")]).with_metadata({"k": 1}).canonical_end

    def test_texts_that_look_like_the_document_can_be_split(self):
        run = Run("".join(LOOKALIKES), LOOKALIKES[1])
        document = build([run, Run("q", "a")], {text: text for text in LOOKALIKES})
        assert document.canonical_end
        assert same(outcome(document.raw, record_of(document)), expected(document.raw))

    def test_a_run_inside_a_run_is_not_split(self):
        document = build([Run("q", "a", {"quoted": Run("q", "a").to_dict()})], {})
        assert document.canonical_end is None

    def test_a_run_inside_a_run_does_not_stand_in_for_one_without_keys(self):
        outer = {"type": "Run", "meta": {"type": "Run", "id": "inner"}}
        document = build([Run.from_dict({"type": "Run"}), Run.from_dict(outer)], {})
        assert same(outcome(document.raw, record_of(document)), expected(document.raw))

    def test_a_run_that_lost_its_type_is_not_split(self):
        [run] = reread([Run("q", "a")]).runs
        run.to_dict()["meta"] = {"type": "Run", "id": "inner"}
        run.to_dict().pop("type")
        document = build([run], {})
        assert same(outcome(document.raw, record_of(document)), expected(document.raw))


class PartTests(SimpleTestCase):
    @given(any_runs, st.integers(0, 9), st.none() | st.integers(0, 20), st.integers(1, 12))
    def test_a_part_has_the_texts_in_front_of_a_position(self, runs, more, before, limit):
        document = build([*runs, *(Run("q", "a") for _ in range(more))], {"k": ', {"type": "Run"'})
        texts, stop = document.texts, document.count if before is None else before
        stop = min(stop, len(texts))
        start = max(0, stop - limit)
        for seen in (document, read(document.raw), read(document.raw, record_of(document))):
            found = seen.part(before, limit)
            assert found[:2] == (start, texts[start:stop])
            assert found[2] is None or len(found[2]) == stop - start

    def test_the_last_runs_of_many_are_found_without_the_others(self):
        runs = [Run("q", "a") for _ in range(50)]
        document = build(runs, {})
        seen, texts = read(document.raw, record_of(document)), document.texts
        with mock.patch(f"{read.__module__}._split", wraps=_split) as split:
            assert seen.part(None, 3)[:2] == (47, texts[47:])
        assert split.call_args.args[1] > document.end - 1000


def has(document, id):
    return document.absent([Run.from_dict({"id": id})]) == []


class IdTests(SimpleTestCase):
    @given(st.lists(run_dicts.map(Run.from_dict), max_size=4))
    def test_every_run_is_found_by_its_id(self, runs):
        document = reread(runs)
        assert all(has(document, run.id) for run in runs)

    @given(any_runs)
    def test_a_run_that_is_not_there_is_not_found(self, runs):
        assert not has(reread(runs), uuid4().hex)

    @given(st.lists(plain_id_texts | string_texts, min_size=1))
    def test_an_id_is_found_however_it_was_escaped(self, written):
        ids = [id.encode("utf-8", "surrogatepass") for id in written]
        document = reread([Run.from_text(b'{"type": "Run", "id": %b}' % id) for id in ids])
        assert all(has(document, json.loads(id)) for id in ids)

    @given(any_runs, st.integers(0, 4))
    def test_many_ids_are_told_as_each_alone(self, runs, many):
        document, others = reread(runs), [Run("q", "a") for _ in range(many * 5)]
        assert [run.id for run in document.absent([*others, *runs])] == [run.id for run in others]

    def test_many_ids_take_one_look_at_the_runs(self):
        runs = [Run("q", "a") for _ in range(30)]
        document = reread(runs)
        with mock.patch(f"{read.__module__}.lenient", wraps=lenient) as decoded:
            assert document.absent(runs) == []
        assert decoded.call_count == 1

    def test_an_id_that_is_no_text_is_found(self):
        document = reread([Run.from_dict({"type": "Run", "id": 42})])
        assert has(document, "42")

    def test_a_text_that_names_the_id_is_no_run(self):
        assert not has(reread([Run("abc", "abc", {"id": "abc"})]), "abc")

    def test_a_run_in_the_metadata_is_no_run(self):
        run = Run("q", "a")
        assert not has(reread([], {"pending": run.to_dict()}), run.id)


class FingerprintTests(SimpleTestCase):
    @given(documents_in_any_encoding.filter(expected))
    def test_it_is_that_of_the_bytes_that_were_read(self, raw):
        document = read(raw)
        rewritten = document.with_metadata(document.metadata)
        assert document.fingerprint == fingerprint(raw)
        assert rewritten.fingerprint == fingerprint(rewritten.raw)

    @given(documents.filter(expected))
    def test_it_changes_with_every_change(self, raw):
        document = read(raw)
        assert document.fingerprint != document.appended([Run("q", "a")]).fingerprint
        assert document.fingerprint != document.with_metadata({"new": uuid4().hex}).fingerprint
