"""A user's own data: export_owner() and exportconversations."""

import asyncio
import io
import json
import re
import tempfile
import tracemalloc
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock
from zipfile import ZipFile

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory import Artifact, Run, Selection, indexes
from conversation_memory.archive import Dump, OwnerExport
from conversation_memory.management.exit_codes import Exit

from .commands import Terminal, called, fails
from .servers import free_port
from .strategies import ids, texts
from .utils import RedisTestCase, both, close_connections, each_layout

HOSTILE = "../../<script>alert(1)</script>\x1b[31m\u202e\ud800"
PNG = b"\x89PNG\r\n\x1a\n"


def unzipped(content):
    """The files of a ZIP by name, after a look at their checksums."""
    with ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert len({*archive.namelist()}) == len(archive.namelist())
        return {name: archive.read(name) for name in archive.namelist()}


def exported(index, owner=7):
    """The files of an export."""
    target = io.BytesIO()
    index.export_owner(owner, target)
    return unzipped(target.getvalue())


def page(files, number=1):
    return files[f"conversations/{number:05d}.html"].decode()


def data(files, number=1):
    return json.loads(files[f"conversations/{number:05d}.json"])


def manifest(files):
    return json.loads(files["manifest.json"])


@each_layout
class OwnerExportTests:
    def fill(self):
        driver = self.index.driver("first", owner=7, ttl=1000)
        driver.store([Run("My name is Ada.", "Hello **Ada**!", {"model": "m1"}, id="r1")])
        driver.update_metadata({"topic": "names"})
        driver.set_title("Names")
        self.index.driver("second", owner=7).append(Run("a", "b"), Run("c", "d"))
        self.index.driver("hers", owner=8).append(Run("the secret of another", ""))
        self.index.driver("nobody's").append(Run("the secret of nobody", ""))

    @both
    def test_holds_pages_and_json_of_all_that_the_owner_has(self, index):
        self.fill()
        files = exported(index)
        assert sorted(files) == [
            "conversations/00001.html",
            "conversations/00001.json",
            "conversations/00002.html",
            "conversations/00002.json",
            "index.html",
            "manifest.json",
        ]
        assert "secret" not in str(files)
        text = files["index.html"].decode()
        assert "2 conversations are stored." in text
        assert '<a href="conversations/00001.html"><bdi>Names</bdi></a>' in text
        first = page(files)
        for words in ("Names", "My name is Ada.", "Hello <strong>Ada</strong>!", "m1", "topic"):
            assert words in first
        assert '<a href="../index.html">' in first

    @both
    def test_json_is_the_wire_format_with_the_record(self, index):
        self.fill()
        found = data(exported(index))
        record = index.driver("first").record()
        assert found.pop("conversation") == json.loads(index.driver("first").raw())
        times = {name: getattr(record, name) for name in ("created", "updated", "expires")}
        assert found.pop("open_runs") == []
        assert found == {
            "id": "first",
            "owner": "7",
            "title": "Names",
            **{
                name: time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
                for name, time in times.items()
            },
        }

    @both
    def test_manifest_has_the_counts(self, index):
        self.fill()
        export = index.export_owner(7, io.BytesIO())
        assert (export.total, export.count, export.runs, export.unreadable) == (2, 2, 3, 0)
        found = manifest(exported(index))
        made = found.pop("made")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", made)
        assert found == {
            "format": "conversation_memory.owner",
            "version": 1,
            "owner": "7",
            "index": index.name,
            "conversations": 2,
            "runs": 3,
            "open_runs": 0,
            "unreadable": [],
        }

    @both
    def test_has_questions_whose_answers_are_not_complete(self, index):
        driver = self.index.driver("first", owner=7)
        driver.append(Run("What is 1 + 1?", "2"))
        writing = driver.begin("My name is Ada.", meta={"model": "m1"}, run_id="r1").claim()
        writing.write("Hello **Ad")
        writing.flush()
        driver.begin("Who am I?", run_id="r2")
        driver.fail("r2", "The <model> is overloaded.")
        files = exported(index)
        first, second = data(files)["open_runs"]
        assert (first["id"], first["state"], first["reason"]) == ("r1", "waiting", "")
        run = Run.from_dict(first["run"])
        assert (run.input.value, run.output.value) == ("My name is Ada.", "Hello **Ad")
        assert run.meta == {"model": "m1"} and first["begun"].endswith("Z")
        assert (second["state"], second["reason"]) == ("failed", "The <model> is overloaded.")
        text = page(files)
        for words in (
            "The answer is not finished",
            "My name is Ada.",
            "Hello **Ad",
            "The answer failed",
            "The &lt;model&gt; is overloaded.",
        ):
            assert words in text, words
        assert text.index("What is 1 + 1?") < text.index("My name is Ada.")
        assert (manifest(files)["runs"], manifest(files)["open_runs"]) == (1, 2)
        assert "2 unfinished" in files["index.html"].decode()

    def test_a_question_that_is_damaged_is_in_it_as_it_is_stored(self):
        driver = self.index.driver("first", owner=7)
        driver.begin("lost", run_id="r1")
        driver.begin("fine", run_id="r2")
        self.redis.hset(f"{{{self.index.name}}}:open:first", "question:r1", b"no JSON \xff")
        files = exported(self.index)
        first, second = data(files)["open_runs"]
        assert "no JSON \\xff" in first["stored"] and "run" not in first
        assert second["run"]["input"]["value"] == "fine"
        [problem] = manifest(files)["unreadable"]
        assert problem["id"] == "first" and "no JSON" in page(files) and "fine" in page(files)

    def test_the_questions_of_a_conversation_that_cannot_be_read_are_in_it(self):
        self.index.driver("first", owner=7).begin("My name is Ada.")
        self.redis.hset(self.index.name, "first", b"{")
        files = exported(self.index)
        assert b"My name is Ada." in files["conversations/00001.raw"]
        assert manifest(files)["open_runs"] == 1

    @both
    def test_of_an_owner_without_conversations_says_so(self, index):
        files = exported(index, owner="unknown")
        assert sorted(files) == ["index.html", "manifest.json"]
        assert "0 conversations are stored." in files["index.html"].decode()

    def test_an_owner_is_required(self):
        for owner in (None, "", b""):
            with pytest.raises(ValueError, match="`owner` is required"):
                self.index.export_owner(owner, io.BytesIO())

    @both
    def test_what_is_damaged_costs_only_itself(self, index):
        self.fill()
        raw = b'{"runs": [\xff'
        self.redis.hset(index.name, "second", raw)
        files = exported(index)
        [problem] = manifest(files)["unreadable"]
        assert problem["id"] == "second" and problem["reason"]
        assert files[problem["file"]].startswith(raw)
        assert "conversations/00002.html" not in files and "My name is Ada." in page(files)
        assert "1 conversation cannot be read" in files["index.html"].decode()
        assert manifest(files)["conversations"] == 2

    @both
    def test_one_whose_record_cannot_be_read_is_not_left_out(self, index):
        self.fill()
        record = f"{{{index.name}}}:record:second"
        self.redis.delete(record)
        self.redis.set(record, "a string")
        files = exported(index)
        assert manifest(files)["conversations"] == 2 and "secret" not in str(files)
        [name] = [name for name in files if b'"id": "second"' in files[name]]
        assert len(json.loads(files[name])["conversation"]["runs"]) == 2

    def test_what_another_owner_has_meanwhile_is_left_out(self):
        for selection in (OwnerExport(self.index, 7), Dump(self.index, Selection(owner=7))):
            for id in ("kept", "moved", "anew"):
                self.index.driver(id, owner=7).append(Run("mine", "a"))
            parts = iter(selection)
            first = next(parts)
            self.index.driver("moved", owner=7).move_to(8)
            self.index.driver("moved", owner=8).append(Run("secret", "b"))
            self.index.driver("anew").delete()
            self.index.driver("anew", owner=8).append(Run("secret", "b"))
            content = first + b"".join(parts)
            if isinstance(selection, OwnerExport):
                content = b"".join(unzipped(content).values())
            assert b"kept" in content and b"mine" in content and b"secret" not in content
            self.index.delete("kept", "moved", "anew")

    def test_an_expired_conversation_is_left_out(self):
        self.fill()
        self.index.driver("past", owner=7, ttl=0.001).append(Run("long past", ""))
        while self.index.driver("past").exists():
            pass
        assert manifest(exported(self.index))["conversations"] == 2

    def test_nothing_of_a_text_runs_or_loads(self):
        picture = Artifact(PNG, type="ImageArtifact", format='png" onload="x', name=HOSTILE)
        values = [
            HOSTILE,
            '<img src="https://evil.example/x"> ![x](https://evil.example/y) <svg onload=x>',
            picture,
            Artifact("javascript:alert(1)", type="UrlArtifact"),
            Artifact(b"<script>", type="BlobArtifact", name=HOSTILE),
            Artifact([HOSTILE], type="GenericArtifact"),
            Artifact({HOSTILE: 1}, type="<script>"),
        ]
        runs = [Run(value, value, {HOSTILE: HOSTILE}) for value in values]
        driver = self.index.driver(HOSTILE[:-1], owner=7)
        driver.store(runs, {HOSTILE: HOSTILE})
        driver.set_title(HOSTILE)
        files = exported(self.index)
        assert set(files) == {
            "conversations/00001.html",
            "conversations/00001.json",
            "index.html",
            "manifest.json",
        }
        for name in ("index.html", "conversations/00001.html"):
            text = files[name].decode()
            assert "default-src 'none'" in text
            tags = re.findall(r"<[^>]*>", text)
            assert not [tag for tag in tags if re.match(r"<(script|link|iframe|object|svg)", tag)]
            assert not [tag for tag in tags if re.search(r"\son\w+=", re.sub('"[^"]*"', "", tag))]
            sources = re.findall(r'<[^>]* src="([^"]*)"', text)
            assert all(source.startswith("data:image/") for source in sources)
            assert "\x1b" not in text and "\u202e" not in text

    def test_pictures_and_files_are_in_the_page(self):
        picture = Artifact(PNG, type="ImageArtifact", format="png")
        sound = Artifact(b"sound", type="AudioArtifact", format="mp3", name="a.mp3")
        both = Artifact([picture, sound], type="ListArtifact")
        self.index.driver("c1", owner=7).append(Run(both, picture))
        text = page(exported(self.index))
        assert text.count('src="data:image/png;base64,iVBORw0KGgo="') == 2
        link = '<a href="data:application/octet-stream;base64,c291bmQ=" download="a.mp3">'
        assert link in text

    def test_is_in_the_language_of_the_reader(self):
        self.fill()
        with translation.override("de"):
            files = exported(self.index)
        assert "Ihre Unterhaltungen" in files["index.html"].decode()
        assert '<html lang="de">' in page(files) and "Eingabe" in page(files)

    @override_settings(TEMPLATES=[])
    def test_needs_no_templates_in_the_settings(self):
        self.fill()
        assert len(exported(self.index)) == 6


class HostileExportTests(RedisTestCase):
    @given(ids, texts, st.binary(min_size=1, max_size=30))
    def test_of_anything_can_be_opened(self, id, text, owner):
        driver = self.index.driver(id, owner=owner)
        driver.store([Run(text, text, {"meta": text})], {text: text})
        driver.begin(text, meta={text: text}, run_id="r1")
        driver.fail("r1", text)
        files = exported(self.index, owner)
        [opened] = data(files)["open_runs"]
        assert opened["reason"] == text and Run.from_dict(opened["run"]).input.value == text
        assert data(files)["conversation"] == json.loads(driver.raw())
        assert manifest(files)["runs"] == 1
        driver.delete()

    def test_a_damaged_run_is_named_and_costs_only_itself(self):
        deep = b"[" * 1000 + b"]" * 1000
        run = json.dumps(Run("fine", "", id="r1").to_dict()).encode()
        self.index.driver("c1", owner=7).append(Run("x", ""))
        self.put("c1", b'{"runs": [%b, {"meta": %b}], "metadata": {}}' % (run, deep))
        files = exported(self.index)
        [problem] = manifest(files)["unreadable"]
        assert problem["id"] == "c1"
        assert deep in files.get(problem.get("file", "conversations/00001.json"))

    def test_a_run_of_a_list_that_is_damaged(self):
        entry = {**settings.REDIS["default"], "LAYOUT": "list"}
        with self.settings(REDIS={"default": entry}):
            index = indexes["default"]
            index.driver("c1", owner=7).append(Run("fine", ""), Run("lost", ""))
            self.redis.lset(f"{{{index.name}}}:runs:c1", 1, b"no JSON")
            [problem] = manifest(files := exported(index))["unreadable"]
            assert "run 1" in problem["reason"] and b"no JSON" in files[problem["file"]]

    def test_memory_is_that_of_one_conversation(self):
        for number in range(40):
            text = f"{number} " + "word " * 40_000
            self.index.driver(str(number), owner=7).append(Run(text, text))
        sizes = []
        tracemalloc.start()
        try:
            for chunk in OwnerExport(self.index, 7):
                sizes.append(len(chunk))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(sizes) > 4
        assert peak < 14_000_000  # of 16 MB of text, of which some 2 MB are read at a time

    def test_async_lets_the_event_loop_turn_while_it_renders(self):
        self.index.driver("c1", owner=7).append(*(Run("word " * 500, "x") for _ in range(200)))
        turns = []

        async def tick():
            while True:
                turns.append(1)
                await asyncio.sleep(0.001)

        async def run():
            ticking = asyncio.create_task(tick())
            before = len(turns)
            await self.index.aexport_owner(7, io.BytesIO())
            ticking.cancel()
            await close_connections()
            return len(turns) - before

        assert asyncio.run(run()) > 5


class CommandTests(RedisTestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.file = self.folder / "ada.zip"
        self.index.driver("c1", owner="7").append(Run("My name is Ada.", "Hello!"))

    def test_writes_a_file(self):
        out, err = called("exportconversations", owner="7", output=str(self.file))
        assert out == ""
        assert err == f"default: exported 1 conversation, 1 run to {self.file}\n"
        assert manifest(unzipped(self.file.read_bytes()))["owner"] == "7"
        assert [*self.folder.iterdir()] == [self.file]
        assert self.file.stat().st_mode & 0o077 == 0

    def test_counts_the_open_runs(self):
        self.index.driver("c1").begin("And now?")
        _, err = called("exportconversations", owner="7", output=str(self.file))
        assert "exported 1 conversation, 1 run, 1 open run to" in err

    def test_names_the_aliases_that_are_not_included(self):
        entry = settings.REDIS["default"]
        with self.settings(REDIS={"default": entry, "other": {**entry, "INDEX": "other"}}):
            _, err = called("exportconversations", owner="7", output=str(self.file))
            assert "Not included: other (see --using)." in err
            assert called("exportconversations", owner="7", output=str(self.file), verbosity=0) == (
                "",
                "",
            )

    def test_says_what_is_unreadable(self):
        self.redis.hset(self.index.name, "c1", b"{")
        _, err = called("exportconversations", owner="7", output=str(self.file))
        assert "Unreadable, exported as stored: 1 (see manifest.json)." in err

    def test_prints_no_zip_to_a_terminal(self):
        for terminal in (True, False):
            with fails(Exit.USAGE, "--output FILE"):
                called("exportconversations", owner="7", terminal=terminal)

    def test_prints_to_a_pipe(self):
        class Pipe(io.StringIO):
            buffer = io.BytesIO()

        with redirect_stdout(Pipe()) as pipe, mock.patch("sys.stderr", Terminal()):
            call_command("exportconversations", owner="7")
        assert manifest(unzipped(pipe.buffer.getvalue()))["runs"] == 1

    def test_a_failure_leaves_no_file(self):
        with fails(Exit.FILE, "No such file"):
            called("exportconversations", owner="7", output=str(self.folder / "no/such.zip"))
        with fails(Exit.SETTINGS, "no alias"):
            called("exportconversations", owner="7", using="none", output=str(self.file))
        with mock.patch.object(OwnerExport, "_closing", side_effect=OSError(28, "No space left")):
            with fails(Exit.DISK_FULL):
                called("exportconversations", owner="7", output=str(self.file))
        assert [*self.folder.iterdir()] == []

    def test_a_server_that_is_gone_is_an_exit_code(self):
        entry = {"URL": f"redis://127.0.0.1:{free_port()}"}
        with self.settings(REDIS={"default": entry}):
            with fails(Exit.UNAVAILABLE, "cannot be reached"):
                called("exportconversations", owner="7", output=str(self.file))
        assert [*self.folder.iterdir()] == []
