"""A conversation as the memory of Griptape, in both layouts."""

import gc
import json

import attrs
import pytest
from griptape.artifacts import ImageArtifact, JsonArtifact, ListArtifact, TextArtifact
from griptape.memory.structure import ConversationMemory, Run

from conversation_memory import Artifact
from conversation_memory import Run as OurRun
from conversation_memory.exceptions import ConversationCorrupt, ConversationNotFound
from conversation_memory.integrations.griptape import ConversationMemoryDriver

from ..utils import counted, each_layout
from .griptape_agents import GriptapeMemoryTestCase


def run(input="q", output="a", **fields):
    output = TextArtifact(output) if isinstance(output, str) else output
    return Run(input=TextArtifact(input), output=output, **fields)


def outputs(memory):
    return [run.output.to_text() for run in memory.runs]


@each_layout
class LoadTests:
    case = GriptapeMemoryTestCase

    def test_runs_are_griptapes_own_with_everything_they_were_stored_with(self):
        image = ImageArtifact(b"\x89PNG", format="png", width=1, height=2, name="lamp.png")
        stored = [run("1", meta={"n": 1}), run("2", ListArtifact([TextArtifact("a"), image]))]
        self.driver().store(stored, {"k": 1})
        runs, metadata = self.driver().load()
        assert runs == stored
        assert {type(run) for run in runs} == {Run}
        assert metadata == {"k": 1}

    def test_nothing_is_loaded_where_nothing_was_stored(self):
        assert self.driver().load() == ([], {})

    def test_a_memory_becomes_json_and_a_memory_again(self):
        self.driver().store([run()], {"k": 1})
        memory = self.memory()
        restored = ConversationMemory.from_json(memory.to_json())
        assert (restored.runs, restored.meta) == (memory.runs, {"k": 1})

    def test_runs_of_messages_are_read_and_keep_their_messages(self):
        messages = [
            {"role": "user", "content": "How warm is it in Rome?"},
            {"role": "assistant", "tool_calls": [{"id": "t", "type": "function"}]},
            {"role": "tool", "tool_call_id": "t", "content": "24"},
            {"role": "assistant", "content": "24 degrees."},
        ]
        driver = self.index.driver("42")
        driver.append_messages(messages)
        memory = self.memory()
        assert memory.runs[0].input.value == "How warm is it in Rome?"
        assert memory.runs[0].output.value == "24 degrees."
        memory.add_run(run("And in Oslo?", "4 degrees."))
        memory.runs[0].meta["liked"] = True
        memory.add_run(run("Thanks.", "You are welcome."))
        assert driver.messages()[:4] == messages
        meta = driver.load()[0][0].meta
        assert (meta["messages"], meta["liked"]) == (messages, True)

    def test_open_runs_are_not_seen(self):
        self.index.driver("42").begin("Still being answered?")
        assert self.memory().runs == []

    def test_an_artifact_that_griptape_does_not_know_is_readable_and_stays_what_it_is(self):
        table = {"type": "TableArtifact", "id": "t", "value": [[1, 2]], "colour": "red"}
        self.index.driver("42").append(
            OurRun("q", Artifact.from_dict(dict(table))),
            OurRun.from_dict({"type": "Run", "id": "b", "input": "text", "output": None}),
        )
        memory = self.memory()
        assert [run.output.value for run in memory.runs] == ["[[1, 2]]", ""]
        memory.runs[0].meta = {"seen": True}
        memory.runs[0].input.value = "changed"
        memory.add_run(run())
        first, second, _ = self.index.driver("42").load()[0]
        assert first.output.to_dict() == table
        assert (first.input.text, first.meta) == ("changed", {"seen": True})
        assert second.to_dict()["output"] is None

    def test_a_damaged_conversation_is_an_error_and_is_not_overwritten(self):
        driver = self.driver()
        driver.store([run("1")], {})
        self.put("42", b'{"runs": [')
        for call in (driver.load, lambda: driver.store([run("2")], {})):
            with pytest.raises(ConversationCorrupt):
                call()
        assert self.stored("42") == b'{"runs": ['

    def test_runs_without_an_id_are_left_as_they_are(self):
        nameless = {"type": "Run", "input": {"type": "TextArtifact", "value": "q"}}
        self.put("42", json.dumps({"runs": [nameless, nameless]}))
        memory = self.memory()
        memory.runs[0].output.value = "changed"
        memory.add_run(run("2"))
        assert [run.to_dict() for run in self.index.driver("42").load()[0]][:2] == [nameless] * 2

    def test_griptapes_own_loading_twice_doubles_what_is_shown_and_not_what_is_stored(self):
        self.driver().store([run("1")], {})
        memory = self.memory()
        memory.load_runs()
        assert len(memory.runs) == 2
        memory.runs[1].output.value = "changed"
        memory.add_run(run("2"))
        assert self.texts() == [("1", "changed"), ("2", "a")]


@each_layout
class StoreTests:
    case = GriptapeMemoryTestCase

    def test_a_run_that_is_added_to_a_hundred_is_one_append(self):
        self.index.driver("42").append(*[OurRun("q", f"{n}") for n in range(100)])
        memory = self.memory()
        with counted() as sent:
            memory.add_run(run("new", "new"))
            memory.add_run(run("newer", "newer"))
        assert sent == [["EVALSHA"], ["EVALSHA"]]
        assert self.texts()[-2:] == [("new", "new"), ("newer", "newer")]
        assert len(self.texts()) == 102

    def test_nothing_is_sent_if_nothing_was_changed(self):
        self.driver().store([run(), run(output=JsonArtifact({"a": [1]}))], {"k": {"n": 1}})
        driver = self.driver()
        runs, metadata = driver.load()
        with counted() as sent:
            driver.store(runs, metadata)
        assert sent == []

    def test_two_memories_of_one_conversation_keep_the_runs_of_each_other(self):
        one, other = self.memory(), self.memory()
        one.add_run(run("1"))
        other.add_run(run("2"))
        one.add_run(run("3"))
        assert [input for input, _ in self.texts()] == ["1", "2", "3"]

    def test_two_memories_of_one_driver_do_too(self):
        driver = self.driver()
        driver.store([run("1", id="a")], {"k": 1})
        one = ConversationMemory(conversation_memory_driver=driver)
        self.index.driver("42").annotate("a", {"liked": True})
        self.index.driver("42").update_metadata({"k": 2})
        other = ConversationMemory(conversation_memory_driver=driver)
        one.add_run(run("2"))
        other.add_run(run("3"))
        assert [input for input, _ in self.texts()] == ["1", "2", "3"]
        runs, metadata = self.index.driver("42").load()
        assert (runs[0].meta, metadata) == ({"liked": True}, {"k": 2})

    def test_a_run_that_was_changed_is_edited_with_what_others_changed_in_it(self):
        self.driver().store([run("1", id="a", meta={"n": 1, "old": 1}), run("2")], {})
        memory = self.memory()
        self.index.driver("42").annotate("a", {"liked": True})
        memory.runs[0].output.value = "edited"
        memory.runs[0].meta["n"] = 2
        del memory.runs[0].meta["old"]
        memory.add_run(run("3"))
        assert self.texts() == [("1", "edited"), ("2", "a"), ("3", "a")]
        assert self.index.driver("42").load()[0][0].meta == {"n": 2, "liked": True}

    def test_a_change_that_is_taken_back_is_stored_too(self):
        self.driver().store([run("1")], {})
        memory = self.memory()
        for text in ("b", "a"):
            memory.runs[0].output.value = text
            memory.conversation_memory_driver.store(memory.runs, memory.meta)
            assert self.texts() == [("1", text)]

    def test_a_run_that_takes_the_place_of_another_is_an_edit(self):
        self.driver().store([run("1")], {})
        memory = self.memory()
        memory.runs[0] = attrs.evolve(memory.runs[0], output=TextArtifact("evolved"))
        gc.collect()
        memory.add_run(run("2"))
        assert self.texts() == [("1", "evolved"), ("2", "a")]

    def test_an_old_copy_of_a_run_beside_it_changes_nothing(self):
        self.driver().store([run("1", id="a")], {})
        saved = self.memory().to_dict()
        stored = OurRun.from_dict(run("1", "edited", id="a").to_dict())
        self.index.driver("42").edit(stored)
        memory = self.memory(runs=ConversationMemory.from_dict(saved).runs)
        assert outputs(memory) == ["a", "edited"]
        memory.add_run(run("2"))
        assert self.texts() == [("1", "edited"), ("2", "a")]

    def test_pruning_limits_the_prompt_and_not_what_is_stored(self):
        memory = self.memory(max_runs=2)
        for number in range(5):
            memory.add_run(run(f"{number}"))
        assert len(memory.runs) == 2
        assert [input for input, _ in self.texts()] == ["0", "1", "2", "3", "4"]

    def test_clearing_a_memory_deletes_nothing(self):
        self.driver().store([run("1"), run("2")], {"k": 1})
        memory = self.memory()
        memory.runs.clear()
        memory.conversation_memory_driver.store(memory.runs, memory.meta)
        memory.add_run(run("3"))
        assert [input for input, _ in self.texts()] == ["1", "2", "3"]

    def test_a_run_that_another_writer_removed_stays_removed(self):
        self.driver().store([run("1", id="a"), run("2", id="b")], {})
        memory = self.memory()
        self.index.driver("42").remove("a")
        memory.add_run(run("3"))
        memory.runs[0].output.value = "edited"
        memory.add_run(run("4"))
        assert [input for input, _ in self.texts()] == ["2", "3", "4"]

    def test_a_conversation_that_another_writer_deleted_begins_with_the_next_run(self):
        self.driver().store([run("1")], {"k": 1})
        memory = self.memory()
        self.index.driver("42").delete()
        memory.runs[0].output.value = "edited"
        memory.add_run(run("2"))
        assert self.texts() == [("2", "a")]
        assert self.index.driver("42").load()[1] == {}

    def test_runs_that_were_stored_but_not_loaded_are_not_stored_twice(self):
        self.driver().store([run("1", id="a"), run("2", id="b")], {})
        given = [run("1", id="a"), run("2", "new", id="b"), run("3", id="c")]
        memory = self.memory(runs=given, autoload=False)
        memory.add_run(run("4"))
        assert self.texts() == [("1", "a"), ("2", "new"), ("3", "a"), ("4", "a")]

    def test_metadata_is_merged_key_by_key(self):
        self.driver().store([run()], {"a": 1, "b": [1], "gone": 1})
        one, other = self.memory(), self.memory()
        one.meta["a"] = 2
        del one.meta["gone"]
        other.meta["b"].append(2)
        other.meta["c"] = None
        one.add_run(run())
        other.add_run(run())
        assert self.index.driver("42").load()[1] == {"a": 2, "b": [1, 2], "c": None}

    def test_keys_that_are_numbers_become_text_once(self):
        memory = self.memory(meta={1: "first"})
        memory.add_run(run("1", meta={2: "b"}))
        memory.meta[1], memory.runs[0].meta[2] = "c", "d"
        memory.add_run(run("2"))
        document = self.index.driver("42").raw()
        assert (document.count(b'"1": '), b"first" in document) == (1, False)
        runs, metadata = self.index.driver("42").load()
        assert (metadata, runs[0].meta) == ({"1": "c"}, {"2": "d"})

    def test_metadata_of_a_memory_that_loaded_nothing_removes_nothing(self):
        self.index.driver("42").update_metadata({"a": 1})
        self.memory(autoload=False, meta={"b": 2}).add_run(run())
        assert self.index.driver("42").load()[1] == {"a": 1, "b": 2}

    def test_a_memory_without_runs_keeps_what_others_changed_in_the_metadata(self):
        self.index.driver("42").update_metadata({"a": 1})
        memory = self.memory()
        self.index.driver("42").update_metadata({"a": 2})
        memory.add_run(run())
        assert self.index.driver("42").load()[1] == {"a": 2}

    def test_an_owner_sees_and_changes_only_what_is_theirs(self):
        self.driver(owner="ada").store([run("1")], {})
        assert self.driver(owner="bob").load() == ([], {})
        with pytest.raises(ConversationNotFound):
            self.driver(owner="bob").store([run("2")], {})
        memory = ConversationMemory(conversation_memory_driver=self.driver(owner="ada"))
        memory.add_run(run("2"))
        assert [input for input, _ in self.texts()] == ["1", "2"]
        assert self.index.driver("42").record().owner == "ada"

    def test_a_ttl_is_that_of_what_is_stored(self):
        self.driver(ttl=3600).store([run()], {})
        assert self.index.driver("42").record().expires is not None


class StockTests(GriptapeMemoryTestCase):
    def test_griptapes_own_driver_reads_what_this_one_stored(self):
        image = ImageArtifact(b"\x89PNG", format="png", width=1, height=2, name="lamp.png")
        stored = [run("1", meta={"n": 1}), run("2", image)]
        self.driver().store(stored, {"k": 1})
        assert self.stock().load() == (stored, {"k": 1})

    def test_this_one_adds_to_what_griptapes_own_driver_stored(self):
        self.stock().store([run("1")], {"k": 1})
        before = self.stored("42")
        memory = self.memory()
        memory.conversation_memory_driver.store(memory.runs, memory.meta)
        assert self.stored("42") == before
        memory.add_run(run("2"))
        runs, metadata = self.stock().load()
        assert [run.input.value for run in runs] == ["1", "2"]
        assert metadata == {"k": 1}


class OpeningTests(GriptapeMemoryTestCase):
    def test_a_driver_of_no_conversation_begins_one(self):
        driver = ConversationMemoryDriver()
        ConversationMemory(conversation_memory_driver=driver).add_run(run("1"))
        assert self.texts(driver.conversation_id) == [("1", "a")]

    def test_its_repr_has_no_text(self):
        driver = self.driver()
        driver.store([run("secret")], {"k": "secret"})
        driver.load()
        assert "secret" not in repr(driver)
