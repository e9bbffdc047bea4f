"""Griptape's own driver and ours, each with the data of the other, on one Redis."""

import json

import pytest
from griptape.artifacts import (
    ActionArtifact,
    AudioArtifact,
    AudioUrlArtifact,
    BlobArtifact,
    BooleanArtifact,
    ErrorArtifact,
    GenericArtifact,
    ImageArtifact,
    ImageUrlArtifact,
    InfoArtifact,
    JsonArtifact,
    ListArtifact,
    ModelArtifact,
    TextArtifact,
    UrlArtifact,
    VideoUrlArtifact,
)
from griptape.common import ToolAction
from griptape.drivers.memory.conversation.redis_conversation_memory_driver import (
    RedisConversationMemoryDriver as GriptapeDriver,
)
from griptape.memory.structure import ConversationMemory
from griptape.memory.structure import Run as GriptapeRun
from pydantic import BaseModel

from conversation_memory import Artifact, RedisConversationMemoryDriver, Run
from conversation_memory.exceptions import ConversationConflict

from .utils import RedisTestCase, both


class Answer(BaseModel):
    text: str = "yes"
    score: float = 1.0


IMAGE = ImageArtifact(b"\x89PNG\xff", format="png", width=1, height=2)
ACTION = ToolAction(tag="call-1", name="Calculator", path="add", input={"values": {"a": 1.0}})

# The artifact, and what our `text` makes of it.
ARTIFACTS = [
    (TextArtifact("héllo 👩‍👩‍👧‍👦 \x00 \ud800"), "héllo 👩‍👩‍👧‍👦 \x00 \ud800"),
    (ErrorArtifact("it failed"), "it failed"),
    (InfoArtifact("for your information"), "for your information"),
    (JsonArtifact({"a": [1, 1.0, None, 10**30]}), f'{{"a": [1, 1.0, null, {10**30}]}}'),
    (BooleanArtifact(True), "true"),
    (BooleanArtifact(False), "false"),
    (GenericArtifact("anything"), "anything"),
    (GenericArtifact({"a": []}), '{"a": []}'),
    (BlobArtifact(b"\x00\xff", name="file.bin"), "[application/octet-stream, 2 bytes]"),
    (IMAGE, "[image/png, 5 bytes]"),
    (AudioArtifact(b"RIFF", format="wav"), "[audio/wav, 4 bytes]"),
    (ListArtifact([TextArtifact("a"), IMAGE]), "a\n\n[image/png, 5 bytes]"),
    (ListArtifact([ListArtifact([TextArtifact("a")]), ListArtifact([])], item_separator="|"), "a|"),
    (UrlArtifact("https://example.com"), "https://example.com"),
    (ImageUrlArtifact("https://example.com/a.png"), "https://example.com/a.png"),
    (AudioUrlArtifact("https://example.com/a.mp3"), "https://example.com/a.mp3"),
    (VideoUrlArtifact("https://example.com/a.mp4"), "https://example.com/a.mp4"),
    (ActionArtifact(ACTION), json.dumps(ACTION.to_dict())),
    (ModelArtifact(Answer()), '{"text": "yes", "score": 1.0}'),
]


def griptape_run(output="a", **fields):
    output = TextArtifact(output) if isinstance(output, str) else output
    return GriptapeRun(input=TextArtifact("q"), output=output, **fields)


class GriptapeTestCase(RedisTestCase):
    def server(self):
        """The arguments by which both drivers know the server."""
        known = self.redis.get_connection_kwargs()
        return {key: known[key] for key in ("host", "port", "db", "password") if key in known}

    def griptape(self, conversation_id="42"):
        return GriptapeDriver(
            **self.server(),
            index=self.index.name,
            conversation_id=conversation_id,
            client=self.redis,
        )

    def griptape_loads(self, conversation_id="42"):
        """The runs, as dicts, and the metadata as Griptape's driver reads them."""
        runs, metadata = self.griptape(conversation_id).load()
        return [run.to_dict() for run in runs], metadata


class WireTests(GriptapeTestCase):
    def test_we_read_every_artifact_that_griptape_writes(self):
        for artifact, text in ARTIFACTS:
            with self.subTest(artifact.type):
                self.griptape().store([griptape_run(artifact)], {})
                [run], _ = self.index.driver("42").load()
                assert run.output.type == artifact.type
                assert run.output.text == text
                assert run.output.to_dict() == artifact.to_dict()

    def test_griptape_reads_every_artifact_that_it_wrote_and_we_stored_again(self):
        for artifact, _ in ARTIFACTS:
            with self.subTest(artifact.type):
                self.griptape().store([griptape_run(artifact)], {})
                before = self.stored("42")
                self.index.driver("42").store(*self.index.driver("42").load())
                assert self.stored("42") == before
                assert self.griptape_loads()[0][0]["output"] == artifact.to_dict()

    def test_griptape_reads_every_artifact_that_we_write(self):
        for artifact, _ in ARTIFACTS:
            with self.subTest(artifact.type):
                self.index.driver("42").store([Run("q", Artifact.from_dict(artifact.to_dict()))])
                assert self.griptape_loads()[0][0]["output"] == artifact.to_dict()

    def test_griptape_reads_artifacts_that_we_made(self):
        image = Artifact(b"\x89PNG", type="ImageArtifact", format="png", width=1, height=2)
        parts = Artifact([Artifact("a"), image], type="ListArtifact", item_separator=" ")
        self.index.driver("42").append(Run(parts, image), Run("q", "a"))
        [first, second], _ = self.griptape().load()
        assert first.input.value[1].value == first.output.value == b"\x89PNG"
        assert (second.input.value, second.output.value) == ("q", "a")

    def test_griptape_reads_messages_that_were_appended(self):
        for url, kind in (
            ("data:image/png;base64,iVBORw0KGgo=", "ImageArtifact"),
            ("data:image/png;base64,iVBOR", "TextArtifact"),
            ("data:image/png;base64,%%%", "TextArtifact"),
            ("https://example.org/lamp.png", "TextArtifact"),
        ):
            picture = {"type": "image_url", "image_url": {"url": url}}
            messages = [
                {"role": "user", "content": [picture]},
                {"role": "assistant", "tool_calls": [{"id": "t"}]},
                {"role": "tool", "tool_call_id": "t", "content": "a lamp"},
                {"role": "assistant", "content": "A lamp."},
            ]
            self.index.driver("42").store([])
            self.index.driver("42").append_messages(messages)
            [run], _ = self.griptape().load()
            assert (run.input.type, run.output.value) == (kind, "A lamp."), url
            assert run.meta["messages"] == messages
            assert self.index.driver("42").messages() == messages

    def test_a_run_of_ours_passes_the_strict_reader(self):
        for meta in (None, {}, {"rating": 5, "nested": {"type": "Run"}}):
            with self.subTest(meta=meta):
                run = Run("q", "a", meta)
                assert GriptapeRun.from_dict(run.to_dict()).to_dict() == run.to_dict()

    def test_griptape_reads_of_us_what_it_would_have_written(self):
        for meta in (None, {"n": 1}):
            runs = [griptape_run(artifact, meta=meta) for artifact, _ in ARTIFACTS]
            self.griptape("theirs").store(runs, {"k": "é"})
            self.index.driver("ours").store(runs, {"k": "é"})
            ours, theirs = self.griptape("ours").load(), self.griptape("theirs").load()
            assert [run.to_dict() for run in ours[0]] == [run.to_dict() for run in theirs[0]]
            assert ours[1] == theirs[1]
            assert len(self.stored("ours")) < len(self.stored("theirs"))


class MetadataTests(GriptapeTestCase):
    metadata = {"k": [1, 1.0, None, {"é": True}], "n": 10**30}

    def test_we_read_theirs(self):
        self.griptape().store([], self.metadata)
        assert self.index.driver("42").load() == ([], self.metadata)

    def test_they_read_ours(self):
        self.index.driver("42").store([], self.metadata)
        assert self.griptape_loads() == ([], self.metadata)

    def test_they_read_what_we_changed(self):
        self.griptape().store([griptape_run()], {"kept": 1, "gone": 2})
        self.index.driver("42").update_metadata({"new": 3}, remove=["gone"])
        assert self.griptape_loads()[1] == {"kept": 1, "new": 3}


class SharedConversationTests(GriptapeTestCase):
    @both
    def test_we_append_to_theirs(self, index):
        theirs = griptape_run()
        self.griptape().store([theirs], {"k": 1})
        ours = Run("q", "a")
        assert index.driver("42").append(ours) == 1
        assert self.griptape_loads() == ([theirs.to_dict(), ours.to_dict()], {"k": 1})

    @both
    def test_they_store_over_ours(self, index):
        index.driver("42").store([Run("q", "a")], {"k": 1})
        theirs = griptape_run()
        self.griptape().store([theirs], {"k": 2})
        runs, metadata = index.driver("42").load()
        assert [run.to_dict() for run in runs] == [theirs.to_dict()]
        assert metadata == {"k": 2}

    @both
    def test_our_append_after_their_store_keeps_theirs(self, index):
        index.driver("42").append(Run("q", "a"))
        theirs = griptape_run()
        self.griptape().store([theirs], {})
        index.driver("42").append(Run("q", "a"))
        assert [run.id for run in index.driver("42").load()[0]][0] == theirs.id
        assert len(self.griptape_loads()[0]) == 2

    @both
    def test_their_store_is_a_conflict_for_our_revision(self, index):
        index.driver("42").store([Run("q", "a")])
        revision = index.driver("42").read().revision
        self.griptape().store([griptape_run()], {})
        with pytest.raises(ConversationConflict):
            index.driver("42").store([], revision=revision)
        assert len(self.griptape_loads()[0]) == 1

    @both
    def test_theirs_is_stored_with_the_revision_it_was_read_with(self, index):
        self.griptape().store([griptape_run()], {})
        conversation = index.driver("42").read()
        index.driver("42").store([], revision=conversation.revision)
        assert self.griptape_loads() == ([], {})

    @both
    def test_theirs_is_listed(self, index):
        self.griptape().store([griptape_run()], {})
        assert [record.conversation_id for record in index.recent()] == ["42"]
        assert list(index) == ["42"]

    def test_they_load_nothing_where_we_stored_nothing(self):
        self.index.driver("42").load()
        assert self.griptape_loads() == ([], {})


class ObjectTests(GriptapeTestCase):
    @both
    def test_we_store_runs_of_theirs(self, index):
        runs = [griptape_run(artifact) for artifact, _ in ARTIFACTS]
        index.driver("42").store(runs, {"k": 1})
        assert self.griptape_loads() == ([run.to_dict() for run in runs], {"k": 1})

    @both
    def test_we_append_runs_of_theirs(self, index):
        run = griptape_run()
        assert index.driver("42").append(run, Run("q", "a")) == 2
        assert index.driver("42").append(run) == 0
        assert self.griptape_loads()[0][0] == run.to_dict()

    def test_a_run_of_ours_holds_artifacts_of_theirs(self):
        for artifact, text in ARTIFACTS:
            with self.subTest(artifact.type):
                run = Run(artifact, artifact)
                assert run.input.to_dict() == artifact.to_dict()
                assert run.output.text == text

    def test_a_list_of_ours_holds_artifacts_of_theirs(self):
        run = Run(Artifact([IMAGE, TextArtifact("a")], type="ListArtifact"), "a")
        self.index.driver("42").append(run)
        [loaded], _ = self.griptape().load()
        assert loaded.input.value[0].value == IMAGE.value


class ConversationMemoryTests(GriptapeTestCase):
    def test_theirs_loads_what_we_stored(self):
        run = Run("q", "a")
        self.index.driver("42").store([run], {"k": 1})
        memory = ConversationMemory(conversation_memory_driver=self.griptape())
        assert [run.to_dict() for run in memory.runs] == [run.to_dict()]
        assert memory.meta == {"k": 1}

    def test_theirs_adds_a_run_to_what_we_stored(self):
        self.index.driver("42").store([Run("q", "a")], {"k": 1})
        memory = ConversationMemory(conversation_memory_driver=self.griptape())
        memory.add_run(griptape_run("new"))
        runs, metadata = self.index.driver("42").load()
        assert [run.output.text for run in runs] == ["a", "new"]
        assert metadata == {"k": 1}


class ConstructorTests(GriptapeTestCase):
    def test_the_arguments_of_the_original_open_ours(self):
        driver = RedisConversationMemoryDriver(
            **self.server(), index=self.index.name, conversation_id="42"
        )
        driver.store([griptape_run()], {})
        assert self.griptape_loads()[0] == [run.to_dict() for run in driver.load()[0]]
