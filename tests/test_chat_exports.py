import json
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from django.core.management import call_command

from conversation_memory import Artifact, Run
from conversation_memory.clock import parse
from conversation_memory.management.exit_codes import Exit

from .commands import called, fails
from .utils import RedisTestCase, each_layout

PARTS = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
]
CALL = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
SUPPORT = [
    {"role": "system", "content": "You are a lighthouse."},
    {"role": "user", "content": PARTS},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "t1", "content": "a boat"},
    {"role": "assistant", "content": "A boat."},
    {"role": "user", "content": "Thanks"},
    {"role": "assistant", "content": "Not at all."},
    {"role": "user", "content": "Are you there?"},
]


class Files:
    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(TemporaryDirectory()))

    def load(self, *lines, format="messages", **options):
        path = self.folder / "chats.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(texts) + "\n")
        return called("loadconversations", str(path), "--format", format, **options)

    def dumped(self):
        out, _ = called("dumpconversations", "--format", "messages")
        return {line["id"]: line for line in map(json.loads, out.splitlines())}

    def said(self, id):
        runs, _ = self.index.driver(id).load()
        return [(run.input.text, run.output.text) for run in runs]


@each_layout
class MessagesTests(Files):
    def test_each_message_of_a_user_begins_a_run(self):
        self.load({"id": "a", "messages": SUPPORT})
        said = [("What is this?", "A boat."), ("Thanks", "Not at all."), ("Are you there?", "")]
        assert self.said("a") == said

    def test_whatever_the_messages_are_they_are_written_as_they_were(self):
        strange = [
            {"role": "assistant", "content": ""},
            {"role": "user", "name": "x"},
            {},
            {"role": 7},
        ]
        chats = {"a": SUPPORT, "b": strange, "c": SUPPORT[4:6], "d": []}
        self.load(*({"id": id, "messages": messages} for id, messages in chats.items()))
        assert {id: line["messages"] for id, line in self.dumped().items()} == chats

    def test_owner_title_times_metadata_and_the_rest_come_back(self):
        line = {
            "id": "a",
            "owner": "7",
            "title": "Boats",
            "created": "2024-05-01T10:00:00.000Z",
            "updated": "2024-05-02T10:00:00.500Z",
            "metadata": {"topic": "sea"},
            "tools": [{"type": "function"}],
            "messages": SUPPORT,
        }
        self.load(line)
        assert self.dumped() == {"a": line}
        record = self.index.driver("a").record()
        assert (record.owner, record.title, record.updated.year) == ("7", "Boats", 2024)

    def test_the_same_file_again_changes_nothing(self):
        lines = [{"messages": SUPPORT}, {"messages": SUPPORT[:2]}, {"id": 5, "messages": []}, ""]
        assert self.load(*lines)[0].startswith("default: restored 3 ")
        assert "3 unchanged" in self.load(*lines)[0]

    def test_what_was_said_since_is_written_too(self):
        self.load({"id": "a", "messages": SUPPORT})
        driver = self.index.driver("a")
        first = driver.load()[0][0]
        first.output = "A ship."
        driver.edit(first)
        driver.append(Run("Bye", "Bye"))
        messages = self.dumped()["a"]["messages"]
        assert messages[0] == {"role": "user", "content": "What is this?"}
        assert messages[1] == {"role": "assistant", "content": "A ship."}
        assert messages[-1] == {"role": "assistant", "content": "Bye"}

    def test_images_of_runs_become_parts(self):
        image = Artifact(b"\x00\x00\x00", type="ImageArtifact", format="png", width=1, height=1)
        question = Artifact([Artifact("What is this?"), image], type="ListArtifact")
        self.index.driver("a").append(Run(question, "A dot."))
        assert self.dumped()["a"]["messages"][0]["content"] == PARTS

    def test_what_cannot_be_read_is_left_out_and_counted(self):
        self.put("broken", b"no JSON")
        self.put("b", b'{"runs": [], "metadata": {}}')
        err = StringIO()
        with fails(Exit.FAILED, "Unreadable, not exported: 1."):
            call_command("dumpconversations", "--format=messages", stdout=StringIO(), stderr=err)
        assert "dumped 1 conversation" in err.getvalue()


class TurnsTests(Files, RedisTestCase):
    def test_a_turn_becomes_a_run(self):
        turns = [{"user": "", "assistant": "Hello!"}, {"user": "Hi", "assistant": ""}]
        line = {"conversation_id": "a", "metadata": {"source": "x"}, "turns": turns}
        self.load(line, format="turns")
        assert self.said("a") == [("", "Hello!"), ("Hi", "")]
        assert self.index.driver("a").load()[1] == {"source": "x"}

    def test_a_conflict_is_found_before_anything_is_written(self):
        self.load({"id": "b", "turns": []}, format="turns")
        with fails(Exit.CONFLICT, "'b'"):
            self.load({"id": "a", "turns": []}, {"id": "b", "turns": [{}]}, format="turns")
        assert [*self.index] == ["b"]


class BrokenTests(Files, RedisTestCase):
    def test_the_line_is_named_and_nothing_is_written(self):
        for line, why in (
            ("{", "it is not JSON"),
            ("[]", "it is not a JSON object"),
            ("[" * 10**5, "nested too deeply"),
            ({}, "it has no list of messages"),
            ({"messages": [1]}, "it has no list of messages"),
            ({"messages": [], "id": []}, "its id must be a string or a number"),
            ({"messages": [], "id": "\ud800"}, "surrogate"),
            ({"messages": [], "owner": []}, "its owner must be"),
            ({"messages": [], "metadata": 5}, "its metadata is not a JSON object"),
            ({"messages": [], "created": "soon"}, "a time must be"),
            ({"messages": [], "created": 1e300}, "a time is"),
            ({"messages": [], "id": "a"}, "its id occurred before"),
        ):
            with self.subTest(why), fails(Exit.DAMAGED, "damaged at line 2: ", why):
                self.load({"id": "a", "messages": SUPPORT}, line)
        assert self.index.count() == 0

    def test_times(self):
        assert parse("1970-01-01T00:00:01") == parse(1) == 1000
        assert parse("1970-01-01T01:00:01+01:00") == 1000
