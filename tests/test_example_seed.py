import gzip
import json
import tracemalloc
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import TestCase

from conversation_memory import Run
from conversation_memory.admin.run_facts import feedback_of, usage_of
from conversation_memory.exceptions import ConversationCorrupt
from conversation_memory.messages import tool_calls
from conversation_memory.rendering import Look, show
from example_project.chat import seeding
from example_project.chat.samples import samples
from example_project.chat.seeding import USERS

from .sharding import ShardsTestCase
from .utils import RedisTestCase

User = get_user_model()


class Terminal(StringIO):
    def isatty(self):
        return True


class SeedTestCase(RedisTestCase, TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(TemporaryDirectory()))

    def seed(self, **options):
        out = StringIO()
        call_command("seed", stdout=out, stderr=StringIO(), **options)
        return out.getvalue().strip()


class SampleTests(SeedTestCase):
    def test_every_user_gets_conversations(self):
        assert self.seed() == "Stored 37 conversations."
        counts = [self.index.count(owner=User.objects.get(username=name).pk) for name in USERS]
        assert all(counts)
        assert sum(counts) == self.index.count() == 37

    def test_nothing_is_seeded_twice(self):
        self.seed()
        driver = self.index.driver("sample-lisbon")
        driver.append(Run("And in June?", "Sardines."))
        assert self.seed() == "Stored 0 conversations; 37 already existed."
        assert driver.record().runs == 6

    def test_some_are_enough(self):
        assert self.seed(limit=3) == "Stored 3 conversations."

    def test_one_user_gets_them_all(self):
        user = User.objects.create_user("mary")
        self.seed(owner="mary")
        assert self.index.count(owner=user.pk) == 37

    def test_they_are_of_many_kinds(self):
        all = list(samples())
        assert max(len(sample.runs) for sample in all) > 150
        outputs = [run.output for sample in all for run in sample.runs]
        kinds = {show(output, "output", Look(url=str)).kind for output in outputs}
        assert {"text", "list", "json", "image", "error", "binary", "link", "info"} <= kinds

    def test_what_other_programs_leave_behind_belongs_to_nobody(self):
        for _ in range(2):
            seeding.store_oddities(self.index)
        with self.assertRaises(ConversationCorrupt):
            self.index.driver("sample-damaged").load()
        assert self.index.driver("sample-odd").tail(1)[0].output.type == "HologramArtifact"
        assert self.index.count() == 2

    def test_they_tell_usage_feedback_and_tool_calls(self):
        runs = [run for sample in samples() for run in sample.runs]
        assert all(usage_of(run).total and usage_of(run).cost for run in runs)
        ratings = {feedback_of(run).rating for run in runs if feedback_of(run)}
        assert ratings == {"up", "down"}
        calls = [call for run in runs for call in tool_calls(run)]
        assert {call.is_failed for call in calls} == {True, False}
        again = [run for sample in samples() for run in sample.runs]
        assert [run.meta for run in runs] == [run.meta for run in again]

    def test_griptape_reads_them_all(self):
        from griptape.memory.structure import Run as StockRun

        for sample in samples():
            for run in sample.runs[:10]:
                assert StockRun.from_dict(run.to_dict()).id == run.id


class ShardedSampleTests(ShardsTestCase):
    test_what_other_programs_leave_behind = (
        SampleTests.test_what_other_programs_leave_behind_belongs_to_nobody
    )


class FileTests(SeedTestCase):
    DIALOGUE = {
        "conversation_id": "d1",
        "metadata": {"source": "somewhere", "licence": "CC-BY-4.0"},
        "turns": [{"user": "", "assistant": "Welcome"}, {"user": "One tea", "assistant": ""}],
    }

    def file(self, *lines, name="dialogues.jsonl"):
        path = self.folder / name
        lines = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        data = "".join(line + "\n" for line in lines).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    def test_a_turn_becomes_a_run(self):
        assert self.seed(file=self.file(self.DIALOGUE)) == "Stored 1 conversation."
        found = self.index.driver("d1").read()
        assert [(run.input.text, run.output.text) for run in found.runs] == [
            ("", "Welcome"),
            ("One tea", ""),
        ]
        assert found.metadata == self.DIALOGUE["metadata"]
        assert (found.record.owner, found.record.title) == (None, "Welcome")

    def test_gzipped_too(self):
        self.seed(file=self.file(self.DIALOGUE, name="dialogues.jsonl.gz"))
        assert self.index.driver("d1").exists()

    def test_with_an_owner(self):
        user = User.objects.create_user("mary")
        self.seed(file=self.file(self.DIALOGUE), owner="mary")
        assert self.index.driver("d1").record().owner == str(user.pk)

    def test_what_is_there_is_kept(self):
        self.index.driver("d1", owner=7).store([Run("mine", "")])
        assert "1 already existed" in self.seed(file=self.file(self.DIALOGUE))
        assert self.index.driver("d1").load()[0][0].input.text == "mine"

    def test_no_more_than_asked_for(self):
        many = [{**self.DIALOGUE, "conversation_id": f"d{n}"} for n in range(5)]
        self.seed(file=self.file(*many), limit=2)
        assert self.index.count() == 2

    def test_a_bad_line_is_named(self):
        for line, words in {
            "{": "Expecting",
            "[]": "not a JSON object",
            '{"turns": []}': '"conversation_id" must be a string',
            '{"conversation_id": "x"}': '"turns" must be a list',
            '{"conversation_id": "x", "turns": [{"user": 1, "assistant": ""}]}': '"turns"',
            '{"conversation_id": "x", "turns": [], "metadata": 1}': '"metadata"',
            "[" * 100_000: "recursion",
        }.items():
            with self.subTest(line[:50]), self.assertRaises(CommandError) as caught:
                self.seed(file=self.file(self.DIALOGUE, "", line))
            assert "dialogues.jsonl, line 3: " in str(caught.exception)
            assert words in str(caught.exception)

    def test_a_file_that_breaks_off(self):
        many = [{**self.DIALOGUE, "conversation_id": f"d{n}"} for n in range(1000)]
        path = self.file(*many, name="dialogues.jsonl.gz")
        path.write_bytes(path.read_bytes()[:-100])
        with self.assertRaisesRegex(CommandError, r"line \d+: the file is damaged"):
            self.seed(file=path)

    def test_no_file(self):
        with self.assertRaisesMessage(CommandError, "nothing.jsonl cannot be read: No such file"):
            self.seed(file=self.folder / "nothing.jsonl")

    def test_a_file_that_unfolds_is_not_read_into_memory(self):
        path = self.folder / "bomb.gz"
        with gzip.open(path, "wb") as file:
            for _ in range(20):
                file.write(b"[" * 10_000_000)
        tracemalloc.start()
        with self.assertRaisesMessage(CommandError, "line 1: longer than"):
            self.seed(file=path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 150_000_000

    def test_an_unknown_user(self):
        with self.assertRaisesMessage(CommandError, "There is no user called 'nobody'."):
            self.seed(owner="nobody")

    def test_a_redis_that_is_gone(self):
        with self.settings(REDIS={"default": {"URL": "redis://127.0.0.1:1"}}):
            with self.assertRaisesMessage(CommandError, "Redis of alias 'default'"):
                self.seed(file=self.file(self.DIALOGUE))

    def test_a_bar_on_a_terminal_only(self):
        path = self.file(self.DIALOGUE)
        for stream, words in ((Terminal(), "Seeding"), (StringIO(), "")):
            with self.subTest(words):
                call_command("seed", file=path, stdout=StringIO(), stderr=stream)
                assert words in stream.getvalue()
