"""Artifacts are converted as Griptape's own schemas do it."""

import json
import sys

import attrs
from attrs import define, field
from django.test import SimpleTestCase
from griptape import artifacts as artifacts_of_griptape
from griptape.artifacts import (
    ActionArtifact,
    AudioArtifact,
    BaseArtifact,
    BlobArtifact,
    BooleanArtifact,
    ErrorArtifact,
    GenericArtifact,
    ImageArtifact,
    InfoArtifact,
    JsonArtifact,
    ListArtifact,
    ModelArtifact,
    TextArtifact,
    UrlArtifact,
)
from griptape.common import Reference, ToolAction
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from conversation_memory.integrations.griptape_artifacts import (
    _KINDS,
    read_artifact,
    state_of,
    write_artifact,
)

from ..oracle import same
from ..strategies import texts, values

dicts = st.dictionaries(texts, values, max_size=3)
references = st.builds(
    Reference,
    title=texts,
    authors=st.lists(texts, max_size=2),
    source=st.none() | texts,
    year=st.none() | texts,
    url=st.none() | texts,
)
# A binary whose name is its id gets a random one whenever it is read.
named = {
    "name": texts.map("name {}".format),
    "meta": dicts,
    "reference": st.none() | references,
}
actions = st.builds(ToolAction, tag=texts, name=texts, path=st.none() | texts, input=dicts)
sizes = {"width": st.integers(), "height": st.integers()}


class Answer(BaseModel):
    text: str
    score: float | None


plain_artifacts = (
    st.sampled_from([TextArtifact, ErrorArtifact, InfoArtifact, UrlArtifact]).flatmap(
        lambda kind: st.builds(kind, texts, **named)
    )
    | st.builds(BlobArtifact, st.binary(), **named)
    | st.builds(AudioArtifact, st.binary(), format=texts, **named)
    | st.builds(ImageArtifact, st.binary(), format=texts, **sizes, **named)
    | st.builds(BooleanArtifact, st.booleans(), **named)
    | st.builds(JsonArtifact, dicts, **named)
    | st.builds(GenericArtifact, values.filter(lambda value: value is not None), **named)
    | st.builds(ActionArtifact, actions, **named)
    | st.builds(ModelArtifact, st.builds(Answer, text=texts, score=st.floats()), **named)
)
artifacts = st.recursive(
    plain_artifacts,
    lambda inner: st.builds(
        ListArtifact, st.lists(inner, max_size=3), item_separator=texts, **named
    ),
    max_leaves=3,
)
# What no type of artifact is on the wire, and what may look like one.
damaged = st.fixed_dictionaries(
    {"type": st.sampled_from([*_KINDS, "BaseArtifact", "Run", "json", "ABC"]) | texts},
    optional={
        "id": texts | values,
        "name": texts | values,
        "meta": dicts | values,
        "reference": values,
        "value": texts | values,
        "format": texts | values,
        "width": values,
        "module_name": texts,
        "unknown": values,
    },
)


@define
class Tag(BaseArtifact):
    """A type of artifact that a project has defined."""

    value: str = field(metadata={"serializable": True})
    colour: str = field(default="red", kw_only=True, metadata={"serializable": True})

    def to_text(self):
        return f"#{self.value}"


def said(artifact):
    """Everything that an artifact says, with the types of its parts."""
    if isinstance(artifact, BaseArtifact | Reference | ToolAction):
        fields = attrs.asdict(artifact, recurse=False)
        return type(artifact).__name__, {name: said(value) for name, value in fields.items()}
    if isinstance(artifact, list):
        return [said(item) for item in artifact]
    if isinstance(artifact, BaseModel):
        return type(artifact).__name__, repr(artifact)
    return repr(artifact)


class ConversionTests(SimpleTestCase):
    @settings(max_examples=25, deadline=None)
    @given(artifacts)
    def test_an_artifact_is_written_as_griptape_writes_it(self, artifact):
        assert same(write_artifact(artifact), artifact.to_dict())

    @settings(max_examples=25, deadline=None)
    @given(artifacts)
    def test_an_artifact_is_read_as_griptape_reads_it(self, artifact):
        data = json.loads(json.dumps(artifact.to_dict()))
        assert said(read_artifact(data)) == said(BaseArtifact.from_dict(data))

    @settings(max_examples=60, deadline=None)
    @given(damaged)
    def test_what_griptape_reads_we_read_and_the_rest_is_a_text(self, data):
        read = read_artifact(data)
        # We import no module, whatever its name.
        known = {key: value for key, value in data.items() if key != "module_name"}
        try:
            theirs = BaseArtifact.from_dict({**known, "id": "1", "name": "2"})
        except Exception:
            # Of JSON, Griptape does not read what it wrote itself, such as [null].
            kinds = {"JsonArtifact": JsonArtifact | TextArtifact}.get(data["type"], TextArtifact)
            assert isinstance(read, kinds)
            return
        ours = read_artifact({**known, "id": "1", "name": "2"})
        if data["type"] == "JsonArtifact":  # of whose numbers Griptape reads no fractions
            assert type(ours) is type(theirs)
        else:
            assert said(ours) == said(theirs)

    def test_every_type_of_griptape_is_known(self):
        abstract = {"BaseArtifact"}
        assert {*_KINDS} == {*artifacts_of_griptape.__all__} - abstract

    def test_json_arrives_which_griptape_itself_changes(self):
        for value in ("text", "", '"', "1", 0, 1.5, True, None, [["a", 1]], [], [1, [2]]):
            data = write_artifact(JsonArtifact(json.dumps(value)))
            assert same(read_artifact(data).value, value)
            assert same(BaseArtifact.from_dict(data).value, value)

    def test_what_a_model_says_about_itself_is_written_as_json(self):
        class Dated(BaseModel):
            day: bytes = b"monday"

        assert write_artifact(ModelArtifact(Dated()))["value"] == {"day": "monday"}

    def test_a_type_of_a_project_is_read_and_written_by_griptape(self):
        tag = Tag("a", colour="blue")
        assert write_artifact(tag) == tag.to_dict()
        found = read_artifact(tag.to_dict())
        assert (type(found), found.value, found.colour, found.id) == (Tag, "a", "blue", tag.id)

    def test_no_module_is_imported_because_data_names_it(self):
        data = {"type": "Fault", "module_name": "xmlrpc.client", "value": "hi", "id": "a"}
        assert said(read_artifact(data)) == said(TextArtifact("hi", id="a", type="TextArtifact"))

    def test_no_module_is_imported_because_a_part_of_a_list_names_it(self):
        inner = {"type": "Zen", "module_name": "this", "value": "hi", "id": "a"}
        for data in (
            {"type": "ListArtifact", "id": "l", "value": [inner]},
            {"type": "ListArtifact", "id": "l", "value": [inner], "item_separator": 1},
        ):
            assert isinstance(read_artifact(data), BaseArtifact)
            assert "this" not in sys.modules

    def test_a_list_keeps_what_can_be_read_beside_what_cannot(self):
        items = [TextArtifact("a").to_dict(), None, {"type": "New", "id": "n", "value": {"b": 1}}]
        found = read_artifact({"type": "ListArtifact", "id": "l", "value": items})
        assert [type(item) for item in found.value] == [TextArtifact] * 3
        assert found.to_text() == 'a\n\n\n\n{"b": 1}'

    def test_a_value_nested_without_end_is_a_text(self):
        data = {"type": "TextArtifact", "value": "deep"}
        for _ in range(3000):
            data = {"type": "ListArtifact", "value": [data]}
        assert isinstance(read_artifact(data), BaseArtifact)


class StateTests(SimpleTestCase):
    @settings(max_examples=25, deadline=None)
    @given(artifacts)
    def test_an_artifact_that_was_written_and_read_has_the_same_state(self, artifact):
        read = read_artifact(json.loads(json.dumps(write_artifact(artifact))))
        again = read_artifact(json.loads(json.dumps(write_artifact(read))))
        assert state_of(read) == state_of(again)

    def test_each_change_is_another_state(self):
        picture = {"format": "png", "width": 1, "height": 2, "name": "n"}
        for artifact, change in (
            (TextArtifact("a"), lambda it: setattr(it, "value", "b")),
            (TextArtifact("a"), lambda it: setattr(it, "name", "b")),
            (TextArtifact("a"), lambda it: it.meta.update(a=1)),
            (TextArtifact("a", meta={"n": [1]}), lambda it: it.meta["n"].append(2)),
            (TextArtifact("a", meta={"n": 1}), lambda it: it.meta.update(n=True)),
            (TextArtifact("a", meta={"n": 1}), lambda it: it.meta.update(n=1.0)),
            (TextArtifact("a"), lambda it: setattr(it, "reference", Reference(title="t"))),
            (ImageArtifact(b"a", **picture), lambda it: setattr(it, "value", b"b")),
            (ImageArtifact(b"a", **picture), lambda it: setattr(it, "width", 2)),
            (JsonArtifact({"a": []}), lambda it: it.value["a"].append(1)),
            (GenericArtifact([{}]), lambda it: it.value[0].update(a=1)),
            (ListArtifact([TextArtifact("a")]), lambda it: setattr(it.value[0], "value", "b")),
            (ListArtifact([TextArtifact("a")]), lambda it: it.value.append(TextArtifact("b"))),
            (ActionArtifact(ToolAction(tag="t", name="n")), lambda it: it.value.input.update(a=1)),
            (ModelArtifact(Answer(text="a", score=1)), lambda it: setattr(it.value, "score", 2)),
            (Tag("a"), lambda it: setattr(it, "colour", "blue")),
        ):
            before = state_of(artifact)
            assert before == state_of(artifact)
            change(artifact)
            assert before != state_of(artifact), artifact
