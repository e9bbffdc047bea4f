import json
from unittest import mock

import pytest
from django.test import SimpleTestCase
from hypothesis import given

from conversation_memory import Artifact, Run, wire
from conversation_memory.exceptions import Damaged
from conversation_memory.runs import as_run, decoded_runs

from .oracle import as_griptape_reads, same
from .strategies import run_dicts, run_texts, values


class Foreign:
    """An object of another library that has a `to_dict()`."""

    def __init__(self, **fields):
        self.fields = fields

    def to_dict(self):
        return self.fields


def loaded(raw=b'{"type": "Run", "id": "1", "meta": {"n": 1}, "input": {"type": "TextArtifact"}}'):
    return Run.from_text(raw)


def nested(depth, value):
    for _ in range(depth):
        value = [value]
    return value


class ConstructionTests(SimpleTestCase):
    def test_a_text_becomes_a_text_artifact(self):
        run = Run("question", "answer")
        assert (run.input.type, run.input.value) == ("TextArtifact", "question")
        assert (run.output.type, run.output.value) == ("TextArtifact", "answer")

    def test_an_artifact_is_taken_as_it_is(self):
        image = Artifact(b"\x89PNG", type="ImageArtifact", format="png", width=1, height=2)
        assert Run(image, "a").input == image

    def test_a_dict_of_the_wire_format_is_taken_as_it_is(self):
        assert Run({"type": "UnknownArtifact", "x": 1}, "a").input.to_dict() == {
            "type": "UnknownArtifact",
            "x": 1,
        }

    def test_an_object_with_to_dict_is_taken_by_it(self):
        assert Run(Foreign(type="TextArtifact", value="q"), "a").input.text == "q"

    def test_anything_else_is_a_type_error(self):
        for value in (None, 1, b"bytes", ["q"], {}, {"value": "q"}, object(), Foreign(value="q")):
            with self.subTest(repr(value)), pytest.raises(TypeError, match="An artifact is a str"):
                Run(value, "a")
            with self.subTest(repr(value)), pytest.raises(TypeError, match="An artifact is a str"):
                Run("q", value)

    def test_arguments_by_name_work_like_those_in_order(self):
        assert Run(input="q", output="a", meta={"k": 1}).meta == Run("q", "a", {"k": 1}).meta

    def test_each_run_has_an_id_of_its_own(self):
        assert Run("q", "a").id != Run("q", "a").id
        assert Run("q", "a", id="mine").id == "mine"

    def test_it_is_on_the_wire_what_griptape_writes(self):
        run = Run("q", "a", {"k": 1})
        assert list(run.to_dict()) == ["type", "id", "meta", "input", "output"]
        assert list(run.input.to_dict()) == ["type", "id", "reference", "meta", "name", "value"]
        assert run.input.name == run.input.id

    def test_an_artifact_has_name_meta_and_fields(self):
        artifact = Artifact("v", name="n", meta={"k": 1}, id="i", format="png")
        assert (artifact.name, artifact.meta, artifact.id) == ("n", {"k": 1}, "i")
        assert artifact.to_dict()["format"] == "png"

    def test_bytes_become_base64(self):
        assert Artifact(b"\x00\xff", type="BlobArtifact").value == "AP8="

    def test_artifacts_in_a_list_become_dicts(self):
        artifact = Artifact([Artifact("a"), (Artifact(b"b"),)], type="ListArtifact")
        assert artifact.value[0]["value"] == "a"
        assert artifact.value[1][0]["value"] == "Yg=="
        assert json.dumps(artifact.to_dict())


class AsRunTests(SimpleTestCase):
    def test_a_run_is_itself(self):
        run = Run("q", "a")
        assert as_run(run) is run

    def test_a_dict_and_an_object_with_to_dict_are_taken_by_their_fields(self):
        fields = Run("q", "a").to_dict()
        assert as_run(fields) == as_run(Foreign(**fields)) == Run.from_dict(fields)

    def test_anything_else_is_a_type_error(self):
        for value in (None, 1, "q", ("q", "a"), object()):
            with self.subTest(repr(value)), pytest.raises(TypeError, match="A run is a Run or a"):
                as_run(value)


class TextTests(SimpleTestCase):
    def test_of_a_text_is_the_text(self):
        for type in ("TextArtifact", "ErrorArtifact", "InfoArtifact", "UrlArtifact", "Unknown"):
            with self.subTest(type):
                assert Artifact("héllo", type=type).text == "héllo"

    def test_is_also_what_str_and_griptape_call_it(self):
        assert str(Artifact("a")) == Artifact("a").to_text() == "a"

    def test_of_json_is_json(self):
        assert Artifact({"a": [1, None, "é"]}, type="JsonArtifact").text == '{"a": [1, null, "é"]}'

    def test_of_a_boolean_is_that_of_json(self):
        assert Artifact(True, type="BooleanArtifact").text == "true"
        assert Artifact(False, type="BooleanArtifact").text == "false"

    def test_of_nothing_is_empty(self):
        assert Artifact(None, type="GenericArtifact").text == ""
        assert Artifact.from_dict({"type": "TextArtifact"}).text == ""
        assert Artifact.from_dict({}).text == ""

    def test_of_a_missing_artifact_is_empty(self):
        assert Run.from_dict({"id": "1"}).output.text == ""
        assert Run.from_dict({"id": "1", "output": None}).output.text == ""

    def test_of_what_should_be_an_artifact_is_what_it_says(self):
        assert Run.from_dict({"output": "plain"}).output.text == "plain"

    def test_of_a_binary_describes_it(self):
        for artifact, text in (
            (Artifact(b"x" * 1024, type="ImageArtifact", format="png"), "[image/png, 1,024 bytes]"),
            (Artifact(b"x", type="AudioArtifact", format="mp3"), "[audio/mp3, 1 bytes]"),
            (Artifact(b"xx", type="BlobArtifact"), "[application/octet-stream, 2 bytes]"),
            (Artifact(None, type="ImageArtifact"), "[image/*, 0 bytes]"),
        ):
            with self.subTest(text):
                assert artifact.text == text

    def test_of_a_list_joins_its_items(self):
        image = Artifact(b"x", type="ImageArtifact", format="png")
        inner = Artifact(["x", image], type="ListArtifact", item_separator=", ")
        outer = Artifact([Artifact("a"), inner], type="ListArtifact")
        assert outer.text == "a\n\nx, [image/png, 1 bytes]"

    def test_of_a_list_that_holds_no_list_is_empty(self):
        assert Artifact("x", type="ListArtifact").text == ""
        assert Artifact(None, type="ListArtifact").items == []

    def test_of_nested_lists_is_an_excuse_if_they_are_too_deep(self):
        data = {"type": "TextArtifact", "value": "a"}
        for _ in range(5000):
            data = {"type": "ListArtifact", "value": [data]}
        assert "nested too deeply" in Artifact.from_dict(data).text

    def test_of_nested_json_is_an_excuse_if_it_is_too_deep(self):
        deep = Artifact.from_dict({"type": "JsonArtifact", "value": nested(100_000, 1)})
        assert "nested too deeply" in deep.text

    @given(values, values, values)
    def test_is_a_text_whatever_the_wire_holds(self, type, value, separator):
        for kind in (type, "ListArtifact", "ImageArtifact", "BlobArtifact", "TextArtifact"):
            data = {"type": kind, "value": value, "item_separator": separator, "format": type}
            assert isinstance(Artifact.from_dict(data).text, str)

    @given(values)
    def test_every_property_of_a_strange_artifact_has_its_type(self, value):
        data = dict.fromkeys(("type", "name", "meta", "value"), value)
        artifact = Artifact.from_dict(data)
        assert isinstance(artifact.type, str)
        assert isinstance(artifact.name, str)
        assert isinstance(artifact.meta, dict)
        assert isinstance(artifact.items, list)


class ChangeTests(SimpleTestCase):
    @given(run_texts)
    def test_an_untouched_run_is_the_same_bytes(self, text):
        raw = text.encode("utf-8", "surrogatepass")
        run = Run.from_text(raw)
        assert run.to_wire() is raw
        run.to_dict(), run.id, run.meta, run.input, run.output  # noqa: B018
        assert run.to_wire() is raw

    def test_setters_write(self):
        run = loaded()
        run.meta, run.input, run.output = {"k": 1}, "q", Artifact("a")
        written = json.loads(run.to_wire())
        assert written["meta"] == {"k": 1}
        assert written["input"]["value"] == "q"
        assert written["output"]["value"] == "a"

    def test_setters_take_what_the_constructor_takes(self):
        for name in ("input", "output"):
            with self.subTest(name), pytest.raises(TypeError, match="An artifact is a str"):
                setattr(loaded(), name, None)

    def test_a_change_in_the_dict_is_written(self):
        run = loaded()
        run.to_dict()["unknown"] = 1
        assert json.loads(run.to_wire())["unknown"] == 1

    def test_a_change_deep_inside_is_written(self):
        run = loaded()
        run.meta["n"] = 2
        run.input.to_dict()["value"] = "new"
        assert json.loads(run.to_wire())["meta"] == {"n": 2}
        assert json.loads(run.to_wire())["input"]["value"] == "new"

    def test_a_change_of_type_alone_is_written(self):
        for value, text in ((1.0, b'{"n": 1.0}'), (True, b'{"n": true}')):
            with self.subTest(text):
                run = loaded()
                run.meta["n"] = value
                assert text in run.to_wire()

    def test_a_change_of_order_alone_is_written(self):
        run = loaded()
        run.to_dict()["type"] = run.to_dict().pop("type")
        assert run.to_wire().endswith(b'"type": "Run"}')

    def test_a_change_taken_back_leaves_the_bytes(self):
        raw = b'{ "id" : "\\u0031" }'
        run = loaded(raw)
        run.meta = {"k": 1}
        del run.to_dict()["meta"]
        assert run.to_wire() == raw

    def test_a_change_keeps_every_other_value(self):
        run = loaded(b'{"a": 1.0, "b": 123456789012345678901234567890, "c": NaN, "d": "\\ud800"}')
        run.meta = None
        assert run.to_wire() == (
            b'{"a": 1.0, "b": 123456789012345678901234567890, "c": NaN, "d": "\\ud800", '
            b'"meta": null}'
        )

    def test_a_changed_artifact_of_a_run_of_ours_is_written(self):
        run = Run("q", "a")
        run.output.to_dict()["value"] = "new"
        assert json.loads(run.to_wire())["output"]["value"] == "new"


class ComparisonTests(SimpleTestCase):
    def test_runs_are_equal_by_what_they_hold(self):
        run = Run("q", "a")
        assert run == Run.from_dict(run.to_dict()) == Run.from_text(run.to_wire())
        assert run != Run("q", "a")
        assert run != run.to_dict()

    def test_artifacts_are_equal_by_what_they_hold(self):
        artifact = Artifact("a")
        assert artifact == Artifact.from_dict(dict(artifact.to_dict()))
        assert artifact != Artifact("a")
        assert artifact != "a"

    def test_repr_shows_no_content(self):
        run = Run("secret", Artifact("secret", name="secret"), {"secret": "secret"})
        for shown in (repr(run), repr(run.input), repr(run.output)):
            assert "secret" not in shown
        assert run.id in repr(run)
        assert "TextArtifact" in repr(run.input)


class FormTests(SimpleTestCase):
    """The texts of a run: in the wire format, and shorter in a list."""

    def test_a_plain_run_in_the_wire_format(self):
        assert Run("q é", "a", id="1").to_wire().decode() == (
            '{"type": "Run", "id": "1", '
            '"input": {"type": "TextArtifact", "id": "1-input", "value": "q é"}, '
            '"output": {"type": "TextArtifact", "id": "1-output", "value": "a"}}'
        )

    def test_a_plain_run_in_a_list(self):
        assert Run('q "é"', "a", id="1").to_list().decode() == '["1","q \\"é\\"","a"]'
        assert Run("q", "a", {"n": 1.0}, id="1").to_list() == b'["1","q","a",{"n":1.0}]'

    def test_an_artifact_with_an_id_of_its_own_in_a_list(self):
        run = Run(Artifact("q", id="x"), Artifact("a", id="y", name="z"), id="1")
        [id, question, answer] = json.loads(run.to_list())
        assert (id, question, answer) == ("1", ["q", "x"], run.output.to_dict())

    def test_a_lone_surrogate_is_escaped(self):
        run = Run("\ud800", "é", id="1")
        assert run.to_list() == rb'["1","\ud800","\u00e9"]'
        assert Run.from_text(run.to_list()) == Run.from_text(run.to_wire()) == run

    @given(run_dicts)
    def test_both_forms_keep_every_value(self, run):
        for text in (Run.from_dict(run).to_wire(), Run.from_dict(run).to_list()):
            assert same(Run.from_text(text).to_dict(), run)
            assert same(Run.from_text(Run.from_text(text).to_wire()).to_dict(), run)
            assert same(Run.from_text(Run.from_text(text).to_list()).to_dict(), run)

    @given(run_texts)
    def test_a_text_is_shortened_only_if_it_can_be_told_from_the_short_one(self, text):
        raw = text.encode("utf-8", "surrogatepass")
        short = Run.from_text(raw).to_list()
        found = Run.from_text(short)
        assert same(found.to_dict(), as_griptape_reads(json.loads(raw)))
        # The text of numbers, and members that stand there twice.
        spellings = short, found.to_wire(), json.dumps(found.to_dict()).encode()
        assert raw in spellings

    def test_a_number_that_would_be_written_otherwise_is_kept_as_it_is(self):
        for number in ("1.10", "1E2", "-0", "1.0"):
            text = Run("q", "a", {"n": 1.0}).to_wire().replace(b"1.0", number.encode())
            assert Run.from_text(text).to_list().startswith(b"[") == (number == "1.0")

    @given(run_dicts)
    def test_runs_that_are_read_together_are_those_that_are_read_one_by_one(self, run):
        given = Run.from_dict(run)
        texts = [Run("q", "a").to_list(), given.to_list(), given.to_wire()]
        for readers in (wire._readers, [json.loads]):  # with orjson, and without it
            with mock.patch.object(wire, "_readers", readers):
                found = decoded_runs(texts)
            assert [it.to_list() for it in found] == [Run.from_text(it).to_list() for it in texts]
            assert all(same(it.to_dict(), run) for it in found[1:])

    def test_a_change_of_a_loaded_run_is_written_in_either_form(self):
        for text in (Run("q", "a", {"n": 1}, id="1").to_list(), Run("q", "a", {"n": 1}).to_wire()):
            for form in (Run.to_list, Run.to_wire):
                run = Run.from_text(text)
                run.meta["n"] = 2
                run.output = "other"
                again = Run.from_text(form(run))
                assert (again.meta, again.output.text, again.input.text) == ({"n": 2}, "other", "q")

    def test_what_is_changed_in_the_dict_of_a_plain_artifact_is_changed_in_the_run(self):
        run = Run.from_text(Run("q", "a").to_list())
        question = run.input
        assert question.text == "q"
        question.to_dict()["value"] = "other"
        assert run.input.text == question.text == "other"
        assert b"other" in run.to_list()

    def test_an_artifact_stays_what_it_is_when_another_takes_its_place(self):
        for run in (Run("q", "a"), Run.from_text(Run("q", "a").to_list())):
            answer = run.output
            run.output = "other"
            assert (answer.text, run.output.text) == ("a", "other")
        for run in (Run("q", "a"), Run.from_text(Run("q", "a").to_wire())):
            run.input, run.output = run.output, run.input
            assert (run.input.text, run.output.text) == ("a", "q")

    def test_an_array_that_is_no_run_is_damaged(self):
        for text in (b"[]", b'["a"]', b'["a","b"]', b'[1,"q","a"]', b'["1",["q"],"a"]', b"[[]]"):
            with pytest.raises(Damaged):
                Run.from_text(text).to_dict()
            with pytest.raises(Damaged, match="run 1 is damaged"):
                decoded_runs([Run("q", "a").to_list(), text])
            assert Run.from_text(text).to_wire() == Run.from_text(text).to_list() == text
