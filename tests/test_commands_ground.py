import errno
import os
import pty
import re
import subprocess
import time
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.test import SimpleTestCase
from django.utils import timezone
from hypothesis import given

from conversation_memory import Run, Selection, exceptions
from conversation_memory.keys import decode
from conversation_memory.management.command import MemoryCommand, moment, selection
from conversation_memory.management.exit_codes import CODES, Exit, failure
from conversation_memory.management.terminal import (
    harmless,
    named,
    padded,
    quoted,
    shortened,
    width_of,
    wrapped,
)

from .commands import Terminal, called, fails, interrupt, shell
from .pages import ROOT
from .servers import ServerTestCase, free_port
from .strategies import ids


class ExitTests(SimpleTestCase):
    def test_the_readme_has_every_code(self):
        page = (ROOT / "docs/reference/commands.md").read_text()
        table = re.findall(r"^\| (\d+) \| ", page, re.M)
        assert {int(code) for code in table} == {0, 2, *Exit}

    def test_every_error_of_redis_has_a_code_of_its_own(self):
        for kind in (exceptions.RedisUnavailable, exceptions.RedisUnconfirmed):
            assert failure(kind("Gone.")).returncode == Exit.UNAVAILABLE
        assert failure(exceptions.RedisReadOnly("")).returncode == Exit.READ_ONLY
        assert failure(exceptions.RedisDenied("")).returncode == Exit.DENIED
        assert failure(exceptions.ConversationMemoryError("Odd.")).returncode == Exit.FAILED

    def test_no_row_hides_behind_another(self):
        kinds = [kind for kind, _ in CODES]
        for position, kind in enumerate(kinds):
            assert not any(issubclass(kind, earlier) for earlier in kinds[:position]), kind

    def test_an_error_of_a_file_names_it(self):
        error = failure(FileNotFoundError(errno.ENOENT, "No such file or directory", "a.jsonl"))
        assert str(error) == "'a.jsonl' cannot be used: No such file or directory."
        assert error.returncode == Exit.FILE

    def test_a_full_disk_has_a_code(self):
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            assert failure(OSError(number, "No space left on device")).returncode == Exit.DISK_FULL


class Breaking(MemoryCommand):
    after_interrupt = "Run it again."
    raises: BaseException

    def handle(self, **options):
        raise self.raises


class FailureTests(SimpleTestCase):
    def test_interrupted_in_a_process_it_leaves_the_interrupt_alone(self):
        command = Breaking()
        command.raises = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            call_command(command)

    def test_interrupted_at_a_shell_it_says_how_to_go_on(self):
        command = Breaking(stderr=Terminal())
        command.raises = KeyboardInterrupt()
        with pytest.raises(SystemExit) as caught:
            command.run_from_argv(["manage.py", "breaking"])
        assert caught.value.code == 130
        assert "Interrupted. Run it again." in command.stderr.getvalue()

    def test_an_error_of_ours_is_a_sentence(self):
        command = Breaking()
        command.raises = exceptions.InvalidIndexError("There is none.")
        with fails(Exit.SETTINGS, "There is none."):
            call_command(command)

    def test_nobody_there_to_ask_is_a_no(self):
        with mock.patch("builtins.input", side_effect=EOFError):
            with pytest.raises(CommandError, match=r"Nothing was done\. .* see --no-input"):
                Breaking().confirm("This does it.", "Nothing was done.")


class ProgressTests(SimpleTestCase):
    def shown(self, stream, *, every=10.0, verbosity=1):
        command = MemoryCommand(stderr=stream)
        command.verbosity = verbosity
        with mock.patch("conversation_memory.management.command.EVERY", every):
            with command.progress("Doing", total=4) as show:
                for done in range(1, 5):
                    show(done, f"{done} bytes")
        return stream.getvalue()

    def test_a_terminal_shows_a_bar(self):
        assert "Doing: 100%" in self.shown(Terminal())

    def test_the_bar_stays_on_one_line_of_a_terminal(self):
        for options in ({"no_color": True}, {"force_color": True}):
            terminal, side = pty.openpty()
            with os.fdopen(side, "w") as stream, os.fdopen(terminal, "rb", 0) as screen:
                command = MemoryCommand(stderr=stream, **options)
                with command.progress("Doing", total=10) as show:
                    for done in range(11):
                        show(done, f"{done} bytes")
                        time.sleep(0.03)
                stream.flush()
                printed = b""
                while b"100%" not in printed or not printed.endswith(b"\n"):
                    printed += screen.read(100_000)
            lines = printed.split(b"\n")
            assert len(lines) == 2 and lines[1] == b""  # the end of the bar
            assert lines[0].count(b"\rDoing: ") > 1 and b"Doing: 100%" in lines[0]
            assert b"\x1b" not in printed

    def test_elsewhere_it_is_a_line_now_and_then(self):
        stream = mock.Mock(wraps=Terminal(), isatty=lambda: False)
        assert self.shown(stream, every=0).splitlines()[-1] == "Doing: 4 of 4, 4 bytes"

    def test_a_short_work_says_nothing_elsewhere(self):
        assert self.shown(mock.Mock(wraps=Terminal(), isatty=lambda: False)) == ""

    def test_a_quiet_one_says_nothing(self):
        assert self.shown(Terminal(), verbosity=0) == ""


class MomentTests(SimpleTestCase):
    def test_reads_dates_and_times(self):
        assert moment("2026-05-31") == datetime(2026, 5, 31, tzinfo=UTC)
        assert moment("2026-05-31T12:30") == datetime(2026, 5, 31, 12, 30, tzinfo=UTC)
        assert moment("2026-05-31 12:30:01Z") == datetime(2026, 5, 31, 12, 30, 1, tzinfo=UTC)

    def test_without_an_offset_it_is_of_the_current_time_zone(self):
        with timezone.override("Europe/Vienna"):
            assert moment("2026-05-31") == datetime(2026, 5, 30, 22, tzinfo=UTC)

    def test_reads_ages(self):
        for text, age in (
            ("30d", timedelta(30)),
            ("12h", timedelta(hours=12)),
            ("0s", timedelta()),
        ):
            assert abs(moment(text) + age - timezone.now()) < timedelta(seconds=5)

    def test_anything_else_is_refused(self):
        for text in ("", "yesterday", "2026-13-01", "2026-02-30T10:00", "d", "-1d", "999999999w"):
            with self.subTest(text), pytest.raises(ArgumentTypeError, match="is not a date"):
                moment(text)

    def test_the_options_are_a_selection(self):
        assert selection(None, None, None) == Selection()
        assert selection("ann", "2026-05-31", None).since == datetime(2026, 5, 31, tzinfo=UTC)
        for wrong in (("", None, None), (None, datetime(2026, 1, 1), None), (None, "soon", None)):
            with pytest.raises(CommandError):
                selection(*wrong)


class TerminalTests(SimpleTestCase):
    def test_what_moves_the_cursor_or_turns_the_writing_is_escaped(self):
        for text in ("\x1b[31m", "\x9b2J", "\r", "\x07", "\u202e", "\u2066", "\x00", "\udcff"):
            assert harmless(f"a{text}b").isprintable()
        assert harmless("\x1b[2J") == "\\x1b[2J"

    def test_what_people_write_stays(self):
        for text in ("Grüße", "日本語", "שלום", "👩‍👩‍👧‍👦", "می‌خواهم"):
            assert harmless(text) == text

    @given(ids)
    def test_a_quoted_id_is_printable(self, id):
        text = id if isinstance(id, str) else decode(id)
        assert quoted(text).isprintable()

    def test_a_shell_reads_a_quoted_id_back(self):
        names = [
            b"",
            b"a b",
            b"it's",
            b"caf\xff1\x1b[0m",
            "\u202eשלום".encode(),
            b"$(date)`",
            b"\\",
        ]
        words = " ".join(quoted(decode(name)) for name in names)
        read = subprocess.run(
            ["bash", "-c", f"printf '%s\\0' {words}"], capture_output=True, check=True
        ).stdout
        assert read.split(b"\0")[:-1] == names

    def test_an_id_that_is_no_text_is_base64_in_json(self):
        assert named("id", "42") == {"id": "42"}
        assert named("id", decode(b"\xff")) == {"id_b64": "/w=="}
        assert named("owner", None) == {"owner": None}

    def test_wide_characters_take_two_columns(self):
        assert width_of("日本") == 4
        assert padded("日", 4) == "日  "
        assert shortened("日本語", 4) == "日…"
        assert shortened("short", 5) == "short"

    def test_a_long_line_is_wrapped_and_others_stay(self):
        lines = list(wrapped("one two three\n  code\tx", 20, "    "))
        assert lines == ["    one two three", "      code  x"]
        assert max(map(width_of, wrapped("日本語" * 30, 30, "  "))) <= 30
        assert list(wrapped("x" * 100, None, "")) == ["x" * 100]


class ShellTests(ServerTestCase):
    entry = {"INDEX": "conversations"}

    def test_a_reader_that_goes_away_ends_it_quietly(self):
        self.index.driver("1").store([Run("a" * 100, "b" * 100)] * 5000)
        process = shell(self.server.url, "showconversation", "1")
        assert process.stdout.readline().startswith("Conversation 1")
        process.stdout.close()
        assert (process.stderr.read(), process.wait(timeout=30)) == ("", Exit.BROKEN_PIPE)
        process.stderr.close()

    def test_an_interrupt_ends_it_with_a_sentence(self):
        self.index.driver("1").append(Run("a", "b"))
        process = shell(self.server.url, "deleteconversations", "1", stdin=subprocess.PIPE)
        assert "1 conversation, " in process.stdout.readline()
        assert interrupt(process) == Exit.INTERRUPTED
        _, said = process.communicate()
        assert said.endswith("CommandError: Interrupted. Nothing was deleted.\n")
        assert self.index.count() == 1

    def test_data_and_words_go_different_ways(self):
        self.index.driver("1").append(Run("a", "b"))
        process = shell(self.server.url, "deleteconversations", "--until", "0s", "--dry-run")
        out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, "")
        assert out.startswith("default: 1 conversation, 1 run, ")

    def test_a_server_that_is_gone_has_a_code(self):
        with self.settings(REDIS={"default": {"HOST": "localhost", "PORT": free_port()}}):
            for name in ("listconversations", "checkconversations"):
                with fails(Exit.UNAVAILABLE, "Redis of alias 'default' cannot be reached"):
                    called(name)

    def test_an_unknown_alias_has_a_code(self):
        with fails(Exit.SETTINGS, "There is no alias 'nobody'"):
            called("listconversations", "--using", "nobody")
