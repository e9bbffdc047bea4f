import json
from datetime import UTC, datetime
from unittest import mock

from django.test import TestCase

from conversation_memory import Artifact, Run
from conversation_memory.exceptions import ConversationNotFound
from conversation_memory.management.exit_codes import Exit

from .commands import called, fails, shell
from .servers import SECRET, ServerTestCase
from .utils import RedisTestCase, both, each_layout

HOSTILE = "a\x1b]0;title\x07\u202eb"


def run(id="a", output="an answer", **options):
    return Run("a question", output, id=id, **options)


def listed(*args, **options):
    return called("listconversations", *args, **options)[0]


def showed(*args, **options):
    return called("showconversation", *args, **options)[0]


@each_layout
class ListTests:
    def test_is_a_table_with_what_was_written_to_last_first(self):
        self.index.driver("1", owner="ann", ttl=100_000).append(run())
        self.index.driver("1").set_title("A title")
        self.index.driver("2").append(run("a"), run("b"))
        heading, *rows = [line.split() for line in listed().splitlines()]
        assert heading == "ID UPDATED RUNS BYTES OWNER EXPIRES TITLE".split()
        today = f"{self.index.driver('1').record().updated:%Y-%m-%d}"
        assert [row[0] for row in rows] == ["2", "1"]
        assert rows[0][1] == today
        size = f"{sum(map(len, self.index.raw('2'))):,}"
        assert rows[0][3:] == ["2", size, "-", "-", *run().input.text.split()]
        assert rows[1][5] == "ann"
        assert rows[1][8:] == ["A", "title"]

    def test_an_empty_index_has_no_table(self):
        assert listed() == ""

    def test_chooses_by_owner_age_and_number(self):
        for number in range(3):
            self.index.driver(number, owner=f"user{number % 2}").append(run())
        assert len(listed("--owner", "user0").splitlines()) == 3
        assert len(listed("--limit", "1").splitlines()) == 2
        assert listed("--until", "1h") == ""
        assert len(listed("--since", "1h").splitlines()) == 4

    def test_nothing_of_a_stranger_reaches_the_terminal(self):
        self.index.driver(HOSTILE, owner=HOSTILE).append(run())
        self.index.driver(HOSTILE).set_title(HOSTILE)
        self.put(b"\xff\x9b", b"no JSON")
        with mock.patch("shutil.get_terminal_size", return_value=mock.Mock(columns=300)):
            text = listed(terminal=True, no_color=True)
        assert "$'a\\033]0;title\\007\\342\\200\\256b'" in text
        assert "a\\x1b]0;title\\x07\\u202eb" in text
        assert "$'\\377\\233'" in text
        assert all(line.isprintable() for line in text.splitlines())

    def test_at_a_terminal_titles_are_cut_and_ids_are_not(self):
        self.index.driver("i" * 100).append(run())
        self.index.driver("2").append(run())
        self.index.driver("2").set_title("t" * 200)
        with mock.patch("shutil.get_terminal_size", return_value=mock.Mock(columns=120)):
            cut, _, long = sorted(listed(terminal=True, no_color=True).splitlines())
        assert len(cut) <= 120
        assert cut.endswith("t…")
        assert "i" * 100 in long

    def test_json_has_an_object_on_each_line(self):
        self.index.driver("1", owner="ann", ttl=100).append(run())
        self.index.driver(b"\xff").append(run())
        first, second = map(json.loads, listed("--json").splitlines())
        record = self.index.driver("1").record()
        assert first["id_b64"] == "/w=="
        assert second == {
            "id": "1",
            "owner": "ann",
            "title": run().input.text,
            "runs": 1,
            "bytes": sum(map(len, self.index.raw("1"))),
            "created": record.created.isoformat(),
            "updated": record.updated.isoformat(),
            "expires": record.expires.isoformat(),
        }

    def test_a_limit_is_at_least_one(self):
        with fails(Exit.FAILED, "must be at least 1"):
            listed("--limit", "0")


@each_layout
class ShowTests:
    @both
    def test_inspecting_and_raw_have_twins(self, index):
        index.driver("1").append(run())
        assert [run.id for run in index.inspect("1").runs] == ["a"]
        assert b'"an answer"' in b"".join(index.raw("1"))
        assert index.raw("2") == []
        with self.assertRaises(ConversationNotFound):
            index.inspect("2")

    def test_is_a_transcript(self):
        self.index.driver("1", owner="ann").store([run("a"), run("b")], {"topic": "art"})
        self.index.driver("1").set_title("A title")
        lines = showed("1").splitlines()
        assert lines[:3] == ["Conversation 1 of 'default'", "Title     A title", "Owner     ann"]
        assert lines[5:7] == ["Runs      2", 'Metadata  {"topic": "art"}']
        assert lines[7:13] == [
            "",
            "Run 1 of 2  a",
            "Input:",
            "  a question",
            "Output:",
            "  an answer",
        ]

    def test_shows_a_run_whose_id_is_no_text(self):
        self.put("1", b'{"runs": [{"id": "\\ud800", "input": {"value": "a question"}}]}')
        assert "Run 1 of 1  \\ud800" in showed("1")

    def test_shows_the_last_runs_and_their_meta(self):
        self.index.driver("1").append(run("a"), run("b", meta={"model": "m-1"}))
        text = showed("1", "--last", "1")
        assert "(1 earlier run not shown)" in text
        assert 'Run 2 of 2  b\nMeta: {"model": "m-1"}\n' in text
        assert "Run 1 of 2" not in text
        assert "earlier" not in showed("1", "--last", "9")

    def test_shows_what_is_no_text(self):
        picture = Artifact(b"12345", type="ImageArtifact", format="png")
        self.index.driver("1").append(run(output=picture))
        assert "Output (ImageArtifact):\n  [image/png, 5 bytes]" in showed("1")

    def test_nothing_of_a_stranger_reaches_the_terminal(self):
        self.index.driver(HOSTILE).store(
            [run(HOSTILE, HOSTILE, meta={HOSTILE: HOSTILE})], {HOSTILE: HOSTILE}
        )
        self.index.driver(HOSTILE).set_title(HOSTILE)
        for args in ((), ("--json",), ("--raw",)):
            text = showed(HOSTILE, *args, terminal=True, no_color=True)
            assert all(line.isprintable() for line in text.split("\n"))

    def test_long_lines_are_wrapped_at_a_terminal(self):
        self.index.driver("1").append(run(output="many words " * 50))
        with mock.patch("shutil.get_terminal_size", return_value=mock.Mock(columns=60)):
            text = showed("1", terminal=True, no_color=True)
        assert max(map(len, text.splitlines())) <= 60
        assert " many words" * 50 in showed("1")

    def test_json_has_everything(self):
        self.index.driver("1", owner="ann").store([run("a"), run("b")], {"n": 1.0})
        found = json.loads(showed("1", "--json", "--last", "1"))
        assert found["runs"] == [run.to_dict() for run in self.index.inspect("1").runs[1:]]
        assert (found["id"], found["owner"], found["count"]) == ("1", "ann", 2)
        assert found["metadata"] == {"n": 1.0}

    def test_what_is_not_there_has_a_code(self):
        for args in ((), ("--raw",), ("--json",)):
            with fails(Exit.NOT_FOUND, "There is no conversation '9'"):
                showed("9", *args)

    def test_what_cannot_be_read_has_a_reason_and_a_code(self):
        self.put("1", b'{"runs": [' + SECRET.encode())
        with fails(Exit.UNREADABLE, "'1'", "is damaged", "--raw prints its ") as caught:
            showed("1")
        assert caught is None
        assert showed("1", "--raw") == '{"runs": [' + SECRET + "\n"


class RawTests(ServerTestCase):
    entry = {"INDEX": "conversations"}

    def test_raw_writes_the_stored_bytes(self):
        document = b'{"runs": [], "metadata": {}}\xff\x00\n\n'
        self.put("1", document)
        process = shell(self.server.url, "showconversation", "1", "--raw", encoding="latin-1")
        out, err = process.communicate(timeout=30)
        assert (out.encode("latin-1"), err, process.returncode) == (document, "", 0)

    def test_bytes_on_the_command_line_name_a_conversation(self):
        self.index.driver(b"caf\xff").append(run())
        process = shell(self.server.url, "listconversations", "--json", "--limit", "1")
        assert json.loads(process.communicate(timeout=30)[0])["id_b64"] == "Y2Fm/w=="
        assert showed(b"caf\xff".decode("utf-8", "surrogateescape")).startswith(
            "Conversation $'caf"
        )


class DumpdataTests(TestCase):
    def test_dumpdata_of_the_project_still_works(self):
        out = called("dumpdata", "auth.permission", "conversation_memory")[0]
        assert json.loads(out)[0]["model"] == "auth.permission"


class TimeTests(RedisTestCase):
    def test_times_are_in_the_time_zone_of_the_project(self):
        self.index.driver("1").append(run())
        stamp = datetime(2026, 5, 31, 23, 30, tzinfo=UTC).timestamp() * 1000
        self.redis.hset(f"{{{self.index.name}}}:record:1", "updated", int(stamp))
        with self.settings(TIME_ZONE="Europe/Vienna"):
            assert "2026-06-01 01:30" in listed()
